"""The deflicker's compiled loops against the same written out in numpy and OpenCV."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from harmovid.pixels.field import LUMA
from harmovid_server.engines.deflicker import kernels, local_gains
from harmovid_server.engines.deflicker.colour_terms import CENTRE_STOPS, terms
from harmovid_server.engines.deflicker.local_gains import PATCHES
from harmovid_server.engines.deflicker.motion import Link, PairSamples

HEIGHT, WIDTH = 48, 64
NUMBERS = np.array([1.0, 0.2, 0.04, 0.3, -6.5, 4.99, -6.2, 4.5])


def planes(seed: int = 0) -> list[np.ndarray]:
    """Return two frames' log2 colours, slopes, weights, and the motion forth and back: smooth noise."""
    rng = np.random.default_rng(seed)

    def smooth(channels: int, size: float) -> np.ndarray:
        noise = rng.normal(0, 1, (HEIGHT, WIDTH, channels)).astype(np.float32)
        blurred = cv2.GaussianBlur(noise, (0, 0), 3).reshape(HEIGHT, WIDTH, channels)
        return (blurred * size / blurred.std()).astype(np.float32)

    logs = [smooth(3, 2.0) - 1, smooth(3, 2.0) - 1]
    slopes = [np.abs(smooth(1, 0.01)[..., 0]) for _ in range(2)]
    weights = [np.clip(smooth(1, 1.0)[..., 0] + 0.7, 0, 1).astype(np.float32) for _ in range(2)]
    forth = smooth(2, 2.0)
    return [*logs, *slopes, *weights, forth, (smooth(2, 0.5) - forth).astype(np.float32)]


def warped(plane: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Return a plane read at every pixel plus its flow; cv2.remap rounds places to 1/32 of a pixel, so not with it."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float64)
    x, y = (
        np.clip(at, 0, size - 1)
        for at, size in ((columns + flow[..., 0], WIDTH), (rows + flow[..., 1], HEIGHT))
    )
    x0, y0 = np.minimum(x.astype(int), WIDTH - 2), np.minimum(y.astype(int), HEIGHT - 2)
    shape = (HEIGHT, WIDTH) + (1,) * (plane.ndim - 2)
    fx, fy = (x - x0).reshape(shape), (y - y0).reshape(shape)
    top = plane[y0, x0] * (1 - fx) + plane[y0, x0 + 1] * fx
    return top * (1 - fy) + (plane[y0 + 1, x0] * (1 - fx) + plane[y0 + 1, x0 + 1] * fx) * fy


@pytest.mark.parametrize("step", [1, 3, 6, 8])
def test_sampling_is_what_numpy_says(step: int) -> None:
    """Sums over blocks of trusted pixels, of all or of every second or third one, are those of the plain formula."""
    later, earlier, slope, earlier_slope, weight, earlier_weight, forth, back = planes()
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float64)
    x, y = columns + forth[..., 0], rows + forth[..., 1]
    seen = warped(earlier, forth)
    gap = ((forth + warped(back, forth)) ** 2).sum(-1)
    trust = np.minimum(weight, warped(earlier_weight, forth)) / (1 + gap) ** 2
    trust *= (x >= 0) & (x <= WIDTH - 1) & (y >= 0) & (y <= HEIGHT - 1)
    for colours, low, high in ((later, -6.5, 4.99), (seen, -6.2, 4.5)):
        trust *= (colours.min(-1) > low) & (colours.max(-1) < high)
    trust *= (columns - rows) % kernels.stride_of(step) == 0
    luma = (later + seen) @ np.array(LUMA) / 2
    steep = (slope + warped(earlier_slope, forth)) / 2
    certain = trust * 2 ** (np.minimum(luma - 0.3, 1.4) / 1.2) / (0.04**2 + steep * 0.2**2)
    places = np.stack([columns + 0.5, rows + 0.5, x + 0.5, y + 0.5], axis=-1)
    values = np.concatenate([np.ones((HEIGHT, WIDTH, 1)), later, seen, places], axis=-1) * certain[..., None]
    values = np.concatenate([values, trust[..., None]], axis=-1)
    down, across = HEIGHT // step, WIDTH // step
    blocks = values[: down * step, : across * step].reshape(down, step, across, step, -1).sum((1, 3))

    got = kernels.sample(
        later, earlier, (slope, earlier_slope), (weight, earlier_weight), (forth, back), NUMBERS, step
    )

    np.testing.assert_allclose(got, blocks.reshape(down * across, -1), rtol=1e-4, atol=1e-4)


def test_likeness_is_the_correlation_after_motion() -> None:
    """Two pictures' likeness is numpy's correlation, over a chequerboard, of one with the other moved; a flat one tells
    nothing."""
    rng = np.random.default_rng(1)
    first, second = (rng.integers(0, 255, (HEIGHT, WIDTH)).astype(np.uint8) for _ in range(2))
    flow = planes()[6]
    board = np.indices(first.shape).sum(0) % 2 == 0
    expected = np.corrcoef(first[board], warped(second.astype(float), flow)[board])[0, 1]

    assert kernels.likeness(first, second, flow) == pytest.approx(expected, abs=1e-4)
    assert kernels.likeness(first, np.full_like(second, 7), flow) == 1.0


