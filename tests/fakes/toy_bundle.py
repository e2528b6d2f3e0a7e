"""A diffusion checkpoint of the toy's class with random weights, its linear VAE, and the bundle exported from both.

    toy = toy_bundle(tmp_path_factory, "harmovid")
    toy.checkpoint, toy.vae, toy.bundle

An export takes some ten seconds, so one is made per test run, whichever process asks first.
"""

from __future__ import annotations

import fcntl
import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harmovid.cli import main
from harmovid_training.models.checkpoint import Card, save_checkpoint
from harmovid_training.models.conditioning import CONDITIONINGS
from harmovid_training.stages import pairs
from harmovid_training.toy.codec import fit_codec, save_codec
from harmovid_training.toy.networks import make_model
from harmovid_training.toy.shots import toy_shot

HEIGHT, WIDTH, WINDOW, OVERLAP = 48, 64, 9, 6
STRENGTH = 0.03
"""Deviation of the last layer's weights: the untrained network changes the picture by about a tenth of a stop."""


@dataclass(frozen=True)
class Toy:
    """Where the checkpoint, the VAE and the bundle are."""

    folder: Path

    @property
    def checkpoint(self) -> Path:
        """The folder that training would write."""
        return self.folder / "checkpoint"

    @property
    def vae(self) -> Path:
        """The VAE's folder."""
        return self.folder / "vae"

    @property
    def bundle(self) -> Path:
        """The exported bundle."""
        return self.folder / "bundle"


def toy_bundle(factory: Any, conditioning: str) -> Toy:
    """Return the run's toy of a conditioning, made now if it is not there."""
    base = factory.getbasetemp()
    # pytest-xdist gives every process a folder of its own in the run's.
    run = base.parent if base.name.startswith("popen-") else base
    toy = Toy(run / f"toy-{conditioning}")
    with open(run / f"toy-{conditioning}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (toy.bundle / "manifest.json").is_file():
            make(toy, conditioning)
    return toy


def make(toy: Toy, conditioning: str) -> None:
    """Write checkpoint, VAE and bundle."""
    model = make_model(CONDITIONINGS[conditioning], HEIGHT, WIDTH, WINDOW, seed=1)
    torch.nn.init.normal_(model.backbone.transformer.proj_out.weight, std=STRENGTH)
    save_checkpoint(toy.checkpoint, model, Card({"name": f"toy {conditioning}"}))
    clips = [pairs.stage_one_sample(toy_shot(seed, WINDOW)).target for seed in range(4)]
    save_codec(toy.vae, fit_codec(torch.from_numpy(np.stack(clips)).permute(0, 4, 1, 2, 3)))
    command = [
        "export", "onnx", str(toy.checkpoint), "-o", str(toy.bundle),
        "--vae", str(toy.vae), "--licence", "Apache-2.0", "--name", f"toy-{conditioning}", "--lines", str(HEIGHT),
        "--window", str(WINDOW), "--overlap", str(OVERLAP), "--sampler", "one-step", "--no-check",
    ]  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's exporter warns of its own parts
        assert main(command) == 0


@lru_cache(maxsize=4)
def shot(seed: int, frames: int) -> pairs.Shot:
    """Return a rendered shot of the toy."""
    return toy_shot(seed, frames)
