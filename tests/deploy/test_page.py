"""docs/deploy.md: its commands run, and nothing that they start speaks to another machine."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from deploy.watched_page import CONTROL, OWN_IPV6, page_module

REPO = Path(__file__).resolve().parents[2]
PAGE = (REPO / "docs" / "deploy.md").read_text(encoding="utf-8")
NEEDED = ("unshare", "ip", "curl", "openssl")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def watched() -> dict[str, Any]:
    """Return what was seen while the page ran in a namespace of its own; skip where there can be none."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        pytest.skip(f"not installed on this machine: {', '.join(missing)}")
    isolated = page_module().isolated  # type: ignore[attr-defined]
    if subprocess.run(isolated(["true"]), capture_output=True, timeout=300).returncode:
        pytest.skip("this machine does not let a test have a network namespace of its own")
    command = isolated([sys.executable, str(REPO / "tests" / "deploy" / "watched_page.py")])
    result = subprocess.run(command, capture_output=True, text=True, timeout=550)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]
    told: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    told["output"] = result.stdout + result.stderr
    return told


def test_every_command_marked_to_run_runs(watched: dict[str, Any]) -> None:
    """Keys, checks, server, job, health, metrics, dashboard, users, bundles, backup, templates; and a clean stop."""
    assert watched["code"] == 0, watched["output"][-6000:]
    runs = len(re.findall(r"^```sh (?:run|dev)\b", PAGE, re.MULTILINE))
    assert f"{runs} blocks have run" in watched["output"]


def test_nothing_speaks_to_another_machine(watched: dict[str, Any]) -> None:
    """Of all packets of server, clients and dashboard none goes to or comes from an address beyond loopback."""
    assert watched["packets"] > 100
    assert watched["foreign"] == []


def test_a_packet_to_another_machine_would_have_been_seen(watched: dict[str, Any]) -> None:
    """Two packets that were sent on purpose, IPv4 and IPv6, are found by the same watching."""
    ends = {end for packet in watched["control"] for end in packet}
    assert CONTROL[0] in ends
    assert ends & {CONTROL[1], OWN_IPV6}


def test_every_shell_block_says_whether_it_is_run() -> None:
    """Marks are known; what is run by hand only is followed by a sentence that says what was run, or why not."""
    found = page_module().blocks(PAGE)  # type: ignore[attr-defined]
    assert sum(block.mark in ("run", "dev") for block in found) >= 10
    for block in found:
        if block.mark == "by-hand":
            after = PAGE.split(block.text, 1)[1].split("## ")[0][:2500]
            before = PAGE.split(block.text, 1)[0][-400:]
            said = re.search(r"\brun\b|\bRun\b|2026-", after) or re.search(r"not run", before)
            assert said, f"line {block.line}"
