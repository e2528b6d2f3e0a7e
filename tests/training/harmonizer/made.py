"""Shared by tests of the harmonizer's training: clips of synthetic data on disk, made without trained weights."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch
from harmovid_training.data.batches import Sampler
from harmovid_training.data.cache import TRAIN
from harmovid_training.harmonizer.backbone import Backbone
from harmovid_training.harmonizer.clips import make_clips
from harmovid_training.harmonizer.network import Encoder
from training.data.world import scenes, subjects


@lru_cache(maxsize=1)
def backbone() -> Backbone:
    """Return a backbone with random weights."""
    torch.manual_seed(4)
    return Backbone().eval()


def clips(folder: Path, shards: int, use: int = TRAIN, keep: int = 0) -> None:
    """Write clips of the made world into `folder`."""
    torch.set_num_threads(1)  # more threads would slow parallel tests down
    torch.manual_seed(5)
    sampler = Sampler(scenes(8), subjects(), 3, use=use)
    make_clips(folder, sampler, Encoder().eval(), backbone(), shards, keep)
