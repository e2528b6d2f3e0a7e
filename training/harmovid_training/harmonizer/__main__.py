"""Train the harmonizer.

    python -m harmovid_training.harmonizer clips --data CACHE --weights START --backbone FOLDER --clips CLIPS/train
    python -m harmovid_training.harmonizer clips --data CACHE ... --clips CLIPS/choose --use choose --shards 12
    python -m harmovid_training.harmonizer train --clips CLIPS/train --check CLIPS/choose --out RUN --start START
    python -m harmovid_training.harmonizer average RUN1 RUN2 --out RUN
    python -m harmovid_training.harmonizer calibrate --check CLIPS/choose --out RUN
    python -m harmovid_training.harmonizer judge --check CLIPS/test --out RUN

CACHE is the output of `python -m harmovid_training.data cache`. START are weights (`python -m harmovid_export.reopen`)
whose compact part computes the features of the pictures; FOLDER holds `backbone.onnx` (that of the engine can be used).
`clips` and `train` run at the same time; both resume where they were stopped. `average` takes the mean of the weights
of runs that began with the same START. `calibrate` fits the confidence and writes RUN/harmonizer.pt, which
`python -m harmovid_export.harmonizer` turns into the files that the server loads.
`judge` measures the result on the test scenes.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List, Optional

import cv2
import torch
from harmovid.errors import HarmoVidError

from harmovid_training.data import cache, figures
from harmovid_training.data.__main__ import SCENES, SUBJECTS
from harmovid_training.data.batches import Sampler
from harmovid_training.harmonizer.calibrate import calibrate, collect, judge
from harmovid_training.harmonizer.clips import Clips, make_clips, shard_files
from harmovid_training.harmonizer.features import open_backbone
from harmovid_training.harmonizer.network import Harmonizer
from harmovid_training.harmonizer.train import (
    CHECKPOINT,
    Recipe,
    mean_of,
    read_checkpoint,
    save_weights,
    train,
)

WEIGHTS = "harmonizer.pt"
USES = {"train": cache.TRAIN, "choose": cache.CHOOSE, "test": cache.TEST}
GATE = "head.gate"


def main(words: Optional[List[str]] = None) -> int:
    """Run one command; return the exit status."""
    given = _arguments(words)
    torch.set_num_threads(given.threads)
    cv2.setNumThreads(given.threads)
    try:
        given.run(given)
    except HarmoVidError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _clips(given: argparse.Namespace) -> None:
    scenes, subjects = cache.load(given.data / SCENES), figures.load_subjects(given.data / SUBJECTS)
    model = _loaded(given.weights)
    sampler = Sampler(scenes, subjects, given.seed, use=USES[given.use])
    make_clips(given.clips, sampler, model.encoder, open_backbone(given.backbone), given.shards, given.keep)


def _train(given: argparse.Namespace) -> None:
    recipe = Recipe()
    for name in ("steps", "minutes", "rate", "decay_from", "seed"):
        if getattr(given, name) is not None:
            recipe = replace(recipe, **{name: getattr(given, name)})
    train(
        given.out,
        given.clips,
        Clips(shard_files(given.check)),
        recipe,
        resume=given.resume,
        start=given.start,
    )


def _average(given: argparse.Namespace) -> None:
    given.out.mkdir(parents=True, exist_ok=True)
    save_weights(given.out / CHECKPOINT, mean_of([_loaded(run / CHECKPOINT) for run in given.runs]))


def _calibrate(given: argparse.Namespace) -> None:
    """Fit the confidence of the run's averaged network and save it."""
    model = _loaded(given.out / CHECKPOINT)
    facts = calibrate(model, collect(model, Clips(shard_files(given.check))))
    save_weights(given.out / WEIGHTS, model)
    _print(facts)


def _judge(given: argparse.Namespace) -> None:
    model = _loaded(given.out / WEIGHTS)
    _print(judge(collect(model, Clips(shard_files(given.check))), model))


def _loaded(path: Path) -> Harmonizer:
    held = read_checkpoint(path)
    model = Harmonizer()
    model.load_state_dict(held.get("average", held))
    return model.eval()


def _print(facts: Dict[str, Any]) -> None:
    sys.stdout.write("".join(json.dumps({name: value}) + "\n" for name, value in facts.items()))


def _arguments(words: Optional[List[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=1)
    commands = parser.add_subparsers(dest="command", required=True)
    clips = commands.add_parser("clips", help="make training clips")
    clips.add_argument("--data", type=Path, required=True, help="cache of harmovid_training.data")
    clips.add_argument("--weights", type=Path, required=True, help="whose compact part measures the pictures")
    clips.add_argument("--backbone", type=Path, required=True, help="folder of backbone.onnx")
    clips.add_argument("--clips", type=Path, required=True, help="folder to write to")
    clips.add_argument("--use", choices=list(USES), default="train", help="which scenes")
    clips.add_argument("--shards", type=int, default=1000, help="of 512 clips each, 34 MB")
    clips.add_argument("--keep", type=int, default=0, help="delete the oldest shards beyond these; 0: none")
    clips.add_argument("--seed", type=int, default=11)
    clips.set_defaults(run=_clips)
    training = commands.add_parser("train", help="train on clips")
    training.add_argument("--clips", type=Path, nargs="+", required=True, help="folders that `clips` wrote")
    training.add_argument("--check", type=Path, required=True, help="clips of scenes kept for choosing")
    training.add_argument("--out", type=Path, required=True)
    training.add_argument("--steps", type=int, help="instead of the recipe's")
    training.add_argument("--minutes", type=float, help="end by the clock instead of by steps")
    training.add_argument("--rate", type=float, help="learning rate instead of the recipe's")
    training.add_argument("--decay-from", type=float, help="share of the run after which the rate falls")
    training.add_argument("--seed", type=int)
    training.add_argument("--resume", action="store_true", help="continue the run in --out")
    training.add_argument("--start", type=Path, help="weights that a new run begins with")
    training.set_defaults(run=_train)
    averaging = commands.add_parser("average", help="the mean of several runs' weights")
    averaging.add_argument("runs", type=Path, nargs="+", help="folders of the runs")
    averaging.add_argument("--out", type=Path, required=True)
    averaging.set_defaults(run=_average)
    for name, run, text in (
        ("calibrate", _calibrate, "fit the confidence"), ("judge", _judge, "measure it on other scenes"),
    ):  # fmt: skip
        judging = commands.add_parser(name, help=text)
        judging.add_argument("--check", type=Path, required=True, help="clips")
        judging.add_argument("--out", type=Path, required=True, help="folder of the run")
        judging.set_defaults(run=run)
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main())
