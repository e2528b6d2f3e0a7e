"""The statistics baseline: its measurements and amounts; it does not flicker, and refuses missing inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from harmovid.errors import EngineFailed, OptionError
from harmovid.pixels.apply.tiles import field_stops
from harmovid_server.engines import load
from harmovid_server.engines.base import ProxyFrame, ShotInfo
from harmovid_server.engines.statistics import LOOKAHEAD_FRAMES, measure
from harmovid_server.runtimes.base import RuntimeSettings

BOX = (0, 0, 48, 32)


def start(**options: float) -> Any:
    """Return a session of the engine with `options` over the defaults."""
    (engine,) = load(["harmonize-statistics"])
    engine.activate(RuntimeSettings())
    checked = engine.info.check_options(options)
    return engine.start(ShotInfo(tuple(range(1001, 1100)), checked, ("fg", "bg")))


def frame(number: int, fg_stops: float = 0.0, bg_stops: float = 2.0, matte: float = 1.0) -> ProxyFrame:
    """Return a textured grey foreground on the left half and a plate, both around 0.18 times 2^stops."""
    texture = np.exp2(np.random.default_rng(number).normal(0, 0.3, (32, 48, 1))) * np.ones(3)
    mask = np.zeros((32, 48), np.float32)
    mask[:, :24] = matte
    return ProxyFrame(
        number,
        {
            "fg": (0.18 * 2.0**fg_stops * texture).astype(np.float32),
            "bg": (0.18 * 2.0**bg_stops * texture * [1.2, 1.0, 0.8]).astype(np.float32),
        },
        {"matte": mask, "coverage": np.ones((32, 48), np.float32)},
        BOX,
    )


def grey_stops(field: Any) -> np.ndarray:
    """Return the stops that `field` gives to one pixel of middle grey: `(3,)`."""
    grey = np.full((1, 1, 3), 0.18, np.float32)
    return np.asarray(field_stops(grey, field, origin=(0, 0))).reshape(3)


def test_measure_reads_exposure_and_colour_in_stops() -> None:
    """A constant picture one stop over grey, red a stop over blue, measures as exactly that."""
    image = np.broadcast_to(np.float32([0.36 * 2**0.5, 0.36, 0.36 * 2**-0.5]), (4, 4, 3))

    stats = measure(image, np.ones((4, 4), np.float32))

    np.testing.assert_allclose(stats, [1.0, 0.0, 0.5, 0.0, -0.5], atol=1e-5)


def test_full_exposure_reaches_the_plate() -> None:
    """With exposure at 1 and nothing else, a grey foreground two stops under its plate comes up those stops."""
    session = start(exposure=1.0, colour=0.0, contrast=0.0)
    answers = [*session.push(frame(1001)), *session.finish()]

    expected = 2.0 + np.mean(np.log2([1.2, 1.0, 0.8]))

    np.testing.assert_allclose(grey_stops(answers[0].field), expected, atol=0.02)


def test_default_amounts_go_part_of_the_way() -> None:
    """At the defaults the answer is a third of the gap, not all of it: a baseline that does little harm."""
    session = start()
    answers = [*session.push(frame(1001)), *session.finish()]

    stops = grey_stops(answers[0].field).mean()

    assert 0.4 < stops < 0.8


def test_no_amounts_give_the_null_field() -> None:
    """With every amount at 0 the answer is the null field, which keeps pixels bit-identical."""
    session = start(exposure=0.0, colour=0.0, contrast=0.0)
    answers = [*session.push(frame(1001)), *session.finish()]

    assert answers[0].field.is_null


def test_every_frame_is_answered_once_in_order() -> None:
    """Forty frames pushed give forty answers, in order, the first of them after the lookahead."""
    session = start()
    numbers = list(range(1001, 1041))
    answered: list[int] = []
    for index, number in enumerate(numbers):
        answers = session.push(frame(number))
        assert bool(answers) == (index >= LOOKAHEAD_FRAMES)
        answered += [answer.number for answer in answers]
    answered += [answer.number for answer in session.finish()]

    assert answered == numbers


def test_field_hardly_moves_when_the_foreground_flickers() -> None:
    """A foreground that flickers by a stop moves the field by less than a twentieth of that from frame to frame."""
    session = start()
    fields = []
    for number in range(1001, 1061):
        fields += [a.field for a in session.push(frame(number, fg_stops=0.5 * (-1) ** number))]
    steps = np.abs(np.diff([grey_stops(field).mean() for field in fields]))

    assert steps.max() < 0.05


def test_nothing_to_measure_is_null_and_says_so() -> None:
    """Without a foreground the answer is null, with the reason in the report."""
    session = start()
    session.push(frame(1001, matte=0.0))
    (answer,) = session.finish()

    assert answer.field.is_null
    assert "no foreground" in answer.report["reason"]


def test_missing_matte_is_an_error_with_a_fix() -> None:
    """A foreground without alpha and without a matte is refused, saying what to give."""
    good = frame(1001)
    bare = ProxyFrame(1001, good.images, {"coverage": good.mattes["coverage"]}, BOX)

    with pytest.raises(EngineFailed, match="Give one"):
        start().push(bare)


@pytest.mark.parametrize("stop", [1, LOOKAHEAD_FRAMES - 1, LOOKAHEAD_FRAMES + 1, 30])
def test_restored_session_answers_as_the_undisturbed_one(stop: int) -> None:
    """A session saved and restored after any frame gives the fields that an undisturbed one gives."""
    numbers = range(1001, 1041)
    whole, first, second = start(), start(), start()
    expected = [a for n in numbers for a in whole.push(frame(n))] + list(whole.finish())
    got = [a for n in list(numbers)[:stop] for a in first.push(frame(n))]
    second.restore(first.state())
    got += [a for n in list(numbers)[stop:] for a in second.push(frame(n))] + list(second.finish())

    assert [a.number for a in got] == [a.number for a in expected]
    for mine, theirs in zip(got, expected):
        np.testing.assert_array_equal(grey_stops(mine.field), grey_stops(theirs.field))


def test_a_reference_frame_decides_alone() -> None:
    """With a reference frame the light of others is ignored, wherever it lies; one that is not there is refused."""
    session = start(exposure=1.0, colour=0.0, contrast=0.0, reference_frame=1003)
    pushed = [session.push(frame(number, 2.0 if number == 1003 else -1.0)) for number in range(1001, 1021)]
    given = [answer for answers in pushed for answer in answers]

    assert {tuple(grey_stops(answer.field)) for answer in given} == {tuple(grey_stops(given[0].field))}
    np.testing.assert_allclose(grey_stops(given[0].field), 0.0, atol=0.05)
    late = start(exposure=1.0, colour=0.0, contrast=0.0, reference_frame=1020)
    pushed = [late.push(frame(number, 2.0 if number == 1020 else -1.0)) for number in range(1001, 1021)]
    assert [len(answers) for answers in pushed] == [0] * 19 + [20]
    np.testing.assert_allclose(grey_stops(pushed[-1][0].field), 0.0, atol=0.05)
    with pytest.raises(OptionError, match="frame 1141 is not one"):
        start(reference_frame=1141)


def test_a_reference_frame_that_cannot_be_read_is_an_error() -> None:
    """Frames that wait for it do not come back unchanged."""
    session = start(reference_frame=1003)
    assert [session.push(frame(number, 0.0)) for number in (1001, 1002, 1004)] == [[], [], []]
    with pytest.raises(OptionError, match="1003 could not be read"):
        session.finish()
