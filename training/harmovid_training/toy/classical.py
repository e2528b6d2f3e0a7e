"""Classical methods that the toy's networks are compared with, and the measures of its tables."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from harmovid_training.clips.read import read_exr, write_exr
from harmovid_training.metrics.flows import FlowDistance, dis_flow
from harmovid_training.metrics.quality import Judge, view
from harmovid_training.metrics.structure import ssim
from harmovid_training.metrics.traces import roughness_stops
from harmovid_training.stages.engine_frames import Servers
from harmovid_training.stages.pairs import Float32
from harmovid_training.toy.shots import FLOOR

TRAJECTORY_FRAMES = 6.0
"""Deviation of the Gaussian over time of the classical deflicker."""

COLUMNS = ("PSNR", "PSNR-g", "SSIM", "stops", "flicker", "DIS motion")


class Measures:
    """Measures results against a case's truth and mask: `COLUMNS`.

    Args:
        reference: clip whose motion a result should keep; the truth where there is one.
    """

    def __init__(self, truth: Float32, mask: Float32) -> None:
        self._truth, self._mask = view(truth), mask
        self._judge = Judge(truth, mask)
        self._flow = FlowDistance(dis_flow, self._truth)

    def __call__(self, result: Float32) -> tuple[float, ...]:
        """Return PSNR, PSNR after one colour transform, SSIM, error in stops, flicker, and distance of motion."""
        shown = view(result)
        scores = self._judge.scores(result, shown)
        return (
            scores["psnr"], scores["psnr_g"], ssim(shown, self._truth, self._mask), scores["stops"],
            roughness_stops(result, self._mask), self._flow(shown, self._mask),
        )  # fmt: skip


def trajectory(clip: Float32, mask: Float32) -> Float32:
    """Return the classical deflicker: each frame's mean and deviation of log2 light are set to smoothed ones."""
    logs = np.log2(np.maximum(clip, FLOOR))
    inside = mask > 0.5
    stats = np.array(
        [
            [(logs[t][inside[t]][:, c].mean(), logs[t][inside[t]][:, c].std()) for c in range(3)]
            for t in range(len(clip))
        ]
    )
    away = np.arange(len(clip))[:, None] - np.arange(len(clip))[None]
    kernel = np.exp(-0.5 * (away / TRAJECTORY_FRAMES) ** 2)
    smooth = np.einsum("st,tck->sck", kernel / kernel.sum(1, keepdims=True), stats)
    gain = smooth[:, :, 1] / np.maximum(stats[:, :, 1], 1e-3)
    moved = (logs - stats[:, None, None, :, 0]) * gain[:, None, None] + smooth[:, None, None, :, 0]
    return np.where(inside[..., None], np.exp2(moved), clip).astype(np.float32)


def by_engine(clip: Float32, mask: Float32, servers: Servers) -> Float32:
    """Return the result of the product's deflicker engine with its default settings, the foreground as its mask.

    Raises:
        EngineUnknown, InputError, Unreachable: see `Servers.info`.
        EngineFailed: see `Servers.run`.
    """
    with tempfile.TemporaryDirectory() as folder:
        layers = {"plate": Path(folder) / "plate", "mask": Path(folder) / "mask"}
        for place, frames in zip(layers.values(), (clip, mask[..., None])):
            place.mkdir()
            for index, frame in enumerate(frames):
                write_exr(place / f"{index:05d}.exr", np.asarray(frame, np.float32))
        made = servers.run("deflicker", layers, Path(folder) / "out", range(len(clip)))
        return np.stack([read_exr(path) for path in made])
