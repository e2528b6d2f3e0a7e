"""A textured scene-linear plate, three relightings of it, and proxies with the errors of real engines.

Everything is analytic numpy, so that the truth is known at full resolution: `plate`, `relight`, `shrink`,
`proxy` make the parts, `psnr` and `texture_kept` measure what a method did. Used by the fit's tests and its
benchmark.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LIGHTS = ("global", "local", "shadow")
PROXIES = ("exact", "8-bit", "generative")


@dataclass(frozen=True)
class Scene:
    """A plate `(H, W, 3)` float32 with values from about 0.002 to 8, and its edges `(H, W)` bool."""

    plate: np.ndarray
    edges: np.ndarray


def scene(height: int, width: int, seed: int = 7) -> Scene:
    """A wall with a window to the sun, four textured objects of strong colour, highlights and grain."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / height
    log = -2.6 + 0.8 * y - 0.5 * x + 0.35 * _noise(rng, height, width, (6, 24))
    stops = (
        np.stack([log + 0.2, log, log - 0.3], axis=-1)
        + 0.18 * _noise(rng, height, width, (90, 240))[..., None]
    )
    edges = np.zeros((height, width), bool)
    for colour, level, (cx, cy, rx, ry), grain in (
        ((0.9, -0.4, -1.2), -1.0, (0.45, 0.55, 0.22, 0.3), (60, 300)),
        ((-1.0, 0.2, 0.9), -3.0, (0.95, 0.62, 0.3, 0.22), (30, 200)),
        ((0.3, 0.5, -1.0), 0.2, (1.4, 0.4, 0.2, 0.26), (120, 400)),
        ((0.35, 0.0, -0.35), -5.0, (1.35, 0.85, 0.35, 0.16), (40, 160)),
    ):
        radius = np.sqrt(((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2)
        radius += 0.06 * np.sin(9 * np.arctan2(y - cy, x - cx)) + 0.015 * _noise(rng, height, width, (40,))
        distance_px = (radius - 1) * min(rx, ry) * height
        cover = np.clip(0.5 - distance_px, 0, 1)[..., None]
        body = level + 0.9 * (cx - x) / rx + 0.25 * _noise(rng, height, width, grain)
        body = np.stack([body + part for part in colour], axis=-1)
        # Coverage mixes light, not stops.
        stops = np.log2((1 - cover) * np.exp2(stops) + cover * np.exp2(body))
        edges |= np.abs(distance_px) < 3
    plate = np.exp2(stops)
    plate[int(0.08 * height) : int(0.3 * height), int(0.1 * height) : int(0.28 * height)] += 6.0
    for cx, cy in rng.uniform((0.1, 0.1), (width / height, 0.95), (25, 2)):
        spot = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) * (height / 4.0) ** 2 / 2)
        plate += 4.0 * spot[..., None]
    plate *= np.exp2(0.06 * rng.normal(size=plate.shape))
    return Scene(np.minimum(plate, 8.0).astype(np.float32), edges)


def relight(plate: np.ndarray, light: str) -> np.ndarray:
    """The plate under another light, exactly: a grade, moving lamps, or the hard edge of a shadow."""
    height, width = plate.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / height
    if light == "global":
        mixing = np.array([[0.8, 0.16, 0.04], [0.1, 0.7, 0.2], [0.0, 0.24, 0.96]], np.float32)
        bent = 1.6 * (plate @ mixing.T) ** np.array([1.3, 1.15, 0.9], np.float32)
        return bent * np.exp2(-0.6 * np.tanh(np.log2(bent / 0.18) / 2))
    gain = np.array([0.8, 1.0, 1.3], np.float32) * plate ** np.array([1.15, 1.1, 1.0], np.float32)
    if light == "local":
        stops = np.zeros_like(plate)
        for cx, cy, size, tint in (
            (0.4, 0.3, 0.28, (1.3, 0.9, 0.4)),
            (1.3, 0.7, 0.35, (-1.2, -0.9, -0.6)),
            (0.9, 0.2, 0.2, (-0.5, 0.0, 0.6)),
        ):
            blob = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * size**2))
            stops += blob[..., None] * np.array(tint, np.float32)
        return gain * np.exp2(stops)
    cover = np.clip(0.5 + (y + 0.35 * x - 0.85) * height, 0, 1)[..., None]
    return gain * np.exp2(cover * np.array([-1.7, -1.4, -1.0], np.float32))


