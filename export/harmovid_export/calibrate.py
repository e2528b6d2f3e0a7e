"""Ranges of a transformer's linear layers on real footage, from which FP8's scales follow.

amax = ranges(model, codec, [clip_of(Path("plates/street"), ...)], settings)      # layer -> largest input
"""

from __future__ import annotations

from typing import Any, Dict, Iterable

import torch
from harmovid_training.inference.shot import Settings, Streams, sample, shot_conditions
from harmovid_training.models.codec import Codec
from harmovid_training.models.model import ConditionedModel

from harmovid_export.footage import Proxies
from harmovid_export.onnx.fp8 import LAYERS


@torch.no_grad()
def ranges(
    model: ConditionedModel, codec: Codec, clips: Iterable[Proxies], settings: Settings
) -> Dict[str, float]:
    """Sample every clip and return, for each layer that FP8 computes, the largest absolute value of its input."""
    found: Dict[str, float] = {}

    def watch(name: str) -> Any:
        def seen(module: Any, inputs: Any) -> None:
            found[name] = max(found.get(name, 0.0), float(inputs[0].detach().abs().max()))

        return seen

    handles = [
        module.register_forward_pre_hook(watch(name))
        for name, module in model.backbone.transformer.named_modules()
        if isinstance(module, torch.nn.Linear) and LAYERS.fullmatch(name)
    ]
    try:
        for clip in clips:
            sample(model, shot_conditions(model, codec, streams_of(clip)), settings)
    finally:
        for handle in handles:
            handle.remove()
    return found


def streams_of(clip: Proxies) -> Streams:
    """Return a clip's pictures and mask as the streams of a shot."""

    def blocks(frames: Any) -> Any:
        return [torch.from_numpy(frames.transpose(3, 0, 1, 2).copy())[None]]

    pictures = {name: blocks(frames) for name, frames in clip.pictures.items()}
    return Streams(len(clip.mask), pictures, blocks(clip.mask[..., None]))
