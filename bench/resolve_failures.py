"""Make each call of Resolve's interface fail once, in each way, and report how run and project end.

    python bench/resolve_failures.py [--write docs/resolve-failures.md] [--json FILE]

The Resolve is the tests' stand-in (`tests/fakes/resolve_host`). Returns 1 if a project was neither as before nor as
after a run without failure.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any, Dict, List

TESTS = Path(__file__).resolve().parents[1] / "tests"

HEAD = """# When a call of Resolve fails

Written by `python bench/resolve_failures.py --write docs/resolve-failures.md`; not by hand.

Resolve's scripting interface returns False or None when a call fails. So every call that the plugin makes in a run was
made to fail, one in each run, in four ways: it does nothing and returns False; it does nothing and returns None; it
raises; it does its work and still returns False. After each run the whole project is compared with its state before
(`tests/fakes/resolve_host/snapshot.py`): page, settings, timelines with tracks, items, takes, versions, grades and
markers, media pool, Deliver page, presets, queue.

**The Resolve is a stand-in; no real one has been tried.** A run ends in one of two ways: **as before** (it failed with
an error message, and nothing in the project differs), or **returned** (the call was repeated or does not matter, and
the project is as after a run without failure).

Not known of a real Resolve: whether a saved preset also holds folder and name of the Deliver page; the stand-in assumes
that it does. Before Resolve 19.1 presets cannot be deleted: there the settings of the Deliver page are not restored,
and the run says so.

"""


def main() -> int:
    """Run all routes, print the counts, and return 1 if a project was left in between."""
    grammar = argparse.ArgumentParser(description="Failures of single calls of Resolve's interface.")
    grammar.add_argument("--write", metavar="FILE", help="write the page with the table")
    grammar.add_argument("--json", metavar="FILE", help="write every run")
    args = grammar.parse_args()
    sys.path.insert(0, str(TESTS))
    from fakes.resolve_failures import ROUTES, failures, succeeded

    found: List[Any] = []
    memory = Path("/dev/shm")  # noqa: S108 (thousands of runs write a few small files each)
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        for route in ROUTES:
            reference = succeeded(route, Path(folder))
            one = list(failures(route, Path(folder), reference))
            print(f"{route.name}: {len(reference.calls)} calls, {len(one)} runs, {_bad(one)} left in between")
            found += one
    if args.json:
        Path(args.json).write_text(
            json.dumps([asdict(one) for one in found], indent=1) + "\n", encoding="utf-8"
        )
    if args.write:
        Path(args.write).write_text(HEAD + _routes(found) + _calls(found), encoding="utf-8")
    for one in found:
        if not one.whole:
            print(one)
    return 1 if _bad(found) else 0


def _bad(found: List[Any]) -> int:
    return sum(not one.whole for one in found)


def _routes(found: List[Any]) -> str:
    """Return the table of routes."""
    lines = ["| route | calls | runs | as before | returned | left in between |", "|---|---|---|---|---|---|"]
    for name in dict.fromkeys(one.route for one in found):
        of = [one for one in found if one.route == name]
        good = Counter(one.state == "returned" for one in of if one.whole)
        lines.append(
            f"| {name} | {max(one.number for one in of)} | {len(of)} | {good[False]} | {good[True]} | {_bad(of)} |"
        )
    return "\n".join(lines) + "\n\n"


def _calls(found: List[Any]) -> str:
    """Return the table of calls: how often each was made to fail, and how those runs ended."""
    by_call: Dict[str, List[Any]] = {}
    for one in found:
        by_call.setdefault(one.call, []).append(one)
    lines = ["| call | failed | as before | returned | left in between |", "|---|---|---|---|---|"]
    for call, of in sorted(by_call.items()):
        good = Counter(one.state == "returned" for one in of if one.whole)
        lines.append(f"| `{call}` | {len(of)} | {good[False]} | {good[True]} | {_bad(of)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
