"""Holding a level: overlapping windows, frames that wait for their reference, a restored state; trims as text."""

from __future__ import annotations

import re

import numpy as np
import pytest
from harmovid.errors import OptionError
from harmovid_server.engines.deflicker.corrections import Correction
from harmovid_server.engines.deflicker.level import FORM, ReferenceLevel, Waiting, parse_trims
from harmovid_server.engines.deflicker.window import Amounts
from server.engines.deflicker.samples import scene, window_of


def amounts(hold: float = 1.0, reference: int | None = None) -> Amounts:
    """Return options of a held level."""
    return Amounts(1.0, 1.0, 1.0, 0, "auto", hold, reference)


def block(gains: list[float], first: int = 0) -> Waiting:
    """Return a block of frames whose slow light changes by `gains` stops: what has to be added to be even."""
    count = len(gains)
    trajectories = np.zeros((count, 2, 10, 3))
    trajectories[:, :, 0] = np.array(gains)[:, None, None]
    frames = window_of(first + count, [])[first:]
    return Waiting(frames, Correction(np.zeros((count, 10, 3)), {}, trajectories), {}, scene()[0])


def gains_of(answers: list) -> list[float]:
    """Return the stops by which each answer's curve brightens; 0 where it has none."""
    return [
        round(float(each.field.parts[0].coeffs[0][0]) if each.field.parts else 0.0, 3) for each in answers
    ]


def test_windows_are_put_on_one_another_by_the_frames_they_share() -> None:
    """A constant that a later window adds to all of its frames is taken off again."""
    level = ReferenceLevel(amounts(), {})
    whole = np.random.default_rng(0).normal(0, 1, (10, 2, 10, 3))
    first = level.aligned(0, whole[:6])
    second = level.aligned(4, whole[4:] + 0.7)

    np.testing.assert_array_equal(first, whole[:6])
    np.testing.assert_allclose(second, whole[4:], atol=1e-12)


def test_frames_before_the_reference_wait_for_it() -> None:
    """Nothing is answered until frame 1004 has been seen; it stays as it is, all others are brought to it."""
    level = ReferenceLevel(amounts(reference=1004), {})

    assert level.answers(block([0.0, -0.1])) == []
    answers = level.answers(block([0.2, 0.5], first=2))
    assert [each.number for each in answers] == [1001, 1002, 1003, 1004]
    assert gains_of(answers) == pytest.approx([-0.5, -0.6, -0.3, 0.0], abs=0.01)
    assert {each.report["level"] for each in answers} == {"frame 1004"}


def test_without_a_reference_the_first_frame_gives_the_level() -> None:
    """The same where the reference is not in the segment; trims come on top."""
    for reference in (None, 500):
        level = ReferenceLevel(amounts(reference=reference), {1002: 0.25})
        answers = level.answers(block([0.1, 0.4])) + level.finish()
        assert gains_of(answers) == pytest.approx([0.0, 0.55], abs=0.01)
        assert answers[0].report["level"] == "start of the shot"


def test_half_of_the_slow_change_can_be_held() -> None:
    """The share is a share of the change."""
    level = ReferenceLevel(amounts(hold=0.5), {})
    assert gains_of(level.answers(block([0.0, 0.4])) + level.finish()) == pytest.approx([0.0, 0.2], abs=0.01)


def test_waiting_frames_survive_a_restart() -> None:
    """A state that was saved and restored gives the same answers."""
    level, again = (ReferenceLevel(amounts(reference=1004), {}) for _ in range(2))
    level.answers(block([0.0, -0.1]))
    again.restore(level.state())

    one, other = (each.answers(block([0.2, 0.5], first=2)) for each in (level, again))
    assert gains_of(one) == gains_of(other)
    assert [each.number for each in other] == [1001, 1002, 1003, 1004]


@pytest.mark.parametrize(
    "text",
    ["", "  ", "1001:+0.2", "1001:0.2, 1010-1014:-0.05", " 7 : 8 ", "1:8.00,2:-7.999", "1:007", "5:.5", "1:9", "1:8.1",
     "x", "1:", "1001:+0.2,", ",", "1-:2", "1:1:1", "1001 1002:1", "-5:1"],
)  # fmt: skip
def test_the_form_takes_what_is_read(text: str) -> None:
    """The regular expression in the description and the reader agree on every text."""
    try:
        parse_trims(text)
        readable = True
    except OptionError:
        readable = False
    assert bool(re.fullmatch(FORM, text)) == readable
