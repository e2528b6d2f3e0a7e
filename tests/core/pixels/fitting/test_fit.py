"""Fitting a field to a pair of proxies: its accuracy, and its robustness against unusual pictures."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import lighting, relit
from harmovid.errors import InputError
from harmovid.pixels.apply.fast import apply_field, field_stops
from harmovid.pixels.field import Curve, GainMap, Grid, LightingField
from harmovid.pixels.fitting.fit import fit_field, measurable
from hypothesis import given, settings
from hypothesis import strategies as st

HEIGHT, WIDTH, LINES = 540, 960, 240
BOX = (0, 0, WIDTH, HEIGHT)

# PSNR in view space, PSNR on silhouettes, share of fine texture kept: bounds half a dB below the values reached.
FLOORS = {
    ("global", "exact"): (56.2, 51.8, 0.97),
    ("global", "8-bit"): (53.1, 51.4, 0.96),
    ("global", "generative"): (41.5, 40.2, 0.92),
    ("local", "exact"): (64.9, 58.8, 0.98),
    ("local", "8-bit"): (52.3, 57.5, 0.95),
    ("local", "generative"): (40.2, 39.0, 0.90),
    ("shadow", "exact"): (50.4, 47.6, 0.95),
    ("shadow", "8-bit"): (50.4, 47.9, 0.95),
    ("shadow", "generative"): (35.1, 34.5, 0.88),
}


@pytest.fixture(scope="module")
def scene():
    """The textured plate and its proxy."""
    made = relit.scene(HEIGHT, WIDTH)
    return made, relit.shrink(made.plate, LINES)


@pytest.mark.parametrize(("light", "kind"), FLOORS)
def test_field_carries_the_light_and_keeps_the_texture(scene, light, kind):
    """For each light and kind of proxy the relit plate is as near to truth as stated, and beats pasting."""
    made, small = scene
    truth = relit.relight(made.plate, light)
    answer = relit.proxy(truth, LINES, kind)
    field = fit_field(small, answer, box=BOX, trusted=kind != "generative")
    out, _ = apply_field(made.plate, field, origin=(0, 0))
    reached = (relit.psnr(out, truth), relit.psnr(out, truth, made.edges), relit.texture_kept(out, truth))
    assert all(have >= floor for have, floor in zip(reached, FLOORS[light, kind])), reached
    assert reached[2] < 1.03
    pasted = relit.enlarge(answer, HEIGHT, WIDTH)
    assert reached[0] > relit.psnr(pasted, truth) + 6
    assert reached[1] > relit.psnr(pasted, truth, made.edges) + 13


@pytest.mark.parametrize("trusted", [True, False])
def test_no_change_fits_no_change(scene, trusted):
    """A result equal to the plate gives stops of exactly 0, so the plate comes back bit-identical."""
    made, small = scene
    field = fit_field(small, small, box=BOX, trusted=trusted)
    out, report = apply_field(made.plate, field, origin=(0, 0))
    assert (lighting.bits(out) == lighting.bits(made.plate)).all()
    assert report.changed_pixels == 0


def test_a_gain_fits_one_curve(scene):
    """The same stops everywhere need no grid and no map, and come back to a thousandth of a stop."""
    _, small = scene
    stops = np.array([0.5, -0.25, 1.0], np.float32)
    field = fit_field(small, small * np.exp2(stops), box=BOX)
    assert [type(part) for part in field.parts] == [Curve]
    assert np.abs(field_stops(small, field, origin=(0, 0)) - stops).max() < 1e-3


def test_a_curve_is_found_through_local_light(scene):
    """The slopes of a curve are right although a lamp beside some objects changes the picture as well."""
    _, small = scene
    slopes = np.diag([0.15, 0.0, -0.15])
    coeffs = np.concatenate([np.zeros((3, 1)), slopes, np.zeros((3, 6))], axis=1)
    bent = LightingField((Curve(coeffs), GainMap(np.linspace(-1, 1, 12).reshape(1, 4, 3), (0, 0, 427, 240))))
    result, _ = apply_field(small, bent, origin=(0, 0))
    curve = fit_field(small, result, box=BOX).parts[0]
    middle = np.log2(0.18 / curve.anchor)
    # The linear terms alone depend on where the quadratic is looked at; compare stops across the seen range.
    for level in (-3.0, 3.0):
        x = np.full(3, level + middle)
        terms = np.concatenate([[1], x, x * x, x * np.roll(x, -1)])
        base = np.concatenate([[1], np.zeros(9)])
        assert np.allclose(curve.coeffs @ (terms - base), slopes @ x, atol=0.08)


def test_only_the_matte_is_fitted(scene):
    """What the result shows outside the weights does not reach the field inside."""
    _, small = scene
    weights = np.zeros(small.shape[:2], np.float32)
    weights[60:200, 40:220] = 1
    truth = small * np.float32(1.5)
    garbage = np.where(weights[..., None] > 0, truth, np.random.default_rng(0).uniform(0, 8, small.shape))
    field = fit_field(small, garbage.astype(np.float32), box=(0, 0, 427, 240), weights=weights)
    stops = field_stops(small, field, origin=(0, 0))[weights > 0]
    assert np.abs(stops - np.log2(1.5)).max() < 0.02


def test_odd_pixels_are_left_out(scene):
    """NaN, infinity, zero and negative pixels, in either picture, and 3 % outliers change next to nothing."""
    _, small = scene
    rng = np.random.default_rng(4)
    result = small * np.float32(2)
    plate = small.copy()
    for picture in (plate, result):
        where = rng.random(small.shape) < 0.01
        picture[where] = rng.choice(np.array([np.nan, np.inf, -np.inf, 0, -1], np.float32), int(where.sum()))
    where = rng.random(small.shape[:2]) < 0.03
    result[where] *= np.float32(30)
    field = fit_field(plate, result, box=(0, 0, 427, 240), trusted=False)
    stops = field_stops(small, field, origin=(0, 0))
    assert np.abs(stops - 1).mean() < 0.03


def test_brighter_than_seen_follows_the_top_of_the_curve(scene):
    """A plate value far above everything in the proxy gets the stops of the top of the seen range."""
    _, small = scene
    dim = np.minimum(small, 1.0)
    result = np.exp2(np.log2(dim) * 0.8).astype(np.float32)
    field = fit_field(dim, result, box=BOX, trusted=False)
    stops = field_stops(np.array([[[1.0] * 3, [8.0] * 3, [1e4] * 3]], np.float32), field, origin=(400, 200))[
        0
    ]
    assert np.abs(stops[1:] - stops[0]).max() < 0.05
    assert np.abs(stops).max() < 0.2


def test_unseen_cells_stay_at_zero():
    """The grid does nothing to colours at places that the pair never showed."""
    rng = np.random.default_rng(1)
    plate = np.exp2(rng.normal(-3, 0.5, (60, 80, 3))).astype(np.float32)
    plate[:, 40:] = np.exp2(rng.normal(2, 0.5, (60, 40, 3)))
    ramp = np.linspace(-1, 1, 60)[:, None, None].astype(np.float32)
    field = fit_field(plate, plate * np.exp2(ramp), box=(0, 0, 80, 60), trusted=False)
    (grid,) = [part for part in field.parts if isinstance(part, Grid)]
    far_left, far_right = grid.stops[:, :6], grid.stops[:, -6:]
    assert np.abs(far_left[:, :, -1]).max() < 0.1 * np.abs(far_left).max()
    assert np.abs(far_right[:, :, 0]).max() < 0.1 * np.abs(far_right).max()


@settings(max_examples=25, deadline=None)
@given(lighting.seeds, st.tuples(st.integers(1, 12), st.integers(1, 12)), st.booleans())
def test_any_size_and_any_pixels_give_a_finite_field(seed, size, trusted):
    """From 1 x 1 upward, with every odd value there is, a field comes back that can be saved and applied."""
    plate, result = lighting.picture(seed, *size, np.float32), lighting.picture(seed + 1, *size, np.float32)
    field = fit_field(plate, result, box=(0, 0, size[1], size[0]), trusted=trusted)
    out, _ = apply_field(plate, LightingField.from_bytes(field.to_bytes()), origin=(0, 0))
    assert np.isfinite(out[np.isfinite(plate).all(axis=2)]).all()


def test_nothing_to_measure_is_null(scene):
    """Empty weights, black or broken pictures give the null field."""
    _, small = scene
    empty = np.zeros(small.shape[:2], np.float32)
    assert fit_field(small, small * 2, box=BOX, weights=empty).is_null
    assert fit_field(small, small * 0, box=BOX).is_null
    assert fit_field(small * np.float32(np.nan), small, box=BOX).is_null


def test_edges_and_darkness_are_believed_less():
    """Weights fall on steps and in the dark, and are 0 where nothing can be measured."""
    plate = np.full((5, 8, 3), 0.5, np.float32)
    plate[:, 4:] = 4.0
    plate[0, 0] = 0.001
    plate[4, 7] = np.nan
    trust = measurable(plate, plate, np.ones((5, 8)))
    assert trust[2, 3] < 0.1 * trust[2, 1]
    assert trust[0, 0] < 0.01 * trust[2, 1]
    assert trust[4, 7] == 0


def test_unfitting_pairs_are_refused():
    """Different sizes, missing channels and weights of another size raise InputError."""
    picture = np.ones((4, 5, 3), np.float32)
    for plate, result, weights in (
        (picture, picture[:3], None),
        (picture[..., :2], picture[..., :2], None),
        (picture, picture, np.ones((5, 4))),
    ):
        with pytest.raises(InputError):
            fit_field(plate, result, box=BOX, weights=weights)
