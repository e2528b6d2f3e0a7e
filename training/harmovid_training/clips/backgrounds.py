"""New backgrounds for the real-to-synthetic path: text-to-video with a table of lighting prompts, or views of
panoramas.

    clip = PanoramaBackgrounds(folder)(seed, frames=81, size=(480, 720))     # offline, linear, CC0 HDRIs
    clip = TextBackgrounds.from_pretrained("THUDM/CogVideoX-2b")(seed, 49, (480, 720))

Both return scene-linear `(T, H, W, 3)` float32; a seed always gives the same clip.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from harmovid.errors import InputError
from harmovid.pixels.colour.srgb import srgb_decode

from harmovid_training.clips.read import Source, count_frames, is_video, read_frames
from harmovid_training.data.panorama import read_panorama, view
from harmovid_training.device import best_device, inference_dtype
from harmovid_training.models.public import public_weights

Float32 = npt.NDArray[np.float32]

PLACES = (
    "an empty city street", "an empty living room", "a forest path", "a beach", "a train station hall",
    "a mountain meadow",
    "a narrow alley with shops", "an office with large windows", "a desert road", "a stage",
)  # fmt: skip
LIGHTS = (
    "at golden hour, low warm sun from the left", "at noon under hard sunlight", "under an overcast sky, soft light",
    "at night, lit by neon signs in pink and blue", "by candle light", "at blue hour, street lamps on",
    "with sun beams through mist", "under cold fluorescent tubes", "in moonlight", "with a flickering fire nearby",
    "with one strong spotlight from above", "during a sunset with red sky", "in the green light of an aquarium",
    "in heavy rain with reflections of traffic lights",
)  # fmt: skip
"""Our own table; the paper says "a range of lighting-related text prompts" and gives none."""

SUFFIX = "no people, slow camera move, photorealistic film footage"


class BackgroundProvider(Protocol):
    """Makes backgrounds."""

    def __call__(self, seed: int, frames: int, size: tuple[int, int]) -> Float32:
        """Return `(frames, height, width, 3)` scene-linear."""


def lighting_prompt(seed: int) -> str:
    """Return a prompt: a place, a light, and how it is filmed; every combination is used once before any repeats."""
    places, lights = len(PLACES), len(LIGHTS)
    number = int(
        np.random.default_rng([seed // (places * lights), 3]).permutation(places * lights)[
            seed % (places * lights)
        ]
    )
    return f"{PLACES[number % places]} {LIGHTS[number // places]}, {SUFFIX}"


class PanoramaBackgrounds:
    """Slow camera moves through panoramas of a folder (`.exr`, `.hdr`): pan, tilt and zoom that ease in and out.

    Raises:
        InputError: no panorama there.
    """

    PAN_DEGREES = 25.0
    """Largest pan of a clip to either side."""

    def __init__(self, folder: Path) -> None:
        self._paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in (".exr", ".hdr"))
        if not self._paths:
            raise InputError(
                f"there is no panorama in {folder}.", fix="Put latitude-longitude .exr or .hdr files there."
            )

    def __call__(self, seed: int, frames: int, size: tuple[int, int]) -> Float32:
        """See `BackgroundProvider`."""
        rng = np.random.default_rng([seed, 7])
        panorama = read_panorama(self._paths[int(rng.integers(len(self._paths)))])
        start, pan = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(-self.PAN_DEGREES, self.PAN_DEGREES))
        pitch, tilt = rng.uniform(-0.15, 0.1), rng.uniform(-0.08, 0.08)
        fov, zoom = rng.uniform(0.9, 1.3), rng.uniform(0.9, 1.1)
        ease = 0.5 - 0.5 * np.cos(np.pi * np.arange(frames) / max(frames - 1, 1))
        moves = [(start + pan * t, pitch + tilt * t, fov * zoom**t) for t in ease]
        return np.stack([view(panorama, *move, size[0], size[1]) for move in moves]).astype(np.float32)


class FolderBackgrounds:
    """Clips of a folder: videos or folders of frames, cut to the requested length or played forwards and backwards.

    Raises:
        InputError: no clip there.
    """

    def __init__(self, folder: Path) -> None:
        entries = sorted(folder.iterdir()) if folder.is_dir() else []
        self._sources = [Source(entry) for entry in entries if entry.is_dir() or is_video(entry)]
        if not self._sources:
            raise InputError(
                f"there is no background in {folder}.", fix="Put videos or folders of frames there."
            )

    def __call__(self, seed: int, frames: int, size: tuple[int, int]) -> Float32:
        """See `BackgroundProvider`."""
        rng = np.random.default_rng([seed, 7])
        source = self._sources[int(rng.integers(len(self._sources)))]
        there = count_frames(source)
        first = int(rng.integers(max(there - frames, 0) + 1))
        clip = read_frames(source, first, min(there, frames), size)
        period = max(2 * (len(clip) - 1), 1)
        return clip[[min(k % period, period - k % period) for k in range(frames)]]


class TextBackgrounds:
    """A text-to-video pipeline of diffusers, prompted with `lighting_prompt`; display pictures, taken as sRGB.

    Args:
        pipeline: anything with the call of `CogVideoXPipeline` or `WanPipeline`.
        steps: of its sampler.
    """

    CHUNK_FRAMES, SIDE_PX = 8, 16
    """A clip has 8N + 1 frames (CogVideoX; Wan's 4N + 1 among them), and sides of whole patches of latents."""

    def __init__(self, pipeline: Any, steps: int = 50) -> None:
        self._pipeline, self._steps = pipeline, steps

    @classmethod
    def from_pretrained(cls, source: str) -> TextBackgrounds:
        """Load a public text-to-video model by name or folder.

        Raises:
            InputError: there is no such model.
        """
        from diffusers import DiffusionPipeline

        device = best_device()
        with public_weights(source, "a text-to-video model"):
            return cls(DiffusionPipeline.from_pretrained(source, dtype=inference_dtype(device)).to(device))

    def __call__(self, seed: int, frames: int, size: tuple[int, int]) -> Float32:
        """See `BackgroundProvider`; the model makes the nearest length and size that it supports, which is then cut.

        Raises:
            InputError: the model made fewer frames.
        """
        import torch

        whole = frames + (1 - frames) % self.CHUNK_FRAMES
        height, width = (side + -side % self.SIDE_PX for side in size)
        made = self._pipeline(
            prompt=lighting_prompt(seed), height=height, width=width, num_frames=whole,
            num_inference_steps=self._steps, generator=torch.Generator().manual_seed(seed), output_type="np",
        ).frames[0]  # fmt: skip
        if len(made) < frames:
            raise InputError(
                f"the text-to-video model made {len(made)} of {frames} frames.",
                fix="Cut the clips to that length.",
            )
        shown = np.asarray(made, np.float32)[:frames, : size[0], : size[1]]
        return np.asarray(srgb_decode(shown), np.float32)
