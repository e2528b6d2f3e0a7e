"""The deflicker's compiled loops against the same written out in numpy and OpenCV; and the wave of rolling bands."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from harmovid.pixels.field import LUMA
from harmovid_server.engines.deflicker import kernels, local_gains
from harmovid_server.engines.deflicker.bands import find_wave
from harmovid_server.engines.deflicker.colour_terms import CENTRE_STOPS, terms
from harmovid_server.engines.deflicker.local_gains import BANDS, PATCHES, Lattice
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


@pytest.mark.parametrize("lattice", [PATCHES, BANDS])
def test_rows_read_maps_and_their_transpose_is_what_numpy_says(lattice: Lattice) -> None:
    """Compiled reading of maps at samples, its transpose, and both at once are those of the dense matrix."""
    rng, count, curves = np.random.default_rng(4), 3, np.random.default_rng(5).normal(0, 0.05, (3, 10, 3))
    links = []
    for later, earlier in ((1, 0), (2, 1), (2, 0)):
        logs, at = rng.normal(-1, 1, (2, 200, 3)), rng.uniform(0, 1, (2, 200, 2)).astype(np.float32)
        links.append(Link(later, earlier, PairSamples(*logs, *at, rng.uniform(0, 1, 200), 1.0)))
    rows = local_gains.rows_of(links, curves, lattice)
    n, cells = len(rows.trust), count * lattice.rows * lattice.columns
    matrix = np.zeros((n, cells))
    for end, sign in ((0, 1.0), (1, -1.0)):
        fx, fy = rows.inside[:, 2 * end].astype(float), rows.inside[:, 2 * end + 1].astype(float)
        for right, down in ((0, 0), (1, 0), (0, 1), (1, 1)):
            cell = rows.first[:, end] + right * lattice.right + down * lattice.columns
            share = (fx if right else 1 - fx) * (fy if down else 1 - fy)
            np.add.at(matrix, (np.arange(n), cell), sign * share)
    maps = rng.normal(0, 1, (count, lattice.rows, lattice.columns, 3))
    weights, values = rng.uniform(0, 1, (n, 1)), rng.normal(0, 1, (n, 3))
    flat, shape = maps.reshape(-1, 3), maps.shape

    np.testing.assert_allclose(rows.gather(maps), matrix @ flat, atol=1e-9)
    np.testing.assert_allclose(rows.scatter(values, count), (matrix.T @ values).reshape(shape), atol=1e-9)
    pushed = matrix.T @ (weights * (matrix @ flat))
    np.testing.assert_allclose(rows.push(maps, weights), pushed.reshape(shape), atol=1e-9)
    every = max(1, 200 // (200 // lattice.every))
    for link, start in zip(links, rows.starts):
        later, earlier = link.samples.later[::every], link.samples.earlier[::every]
        plain = earlier + terms(earlier) @ curves[link.earlier] - later - terms(later) @ curves[link.later]
        np.testing.assert_allclose(rows.wanted[start : start + len(plain)], plain, atol=1e-9)
        read = local_gains.read(maps, link.samples.later_at[::every], link.later, lattice)
        read -= local_gains.read(maps, link.samples.earlier_at[::every], link.earlier, lattice)
        np.testing.assert_allclose(rows.gather(maps)[start : start + len(plain)], read, atol=1e-9)


def test_diagonal_of_patches_is_what_numpy_says() -> None:
    """How much samples say of a cell by themselves is the sum of their squared shares."""
    rng = np.random.default_rng(6)
    places_of = rng.uniform(0, 1, (2, 50, 2)).astype(np.float32)
    pairs = PairSamples(*rng.normal(-1, 1, (2, 50, 3)), *places_of, np.ones(50), 1.0)
    rows = local_gains.rows_of([Link(1, 0, pairs)], np.zeros((2, 10, 3)), PATCHES)
    weights, expected = rng.uniform(0, 1, (50, 1)), np.zeros(2 * 9 * 16)
    for cell in range(len(expected)):
        one = np.zeros((len(expected), 3))
        one[cell] = 1.0
        expected[cell] = float((rows.gather(one)[:, :1] ** 2 * weights).sum())

    np.testing.assert_allclose(rows.diagonal(weights, 2).ravel(), expected, atol=1e-9)


def banded(cycles: float, drift: float, frames: int = 30, samples: int = 120) -> list[Link]:
    """Return matched samples of grey frames under bands of a quarter stop: a sine and half as much of its double."""
    rng = np.random.default_rng(2)

    def stops(frame: int, row: np.ndarray) -> np.ndarray:
        turn = 2 * np.pi * (cycles * row + drift * frame)
        return 0.25 * np.sin(turn) + 0.12 * np.cos(2 * turn)

    links = []
    for later in range(frames):
        for gap in (1, 2, 4):
            if gap > later:
                continue
            at = rng.uniform(0, 1, (samples, 2)).astype(np.float32)
            earlier_at = np.clip(at + rng.normal(0, 0.02, at.shape), 0, 1).astype(np.float32)
            light = rng.normal(-2, 1, (samples, 1)) + np.zeros(3)
            logs = [light + stops(f, p[:, 1])[:, None] for f, p in ((later, at), (later - gap, earlier_at))]
            links.append(Link(later, later - gap, PairSamples(*logs, at, earlier_at, np.ones(samples), 1.0)))
    return links


@pytest.mark.parametrize(("cycles", "drift"), [(1.3, 0.11), (2.7, 0.17), (6.1, -0.29)])
def test_wave_is_found_exactly(cycles: float, drift: float) -> None:
    """From rough profiles spacing, drift and shape are found, overtone included: 0.002 stops of 0.28 are left."""
    links, rows = banded(cycles, drift), 96
    at = (np.arange(rows) + 0.5) / rows
    turn = 2 * np.pi * (cycles * at + drift * np.arange(30)[:, None])
    true = 0.25 * np.sin(turn) + 0.12 * np.cos(2 * turn)
    rough = np.repeat(-0.5 * true[:, :, None, None], 3, axis=3)  # shrunk, and found with noise
    rough += np.random.default_rng(3).normal(0, 0.1, rough.shape)

    wave = find_wave(links, np.zeros((30, 10, 3)), rough)

    assert wave.explained > 0.9
    left = wave.profiles(30, rows)[..., 0, 1] + true
    left -= left.mean(axis=1, keepdims=True)
    assert float(np.sqrt((left**2).mean())) < 0.002


@pytest.mark.parametrize("frames", [40, 60])
def test_a_fade_is_no_wave(frames: int) -> None:
    """Two stops down and up again over a window, all rows alike, are not explained by bands, whatever the profiles."""
    rng, links = np.random.default_rng(5), []
    level = -2 * np.minimum(np.arange(frames), frames - np.arange(frames)) / (frames / 2)
    for later in range(frames):
        for gap in (1, 2, 4, 8):
            if gap <= later:
                at = rng.uniform(0, 1, (120, 2)).astype(np.float32)
                light = rng.normal(-2, 1, (120, 1)) + np.zeros(3)
                noise = rng.normal(0, 0.02, (2, 120, 3))
                logs = [light + level[f] + noise[i] for i, f in enumerate((later, later - gap))]
                links.append(Link(later, later - gap, PairSamples(*logs, at, at, np.ones(120), 1.0)))

    wave = find_wave(links, np.zeros((frames, 10, 3)), rng.normal(0, 0.02, (frames, 96, 1, 3)))

    assert wave.explained < 0.1
    assert float(np.abs(wave.profiles(frames, 96)).max()) < 0.05
