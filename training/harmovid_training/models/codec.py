"""Streaming VAEs: pictures to latents and back, chunk by chunk, with explicit causal caches; any length in bounded
memory.

    codec = CogVideoXCodec(vae)
    for latents in codec.encode(blocks): ...      # blocks of (B, 3, t, H, W), `chunk * N + 1` frames in all
    for frames in codec.decode(latent_blocks): ...

The chunks are those of diffusers' own `encode` and `decode` (9 frames first, then 8 for CogVideoX; 1, then 4 for Wan).
They affect the result, because these VAEs normalise over the frames of one chunk. Tiles are diffusers' tiles, each with
a cache of its own. Tests compare the results with diffusers'. Latents are scaled as the transformer takes them;
pictures are in the VAE's range, about -1..1.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Iterable, Iterator

import torch
from diffusers import AutoencoderKLCogVideoX, AutoencoderKLWan
from diffusers.models.autoencoders.autoencoder_kl_wan import patchify, unpatchify
from torch import Tensor

from harmovid_training.models.causal import streamable
from harmovid_training.models.tiles import Tiling, blended, cut

Cache = Any
"""The state of a causal network after the chunk before; None before the first."""


class Codec(ABC):
    """See the module. `tiling` bounds the memory for large pictures; None processes whole pictures."""

    first_frames: int
    next_frames: int
    first_latents: int
    next_latents: int
    spatial: int
    channels: int

    def __init__(self, vae: torch.nn.Module, tiling: Tiling | None = None) -> None:
        self.vae = vae.eval().requires_grad_(False)
        self.tiling = tiling

    @abstractmethod
    def encode_chunk(self, pictures: Tensor, cache: Cache) -> tuple[Tensor, Cache]:
        """Return unscaled latents (the posterior's mean) of one chunk `(B, 3, t, H, W)` and the cache for the next."""

    @abstractmethod
    def decode_chunk(self, latents: Tensor, cache: Cache) -> tuple[Tensor, Cache]:
        """Return pictures of one chunk of unscaled latents and the cache for the next."""

    @abstractmethod
    def scaled(self, latents: Tensor) -> Tensor:
        """Return latents as the transformer takes them."""

    @abstractmethod
    def unscaled(self, latents: Tensor) -> Tensor:
        """Undo `scaled`."""

    def encode(self, blocks: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield scaled latents `(B, C, t, h, w)` in the VAE's type, one chunk after the other.

        Args:
            blocks: pictures `(B, 3, t, H, W)` of any t, `next_frames * N + 1` frames in total.
        """
        caches: dict[int, Cache] = {}
        for chunk in rechunked(blocks, self.first_frames, self.next_frames):
            yield self.scaled(self._tiled(chunk, caches, self.encode_chunk, encode=True))

    def decode(self, blocks: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield pictures `(B, 3, t, H, W)`, one chunk after the other, from scaled latents."""
        caches: dict[int, Cache] = {}
        for chunk in rechunked(blocks, self.first_latents, self.next_latents):
            yield self._tiled(self.unscaled(chunk), caches, self.decode_chunk, encode=False)

    @torch.no_grad()
    def _tiled(self, chunk: Tensor, caches: dict[int, Cache], run: Any, *, encode: bool) -> Tensor:
        weight = next(self.vae.parameters())
        chunk = chunk.to(weight.device, weight.dtype)
        if self.tiling is None or not self.tiling.needed(chunk.shape[-2:], encode):
            made, caches[0] = run(chunk, caches.get(0))
            return torch.as_tensor(made)
        rows: list[list[Tensor]] = []
        number = 0
        for row in cut(chunk, self.tiling, encode):
            rows.append([])
            for tile in row:
                made, caches[number] = run(tile, caches.get(number))
                rows[-1].append(made)
                number += 1
        return blended(rows, self.tiling, encode)


class CogVideoXCodec(Codec):
    """`AutoencoderKLCogVideoX`: 9 then 8 frames, 3 then 2 latents, one scale for all channels."""

    first_frames, next_frames, first_latents, next_latents = 9, 8, 3, 2

    vae: AutoencoderKLCogVideoX

    def __init__(self, vae: AutoencoderKLCogVideoX, tiling: Tiling | None = None) -> None:
        super().__init__(vae, tiling)
        streamable(vae)
        self.spatial = 2 ** (len(vae.config.block_out_channels) - 1)
        self.channels = vae.config.latent_channels

    @classmethod
    def from_pretrained(cls, source: str | Path, dtype: torch.dtype = torch.bfloat16) -> CogVideoXCodec:
        """Load public weights by name or folder; pictures larger than diffusers' default tile are tiled like there."""
        vae = AutoencoderKLCogVideoX.from_pretrained(source, subfolder="vae", torch_dtype=dtype)
        config = vae.config
        sample = (config.sample_height // 2, config.sample_width // 2)
        return cls(vae, Tiling(sample, (1 / 6, 1 / 5), 2 ** (len(config.block_out_channels) - 1)))

    def encode_chunk(self, pictures: Tensor, cache: Cache) -> tuple[Tensor, Cache]:
        """See `Codec`."""
        moments, cache = self.vae.encoder(pictures, conv_cache=cache)
        if self.vae.quant_conv is not None:
            moments = self.vae.quant_conv(moments)
        return moments[:, : self.channels], cache

    def decode_chunk(self, latents: Tensor, cache: Cache) -> tuple[Tensor, Cache]:
        """See `Codec`."""
        if self.vae.post_quant_conv is not None:
            latents = self.vae.post_quant_conv(latents)
        pictures, cache = self.vae.decoder(latents, conv_cache=cache)
        return pictures, cache

    def scaled(self, latents: Tensor) -> Tensor:
        """See `Codec`."""
        return latents * self.vae.config.scaling_factor

    def unscaled(self, latents: Tensor) -> Tensor:
        """See `Codec`."""
        return latents / self.vae.config.scaling_factor


class WanCodec(Codec):
    """`AutoencoderKLWan`: 1 then 4 frames, 1 then 1 latent, mean and deviation per channel."""

    first_frames, next_frames, first_latents, next_latents = 1, 4, 1, 1

    vae: AutoencoderKLWan

    def __init__(self, vae: AutoencoderKLWan, tiling: Tiling | None = None) -> None:
        super().__init__(vae, tiling)
        self.spatial = vae.config.scale_factor_spatial
        self.channels = vae.config.z_dim

    @classmethod
    def from_pretrained(cls, source: str | Path, dtype: torch.dtype = torch.float32) -> WanCodec:
        """Load public weights by name or folder, with tiles of 256 pixels that overlap by a quarter."""
        vae = AutoencoderKLWan.from_pretrained(source, subfolder="vae", torch_dtype=dtype)
        return cls(vae, Tiling((256, 256), (1 / 4, 1 / 4), vae.config.scale_factor_spatial))

    def encode_chunk(self, pictures: Tensor, cache: Cache) -> tuple[Tensor, Cache]:
        """See `Codec`."""
        if self.vae.config.patch_size is not None:
            pictures = patchify(pictures, patch_size=self.vae.config.patch_size)
        features = self._features(cache, "encoder")
        moments = self.vae.quant_conv(self.vae.encoder(pictures, feat_cache=features, feat_idx=[0]))
        return moments[:, : self.channels], features

    def decode_chunk(self, latents: Tensor, cache: Cache) -> tuple[Tensor, Cache]:
        """See `Codec`."""
        features = self._features(cache, "decoder")
        pictures = self.vae.decoder(
            self.vae.post_quant_conv(latents), feat_cache=features, feat_idx=[0], first_chunk=cache is None
        )
        if self.vae.config.patch_size is not None:
            pictures = unpatchify(pictures, patch_size=self.vae.config.patch_size)
        return pictures.clamp(-1.0, 1.0), features

    def _features(self, cache: Cache, part: str) -> list[Any]:
        return [None] * self.vae._cached_conv_counts[part] if cache is None else cache

    def scaled(self, latents: Tensor) -> Tensor:
        """See `Codec`."""
        mean, deviation = self._statistics(latents)
        return (latents - mean) / deviation

    def unscaled(self, latents: Tensor) -> Tensor:
        """See `Codec`."""
        mean, deviation = self._statistics(latents)
        return latents * deviation + mean

    def _statistics(self, like: Tensor) -> tuple[Tensor, Tensor]:
        config = self.vae.config
        shape = (1, -1, 1, 1, 1)
        return like.new_tensor(config.latents_mean).view(shape), like.new_tensor(config.latents_std).view(
            shape
        )


def rechunked(blocks: Iterable[Tensor], first: int, following: int) -> Iterator[Tensor]:
    """Yield the same sequence along dimension 2 in chunks of `first`, then `following`; the last one may be shorter.

    A sequence shorter than `first` is one chunk.
    """
    held: list[Tensor] = []
    count, wanted = 0, first
    for block in blocks:
        held.append(block)
        count += block.shape[2]
        while count >= wanted:
            whole = torch.cat(held, dim=2) if len(held) > 1 else held[0]
            yield whole[:, :, :wanted]
            held, count, wanted = [whole[:, :, wanted:]], count - wanted, following
    if count:
        yield torch.cat(held, dim=2)
