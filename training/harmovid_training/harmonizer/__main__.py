"""Train the harmonizer.

    python -m harmovid_training.harmonizer train --data FOLDER --out RUN [--recipe cpu|large] [--minutes N] [--resume]
    python -m harmovid_training.harmonizer calibrate --data FOLDER --out RUN

FOLDER holds hdri/, photos/ and models/ (docs/data.md), or a cache that `python -m harmovid_training.data cache` made of
them. `train` ends with `calibrate`, writes RUN/harmonizer.pt, which `python -m harmovid_export.harmonizer` turns into
what the server loads, and RUN/validation.png: composite, answer and truth of held-out scenes.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Dict, List, Optional, Tuple

import torch
from harmovid.errors import HarmoVidError

from harmovid_training.data import cache, figures
from harmovid_training.data.__main__ import SCENES, SUBJECTS
from harmovid_training.data.batches import Sampler
from harmovid_training.data.cache import Scenes
from harmovid_training.data.figures import Subjects
from harmovid_training.harmonizer.calibrate import calibrate, collect
from harmovid_training.harmonizer.grid import validation_grid
from harmovid_training.harmonizer.network import Harmonizer
from harmovid_training.harmonizer.train import (
    CHECKPOINT,
    Recipe,
    read_checkpoint,
    save_weights,
    train,
    validation_batches,
)

WEIGHTS, GRID = "harmonizer.pt", "validation.png"
RECIPES: Dict[str, Recipe] = {
    "cpu": Recipe(),
    "large": Recipe(steps=60000, clips=256, rate=2e-3),
}
"""`cpu` takes a good hour of two idle cores; `large` is a proposal that nobody has run yet."""
CALIBRATION_SEED = 99
GATE = "head.gate"


def main(words: Optional[List[str]] = None) -> int:
    """Run one command; return the exit status."""
    given = _arguments(words)
    torch.set_num_threads(given.threads)
    recipe = RECIPES[given.recipe]
    for name in ("steps", "minutes", "rate", "decay_from", "seed"):
        if getattr(given, name) is not None:
            recipe = replace(recipe, **{name: getattr(given, name)})
    try:
        scenes, subjects = _material(given.data, given.out)
        if given.command == "train":
            train(
                given.out, scenes, subjects, recipe, resume=given.resume, start=given.start, loaders=given.loaders,
                device=given.device,
            )  # fmt: skip
        _finish(given.out, scenes, subjects, recipe)
    except HarmoVidError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _material(data: Path, out: Path) -> Tuple[Scenes, Subjects]:
    """Return the cached pictures of `data`, making the cache in `out` where `data` is none itself."""
    held = data if (data / SCENES).is_file() else out / "cache"
    if not (held / SCENES).is_file():
        cache.save(held / SCENES, cache.build_scenes(data))
        figures.save_subjects(held / SUBJECTS, figures.build_subjects(data / "models"))
    return cache.load(held / SCENES), figures.load_subjects(held / SUBJECTS)


def _finish(out: Path, scenes: Scenes, subjects: Subjects, recipe: Recipe) -> None:
    """Fit the confidence of the run's averaged network, save it, draw the validation grid."""
    model = Harmonizer()
    # The gate is fitted here: what the checkpoint has of it says nothing yet.
    trained = {
        k: v for k, v in read_checkpoint(out / CHECKPOINT)["average"].items() if not k.startswith(GATE)
    }
    model.load_state_dict(trained, strict=False)
    cases = []
    for cut_out in (False, True):
        sampler = Sampler(scenes, subjects, CALIBRATION_SEED, held=True, cut_out=cut_out)
        cases += collect(model, sampler, recipe.renders)
    facts = calibrate(model, cases)
    save_weights(out / WEIGHTS, model)
    validation_grid(out / GRID, model, validation_batches(scenes, subjects, recipe.seed + 1))
    sys.stdout.write(json.dumps(facts) + "\n")


def _arguments(words: Optional[List[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=("train", "calibrate"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--recipe", choices=list(RECIPES), default="cpu")
    parser.add_argument("--steps", type=int, help="instead of the recipe's")
    parser.add_argument("--rate", type=float, help="learning rate instead of the recipe's")
    parser.add_argument("--decay-from", type=float, help="share of the run after which the rate falls")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--minutes", type=float, help="end by the clock instead of by steps")
    parser.add_argument("--resume", action="store_true", help="continue the run in --out")
    parser.add_argument("--start", type=Path, help="checkpoint whose weights a new run begins with")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--loaders", type=int, default=1, help="processes that make batches")
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main())
