"""`python -m harmovid_training.toy --out out/toy`: the whole recipe, then its tables as `tables.md` and on the screen.

A stopped run resumes. docs/training.md has the options and the results.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Sequence

from harmovid.errors import HarmoVidError

from harmovid_training.clips.index import Index, read_index
from harmovid_training.files import save_json, save_text
from harmovid_training.toy.recipe import Scale, Toy, make_all
from harmovid_training.toy.tables import Table, table_steps, table_three, table_two, tables_real


def main(words: Sequence[str] | None = None, scale: Scale | None = None) -> int:
    """Run the recipe and return 0, or 1 where the given clips cannot be used; tests pass a `scale` of their own."""
    parser = argparse.ArgumentParser(prog="python -m harmovid_training.toy", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/toy"), help="folder of networks and tables")
    parser.add_argument(
        "--clips", type=Path, help="index of real clips (roles real, mask) to train on as well"
    )
    parser.add_argument("--test-clips", type=Path, help="index of real clips to test on as well")
    parser.add_argument("--seed", type=int, default=0, help="of networks, noise and trainings (default 0)")
    parser.add_argument(
        "--times", type=int, default=1, help="as many times the scenes and training steps (default 1)"
    )
    given = parser.parse_args(words)
    if given.times < 1:
        parser.error("--times takes 1 or more")
    try:
        train, test = (read_index(path) if path else Index(()) for path in (given.clips, given.test_clips))
        text = run(
            Toy(given.out, replace((scale or Scale()).longer(given.times), seed=given.seed), train), test
        )
    except HarmoVidError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(text)
    return 0


def run(toy: Toy, test: Index) -> str:
    """Make all parts and tables; return the tables as Markdown.

    `tables.md` is written again after each table; the values of every clip are in `tables.json`.
    """
    started = time.monotonic()
    make_all(toy)
    text, values = "", {}

    def keep(tables: list[Table]) -> None:
        nonlocal text
        text += "\n".join(table.markdown() for table in tables) + "\n"
        values.update({table.title: table.rows for table in tables})
        save_json(toy.folder / "tables.json", values)
        save_text(toy.folder / "tables.md", text)  # so finished tables are kept if a later part is stopped

    for make in (table_two, table_three, table_steps):
        keep(make(toy))
    if test.clips:
        keep(tables_real(toy, test))
    spent = os.times()
    processor = spent.user + spent.system + spent.children_user + spent.children_system
    minutes = f"{(time.monotonic() - started) / 60:.1f} minutes, {processor / 60:.1f} of processor time"
    text += f"{minutes}, {toy.scale}\n"
    save_text(toy.folder / "tables.md", text)
    return text


if __name__ == "__main__":
    raise SystemExit(main())
