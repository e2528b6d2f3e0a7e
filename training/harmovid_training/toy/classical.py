"""What the toy's networks are held against, and how they are measured: classical methods, measures, and the way of the
product, in which a network's change of light is fitted as a lighting field and applied to the input's own pixels."""

from __future__ import annotations

import numpy as np
from harmovid.pixels.apply.fast import apply_field
from harmovid.pixels.fitting.fit import fit_field

from harmovid_training.metrics.quality import psnr, psnr_g, stops_rmse
from harmovid_training.metrics.traces import roughness_stops
from harmovid_training.stages.pairs import Float32
from harmovid_training.toy.shots import FLOOR

TRAJECTORY_FRAMES = 6.0
"""Deviation of the Gaussian over time that the classical deflicker follows."""


def measures(result: Float32, truth: Float32, mask: Float32) -> tuple[float, ...]:
    """Return PSNR, PSNR after one colour transform, error in stops, and the flicker of a result."""
    quality = psnr(result, truth, mask), psnr_g(result, truth, mask), stops_rmse(result, truth, mask)
    return (*quality, roughness_stops(result, mask))


def through_field(given: Float32, result: Float32, mask: Float32) -> Float32:
    """Return `given` with the change of light that `result` shows, as the product applies it: a field per frame."""
    made = given.copy()
    box = (0, 0, given.shape[2], given.shape[1])
    for index, (before, after, matte) in enumerate(zip(given, result, mask)):
        field = fit_field(before, after, box=box, weights=matte, trusted=False)
        made[index] = apply_field(before, field, origin=(0, 0), mask=matte)[0]
    return made


def trajectory(clip: Float32, mask: Float32) -> Float32:
    """Return the classical deflicker: each frame's mean and deviation of log2 light follow their smoothed course."""
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
