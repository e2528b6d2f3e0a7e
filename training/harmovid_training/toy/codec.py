"""The toy's video VAE: a linear one (PCA of patches), solved in closed form instead of trained.

    codec = fit_codec(clips)                       # clips (N, 3, T, H, W) in the VAE's range
    save_codec(folder, codec); codec = load_codec(folder)

A latent stands for 4 x 4 pixels and four frames, the first of a clip for one frame: CogVideoX's causal layout at half
its stride. Its channels are the coordinates of that patch along the principal axes of the training clips' patches,
which is the best linear encoder and decoder (Eckart and Young 1936). Patches are independent, so the only cache of a
stream is whether the first frame has passed. These axes reach about 29 dB within seconds; a convolutional VAE of
CogVideoX's class had 17.8 dB after minutes of training (docs/log.md, 2026-11-28).
"""

from __future__ import annotations

from pathlib import Path

import torch
from harmovid.errors import InputError
from torch import Tensor, nn

from harmovid_training.files import read_tensors, save_tensors
from harmovid_training.models.codec import Cache, Codec

CHANNELS = 24
SPATIAL, TEMPORAL = 4, 4

EVENNESS = 0.5
"""Latents are divided by their deviation to this power: 0 is the picture's own metric, 1 makes fine detail as large as
the patch's mean."""


class PatchVae(nn.Module):
    """Mean, principal axes and scale of patches, for both kinds: of one frame and of `TEMPORAL` frames."""

    def __init__(self) -> None:
        super().__init__()
        for kind, frames in (("first", 1), ("later", TEMPORAL)):
            values = frames * SPATIAL * SPATIAL * 3
            self.register_parameter(f"{kind}_mean", nn.Parameter(torch.zeros(values)))
            self.register_parameter(f"{kind}_axes", nn.Parameter(torch.zeros(values, CHANNELS)))
            self.register_parameter(f"{kind}_scale", nn.Parameter(torch.ones(CHANNELS)))

    def parts(self, kind: str) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean, axes and scale of `first` or `later` patches."""
        return (
            self.get_parameter(f"{kind}_mean"),
            self.get_parameter(f"{kind}_axes"),
            self.get_parameter(f"{kind}_scale"),
        )


class PatchCodec(Codec):
    """See the module; the cache is True once a clip's first frame has passed."""

    first_frames, next_frames, first_latents, next_latents = 9, 8, 3, 2
    spatial, channels = SPATIAL, CHANNELS

    vae: PatchVae

    def encode_chunk(self, pictures: Tensor, cache: Cache) -> tuple[Tensor, Cache]:
        """See `Codec`."""
        lead = 0 if cache else 1
        made = [self._encoded(pictures[:, :, :lead], "first", 1)] if lead else []
        made.append(self._encoded(pictures[:, :, lead:], "later", TEMPORAL))
        return torch.cat(made, dim=2), True

    def decode_chunk(self, latents: Tensor, cache: Cache) -> tuple[Tensor, Cache]:
        """See `Codec`."""
        lead = 0 if cache else 1
        made = [self._decoded(latents[:, :, :lead], "first", 1)] if lead else []
        made.append(self._decoded(latents[:, :, lead:], "later", TEMPORAL))
        return torch.cat(made, dim=2), True

    def scaled(self, latents: Tensor) -> Tensor:
        """See `Codec`; the axes contain the scale."""
        return latents

    def unscaled(self, latents: Tensor) -> Tensor:
        """See `Codec`."""
        return latents

    def _encoded(self, pictures: Tensor, kind: str, frames: int) -> Tensor:
        mean, axes, scale = self.vae.parts(kind)
        coordinates = (patches(pictures, frames) - mean) @ axes / scale
        return coordinates.permute(0, 4, 1, 2, 3)

    def _decoded(self, latents: Tensor, kind: str, frames: int) -> Tensor:
        mean, axes, scale = self.vae.parts(kind)
        values = (latents.permute(0, 2, 3, 4, 1) * scale) @ axes.T + mean
        batch, steps, rows, columns, _ = values.shape
        cells = values.view(batch, steps, rows, columns, 3, frames, SPATIAL, SPATIAL)
        whole = cells.permute(0, 4, 1, 5, 2, 6, 3, 7)
        return whole.reshape(batch, 3, steps * frames, rows * SPATIAL, columns * SPATIAL)


def patches(pictures: Tensor, frames: int) -> Tensor:
    """Return `(B, T / frames, H / SPATIAL, W / SPATIAL, values)` of pictures `(B, 3, T, H, W)`."""
    batch, colours, count, height, width = pictures.shape
    cells = pictures.reshape(
        batch, colours, count // frames, frames, height // SPATIAL, SPATIAL, width // SPATIAL, SPATIAL
    )
    return cells.permute(0, 2, 4, 6, 1, 3, 5, 7).flatten(4)


@torch.no_grad()
def fit_codec(clips: Tensor) -> PatchCodec:
    """Return the codec whose axes are those of the clips' patches.

    Args:
        clips: `(N, 3, T, H, W)` in the VAE's range, of the length of training clips.
    """
    vae = PatchVae()
    for kind, shown, frames in (("first", clips[:, :, :1], 1), ("later", clips[:, :, 1:], TEMPORAL)):
        values = patches(shown, frames).flatten(0, 3).double()
        mean = values.mean(0)
        spread, axes = torch.linalg.eigh((values - mean).T @ (values - mean) / len(values))
        spread, axes = spread.flip(0)[:CHANNELS], axes.flip(1)[:, :CHANNELS]
        # The sign of an axis is arbitrary; its largest entry is made positive, so that all machines agree.
        axes = axes * axes.gather(0, axes.abs().argmax(0, keepdim=True)).sign()
        uneven = spread.clamp_min(1e-10).sqrt() ** EVENNESS
        scale = uneven * ((spread / uneven.square()).mean().sqrt())
        for name, value in (("mean", mean), ("axes", axes), ("scale", scale)):
            vae.get_parameter(f"{kind}_{name}").copy_(value)
    return PatchCodec(vae)


def save_codec(folder: Path, codec: PatchCodec) -> None:
    """Write a codec."""
    save_tensors(folder / "vae.safetensors", codec.vae.state_dict())


def load_codec(folder: Path) -> PatchCodec:
    """Return the codec of a folder.

    Raises:
        InputError: the folder holds none, or a damaged one.
    """
    path = folder / "vae.safetensors"
    if not path.is_file():
        raise InputError(f"there is no toy VAE in {folder}.", fix="Run the recipe from its start.")
    vae = PatchVae()
    vae.load_state_dict(read_tensors(path, fix="Remove it and run the recipe again."))
    return PatchCodec(vae)
