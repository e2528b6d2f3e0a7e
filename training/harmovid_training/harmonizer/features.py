"""Input features of the harmonizer's trained part: computed from pictures by its frozen compact part and backbone."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Tuple

import onnxruntime
import torch
from harmovid.errors import InputError
from torch import Tensor
from torch.nn import functional as fn

from harmovid_training.data.batches import Batch
from harmovid_training.harmonizer.constants import BRIGHTNESS
from harmovid_training.harmonizer.losses import to_codes, view
from harmovid_training.harmonizer.network import Encoder, Measured, subject_box

Features = Tuple[Tensor, Tensor, Tensor]
BackboneCall = Callable[[Tensor], Features]
"""Display values `(n, 3, h, w)` to the features of `Backbone.forward`."""
BACKBONE_FILE = "backbone.onnx"


def open_backbone(folder: Path, threads: int = 1) -> BackboneCall:
    """Return the backbone that `harmovid_export.harmonizer` wrote into `folder`.

    Raises:
        InputError: the folder holds no backbone.
    """
    path = folder / BACKBONE_FILE
    if not path.is_file():
        raise InputError(f"{path} is not there.", fix="Name the folder of the engine's ONNX files.")
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])

    def run(picture: Tensor) -> Features:
        found = session.run(None, {"picture": picture.numpy()})
        first, second, third = (torch.from_numpy(one) for one in found)
        return first, second, third

    return run


def shown(composite: Tensor, anchor: Tensor) -> Tensor:
    """Return linear pictures `(n, 3, h, w)` as the display values that the backbone takes."""
    return view(composite * (BRIGHTNESS / anchor)[:, None, None, None])


def measure(encoder: Encoder, backbone: BackboneCall, batch: Batch) -> Measured:
    """Return the input features of a batch's pictures."""
    planes = torch.cat([batch.composite, batch.matte, batch.seen], 1)
    composite, matte, seen = fn.avg_pool2d(planes, 2).split_with_sizes((3, 1, 1), 1)
    features = backbone(shown(batch.composite, batch.anchor))
    codes = to_codes(composite, batch.anchor)
    return encoder.measured(codes, matte, seen, subject_box(matte), batch.anchor, features)
