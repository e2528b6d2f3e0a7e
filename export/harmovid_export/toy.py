"""The toy's one-step models as engine bundles: `python -m harmovid_export.toy --toy out/toy --out out/toy-bundles`.

Missing parts are trained first (`harmovid_training.toy`, docs/training.md): VAE, stage 1 and both students.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Optional, Sequence

from harmovid.errors import HarmoVidError
from harmovid_training.toy.recipe import Scale, Toy
from harmovid_training.toy.scenes import HEIGHT

from harmovid_export.bundle import Request, export_bundle

LICENCE = "Apache-2.0"
BUNDLES = {"deflicker_student": "toy-deflicker", "student": "toy-harmovid"}
"""Part of the recipe to the engine's name."""


def export_toy(toy: Toy, out: Path) -> None:
    """Write both bundles into a folder, training missing parts first.

    Raises:
        HarmoVidError: a part cannot be used or exported.
    """
    toy.vae()
    for part, name in BUNDLES.items():
        getattr(toy, part)()
        request = Request(
            licence=LICENCE, name=name, sampler="one-step", lines=HEIGHT, window=toy.scale.frames,
            overlap=toy.scale.sampling.overlap_frames or 0,
        )  # fmt: skip
        checkpoint = toy.folder / part.replace("_", "-")
        export_bundle(checkpoint, str(toy.folder / "vae"), out / name, request, _say)


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")


def main(words: Optional[Sequence[str]] = None) -> int:
    """Export the toy and return 0, or 1 if it failed."""
    parser = argparse.ArgumentParser(prog="python -m harmovid_export.toy", description=__doc__)
    parser.add_argument("--toy", type=Path, default=Path("out/toy"), help="folder of `make train-toy`")
    parser.add_argument("--out", type=Path, default=Path("out/toy-bundles"), help="folder of the bundles")
    given = parser.parse_args(words)
    try:
        export_toy(Toy(given.toy, Scale()), given.out)
    except HarmoVidError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
