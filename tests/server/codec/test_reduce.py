"""Area averages: exact on known pictures, unaffected by odd pixels; both implementations agree."""

from __future__ import annotations

import numpy as np
import pytest
from harmovid_server.codec.reduce import PARITY, NumpyKernels, area_means, best_kernels, proxy_size
from harmovid_server.codec.reduce_numba import NumbaKernels
from hypothesis import given, settings
from hypothesis import strategies as st

KERNELS = [NumpyKernels(), NumbaKernels()]


def test_the_compiled_loops_are_the_ones_in_use() -> None:
    """Where numba is installed, its loops are used."""
    assert isinstance(best_kernels(), NumbaKernels)


@pytest.mark.parametrize("kernels", KERNELS)
def test_means_of_a_picture_that_divides_evenly(kernels) -> None:
    """A 4 x 4 picture at 2 x 2 is the mean of each quarter, fully covered."""
    plane = np.arange(16, dtype=np.float16).reshape(4, 4)
    small = area_means([plane], (0, 0, 4, 4), (0, 0, 4, 4), (2, 2), kernels)
    assert small.means[..., 0].tolist() == [[2.5, 4.5], [10.5, 12.5]]
    assert small.coverage.tolist() == [[1, 1], [1, 1]]


@pytest.mark.parametrize("kernels", KERNELS)
def test_a_pixel_that_is_odd_in_one_plane_counts_in_none(kernels) -> None:
    """NaN and infinity are left out of all planes' means, lower the coverage, and are counted."""
    red, green = np.ones((2, 2), np.float16), np.full((2, 2), 4, np.float16)
    red[0, 0], green[1, 1], green[0, 1] = np.nan, np.inf, 8
    small = area_means([red, green], (0, 0, 2, 2), (0, 0, 2, 2), (1, 1), kernels)
    assert small.means.tolist() == [[[1, 6]]]
    assert small.coverage.tolist() == [[0.5]]
    assert (small.nan, small.inf) == (1, 1)


@pytest.mark.parametrize("kernels", KERNELS)
def test_odd_pixels_in_the_overscan_are_counted_too(kernels) -> None:
    """Pixels outside the display window do not affect the proxy, but their NaNs are reported."""
    plane = np.ones((3, 3), np.float32)
    plane[0, 0] = np.nan
    small = area_means([plane], (-1, -1, 2, 2), (0, 0, 2, 2), (2, 2), kernels)
    assert small.means[..., 0].tolist() == [[1, 1], [1, 1]]
    assert small.nan == 1


@pytest.mark.parametrize("kernels", KERNELS)
def test_coverage_is_the_share_of_the_data_window(kernels) -> None:
    """A proxy pixel half outside the data window is half covered, and its mean is that of the half inside."""
    plane = np.full((2, 3), 5, np.float16)
    small = area_means([plane], (1, 0, 4, 2), (0, 0, 4, 2), (2, 1), kernels)
    assert small.coverage.tolist() == [[0.5, 1.0]]
    assert small.means[..., 0].tolist() == [[5, 5]]


@pytest.mark.parametrize("kernels", KERNELS)
def test_a_data_window_beside_the_format_covers_nothing(kernels) -> None:
    """A data window wholly outside the display window gives coverage 0 and means 0, without a warning."""
    small = area_means([np.ones((2, 2), np.float32)], (10, 10, 12, 12), (0, 0, 4, 4), (2, 2), kernels)
    assert not small.coverage.any()
    assert not small.means.any()


def test_proxies_keep_the_shape_and_are_never_enlarged() -> None:
    """Proxies have the asked height at most, the format's shape, and at least one pixel."""
    assert proxy_size((0, 0, 1920, 1080), 480) == (853, 480)
    assert proxy_size((0, 0, 64, 36), 480) == (64, 36)
    assert proxy_size((-5, 0, -4, 1000), 10) == (1, 10)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    offset=st.tuples(st.integers(-8, 8), st.integers(-8, 8)),
    display=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    half=st.booleans(),
    odd=st.booleans(),
)
def test_both_implementations_agree(*, seed, shape, offset, display, size, half, odd) -> None:
    """Compiled and plain loops give the same means and coverage for any windows, sizes and pixel types."""
    rng = np.random.default_rng(seed)
    planes = [rng.gamma(1, 1, shape).astype(np.float16 if half else np.float32) for _ in range(2)]
    if odd:
        planes[0].flat[rng.integers(planes[0].size)] = np.nan
        planes[1].flat[rng.integers(planes[1].size)] = -np.inf
    x, y = offset
    window = (x, y, x + shape[1], y + shape[0])
    results = [area_means(planes, window, (0, 0, *display), size, kernels) for kernels in KERNELS]
    np.testing.assert_allclose(results[0].means, results[1].means, rtol=PARITY, atol=1e-6)
    np.testing.assert_allclose(results[0].coverage, results[1].coverage, rtol=PARITY, atol=1e-6)
    assert (results[0].nan, results[0].inf) == (results[1].nan, results[1].inf)
