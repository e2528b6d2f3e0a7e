"""The interface to pretrained video diffusion transformers: shapes, text, schedule, and added input channels.

An adapter (`cogvideox.py`, `wan.py`) provides the following; nothing else in the package takes it from diffusers:

    geometry     latent channels, strides, the chunk rule, the patch
    schedule     prediction type, noise schedule, samplers
    text         the shape of the prompt embedding (only the empty prompt is ever used)
    widen        adds input channels without changing what the pretrained network computes
    positions    the position inputs of tokens (rotary tables or embeddings), made once per shape
    forward      layout and time embedding of the transformer
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from harmovid.errors import InputError
from torch import Tensor, nn

from harmovid_training.models.schedule import Schedule


@dataclass(frozen=True)
class Geometry:
    """How pictures become latents and latents become tokens.

    Attributes:
        channels: of one latent.
        spatial: pixels along one side of a latent.
        temporal: frames per latent; the first latent of a clip holds one frame.
        chunk: the chunk rule: a clip has `chunk * N + 1` frames, so that encoding and decoding in causal chunks agree.
        patch: latents per token along time, height and width.
    """

    channels: int
    spatial: int
    temporal: int
    chunk: int
    patch: tuple[int, int, int]

    def legal_frames(self, count: int) -> int:
        """Return the smallest legal clip length that holds `count` frames.

        The paper's 85 frames are not legal for CogVideoX: they become 22 latents, which decode to 88 frames, because an
        even number of latents has no causal first frame. 81 and 89 frames are legal.
        """
        if count < 1:
            raise InputError(f"a clip of {count} frames cannot be used.", fix="Give at least one frame.")
        return -(-(count - 1) // self.chunk) * self.chunk + 1

    def latents(self, frames: int) -> int:
        """Return how many latents a legal clip has."""
        if frames != self.legal_frames(frames):
            raise InputError(
                f"{frames} frames do not fit the rule {self.chunk}N+1.",
                fix=f"Use {self.legal_frames(frames)} or {self.legal_frames(frames) - self.chunk} frames.",
            )
        return (frames - 1) // self.temporal + 1

    def frames(self, latents: int) -> int:
        """Return how many frames `latents` latents of one clip stand for."""
        return (latents - 1) * self.temporal + 1

    def front_padding(self, latents: int) -> int:
        """Return how many latents to add in front so that the count is a multiple of the patch (CogVideoX 1.5)."""
        return -latents % self.patch[0]

    def latent_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the latent height and width of a picture.

        Raises:
            InputError: a side is not a multiple of the pixels of one token.
        """
        unit = (self.spatial * self.patch[1], self.spatial * self.patch[2])
        if height % unit[0] or width % unit[1] or height < 1 or width < 1:
            raise InputError(
                f"pictures of {width}x{height} cannot be cut into tokens of {unit[1]}x{unit[0]} pixels.",
                fix=f"Scale or crop to multiples of {unit[1]} wide and {unit[0]} high.",
            )
        return height // self.spatial, width // self.spatial

    def tokens(self, latents: int, height: int, width: int) -> int:
        """Return the number of picture tokens of `latents` latents of `height` x `width` pixels."""
        rows, columns = self.latent_size(height, width)
        padded = latents + self.front_padding(latents)
        return padded // self.patch[0] * (rows // self.patch[1]) * (columns // self.patch[2])


def without_weights(empty: bool) -> AbstractContextManager[Any]:
    """Return a context in which modules get shapes and constant buffers but no weights; no effect unless `empty`."""
    return init_empty_weights(include_buffers=False) if empty else nullcontext()


def loaded(kind: Any, source: str | Path, dtype: torch.dtype, empty: bool) -> Any:
    """Return a diffusers transformer of a public model by name or folder.

    Args:
        empty: without its weights, for a process that receives them from another one.
    """
    if empty:
        with without_weights(empty):
            return kind.from_config(kind.load_config(source, subfolder="transformer")).to(dtype)
    return kind.from_pretrained(source, subfolder="transformer", torch_dtype=dtype)


class Backbone(nn.Module, ABC):
    """A pretrained transformer behind one interface. The base class holds what all adapters share."""

    def __init__(self, transformer: nn.Module, geometry: Geometry, schedule: Schedule) -> None:
        super().__init__()
        self.transformer = transformer
        self.geometry = geometry
        self.schedule = schedule
        self._placed: tuple[Any, tuple[Tensor, ...]] | None = None

    @property
    @abstractmethod
    def text_shape(self) -> tuple[int, int]:
        """Length and width of the prompt embedding."""

    @property
    @abstractmethod
    def patch_embedding(self) -> nn.Module:
        """The layer that takes latents in: a convolution or a linear layer over flattened patches."""

    @property
    @abstractmethod
    def input_channels(self) -> int:
        """How many channels the transformer takes now."""

    @abstractmethod
    def widen(self, channels: int) -> None:
        """Let the transformer take `channels` channels: the noisy latents first, new ones after, with zero weights."""

    @abstractmethod
    def positions(self, latents: int, rows: int, columns: int, device: torch.device) -> tuple[Tensor, ...]:
        """Return the position inputs of a shape, float32, in the order of `position_names`.

        Empty where the transformer makes its positions itself.

        Args:
            latents, rows, columns: of the timeline, as `forward` takes it.
        """

    @property
    @abstractmethod
    def position_names(self) -> tuple[str, ...]:
        """The names of the position inputs in an exported graph."""

    @abstractmethod
    def forward(self, latents: Tensor, times: Tensor, text: Tensor, positions: tuple[Tensor, ...]) -> Tensor:
        """Predict, in the schedule's prediction type.

        This is what is exported: it has no in-place writes, and depends on shapes only in ways that can be traced.

        Args:
            latents: `(B, input_channels, T, h, w)` in the weights' type, T a multiple of `geometry.patch[0]`.
            times: `(B,)` as the schedule counts them.
            text: `(B, tokens, width)` in the weights' type.
            positions: of this shape, from `positions` or `positions_for`.

        Returns:
            `(B, geometry.channels, T, h, w)`.
        """

    @torch.no_grad()
    def positions_for(self, latents: Tensor) -> tuple[Tensor, ...]:
        """Return the position inputs for latents `(B, C, T, h, w)`; those of the last shape are kept."""
        key = (latents.shape[2:], latents.device)
        if self._placed is None or self._placed[0] != key:
            count, rows, columns = latents.shape[2:]
            self._placed = key, self.positions(count, rows, columns, latents.device)
        return self._placed[1]

    @property
    def block_names(self) -> list[str]:
        """The class names of the transformer's blocks, the units in which FSDP shards weights over GPUs."""
        lists = [child for child in self.transformer.children() if isinstance(child, nn.ModuleList)]
        return sorted({type(block).__name__ for blocks in lists for block in blocks})

    def gradient_checkpointing(self, on: bool = True) -> None:
        """Trade time for memory in training: recompute every block in the backward pass."""
        transformer: Any = self.transformer
        if on:
            transformer.enable_gradient_checkpointing()
        else:
            transformer.disable_gradient_checkpointing()

    @property
    def dtype(self) -> torch.dtype:
        """The floating type of the weights."""
        return next(self.transformer.parameters()).dtype
