"""Guarantees of applying a field, tested on both implementations: pixels that must not change do not."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from fakes import lighting
from fakes.lighting import bits
from harmovid.errors import InputError
from harmovid.pixels.apply.fast import best_kernels
from harmovid.pixels.apply.kernels_numpy import NumpyKernels
from harmovid.pixels.apply.tiles import TILE_PIXELS, WORKING_BYTES, apply_field, apply_stops, field_stops
from harmovid.pixels.field import NULL, Curve, GainMap, Grid, LightingField
from hypothesis import given, settings
from hypothesis import strategies as st

IMPLEMENTATIONS = [pytest.param(NumpyKernels(), id="numpy"), pytest.param(best_kernels(), id="numba")]
ROUNDING = {np.float16: 2.0**-10, np.float32: 2.0**-20}
"""Relative tolerance of a result: one rounding of the pixel type, with room for the fast exp2 in float32."""


def half_stop(strength: float = 1.0) -> LightingField:
    """Half a stop on every channel, from a curve and a map."""
    parts = (Curve.gain(0.25, 0.25, 0.25), GainMap(np.full((1, 1, 3), 0.25), (0, 0, 9, 9)))
    return LightingField(parts).scaled(strength)


@pytest.mark.parametrize("kernels", IMPLEMENTATIONS)
@settings(max_examples=25, deadline=None)
@given(lighting.seeds, lighting.kinds, lighting.sizes, lighting.dtypes)
def test_where_the_mask_is_zero_bits_are_kept(kernels, seed, kinds, size, dtype):
    """Background pixels come back bit-identical, and non-finite pixels do everywhere, at any size."""
    rgb = lighting.picture(seed, *size, dtype)
    mask = (np.random.default_rng(seed).random(size) < 0.5).astype(np.float32)
    out, report = apply_field(rgb, lighting.field(seed, kinds), origin=(0, 0), mask=mask, kernels=kernels)
    keep = (mask == 0) | ~np.isfinite(rgb).all(axis=2)
    assert out.dtype == rgb.dtype
    assert (bits(out)[keep] == bits(rgb)[keep]).all()
    assert report.nonfinite_pixels == np.count_nonzero(~np.isfinite(rgb).all(axis=2))
    assert report.changed_pixels <= np.count_nonzero(~keep)


@pytest.mark.parametrize("kernels", IMPLEMENTATIONS)
@settings(max_examples=20, deadline=None)
@given(lighting.seeds, lighting.kinds, lighting.dtypes)
def test_nothing_to_do_keeps_every_bit(kernels, seed, kinds, dtype):
    """The null field, strength 0, an all-zero mask, zero alpha and a field of zeros return the same bits."""
    rgb = lighting.picture(seed, 7, 5, dtype)
    zero = np.zeros((7, 5), np.float32)
    field = lighting.field(seed, kinds)
    none = LightingField((Curve.gain(0, 0, 0), Grid(np.zeros((2, 2, 2, 3)), (0, 0, 5, 7), -8, 4)))
    for case in (
        {"field": NULL},
        {"field": field, "strength": 0.0},
        {"field": field, "mask": zero},
        {"field": field, "mask": zero + np.float32(np.nan)},
        {"field": field, "alpha": zero},
        {"field": field, "alpha": zero, "premultiplied": True},
        {"field": none},
    ):
        out, report = apply_field(rgb, origin=(0, 0), kernels=kernels, **case)
        assert (bits(out) == bits(rgb)).all()
        assert report.changed_pixels == 0
        assert out is not rgb


@pytest.mark.parametrize("kernels", IMPLEMENTATIONS)
@pytest.mark.parametrize("dtype", [np.uint16, np.uint32])
def test_nan_payloads_and_signed_zeros_survive(kernels, dtype):
    """Every NaN, infinity and -0.0 that a half or float can hold is returned to the bit."""
    if dtype is np.uint16:
        raw = np.concatenate([np.arange(0x7C00, 0x8001), np.arange(0xFC00, 0x10000)]).astype(dtype)
    else:
        raw = np.array([0x7F800001, 0x7FC12345, 0xFF800000, 0xFFFFFFFF, 0x80000000, 0x7F800000], dtype)
    rgb = np.repeat(raw, 3).reshape(1, -1, 3).view({2: np.float16, 4: np.float32}[raw.itemsize])
    out, _ = apply_field(rgb, half_stop(), origin=(0, 0), kernels=kernels)
    assert (bits(out) == bits(rgb)).all()


@pytest.mark.parametrize("kernels", IMPLEMENTATIONS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_a_gain_is_a_gain(kernels, dtype):
    """Half a stop multiplies by sqrt 2: values above 1, below 0 and denormals alike."""
    values = np.array([0.18, 1.0, 8.0, 30000.0, -0.5, -100.0, 1e-7, 3e-5], dtype)
    rgb = np.repeat(values, 3).reshape(2, 4, 3)
    out, report = apply_field(rgb, half_stop(), origin=(0, 0), kernels=kernels)
    want = (rgb.astype(np.float64) * 2**0.5).astype(dtype)
    assert np.allclose(out, want, rtol=ROUNDING[dtype], atol=6e-8 if dtype is np.float16 else 0)
    assert report.changed_pixels == 8
    assert report.clamped_values == 0


@pytest.mark.parametrize("kernels", IMPLEMENTATIONS)
def test_overflow_is_clamped_and_counted(kernels):
    """What half cannot hold becomes 65504 with its sign, is counted, and never infinite."""
    rgb = np.array([[[60000, -60000, 1]]], np.float16)
    out, report = apply_field(rgb, half_stop(), origin=(0, 0), kernels=kernels)
    assert out[0, 0, :2].tolist() == [65504.0, -65504.0]
    assert report.clamped_values == 2
    huge = np.full((1, 1, 3), 3e38, np.float32)
    out, report = apply_field(huge, half_stop(), origin=(0, 0), kernels=kernels)
    assert np.isfinite(out).all()
    assert report.clamped_values == 3


@pytest.mark.parametrize("kernels", IMPLEMENTATIONS)
@settings(max_examples=20, deadline=None)
@given(lighting.seeds, lighting.kinds, lighting.kinds)
def test_composition_is_one_after_the_other(kernels, seed, first, second):
    """Applying a.then(b) is applying a and then b, within float rounding, also when they are faded."""
    rgb = np.abs(np.nan_to_num(lighting.picture(seed, 9, 11, np.float32), posinf=1, neginf=1)) + 1e-3
    a, b = lighting.field(seed, first).scaled(0.7), lighting.field(seed + 1, second).scaled(0.4)
    step, _ = apply_field(rgb, a, origin=(2, -1), kernels=kernels)
    step, _ = apply_field(step, b, origin=(2, -1), kernels=kernels)
    both, _ = apply_field(rgb, a.then(b), origin=(2, -1), kernels=kernels)
    assert np.abs(np.log2(both / step)).max() < 1e-4


@pytest.mark.parametrize("kernels", IMPLEMENTATIONS)
@settings(max_examples=20, deadline=None)
@given(lighting.seeds, lighting.kinds, st.floats(0, 2))
def test_strength_is_fading_and_masking(kernels, seed, kinds, strength):
    """strength=s, a mask of s and the field scaled by s do the same: s times the full stops."""
    rgb = lighting.picture(seed, 6, 8, np.float32)
    field = lighting.field(seed, kinds)
    full = field_stops(rgb, field, origin=(0, 0), kernels=kernels)
    for stops in (
        field_stops(rgb, field, origin=(0, 0), strength=strength, kernels=kernels),
        field_stops(rgb, field.scaled(strength), origin=(0, 0), kernels=kernels),
        field_stops(rgb, field, origin=(0, 0), mask=np.full((6, 8), strength, np.float32), kernels=kernels),
    ):
        assert np.allclose(stops, full * strength, atol=2e-5)


@pytest.mark.parametrize("kernels", IMPLEMENTATIONS)
@settings(max_examples=20, deadline=None)
@given(lighting.seeds, lighting.kinds)
def test_premultiplied_is_unassociated_times_alpha(kernels, seed, kinds):
    """Relighting premultiplied colour equals relighting the unassociated colour and multiplying by alpha."""
    rng = np.random.default_rng(seed)
    rgb = np.exp2(rng.uniform(-10, 4, (6, 7, 3))).astype(np.float32)
    alpha = rng.uniform(0.01, 1, (6, 7)).astype(np.float32)
    alpha[0] = 0
    field = lighting.field(seed, kinds)
    straight, _ = apply_field(rgb, field, origin=(0, 0), alpha=alpha, kernels=kernels)
    multiplied = rgb * alpha[..., None]
    joint, _ = apply_field(multiplied, field, origin=(0, 0), alpha=alpha, premultiplied=True, kernels=kernels)
    assert (bits(straight[0]) == bits(rgb[0])).all()
    assert np.allclose(joint[1:], (straight * alpha[..., None])[1:], rtol=1e-4)


@pytest.mark.parametrize("kernels", IMPLEMENTATIONS)
@settings(max_examples=15, deadline=None)
@given(lighting.seeds, lighting.kinds, lighting.dtypes, st.booleans())
def test_written_stops_give_the_same_bits(kernels, seed, kinds, dtype, masked):
    """apply_stops(plate, field_stops(...)) is apply_field(...), to the bit."""
    rgb = lighting.picture(seed, 8, 9, dtype)
    mask = np.random.default_rng(seed).random((8, 9)).astype(np.float32) if masked else None
    asked = {"origin": (1, 2), "mask": mask, "strength": 0.8, "kernels": kernels}
    want, _ = apply_field(rgb, lighting.field(seed, kinds), **asked)
    stops = field_stops(rgb, lighting.field(seed, kinds), **asked)
    out, _ = apply_stops(rgb, stops, kernels=kernels)
    assert stops.dtype == np.float32
    assert (bits(out) == bits(want)).all()


@pytest.mark.parametrize("kernels", IMPLEMENTATIONS)
def test_planes_and_strides_do_not_matter(kernels):
    """Three planes, an interleaved array, reversed rows and mixed pixel types give the same values."""
    rgb = np.nan_to_num(lighting.picture(5, 13, 17, np.float16), posinf=1, neginf=-1)
    field = lighting.field(5, "cgm")
    want, _ = apply_field(rgb, field, origin=(3, 4), kernels=kernels)
    planes = tuple(np.ascontiguousarray(rgb[..., k]) for k in range(3))
    out, _ = apply_field(planes, field, origin=(3, 4), kernels=kernels)
    assert isinstance(out, tuple)
    assert (bits(np.stack(out, axis=-1)) == bits(want)).all()
    fortran, _ = apply_field(np.asfortranarray(rgb), field, origin=(3, 4), kernels=kernels)
    assert (bits(fortran) == bits(want)).all()
    mixed, _ = apply_field((planes[0].astype(np.float32), *planes[1:]), field, origin=(3, 4), kernels=kernels)
    assert [plane.dtype for plane in mixed] == [np.float32, np.float16, np.float16]
    assert (mixed[0].astype(np.float16) == want[..., 0]).mean() > 0.95


@pytest.mark.parametrize("kernels", IMPLEMENTATIONS)
def test_tiles_do_not_show(kernels):
    """A crop with its origin gets the same pixels as the whole: place comes from plate coordinates alone."""
    height, width = 90, TILE_PIXELS // 40
    rgb = np.exp2(np.random.default_rng(1).uniform(-8, 4, (height, width, 3))).astype(np.float32)
    field = LightingField(
        (Grid(np.random.default_rng(2).normal(size=(5, 9, 4, 3)), (0, 0, width, height), -8, 4),)
    )
    whole, _ = apply_field(rgb, field, origin=(0, 0), kernels=kernels)
    crop, _ = apply_field(rgb[37:61, 100:333], field, origin=(100, 37), kernels=kernels)
    assert (bits(crop) == bits(whole[37:61, 100:333])).all()


@pytest.mark.parametrize("kernels", IMPLEMENTATIONS)
def test_samples_sit_at_cell_centres(kernels):
    """A two-sample map reads its samples a quarter in, their mean in the middle, and is clamped outside."""
    field = LightingField((GainMap(np.array([[[0.0] * 3, [1.0] * 3]]), (0, 0, 8, 1)),))
    stops = field_stops(np.ones((1, 24, 3), np.float32), field, origin=(-8, 0), kernels=kernels)[0, :, 0]
    assert np.allclose(stops[8:16], np.clip((np.arange(8) + 0.5) / 4 - 0.5, 0, 1), atol=1e-6)
    assert (stops[:8] == 0).all()
    assert np.allclose(stops[16:], 1, atol=1e-6)


@pytest.mark.parametrize("kernels", IMPLEMENTATIONS)
def test_beyond_the_range_follows_its_end(kernels):
    """A curve's gain is constant above `high` and below `low`, and black gets that of `low`."""
    coeffs = np.zeros((3, 10))
    coeffs[:, 1:4] = np.eye(3) * 0.5
    field = LightingField((Curve(coeffs, anchor=1.0, low=-4.0, high=2.0),))
    rgb = np.repeat(np.float32([0, -3, 2**-9, 2**-4, 1, 4, 1e4, 3e38]), 3).reshape(1, -1, 3)
    stops = field_stops(rgb, field, origin=(0, 0), kernels=kernels)[0, :, 1]
    assert np.allclose(stops, [-2, -2, -2, -2, 0, 1, 1, 1], atol=1e-5)


