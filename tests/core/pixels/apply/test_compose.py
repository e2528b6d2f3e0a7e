"""C(F, B, M): exact at both ends, right in between, windows of any two sizes."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import lighting
from fakes.lighting import bits
from harmovid.errors import InputError
from harmovid.pixels.apply.compose import Layer, compose, union
from hypothesis import given, settings
from hypothesis import strategies as st

corners = st.integers(-6, 6)
windows = st.tuples(corners, corners, st.integers(1, 9), st.integers(1, 9)).map(
    lambda box: (box[0], box[1], box[0] + box[2], box[1] + box[3])
)


def layer(seed, window, dtype=np.float16):
    """A layer of odd pixels that fills `window`."""
    rgb = lighting.picture(seed, window[3] - window[1], window[2] - window[0], dtype)
    return Layer(tuple(np.ascontiguousarray(rgb[..., k]) for k in range(3)), window)


def at(planes, window, part):
    """The pixels of `part`, `(h, w, channels)`."""
    rows, columns = (
        slice(part[1] - window[1], part[3] - window[1]),
        slice(part[0] - window[0], part[2] - window[0]),
    )
    return np.stack([plane[rows, columns] for plane in planes], axis=-1)


@settings(max_examples=60, deadline=None)
@given(lighting.seeds, windows, windows, lighting.dtypes, st.booleans())
def test_ends_are_bit_identical_in_any_windows(seed, front_window, back_window, dtype, premultiplied):
    """Where M is 0 the result is B (0 outside its window), where M is 1 it is F, to the bit.

    Of a premultiplied foreground where F is 0 as well: what it holds beside its matte is light.
    """
    front, back = layer(seed, front_window, dtype), layer(seed + 1, back_window, dtype)
    matte = np.random.default_rng(seed).choice([0.0, 0.25, 1.0], front.planes[0].shape).astype(dtype)
    if premultiplied:
        front = Layer(tuple(np.where(matte > 0, plane, dtype(0)) for plane in front.planes), front_window)
    done = compose(front, back, matte, premultiplied=premultiplied)
    assert done.window == union(front_window, back_window)
    got_front = at(done.planes, done.window, front_window)
    assert (bits(got_front[matte == 1]) == bits(np.stack(front.planes, -1)[matte == 1])).all()
    want = np.zeros((*done.planes[0].shape, 3), dtype)
    at_back = at(np.moveaxis(want, -1, 0), done.window, back_window).shape
    assert at_back == (*back.planes[0].shape, 3)
    x, y = back_window[0] - done.window[0], back_window[1] - done.window[1]
    want[y : y + at_back[0], x : x + at_back[1]] = np.stack(back.planes, -1)
    untouched = np.ones(done.planes[0].shape, bool)
    x, y = front_window[0] - done.window[0], front_window[1] - done.window[1]
    untouched[y : y + matte.shape[0], x : x + matte.shape[1]] = matte == 0
    assert (bits(np.stack(done.planes, -1)[untouched]) == bits(want[untouched])).all()


@settings(max_examples=60, deadline=None)
@given(lighting.seeds, lighting.dtypes, st.sampled_from([0.0, -0.0, -0.5]))
def test_light_beside_the_matte_is_added(seed, dtype, cover):
    """F + (1 - M) B where a premultiplied F has light and M is 0 or less (then as 0); NaN and infinity stay out."""
    window = (0, 0, 7, 5)
    front, back = layer(seed, window, dtype), layer(seed + 1, window, dtype)
    done = compose(front, back, np.full((5, 7), cover, dtype), premultiplied=True)
    for got, light, below in zip(done.planes, front.planes, back.planes):
        with np.errstate(over="ignore", invalid="ignore"):
            added = (light.astype(np.float32) + below.astype(np.float32)).astype(dtype)
        largest = np.finfo(dtype).max
        added = np.where(np.isinf(added) & np.isfinite(below), np.copysign(largest, added), added)
        want = np.where(np.isfinite(light) & (light != 0), added, below)
        finite = np.isfinite(below)
        assert (got[finite] == want[finite]).all()
        dark = (light == 0) | ~np.isfinite(light)
        assert (bits(got[dark]) == bits(below[dark])).all()


def test_an_unassociated_foreground_adds_nothing_beside_its_matte():
    """Colours that are not multiplied mean nothing where M is 0: B comes back; so it does where M is NaN."""
    window = (0, 0, 2, 1)
    front, back = Layer((np.float32([[8.0, 8.0]]),), window), Layer((np.float32([[2.0, 2.0]]),), window)
    straight = compose(front, back, np.float32([[0.0, np.nan]]), premultiplied=False)
    assert straight.planes[0].tolist() == [[2.0, 2.0]]
    assert compose(front, back, np.float32([[0.0, np.nan]]), premultiplied=True).planes[0].tolist() == [
        [10.0, 2.0]
    ]


def test_soft_pixels_follow_the_formulas():
    """A quarter matte takes a quarter of an unassociated foreground, all of a premultiplied one."""
    window = (0, 0, 1, 1)
    front, back = Layer((np.float32([[8.0]]),), window), Layer((np.float32([[2.0]]),), window)
    quarter = np.float32([[0.25]])
    assert compose(front, back, quarter, premultiplied=False).planes[0].item() == 3.5
    assert compose(front, back, quarter, premultiplied=True).planes[0].item() == 9.5


@settings(max_examples=20, deadline=None)
@given(lighting.seeds)
def test_premultiplied_and_unassociated_agree(seed):
    """Multiplying the foreground by its matte first and saying so gives the same picture."""
    rng = np.random.default_rng(seed)
    front, back, matte = rng.uniform(0, 4, (3, 5, 6)).astype(np.float32)
    matte = np.clip(matte - 1, 0, 1)
    window = (0, 0, 6, 5)
    below = Layer((back,), window)
    straight = compose(Layer((front,), window), below, matte, premultiplied=False)
    multiplied = compose(Layer((front * matte,), window), below, matte, premultiplied=True)
    assert np.allclose(straight.planes[0], multiplied.planes[0], rtol=1e-6, atol=1e-6)


def test_alpha_goes_through_like_any_channel():
    """Alpha over alpha is a + (1 - a) b, in the union of the windows."""
    alpha = np.float16([[0.5, 1.0, 0.0]])
    done = compose(
        Layer((alpha,), (0, 0, 3, 1)), Layer((np.float16([[0.5]]),), (0, 0, 1, 1)), alpha, premultiplied=True
    )
    assert done.planes[0].tolist() == [[0.75, 1.0, 0.0]]


def test_pixel_types_are_promoted_per_channel_and_overflow_is_counted():
    """half over half stays half and clamps at 65504; float32 in either layer gives float32."""
    window, half = (0, 0, 1, 1), np.float16([[0.5]])
    big = np.float16([[60000]])
    done = compose(
        Layer((big, big), window), Layer((big, big.astype(np.float32)), window), half, premultiplied=True
    )
    assert [plane.dtype for plane in done.planes] == [np.float16, np.float32]
    assert done.planes[0].item() == 65504
    assert done.planes[1].item() == np.float32(big.item()) * 1.5
    assert done.clamped_values == 1


def test_nan_matte_is_no_matte_and_nan_colour_passes():
    """NaN in the matte leaves the background; NaN in a colour with a soft matte is not hidden."""
    window = (0, 0, 2, 1)
    front, back = Layer((np.float32([[1, np.nan]]),), window), Layer((np.float32([[5, 5]]),), window)
    done = compose(front, back, np.float32([[np.nan, 0.5]]), premultiplied=False)
    assert done.planes[0][0, 0] == 5
    assert np.isnan(done.planes[0][0, 1])


def test_unfitting_layers_are_refused():
    """Windows that channels do not fill, other pixel types, other channel counts, another matte size."""
    plane, window = np.zeros((2, 3), np.float32), (0, 0, 3, 2)
    good = Layer((plane,), window)
    with pytest.raises(InputError):
        Layer((plane,), (0, 0, 2, 3))
    with pytest.raises(InputError):
        Layer((plane.astype(np.uint32),), window)
    with pytest.raises(InputError):
        compose(good, Layer((plane, plane), window), plane, premultiplied=True)
    with pytest.raises(InputError):
        compose(good, good, plane.T, premultiplied=True)
