"""`python -m harmovid_training.toy --out out/toy`: the whole recipe, then its tables as `tables.md` and on the screen.

A run that is stopped goes on where it was. About 25 minutes on two idle cores by the speeds seen (docs/training.md).
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Sequence

import torch

from harmovid_training.files import save_text
from harmovid_training.toy.recipe import Scale, Toy
from harmovid_training.toy.tables import table_steps, table_three, table_two


def main(words: Sequence[str] | None = None, scale: Scale | None = None) -> int:
    """Run the recipe and return 0; `scale` is the tests' own."""
    parser = argparse.ArgumentParser(prog="python -m harmovid_training.toy", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/toy"), help="folder of networks and tables")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of torch")
    given = parser.parse_args(words)
    torch.set_num_threads(given.threads)
    started = time.monotonic()
    toy = Toy(given.out, scale or Scale())
    text = ""
    for make in (table_two, table_three, table_steps):
        text += "\n".join(table.markdown() for table in make(toy)) + "\n"
        save_text(given.out / "tables.md", text)  # what is measured stays, should a later part be stopped
    text += f"{(time.monotonic() - started) / 60:.1f} minutes, {toy.scale}\n"
    save_text(given.out / "tables.md", text)
    sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
