"""What stage 1 costs on the processor beside the harmonizer: `harmovid train cost --processor`.

One clip is really made, with a harmonizer that returns its input: reading, a camera move through a panorama, the
temporal median, and half-float EXRs. Processor time of all threads is measured and scaled to the paper's 100 frames. It
is that of this machine, and grows with the share of hidden pixels, which is a twelfth here.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from harmovid_training.clips.backgrounds import PanoramaBackgrounds
from harmovid_training.clips.index import Clip, make_clip
from harmovid_training.clips.read import Source, write_exr
from harmovid_training.clips.removal import REACH_FRAMES, temporal_median
from harmovid_training.stages.pairs import Float32
from harmovid_training.stages.recipe_cost import CLIPS, FRAMES, SIZE
from harmovid_training.stages.stage1 import Tools, make_synthetic

PROBE_FRAMES = 2 * REACH_FRAMES + 1
"""As many frames as the median looks at, so that a frame costs what one of a long clip does."""

PANORAMA_ROWS = 2048
"""Of the panorama, which is twice as wide: the size of the public ones that the walk uses."""


def processor_seconds(frames: int = PROBE_FRAMES, size: tuple[int, int] = SIZE) -> float:
    """Return the processor seconds of one frame of stage 1 without its harmonizer."""
    with tempfile.TemporaryDirectory() as folder:
        clip = _footage(Path(folder), frames, size)
        tools = Tools(
            PanoramaBackgrounds(Path(folder) / "panoramas"), _unchanged, temporal_median, size, frames
        )
        started = time.process_time()
        make_synthetic(clip, Path(folder) / "out", tools)
        return (time.process_time() - started) / frames


def told(seconds: float, gpu_seconds: float) -> str:
    """Return a sentence on processor seconds a frame and the cores that keep up with a GPU of `gpu_seconds` a frame."""
    return (
        f"stage 1 takes {seconds * FRAMES:.0f} s of processor time a clip on this machine, "
        f"{seconds * FRAMES * CLIPS / 3600:,.0f} hours for all clips: {seconds / gpu_seconds:.1f} cores keep up with "
        f"one A100 that runs IC-Light in {gpu_seconds * FRAMES:.0f} s a clip.\n"
    )


def _footage(folder: Path, frames: int, size: tuple[int, int]) -> Clip:
    """Write a panorama of clouds and grain, and a clip: a view of it with an ellipse that moves as the foreground."""
    rng = np.random.default_rng(0)
    clouds = np.asarray(rng.lognormal(-1, 1, (64, 128, 3)), np.float32)
    smooth = cv2.resize(clouds, (2 * PANORAMA_ROWS, PANORAMA_ROWS))
    sky = np.asarray(smooth * rng.normal(1, 0.03, smooth.shape), np.float32)
    for name in ("panoramas", "real", "mask"):
        (folder / name).mkdir()
    write_exr(folder / "panoramas" / "sky.exr", sky)
    height, width = size
    rows, columns = np.mgrid[:height, :width]
    for index, frame in enumerate(PanoramaBackgrounds(folder / "panoramas")(1, frames, size)):
        across = (columns - width * (0.3 + 0.4 * index / frames)) / (0.11 * width)
        inside = across**2 + ((rows - 0.55 * height) / (0.26 * height)) ** 2 < 1
        write_exr(folder / "real" / f"{index:05d}.exr", frame)
        write_exr(folder / "mask" / f"{index:05d}.exr", inside[..., None].astype(np.float32))
    sources = {role: Source(folder / role, matte=role == "mask") for role in ("real", "mask")}
    return make_clip("probe", sources, "drawn", frames)


def _unchanged(foreground: Float32, background: Float32, mask: Float32) -> Float32:
    return foreground
