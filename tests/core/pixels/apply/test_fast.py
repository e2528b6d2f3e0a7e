"""The fast implementation against the reference, its approximations against numpy, and the behaviour without numba."""

from __future__ import annotations

import logging
import subprocess
import sys

import numpy as np
import pytest
from fakes import lighting
from harmovid.pixels.apply import fast, tiles
from harmovid.pixels.apply.kernels_numpy import PARITY_STOPS, NumpyKernels
from hypothesis import given, settings
from hypothesis import strategies as st

numba = pytest.importorskip("numba", reason="the fast implementation needs numba")
loops = pytest.importorskip("harmovid.pixels.apply.kernels_numba")


@settings(max_examples=60, deadline=None)
@given(lighting.seeds, lighting.kinds, lighting.sizes, lighting.dtypes, st.booleans())
def test_implementations_agree_on_stops(seed, kinds, size, dtype, premultiplied):
    """Both implementations give the same stops within PARITY_STOPS, for every kind of field and pixel."""
    rgb = lighting.picture(seed, *size, dtype)
    rng = np.random.default_rng(seed)
    alpha = np.round(rng.uniform(-0.1, 1.1, size), 2).astype(np.float32)
    mask = rng.uniform(0, 1, size).astype(np.float16)
    field = lighting.field(seed, kinds).scaled(0.9).then(lighting.field(seed + 1, "c"))
    asked = {"origin": (-2, 3), "alpha": alpha, "premultiplied": premultiplied, "mask": mask}
    slow = tiles.field_stops(rgb, field, **asked)
    quick = fast.field_stops(rgb, field, **asked)
    assert np.abs(slow - quick).max() <= PARITY_STOPS
    assert ((slow == 0) == (quick == 0)).mean() > 0.99


@settings(max_examples=30, deadline=None)
@given(lighting.seeds, lighting.kinds, lighting.dtypes)
def test_implementations_agree_on_pixels_and_counts(seed, kinds, dtype):
    """Both implementations give the same pixels within the tolerance and one rounding, and the same counts."""
    rgb = lighting.picture(seed, 12, 9, dtype)
    field = lighting.field(seed, kinds)
    slow, slow_report = tiles.apply_field(rgb, field, origin=(0, 0))
    quick, quick_report = fast.apply_field(rgb, field, origin=(0, 0))
    smallest = 2.0**-24 if dtype is np.float16 else 0
    assert np.allclose(slow, quick, rtol=1e-4 + np.finfo(dtype).eps, atol=smallest, equal_nan=True)
    assert slow_report.nonfinite_pixels == quick_report.nonfinite_pixels
    assert slow_report.changed_pixels == quick_report.changed_pixels


def test_log2_is_within_its_stated_error():
    """Over the whole guide range the fast log2 is within LOG2_ERROR_STOPS."""
    values = np.exp2(np.random.default_rng(0).uniform(-39.9, 39.9, 200_000)).astype(np.float32)
    out = np.empty_like(values)
    loops._log2_row(values, np.float32(0), np.float32(-99), np.float32(99), out)
    assert np.abs(out - np.log2(values.astype(np.float64))).max() < loops.LOG2_ERROR_STOPS
    ends = np.array([0, -1, 1e-30, 3e38, 1], np.float32)
    loops._log2_row(ends, np.float32(0), np.float32(-99), np.float32(99), out[:5])
    assert out[:5].tolist() == [-40, -40, -40, 40, 0]


def test_exp2_is_within_its_stated_error():
    """Over the whole range of stops the fast exp2 is within EXP2_ERROR, and exact for whole stops."""
    stops = np.random.default_rng(0).uniform(-80, 80, 200_000).astype(np.float32)
    gains = np.ones_like(stops)
    loops._relight_row(gains, stops, np.float32(3e38))
    assert np.abs(gains / np.exp2(stops.astype(np.float64)) - 1).max() < loops.EXP2_ERROR
    whole = np.arange(-80, 81).astype(np.float32)
    gains = np.ones_like(whole)
    loops._relight_row(gains, whole, np.float32(3e38))
    assert (gains == np.exp2(whole.astype(np.float64))).all()


def test_halves_are_read_and_rounded_as_numpy_does():
    """Every half there is, and floats of every size and between, convert as IEEE 754 and numpy have it."""
    halves = np.arange(65536).astype(np.uint16)
    values = np.empty(65536, np.float32)
    loops._load_half(halves, values)
    assert np.array_equal(values, halves.view(np.float16).astype(np.float32), equal_nan=True)
    raw = np.random.default_rng(0).integers(0, 2**32, 500_000, dtype=np.uint64).astype(np.uint32)
    edges = np.float32([65504, 65519.99, 65520, 2**-24, 2**-25, 1.5 * 2**-24, 2**-14, 2**-14 - 2**-26])
    between = np.nextafter(values[np.isfinite(values)], np.float32(0))
    floats = np.concatenate([raw.view(np.float32), edges, values, between])
    rounded = np.empty(floats.size, np.uint16)
    loops._store_half(floats, rounded)
    with np.errstate(all="ignore"):
        want = floats.astype(np.float16)
    known = ~np.isnan(floats)
    assert (rounded[known] == want.view(np.uint16)[known]).all()
    assert np.isnan(rounded.view(np.float16)[~known]).all()


def test_without_a_cache_folder_loops_are_compiled_all_the_same():
    """Where numba finds no place for its cache, fields are still applied fast."""
    program = (
        "import numpy as np; from numba.core import caching\n"
        "caching.FunctionCache._impl_class._locator_classes = []\n"
        "from harmovid.pixels.apply.kernels_numba import NumbaKernels\n"
        "values = np.ones((3, 1, 2), np.float32)\n"
        "print(NumbaKernels().relight(values, values * 1, [9.0] * 3), values[0, 0, 0])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    assert done.stdout.split() == ["(2,", "0)", "2.0"], done.stderr


def test_without_numba_numpy_answers_and_the_log_says_so(monkeypatch, caplog):
    """Where numba cannot be imported, fields are applied all the same, with one log line."""
    monkeypatch.setitem(sys.modules, "harmovid.pixels.apply.kernels_numba", None)
    fast.best_kernels.cache_clear()
    try:
        with caplog.at_level(logging.WARNING):
            kernels = [fast.best_kernels() for _ in range(3)]
        assert all(isinstance(kernel, NumpyKernels) for kernel in kernels)
        assert [record.levelname for record in caplog.records] == ["WARNING"]
    finally:
        fast.best_kernels.cache_clear()
