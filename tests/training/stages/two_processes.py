"""A tiny training in the process group it is started in: prints the losses on the main process."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from accelerate import PartialState

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from harmovid_training.stages import objectives
from harmovid_training.stages.train import train
from training.inference.tiny import tiny_model
from training.stages.test_train import QUICK, latents

if __name__ == "__main__":
    torch.set_num_threads(1)
    losses = train(
        QUICK, tiny_model("tiny-5b"), latents, objectives.diffusion, Path(sys.argv[1]), progress=False
    )
    if PartialState().is_main_process:
        sys.stdout.write("losses " + " ".join(repr(loss) for loss in losses) + "\n")
