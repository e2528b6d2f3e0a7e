"""IC-Light, background-conditioned (`iclight_sd15_fbc`), through diffusers, with the settings of its public demo.

    harmonizer = IcLight.from_pretrained(Path("iclight_sd15_fbc.safetensors"))
    synthetic = harmonize_frames(clip, background, mask, harmonizer, batch=16)

The U-Net takes twelve channels: noisy latents, foreground on grey, background. Its published weights are an offset to
those of Stable Diffusion 1.5. The demo (gradio_demo_bg.py of lllyasviel/IC-Light, 2024) samples twice: from noise at
the picture's size, then image-to-image at 1.5 times the size with strength 0.5. Guidance needs a prompt: the demo adds
"best quality" to the user's words and has a negative prompt that lists faults.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from harmovid.errors import InputError
from harmovid.pixels.colour.srgb import srgb_decode, srgb_encode

from harmovid_training.device import best_device, inference_dtype
from harmovid_training.models.public import public_weights
from harmovid_training.stages.pairs import padded

Float32 = npt.NDArray[np.float32]

BASE = "stablediffusionapi/realistic-vision-v51"
"""The demo's Stable Diffusion 1.5."""

SCHEDULER = {
    "num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012, "algorithm_type": "sde-dpmsolver++",
    "use_karras_sigmas": True, "steps_offset": 1,
}  # fmt: skip

GREY = 127 / 255
"""Display value that IC-Light was trained to see around the foreground."""

SIDE_PX = 8
"""Pixels of a latent's side."""

LARGE_SIDE_PX = 64
"""The second pass has sides that are multiples of this."""


@dataclass(frozen=True)
class Demo:
    """How frames are sampled; the defaults are the demo's, except for `prompt`.

    Attributes:
        prompt, best, worst: the prompt, the words added to it, and the negative prompt.
        steps, guidance, seed: of the sampler; one seed for all frames, which gives the least flicker.
        larger, strength: of the second pass: scale of its size, and its image-to-image strength; a strength of 0 leaves
            the pass out, which reduces the cost to about a quarter.
    """

    prompt: str = "a person, natural lighting"
    best: str = "best quality"
    worst: str = "lowres, bad anatomy, bad hands, cropped, worst quality"
    steps: int = 20
    guidance: float = 7.0
    larger: float = 1.5
    strength: float = 0.5
    seed: int = 12345


class IcLight:
    """See the module. A `frame_harmonizers.FrameHarmonizer`.

    Args:
        pipeline: of Stable Diffusion 1.5 with the widened U-Net.
    """

    def __init__(self, pipeline: Any, settings: Demo | None = None) -> None:
        from diffusers import StableDiffusionImg2ImgPipeline

        self._first, self._settings = pipeline, settings or Demo()
        self._second = StableDiffusionImg2ImgPipeline(**pipeline.components, requires_safety_checker=False)
        for each in (self._first, self._second):
            each.set_progress_bar_config(disable=True)
        self._forward = pipeline.unet.forward

    @classmethod
    def from_pretrained(cls, offset: Path, base: str = BASE, settings: Demo | None = None) -> IcLight:
        """Load the base by name or folder and add the offset of `iclight_sd15_fbc.safetensors`; bfloat16 on a GPU.

        Raises:
            InputError: the offset is missing or belongs to another network, or the base cannot be loaded.
        """
        import torch
        from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline
        from safetensors.torch import load_file

        from harmovid_training.models.widen import widened_conv

        if not offset.is_file():
            raise InputError(f"there is no {offset}.", fix="Give iclight_sd15_fbc.safetensors.")
        with public_weights(base, "Stable Diffusion 1.5"):
            pipeline = StableDiffusionPipeline.from_pretrained(base, dtype=torch.float32, safety_checker=None)
        unet = pipeline.unet
        unet.conv_in = widened_conv(unet.conv_in, 12, 4)
        with public_weights(offset, "IC-Light's offset", "Fetch iclight_sd15_fbc.safetensors again."):
            own, change = unet.state_dict(), load_file(offset)
        if set(change) != set(own):
            raise InputError(
                f"{offset} does not fit Stable Diffusion 1.5's U-Net.", fix="Use iclight_sd15_fbc."
            )
        unet.load_state_dict({name: own[name] + change[name].to(own[name]) for name in own})
        pipeline.scheduler = DPMSolverMultistepScheduler(**SCHEDULER)
        device = best_device()
        return cls(pipeline.to(device, inference_dtype(device)), settings)

    def __call__(self, foreground: Float32, background: Float32, mask: Float32) -> Float32:
        """See `FrameHarmonizer`; sides that are not multiples of 8 are padded, and the result is cropped."""
        height, width = mask.shape[1:]
        given = (foreground, background, mask[..., None])
        front, back, matte = (padded(each, SIDE_PX) for each in given)
        shown = srgb_encode(np.clip(front, 0, 1)) * matte + GREY * (1 - matte)
        made = self._sampled(shown, srgb_encode(np.clip(back, 0, 1)))
        return np.asarray(srgb_decode(made[:, :height, :width]), np.float32)

    def _sampled(self, shown: Float32, behind: Float32) -> Float32:
        settings, size = self._settings, shown.shape[1:3]
        made = self._pass(self._first, shown, behind, {"num_inference_steps": settings.steps})
        if not settings.strength:
            return made
        large = tuple(
            round(side * settings.larger / LARGE_SIDE_PX) * LARGE_SIDE_PX or LARGE_SIDE_PX for side in size
        )
        wide = [_resized(each, large) for each in (made, shown, behind)]
        more = {
            "image": self._encoded(wide[0]), "strength": settings.strength,
            "num_inference_steps": round(settings.steps / settings.strength),
        }  # fmt: skip
        return _resized(self._pass(self._second, wide[1], wide[2], more), size)

    def _pass(self, pipeline: Any, shown: Float32, behind: Float32, more: dict[str, Any]) -> Float32:
        """Run one pipeline with both pictures beside the noisy latents; display values in and out."""
        import torch

        settings, count = self._settings, len(shown)
        known = torch.cat([self._encoded(shown), self._encoded(behind)], dim=1)

        def with_known(sample: Any, *rest: Any, **named: Any) -> Any:
            both = known.to(sample).repeat(len(sample) // count, 1, 1, 1)
            return self._forward(torch.cat([sample, both], dim=1), *rest, **named)

        size = {} if "image" in more else {"height": shown.shape[1], "width": shown.shape[2]}
        pipeline.unet.forward = with_known
        try:
            made = pipeline(
                [f"{settings.prompt}, {settings.best}"] * count, negative_prompt=[settings.worst] * count,
                guidance_scale=settings.guidance, output_type="np", **size, **more,
                generator=[torch.Generator().manual_seed(settings.seed) for _ in range(count)],
            ).images  # fmt: skip
        finally:
            pipeline.unet.forward = self._forward
        return np.asarray(made, np.float32)

    def _encoded(self, shown: Float32) -> Any:
        import torch

        vae = self._first.vae
        pictures = torch.from_numpy(np.ascontiguousarray(shown.transpose(0, 3, 1, 2), np.float32)) * 2 - 1
        with torch.no_grad():
            latents = vae.encode(pictures.to(vae.device, vae.dtype)).latent_dist.mode()
        return latents * vae.config.scaling_factor


def _resized(pictures: Float32, size: tuple[int, ...]) -> Float32:
    method = cv2.INTER_AREA if size[0] < pictures.shape[1] else cv2.INTER_LANCZOS4
    return np.clip(np.stack([cv2.resize(one, size[::-1], interpolation=method) for one in pictures]), 0, 1)