@pytest.mark.parametrize("kernels", IMPLEMENTATIONS)
def test_unfitting_pictures_are_refused(kernels):
    """Wrong shapes, pixel types and premultiplied colour without alpha raise InputError."""
    rgb = np.ones((4, 4, 3), np.float32)
    for bad, extra in (
        (rgb[..., :2], {}),
        (rgb.astype(np.float64), {}),
        ((rgb[..., 0], rgb[..., 1], rgb[:2, :, 2]), {}),
        (rgb, {"mask": np.ones((4, 5))}),
        (rgb, {"alpha": np.ones((5, 4))}),
        (rgb, {"premultiplied": True}),
    ):
        with pytest.raises(InputError):
            apply_field(bad, half_stop(), origin=(0, 0), kernels=kernels, **extra)
    with pytest.raises(InputError):
        apply_stops(rgb, np.zeros((4, 3, 3), np.float32), kernels=kernels)


@pytest.mark.parametrize("kernels", IMPLEMENTATIONS)
def test_memory_stays_within_the_stated_bound(kernels):
    """An 8K wide picture is relit with at most WORKING_BYTES beyond input and output."""
    rgb = np.full((96, 8192, 3), 0.5, np.float16)
    mask, alpha = np.ones((2, 96, 8192), np.float32)
    field = lighting.field(3, "cgm").scaled(0.5)
    asked = {"origin": (0, 0), "mask": mask, "alpha": alpha, "premultiplied": True, "kernels": kernels}
    apply_field(rgb[:4], field, **{**asked, "mask": mask[:4], "alpha": alpha[:4]})
    tracemalloc.start()
    try:
        apply_field(rgb, field, **asked)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak - rgb.nbytes < WORKING_BYTES


def test_the_input_is_not_modified():
    """The plate stays as it was."""
    rgb = lighting.picture(9, 5, 5, np.float32)
    before = rgb.copy()
    apply_field(rgb, half_stop(), origin=(0, 0))
    assert (bits(rgb) == bits(before)).all()
