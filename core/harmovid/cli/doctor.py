"""`harmovid doctor`: check the installation and say what is wrong and what to do about it."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Iterator, List

from harmovid import entry_points
from harmovid.cli import doctor_client, exits
from harmovid.cli.console import Console
from harmovid.doctor import FAIL, WARN, Check, Finding
from harmovid.errors import HarmoVidError
from harmovid.settings import Settings, load_settings

REINSTALL = "Reinstall harmovid, then run this again."


def run(args: argparse.Namespace, console: Console) -> int:
    """Print the findings; the exit code is 1 as soon as one of them is a failure."""
    findings: List[Finding] = []
    for finding in examine(args.server, args.key):
        findings.append(finding)
        console.text(f"{finding.status:<5} {finding.check:<16} {finding.detail}")
        if finding.fix:
            console.text(f"{'':<22} -> {finding.fix}")
    failed = sum(finding.status == FAIL for finding in findings)
    warned = sum(finding.status == WARN for finding in findings)
    console.text(f"\n{len(findings)} checks, {failed} failed, {warned} warnings")
    code = exits.JOB_FAILED if failed else exits.OK
    console.result({"ok": not failed, "exit": code, "findings": [asdict(finding) for finding in findings]})
    return code


def examine(server: str, key: str) -> Iterator[Finding]:
    """Yield every finding: the client's first, then those that other packages bring.

    A check that raises an error becomes a finding, so that the others still run.
    """
    checks = list(doctor_client.CHECKS)
    try:
        settings = load_settings(server, key)
    except HarmoVidError as error:
        yield Finding("settings", FAIL, error.message, error.fix)
        settings = Settings()
        checks.remove(doctor_client.client_settings)
    for check in checks:
        yield from _guarded(check, settings)
    for name, entry in entry_points.find(entry_points.DOCTOR).items():
        try:
            checks = entry.load()
        except Exception as error:  # code of another package, which may raise anything
            yield Finding(f"checks of {name}", FAIL, f"{type(error).__name__}: {error}", REINSTALL)
            continue
        for check in checks:
            yield from _guarded(check, settings)


def _guarded(check: Check, settings: Settings) -> Iterator[Finding]:
    name = check.__name__.replace("_", " ")
    try:
        yield from check(settings)
    except HarmoVidError as error:
        yield Finding(name, FAIL, error.message, error.fix)
    except Exception as error:  # as above
        yield Finding(name, FAIL, f"{type(error).__name__}: {error}", REINSTALL)
