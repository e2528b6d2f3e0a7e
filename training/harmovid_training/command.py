"""`harmovid train STEP ...` and `harmovid generate CHECKPOINT ...`: the steps of training as commands.

    harmovid train index footage --out real.jsonl --masks grounded-sam2
    harmovid train --gpus 8 stage2 --index synthetic/clips.jsonl --out runs/deflicker

The core finds `train` and `generate` through the entry point group `harmovid.commands`. With `--gpus N` a step runs
in N processes of one GPU each: training steps under Accelerate with `stages/fsdp2.yaml`; in the other steps each
process takes a share of the clips.
"""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Sequence

from harmovid.cli.console import Console
from harmovid.cli.parser import Parser

STEPS = {
    "index": "harmovid_training.clips.build",
    "stage1": "harmovid_training.stages.stage1",
    "stage2": "harmovid_training.stages.stage2",
    "stage3": "harmovid_training.stages.stage3",
    "rendered": "harmovid_training.clips.rendered",
    "cost": "harmovid_training.stages.cost",
    "toy": "harmovid_training.toy.__main__",
}
"""The module of each step; its `main(words)` runs the step."""

TRAININGS = ("stage2", "stage3")
"""Steps whose processes share one model."""

FSDP2 = Path(__file__).with_name("stages") / "fsdp2.yaml"


def train(words: Sequence[str], console: Console) -> int:
    """Run `harmovid train WORDS` and return the step's exit code.

    Raises:
        InputError: no such step.
    """
    parser = Parser(
        prog="harmovid train",
        description="Run a step of training (docs/training.md). `harmovid train STEP --help` lists its flags.",
    )
    parser.add_argument(
        "--gpus", type=int, default=1, metavar="N", help="processes, one GPU each (default 1)"
    )
    parser.add_argument(
        "step",
        choices=list(STEPS),
        metavar="STEP",
        help="index: footage to a clip index; stage1, stage2, stage3: the stages; rendered: clips with rendered truth; "
        "cost: what the stages cost; toy: the whole recipe at toy size",
    )
    # Split by hand: argparse would also take our own flags from the words after the step's name.
    place = next((number for number, word in enumerate(words) if word in STEPS), len(words))
    given = parser.parse_args(list(words[: place + 1]))
    rest = list(words[place + 1 :])
    if given.gpus > 1:
        return subprocess.run(launch_words(given.step, given.gpus, rest), check=False).returncode
    code: int = import_module(STEPS[given.step]).main(rest)
    return code


def generate(words: Sequence[str], console: Console) -> int:
    """Run `harmovid generate WORDS`, see `generate.py`, and return its exit code."""
    from harmovid_training.generate import run

    return run(words, console)


def launch_words(step: str, gpus: int, words: Sequence[str]) -> list[str]:
    """Return the command line that runs a step in several processes."""
    module = [STEPS[step].removesuffix(".__main__"), *words]
    if step in TRAININGS:
        launcher = ["accelerate.commands.launch", "--config_file", str(FSDP2), "--num_processes", str(gpus)]
    else:
        launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(gpus)]
    return [sys.executable, "-m", *launcher, "-m", *module]