def proxy(truth: np.ndarray, lines: int, kind: str, seed: int = 3) -> np.ndarray:
    """An engine's answer for `truth`: the exact area average, an 8-bit picture, or a generated one.

    The generated one is blurred, locally shifted, grainy and off in colour, then 8-bit, as from a video
    model.
    """
    small = shrink(truth, lines)
    if kind == "exact":
        return small
    seen = view(small)
    if kind == "generative":
        rng = np.random.default_rng(seed)
        height, width = seen.shape[:2]
        drift = _noise(rng, height, width, (8,)), _noise(rng, height, width, (8,))
        y, x = np.mgrid[0:height, 0:width]
        rows = np.clip(np.rint(y + 1.2 * drift[0]), 0, height - 1).astype(int)
        columns = np.clip(np.rint(x + 1.2 * drift[1]), 0, width - 1).astype(int)
        seen = blur(seen[rows, columns], 1.2)
        seen += 0.008 * rng.normal(size=seen.shape) + 0.01 * _noise(rng, height, width, (5,))[..., None]
    return unview(np.rint(np.clip(seen, 0, 1) * 255) / 255).astype(np.float32)


def view(linear: np.ndarray) -> np.ndarray:
    """Linear to view space: highlights rolled off so that 8.0 is just below white, then a 2.2 gamma."""
    light = np.maximum(linear, 0)
    return ((light / (light + 1)) * (9 / 8)) ** (1 / 2.2)


def unview(seen: np.ndarray) -> np.ndarray:
    """The inverse of `view`."""
    share = np.minimum(seen**2.2 * (8 / 9), 0.97)
    return share / (1 - share)


def shrink(image: np.ndarray, lines: int) -> np.ndarray:
    """Area average to `lines` rows and columns in proportion."""
    height, width = image.shape[:2]
    rows, columns = _areas(height, lines), _areas(width, round(width * lines / height))
    across = np.tensordot(columns, np.tensordot(rows, image, axes=(1, 0)), axes=(1, 1))
    return np.ascontiguousarray(np.swapaxes(across, 0, 1), np.float32)


def enlarge(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear to `height` x `width`, samples at pixel centres."""
    for axis, size in ((0, height), (1, width)):
        have = image.shape[axis]
        place = np.clip((np.arange(size) + 0.5) * have / size - 0.5, 0, have - 1)
        first = np.minimum(place.astype(int), max(have - 2, 0))
        share = (
            (place - first).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(image.ndim)])
        )
        second = np.minimum(first + 1, have - 1)
        image = image.take(first, axis) * (1 - share) + image.take(second, axis) * share
    return image


def blur(image: np.ndarray, sigma_px: float) -> np.ndarray:
    """Gaussian blur of the first two axes, borders repeated."""
    reach = int(np.ceil(3 * sigma_px))
    kernel = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma_px**2))
    kernel = (kernel / kernel.sum()).astype(np.float32)
    for axis in (0, 1):
        pad = [(reach, reach) if a == axis else (0, 0) for a in range(image.ndim)]
        padded = np.pad(image, pad, mode="edge")
        size = image.shape[axis]
        image = sum(k * padded.take(range(i, i + size), axis) for i, k in enumerate(kernel))
    return image


def psnr(result: np.ndarray, truth: np.ndarray, where: np.ndarray | None = None) -> float:
    """PSNR in view space, dB, over all pixels or those of `where`."""
    error = (view(result) - view(truth)) ** 2
    return float(-10 * np.log10((error if where is None else error[where]).mean()))


def texture_kept(result: np.ndarray, truth: np.ndarray) -> float:
    """Share of the truth's fine detail (under 2 px, in stops) that the result has: 1 is all, 0 none."""
    fine = [np.log2(np.maximum(image, 1e-4)).mean(axis=-1) for image in (result, truth)]
    fine = [image - blur(image, 2.0) for image in fine]
    return float((fine[0] * fine[1]).sum() / (fine[1] ** 2).sum())


def _noise(rng: np.random.Generator, height: int, width: int, cells: tuple[int, ...]) -> np.ndarray:
    """Smooth noise of unit size: octaves with so many cells per picture height, equal amplitudes."""
    total = np.zeros((height, width), np.float32)
    for count in cells:
        small = rng.normal(size=(count, round(count * width / height))).astype(np.float32)
        total += enlarge(small, height, width)
    return total / np.sqrt(len(cells))


def _areas(size: int, count: int) -> np.ndarray:
    """Weights `(count, size)` of the area average."""
    ends = np.linspace(0, size, count + 1)
    covered = np.minimum(ends[1:, None], np.arange(1, size + 1)) - np.maximum(
        ends[:-1, None], np.arange(size)
    )
    weights = np.maximum(covered, 0)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
