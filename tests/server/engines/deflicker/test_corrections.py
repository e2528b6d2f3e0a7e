"""A window's corrections: joined without a step, answered as a lighting field."""

from __future__ import annotations

import numpy as np
from harmovid.pixels.apply.tiles import apply_field
from harmovid.pixels.field import MID_GREY, NULL
from harmovid_server.engines.deflicker.colour_terms import terms
from harmovid_server.engines.deflicker.corrections import Correction, answer
from server.engines.deflicker.samples import flickering, window_of

MAPS = {"bands": np.zeros((6, 5, 1, 3)), "patches": np.zeros((6, 3, 4, 3))}


def correction(value: float = 0.0, count: int = 6, shift: float = 0.0) -> Correction:
    """Return a gain of `value` stops for each of some frames."""
    curves = np.zeros((count, 10, 3))
    curves[:, 0] = value
    return Correction(curves, {kind: one[:count] for kind, one in MAPS.items()}, None, shift)


def test_blocks_are_faded_into_each_other() -> None:
    """Over the frames that two blocks share one goes over into the other in even steps."""
    faded = correction(1.0).crossfaded(correction(0.0, 3))
    np.testing.assert_allclose(faded.curves[:, 0, 0], [0.25, 0.5, 0.75, 1, 1, 1])


def test_a_part_is_a_slice_of_everything() -> None:
    """Curves and maps of the requested frames, in order."""
    whole = Correction(np.arange(180.0).reshape(6, 10, 3), MAPS, np.arange(360.0).reshape(6, 2, 10, 3))
    part = whole.part(2, 4)

    np.testing.assert_array_equal(part.curves, whole.curves[2:4])
    np.testing.assert_array_equal(part.trajectories, whole.trajectories[2:4])
    assert {kind: one.shape[0] for kind, one in part.maps.items()} == {"bands": 2, "patches": 2}


def test_an_answer_does_to_pixels_what_the_terms_say() -> None:
    """The field applied to a picture is the polynomial in log2, counted from the segment's own level."""
    (frame,) = window_of(1, [])
    found = correction(0.0, 1, shift=2.0)
    found.curves[0] = 0.2 * flickering(4, (1.0, 0.2, 0.1))[1]
    picture = (MID_GREY * np.exp2(np.random.default_rng(0).uniform(-2, 2, (48, 64, 3)))).astype(np.float32)

    given = answer(frame, found, 0, {"decision": "corrected"}, trim_stops=0.5)
    result, _ = apply_field(picture, given.field, origin=(0, 0))
    logs = np.log2(picture.astype(np.float64) / MID_GREY)
    expected = logs + terms(logs - 2.0) @ found.curves[0] + 0.5
    np.testing.assert_allclose(np.log2(result / MID_GREY), expected, atol=1e-4)
    assert given.report["cut"] is True
    assert given.report["decision"] == "corrected"


def test_nothing_is_the_null_field() -> None:
    """Where there is nothing to correct the field has no parts, and pixels are not touched."""
    (frame,) = window_of(1, [])
    assert answer(frame, correction(0.0, 1), 0, {}, 0.0).field is NULL
