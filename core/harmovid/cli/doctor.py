"""`harmovid doctor`: look at the installation and say what is well, what is not, and the mend."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Iterator, List

from harmovid.cli import doctor_client, doctor_server, exits
from harmovid.cli.console import Console
from harmovid.cli.finding import FAIL, WARN, Check, Finding
from harmovid.errors import HarmoVidError


def checks() -> List[Check]:
    """Return all checks in the order they are told: the client's first, then the server's."""
    return [*doctor_client.CHECKS, *doctor_server.CHECKS]


def examine(args: argparse.Namespace) -> Iterator[Finding]:
    """Yield every finding; a check that itself breaks is a finding too, so that the others are still told."""
    for check in checks():
        try:
            yield from check(args)
        except HarmoVidError as error:
            yield Finding(check.__name__.replace("_", " "), FAIL, error.message, error.fix)
        except Exception as error:  # a process door: the doctor looks at broken installations by trade
            name = check.__name__.replace("_", " ")
            yield Finding(
                name, FAIL, f"{type(error).__name__}: {error}", "Reinstall harmovid, then run this again."
            )


def run(args: argparse.Namespace, console: Console) -> int:
    """Print the findings; the exit code is 1 as soon as one of them is a failure."""
    findings: List[Finding] = []
    for finding in examine(args):
        findings.append(finding)
        console.text(f"{finding.status:<5} {finding.check:<16} {finding.detail}")
        if finding.mend:
            console.text(f"{'':<22} -> {finding.mend}")
    failed = sum(finding.status == FAIL for finding in findings)
    warned = sum(finding.status == WARN for finding in findings)
    console.text(f"\n{len(findings)} checks, {failed} failed, {warned} warnings")
    code = exits.JOB_FAILED if failed else exits.OK
    console.result({"ok": not failed, "exit": code, "findings": [asdict(finding) for finding in findings]})
    return code
