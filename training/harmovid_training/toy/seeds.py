"""The toy recipe with several seeds, with networks trained for each: its tables over all seeds.

    python -m harmovid_training.toy.seeds --seeds 3 --out out/toy-seeds

Each seed has a folder of its own and is skipped once it is done. A clip's value is its mean over the seeds, so that
the intervals are over clips; the largest deviation between the means of the seeds is told below each table. At the end
the bars are listed (`comparisons.py`), reached or not.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Sequence

import numpy as np

from harmovid_training.toy.__main__ import main as train
from harmovid_training.toy.classical import COLUMNS
from harmovid_training.toy.comparisons import TITLES, Rows, bars_table
from harmovid_training.toy.recipe import Scale
from harmovid_training.toy.tables import Table


def merged(title: str, seeds: Sequence[Rows]) -> str:
    """Return a table of the means over seeds as Markdown, and below it the largest deviation between the means of the
    seeds in each column."""
    rows: dict[str, list[tuple[float, ...]]] = {}
    apart = np.zeros(len(COLUMNS))
    for name in seeds[0]:
        every = np.array([seed[name] for seed in seeds])  # seeds, clips, columns
        rows[name] = [tuple(row) for row in every.mean(0).tolist()]
        apart = np.maximum(apart, every.mean(1).std(0, ddof=min(1, len(seeds) - 1)))
    text = Table(title, rows).markdown()
    if len(seeds) == 1:
        return text
    told = ", ".join(f"{column} {value:.3f}" for column, value in zip(COLUMNS, apart))
    return f"{text}\nLargest deviation between the means of the {len(seeds)} seeds: {told}.\n"


def finished(folder: Path) -> bool:
    """Return whether a seed's folder has all tables; they are written one after the other."""
    path = folder / "tables.json"
    return path.is_file() and set(TITLES) <= set(json.loads(path.read_text(encoding="utf-8")))


def main(words: Sequence[str] | None = None, scale: Scale | None = None) -> int:
    """Train the missing networks and print the merged tables; tests pass a `scale` of their own."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("out/toy-seeds"))
    given = parser.parse_args(words)
    found: list[dict[str, Rows]] = []
    for seed in range(given.seeds):
        folder = given.out / f"seed-{seed}"
        if not finished(folder) and train(["--out", str(folder), "--seed", str(seed)], scale):
            return 1
        found.append(json.loads((folder / "tables.json").read_text(encoding="utf-8")))
    for title in found[0]:
        sys.stdout.write(merged(title, [one[title] for one in found]) + "\n")
    sys.stdout.write(f"### Bars\n\n{bars_table(found)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
