"""Stage 1: a per-frame image harmonizer behind one interface, eq. 1 of the paper.

    harmonizer = IcLight.from_pretrained(folder)                 # background-conditioned IC-Light through diffusers
    harmonizer = CommandHarmonizer(["my-tool", "{composite}", "{background}", "{mask}", "{out}"])
    synthetic = harmonize_frames(clip, background, mask, harmonizer)

A harmonizer is anything that takes one frame; the compact engine of this package run frame by frame is one. Frames are
scene-linear `(H, W, 3)` float32; each is harmonized alone, so the result flickers: stage 2 is there for that.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Callable, Protocol, Sequence

import numpy as np
import numpy.typing as npt
from harmovid.errors import InputError
from harmovid.pixels.colour.srgb import srgb_decode, srgb_encode

from harmovid_training.clips.command import exchange
from harmovid_training.device import best_device
from harmovid_training.stages.pairs import composite, padded

Float32 = npt.NDArray[np.float32]


class FrameHarmonizer(Protocol):
    """HarmoIm of eq. 1: one frame at a time."""

    def __call__(self, foreground: Float32, background: Float32, mask: Float32) -> Float32:
        """Return the harmonized frame `(H, W, 3)`, scene-linear; only its foreground is used.

        Args:
            foreground, background: `(H, W, 3)` scene-linear.
            mask: `(H, W)` in 0..1.
        """


def harmonize_frames(
    foreground: Float32, background: Float32, mask: Float32, harmonizer: FrameHarmonizer,
    progress: Callable[[range], Sequence[int]] = list,
) -> Float32:  # fmt: skip
    """Return V_S of eq. 1, `(T, H, W, 3)`: every frame harmonized alone, over the untouched background.

    Errors:
        InputError: clips that do not fit together, or a harmonizer that returns another size or no numbers.
    """
    made = composite(foreground, background, mask)
    for index in progress(range(len(made))):
        frame = harmonizer(foreground[index], background[index], mask[index])
        if frame.shape != made.shape[1:] or not np.isfinite(frame).all():
            raise InputError(
                f"the harmonizer's frame {index} is {frame.shape}, or holds values that are no numbers."
            )
        cover = mask[index][..., None]
        made[index] = frame * cover + background[index] * (1 - cover)
    return made


class CommandHarmonizer:
    """An external program per frame: it reads EXRs in the folders `{foreground}`, `{background}`, `{mask}`
    and writes to `{out}`."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)

    def __call__(self, foreground: Float32, background: Float32, mask: Float32) -> Float32:
        """See `FrameHarmonizer`."""
        given = {
            "foreground": foreground[None],
            "background": background[None],
            "mask": mask[None, ..., None],
        }
        with tempfile.TemporaryDirectory() as folder:
            return exchange(self._command, Path(folder), given, 1)[0]


class IcLight:
    """IC-Light, background-conditioned (`iclight_sd15_fbc`), in a diffusers Stable Diffusion pipeline.

    The U-Net takes twelve channels: noisy latents, foreground on grey, background. Its published weights are
    an offset to Stable Diffusion 1.5's, in safetensors.

    Args:
        pipeline: of Stable Diffusion 1.5 with the widened U-Net.
        prompt: text that goes with every frame.
        steps, seed: of the sampling; one seed for all frames, which flickers least.
    """

    GREY = 127 / 255
    """Display value that IC-Light was trained to see around the foreground."""
    SIDE_PX = 8
    """Pixels of a latent's side."""
    BASE = "stable-diffusion-v1-5/stable-diffusion-v1-5"

    def __init__(self, pipeline: Any, prompt: str = "", steps: int = 20, seed: int = 0) -> None:
        self._pipeline, self._prompt, self._steps, self._seed = pipeline, prompt, steps, seed

    @classmethod
    def from_pretrained(cls, offset: Path, base: str = BASE) -> IcLight:
        """Load the base by name or folder and add the offset of `iclight_sd15_fbc.safetensors`."""
        import torch
        from diffusers import StableDiffusionPipeline
        from safetensors.torch import load_file

        from harmovid_training.models.widen import widened_conv

        pipeline = StableDiffusionPipeline.from_pretrained(base, dtype=torch.float32, safety_checker=None)
        unet = pipeline.unet
        unet.conv_in = widened_conv(unet.conv_in, 12, 4)
        own = unet.state_dict()
        change = load_file(offset)
        if set(change) != set(own):
            raise InputError(
                f"{offset} does not fit Stable Diffusion 1.5's U-Net.", fix="Use iclight_sd15_fbc."
            )
        unet.load_state_dict({name: own[name] + change[name].to(own[name]) for name in own})
        return cls(pipeline.to(best_device()))

    def __call__(self, foreground: Float32, background: Float32, mask: Float32) -> Float32:
        """See `FrameHarmonizer`; sides that the VAE cannot halve three times are padded and cropped."""
        height, width = mask.shape
        given = (foreground, background, mask[..., None])
        front, back, matte = (padded(each[None], self.SIDE_PX)[0] for each in given)
        return self._frame(front, back, matte[..., 0])[:height, :width]

    def _frame(self, foreground: Float32, background: Float32, mask: Float32) -> Float32:
        import torch

        shown = srgb_encode(np.clip(foreground, 0, 1)) * mask[..., None] + self.GREY * (1 - mask[..., None])
        pipeline = self._pipeline
        known = torch.cat(
            [self._encoded(shown), self._encoded(srgb_encode(np.clip(background, 0, 1)))], dim=1
        )
        unet_forward = pipeline.unet.forward

        def with_known(sample: Any, *rest: Any, **named: Any) -> Any:
            both = known.to(sample).expand(len(sample), -1, -1, -1)
            return unet_forward(torch.cat([sample, both], dim=1), *rest, **named)

        pipeline.unet.forward = with_known
        try:
            made = pipeline(
                self._prompt, height=foreground.shape[0], width=foreground.shape[1], num_inference_steps=self._steps,
                guidance_scale=2.0, generator=torch.Generator().manual_seed(self._seed), output_type="np",
            ).images[0]  # fmt: skip
        finally:
            pipeline.unet.forward = unet_forward
        return np.asarray(srgb_decode(np.asarray(made, np.float32)), np.float32)

    def _encoded(self, shown: npt.NDArray[Any]) -> Any:
        import torch

        picture = torch.from_numpy(np.ascontiguousarray(shown.transpose(2, 0, 1), np.float32))[None] * 2 - 1
        vae = self._pipeline.vae
        with torch.no_grad():
            return (
                vae.encode(picture.to(vae.device, vae.dtype)).latent_dist.mode() * vae.config.scaling_factor
            )