def test_linearised_samples_are_what_numpy_says() -> None:
    """Differences after the curves, and the terms of both colours moved half of the difference, as written in numpy."""
    rng = np.random.default_rng(7)
    y, z = rng.normal(-1, 1, (2, 3, 50, 3))
    curves, inverse = rng.normal(0, 0.05, (4, 10, 3)), np.eye(3) / 2 + rng.normal(0, 0.02, (4, 3, 3))
    later, earlier = np.array([1, 2, 3]), np.array([0, 1, 1])
    got = np.full((3, 50, 25), 7.0)
    kernels.linearised(y, z, later, earlier, curves, inverse, CENTRE_STOPS, got)

    left = z + terms(z) @ curves[earlier] - y - terms(y) @ curves[later]
    moved = (y + left @ inverse[later], z - left @ inverse[earlier])
    plain = np.concatenate([*(terms(each) for each in moved), left, np.full((3, 50, 2), 7.0)], axis=2)
    np.testing.assert_allclose(got, plain, atol=1e-9)


def test_the_links_system_is_what_numpy_says() -> None:
    """The compiled product with all links is that of the dense matrix, and conjugate gradients solve the system."""
    rng, count, order = np.random.default_rng(8), 5, 3
    later, earlier = np.array([1, 2, 3, 4, 4]), np.array([0, 1, 2, 3, 1])
    columns = rng.normal(0, 1, (5, 40, 23))
    sums = np.swapaxes(columns, 1, 2) @ columns
    dense, step = np.zeros((order, count, order, count)), rng.normal(0, 1, (order, count, 2))
    for a, b, own in zip(later, earlier, sums):
        for ends, block in (
            ((a, a), own[:3, :3]), ((b, b), own[10:13, 10:13]), ((a, b), -own[:3, 10:13]), ((b, a), -own[10:13, :3]),
        ):  # fmt: skip
            dense[:, ends[0], :, ends[1]] += block
    matrix = dense.reshape(order * count, order * count)

    def normal(values: np.ndarray) -> np.ndarray:
        return kernels.push_links(later, earlier, sums, values) + values

    pushed = (matrix @ step.reshape(-1, 2)).reshape(step.shape)
    np.testing.assert_allclose(normal(step) - step, pushed, atol=1e-9)
    solved = local_gains.conjugate_gradients(normal, step, lambda left: left)
    expected = np.linalg.solve(matrix + np.eye(len(matrix)), step.reshape(-1, 2)).reshape(step.shape)
    np.testing.assert_allclose(solved, expected, atol=1e-4)


def test_rows_read_maps_and_their_transpose_is_what_numpy_says() -> None:
    """Compiled reading of maps at samples, its transpose, and both at once are those of the dense matrix."""
    rng, count, curves = np.random.default_rng(4), 3, np.random.default_rng(5).normal(0, 0.05, (3, 10, 3))
    links = []
    for later, earlier in ((1, 0), (2, 1), (2, 0)):
        logs, at = rng.normal(-1, 1, (2, 200, 3)), rng.uniform(0, 1, (2, 200, 2)).astype(np.float32)
        links.append(Link(later, earlier, PairSamples(*logs, *at, rng.uniform(0, 1, 200), 1.0)))
    rows = local_gains.rows_of(links, curves)
    n, cells = len(rows.trust), count * int(np.prod(PATCHES))
    matrix = np.zeros((n, cells))
    for end, sign in ((0, 1.0), (1, -1.0)):
        at = rows.earlier_at if end else rows.at
        x, y = (at * np.float32(PATCHES[::-1]) - np.float32(0.5)).clip(0, (PATCHES[1] - 1, PATCHES[0] - 1)).T
        x0, y0 = np.minimum(x.astype(int), PATCHES[1] - 2), np.minimum(y.astype(int), PATCHES[0] - 2)
        first = (rows.earlier if end else rows.later) * int(np.prod(PATCHES)) + y0 * PATCHES[1] + x0
        for right, down in ((0, 0), (1, 0), (0, 1), (1, 1)):
            share = np.abs(1 - right - (x - x0)) * np.abs(1 - down - (y - y0))
            np.add.at(matrix, (np.arange(n), first + right + down * PATCHES[1]), sign * share)
    maps = rng.normal(0, 1, (count, *PATCHES, 3))
    weights, values = rng.uniform(0, 1, (n, 1)), rng.normal(0, 1, (n, 3))
    flat, shape = maps.reshape(-1, 3), maps.shape

    np.testing.assert_allclose(rows.gather(maps), matrix @ flat, atol=1e-9)
    np.testing.assert_allclose(rows.scatter(values, count), (matrix.T @ values).reshape(shape), atol=1e-9)
    pushed = matrix.T @ (weights * (matrix @ flat))
    np.testing.assert_allclose(rows.push(maps, weights), pushed.reshape(shape), atol=1e-9)
    for link, start in zip(links, rows.starts):
        later, earlier = link.samples.later, link.samples.earlier
        plain = earlier + terms(earlier) @ curves[link.earlier] - later - terms(later) @ curves[link.later]
        np.testing.assert_allclose(rows.wanted[start : start + len(plain)], plain, atol=1e-9)


def test_diagonal_of_patches_is_what_numpy_says() -> None:
    """How much samples say of a cell by themselves is the sum of their squared shares."""
    rng = np.random.default_rng(6)
    places_of = rng.uniform(0, 1, (2, 50, 2)).astype(np.float32)
    pairs = PairSamples(*rng.normal(-1, 1, (2, 50, 3)), *places_of, np.ones(50), 1.0)
    rows = local_gains.rows_of([Link(1, 0, pairs)], np.zeros((2, 10, 3)))
    weights, expected = rng.uniform(0, 1, (50, 1)), np.zeros(2 * 9 * 16)
    for cell in range(len(expected)):
        one = np.zeros((len(expected), 3))
        one[cell] = 1.0
        expected[cell] = float((rows.gather(one)[:, :1] ** 2 * weights).sum())

    np.testing.assert_allclose(rows.diagonal(weights, 2).ravel(), expected, atol=1e-9)
