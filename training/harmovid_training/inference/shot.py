"""A shot through a conditioned model, from streams of pictures to a stream of pictures, at any length.

    for frames in run_shot(model, codec, Streams(count, {"composite": blocks, "background": blocks},
    mask_blocks), settings):
        ...                                                            # (1, 3, t, H, W) in the VAE's range

Only latents are held for the whole shot: per latent and picture `channels` values for `temporal` frames of
`spatial` x `spatial` pixels, 1/48 of the pixels' values for CogVideoX. Pictures are processed chunk by chunk.

A shot of a length that the chunk rule does not allow is extended by its last frame, and the result is cut. Latents of
the whole shot are one causal sequence: in windows after the first, the first latent stands for four frames, but in
training it stood for one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterable, Iterator, Mapping

import numpy as np
import numpy.typing as npt
import torch
from harmovid.errors import InputError, OptionError
from torch import Tensor

from harmovid_training.inference.windows import over_windows, spans
from harmovid_training.models.backbone import Geometry
from harmovid_training.models.codec import Codec, rechunked
from harmovid_training.models.conditioning import latent_mask
from harmovid_training.models.model import ConditionedModel
from harmovid_training.models.samplers import DpmSampler

Float32 = npt.NDArray[np.float32]

BLOCK_FRAMES = 8
"""Frames of a numpy clip per block."""


@dataclass(frozen=True)
class Settings:
    """Settings for sampling a shot.

    Attributes:
        sampler: a name of the model's schedule.
        steps: of the sampler; 1 for `one-step`.
        seed: of the noise; a latent's noise depends on the seed and its own number only.
        window_frames: length of a window, `chunk * N + 1` frames (the paper's 85 is not legal, 81 is).
        overlap_frames: smallest overlap of two windows; None takes a quarter of a window.
    """

    sampler: str = "ddim"
    steps: int = 50
    seed: int = 0
    window_frames: int = 81
    overlap_frames: int | None = None

    def windows(self, geometry: Geometry, total: int) -> list[slice]:
        """Return the windows over `total` latents (padding included).

        Raises:
            InputError: a window that the chunk rule does not allow.
        """
        size = geometry.latents(self.window_frames)
        size += geometry.front_padding(size)
        overlap = self.window_frames // 4 if self.overlap_frames is None else self.overlap_frames
        return spans(total, size, -(-overlap // geometry.temporal))


@dataclass(frozen=True)
class Streams:
    """The inputs of a shot as streams.

    Attributes:
        count: frames of the shot.
        pictures: by name (`composite`, `background`), blocks `(1, 3, t, H, W)` in the VAE's range.
        mask: blocks `(1, 1, t, H, W)` in 0..1.
    """

    count: int
    pictures: Mapping[str, Iterable[Tensor]]
    mask: Iterable[Tensor]


@torch.no_grad()
def run_shot(model: ConditionedModel, codec: Codec, streams: Streams, settings: Settings) -> Iterator[Tensor]:
    """Yield the model's pictures `(1, 3, t, H, W)`, `streams.count` frames in all. See the module.

    Raises:
        InputError: the streams differ in length or size, or one that the model is conditioned on is missing.
        OptionError: the model does not have the sampler, or the sampler does not support the number of steps.
    """
    conditions = shot_conditions(model, codec, streams)
    latents = sample(model, conditions, settings)
    left = streams.count
    for block in codec.decode([latents]):
        if left > 0:
            yield block[:, :, :left]
        left -= block.shape[2]


@torch.no_grad()
def shot_conditions(model: ConditionedModel, codec: Codec, streams: Streams) -> Tensor:
    """Return the conditions of the whole shot, `(1, channels, T, h, w)` on the CPU."""
    geometry = model.geometry
    if codec.spatial != geometry.spatial or codec.channels != geometry.channels:
        raise InputError(
            f"a VAE of {codec.channels} channels at 1/{codec.spatial} does not fit a transformer of "
            f"{geometry.channels} channels at 1/{geometry.spatial}.",
            fix="Load both from the same model.",
        )
    legal = geometry.legal_frames(streams.count)
    pictures = {
        name: torch.cat(
            [part.cpu() for part in codec.encode(_extended(streams.pictures[name], streams.count, legal))], 2
        )
        for name in model.conditioning.pictures
        if name in streams.pictures
    }
    first = True
    masks = []
    for block in rechunked(
        _extended(streams.mask, streams.count, legal), codec.first_frames, codec.next_frames
    ):
        masks.append(latent_mask(block, geometry, first))
        first = False
    return model.conditioning.assemble(pictures, torch.cat(masks, dim=2))


@torch.no_grad()
def sample(model: ConditionedModel, conditions: Tensor, settings: Settings) -> Tensor:
    """Return the sampled latents `(1, C, T, h, w)`, float32 on the CPU, for `conditions` of any length."""
    geometry = model.geometry
    if settings.sampler == "one-step" and settings.steps != 1:
        raise OptionError(f"a one-step student cannot take {settings.steps} steps.", fix="Set steps to 1.")
    padding = geometry.front_padding(conditions.shape[2])
    if padding:
        conditions = torch.cat([conditions[:, :, :1]] * padding + [conditions], dim=2)
    total = conditions.shape[2]
    noise = seeded_noise((geometry.channels, *conditions.shape[3:]), total, settings.seed)
    sampler = model.schedule.sampler(settings.sampler, settings.steps)
    if isinstance(sampler, DpmSampler):
        sampler.generator = torch.Generator().manual_seed(settings.seed)
    device = next(model.parameters()).device
    predict = over_windows(model, conditions, settings.windows(geometry, total), device)
    timeline = sampler.start(noise, conditions[:, : geometry.channels].float())
    for index, time in enumerate(sampler.times):
        timeline = sampler.step(index, predict(timeline, time), timeline)
    return timeline[:, :, padding:]


def seeded_noise(shape: tuple[int, ...], count: int, seed: int) -> Tensor:
    """Return unit noise `(1, C, count, h, w)`; each latent's noise depends on the seed and its number only."""
    frames = []
    for number in range(count):
        generator = torch.Generator().manual_seed(seed * 1_000_003 + number)
        frames.append(torch.randn(shape, generator=generator))
    return torch.stack(frames, dim=1)[None]


def run_clip(
    model: ConditionedModel, codec: Codec, pictures: Mapping[str, Float32], mask: Float32, settings: Settings
) -> Float32:
    """Return the model's pictures for a clip in memory, `(T, H, W, 3)` float32 in the VAE's range.

    Args:
        pictures: by name, `(T, H, W, 3)` in the VAE's range.
        mask: `(T, H, W)` in 0..1.
    """
    streams = Streams(
        len(mask), {name: _blocks(clip) for name, clip in pictures.items()}, _blocks(mask[..., None])
    )
    made = torch.cat([block.float().cpu() for block in run_shot(model, codec, streams, settings)], dim=2)
    return np.ascontiguousarray(made[0].permute(1, 2, 3, 0).numpy())


def _blocks(clip: Float32) -> Iterator[Tensor]:
    for start in range(0, len(clip), BLOCK_FRAMES):
        block = np.ascontiguousarray(clip[start : start + BLOCK_FRAMES].transpose(3, 0, 1, 2))
        yield torch.from_numpy(block)[None]


def _extended(blocks: Iterable[Tensor], count: int, legal: int) -> Iterator[Tensor]:
    """Yield the blocks, then the last frame until `legal` frames are reached."""
    seen = 0
    last: Any = None
    for block in blocks:
        seen += block.shape[2]
        last = block[:, :, -1:]
        yield block
    if seen != count:
        raise InputError(f"a stream of the shot has {seen} frames, {count} are announced.")
    if legal > count:
        yield last.expand(-1, -1, legal - count, -1, -1)
