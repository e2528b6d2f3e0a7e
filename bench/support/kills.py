"""What the benches of random kills share: their flags, and the tally as a file."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[2] / "tests"


def arguments(description: str, kills: int) -> argparse.Namespace:
    """Read `--kills`, `--seed` and `--json`, and make the tests' own modules importable.

    Args:
        description: for `--help`.
        kills: the default number of kills.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--kills", type=int, default=kills)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", metavar="FILE")
    sys.path.insert(0, str(TESTS))
    return parser.parse_args()


def save(tally: Any, path: str) -> None:
    """Write a tally, a dataclass, as JSON; nothing if `path` is empty."""
    if path:
        Path(path).write_text(json.dumps(asdict(tally), indent=1) + "\n", encoding="utf-8")
