"""A picture of what the network does to held-out scenes: composite, answer and truth below each other."""

from __future__ import annotations

from pathlib import Path
from typing import Dict

import cv2
import numpy as np
import torch

from harmovid_training.data.batches import Batch
from harmovid_training.harmonizer.losses import field_stops, predict, view
from harmovid_training.harmonizer.network import Harmonizer

COLUMNS = 16
ENLARGED = 2


@torch.no_grad()
def validation_grid(path: Path, model: Harmonizer, batches: Dict[str, Batch]) -> None:
    """Write a PNG: for each batch three rows of `COLUMNS` pictures: the composite, the gated answer, the truth."""
    model.eval()
    rows = []
    for batch in batches.values():
        stops = field_stops(batch, predict(model, batch, 1).gated(), 1)
        answer = batch.composite * torch.exp2(stops * batch.matte)
        for pictures in (batch.composite, answer, batch.truth):
            shown = (view(pictures[:COLUMNS]).permute(0, 2, 3, 1).numpy() * 255).astype(np.uint8)
            rows.append(np.concatenate(list(shown), axis=1))
    whole = cv2.cvtColor(np.concatenate(rows), cv2.COLOR_RGB2BGR)
    large = cv2.resize(whole, None, fx=ENLARGED, fy=ENLARGED, interpolation=cv2.INTER_NEAREST)
    partial = path.with_suffix(".partial.png")
    cv2.imwrite(str(partial), large)
    partial.replace(path)
