"""The source plate: what is alike in both plates says how the light differs, and the rest is left to the network."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from fakes.sessions import run, run_restored
from harmovid.errors import OptionError
from harmovid.pixels.apply.tiles import field_stops
from harmovid_server.engines import load
from harmovid_server.engines.base import Answer, ProxyFrame, ShotInfo
from harmovid_server.engines.harmonize import VARIANTS
from harmovid_server.engines.harmonize.source import DOUBT_PAIRS, share_of
from harmovid_server.runtimes.base import RuntimeSettings

NUMBERS = tuple(range(1001, 1041))
LOOK = np.float32([0.5, 1.0, 2.0]) * 2
"""A look that a foreground and its own plate share, as a gain per channel."""


@pytest.fixture(scope="module")
def engine() -> Any:
    """Return the engine with its shipped weights."""
    (made,) = load(["harmonize"])
    made.activate(RuntimeSettings())
    return made


def scene(seed: int) -> np.ndarray:
    """Return a place `(96, 128, 3)` with large shapes and small ones, about mid grey."""
    noise = np.random.default_rng(seed).normal(0, 1, (96, 128, 3))
    return (
        0.18 * np.exp2(sum(1.2 * size * cv2.GaussianBlur(noise, (0, 0), size) for size in (1, 4, 12)))
    ).astype(np.float32)


def frame(number: int, source: np.ndarray, gain: Any = LOOK, place: int = 1) -> ProxyFrame:
    """Return a subject from `scene(2)` under a look, over `scene(place)`, with this source plate."""
    matte = np.zeros((96, 128), np.float32)
    matte[40:80, 50:80] = 1
    plate, subject = scene(place), (scene(2) * gain).astype(np.float32)
    return ProxyFrame(
        number, {"fg": subject, "bg": plate, "source_plate": source}, {"matte": matte}, (0, 0, 128, 96)
    )


def start(engine: Any, *more: str, **options: Any) -> Any:
    """Return a session with a source plate."""
    layers = ("fg", "bg", "matte", "source_plate", *more)
    return engine.start(ShotInfo(NUMBERS, engine.info.check_options(options), layers))


def mean_stops(answer: Answer, shown: ProxyFrame) -> np.ndarray:
    """Return the mean stops `(3,)` over the subject."""
    found: np.ndarray = field_stops(shown.images["fg"], answer.field, origin=(0, 0))[
        shown.mattes["matte"] > 0
    ]
    return found.mean(axis=0)


def test_a_look_that_the_source_plate_shares_is_undone(engine: Any) -> None:
    """The answer is within a quarter of a stop of the look's inverse in every channel; without the plate it is not."""
    shown = frame(1001, scene(1) * LOOK)
    answer = run(start(engine), [shown])[0]
    alone = run(start(engine), [frame(1001, np.zeros((96, 128, 3), np.float32))])[0]

    assert np.abs(mean_stops(answer, shown) + np.log2(LOOK)).max() < 0.25
    assert np.abs(mean_stops(alone, shown) + np.log2(LOOK)).max() > 0.5
    assert answer.report["source_share"] > 0.7
    assert answer.report["source_spread_stops"] < 0.1


def test_contrast_is_measured_as_well(engine: Any) -> None:
    """A look with more contrast is undone in bright and in dark pixels alike."""

    def hard(linear: np.ndarray) -> np.ndarray:
        return np.asarray(0.18 * (linear / np.float32(0.18)) ** np.float32(1.3))

    shown = frame(1001, hard(scene(1)))
    shown.images["fg"][:] = hard(scene(2))
    answer = run(start(engine), [shown])[0]
    inside = shown.mattes["matte"] > 0
    stops = field_stops(shown.images["fg"], answer.field, origin=(0, 0))[inside].mean(axis=1)
    wanted = np.log2(scene(2) / shown.images["fg"])[inside].mean(axis=1)

    assert np.abs(stops - wanted).mean() < 0.4 * np.abs(wanted).mean()


@pytest.mark.parametrize("kind", ["green screen", "black", "a clear sky"])
def test_where_nothing_is_alike_the_network_answers(engine: Any, kind: str) -> None:
    """A flat, black or featureless source plate moves the answer by less than a twentieth of a stop."""
    green = np.full((96, 128, 3), 0.18, np.float32) * np.float32([0.2, 1.0, 0.2])
    sky = green * np.linspace(0.5, 4, 96, dtype=np.float32)[:, None, None] * np.float32([2.0, 1.0, 20.0])
    source = {"green screen": green, "black": green * 0, "a clear sky": sky}[kind]
    shown = frame(1001, source)
    answer = run(start(engine), [shown])[0]
    alone = run(start(engine), [frame(1001, green * 0)])[0]

    assert answer.report["source_share"] < 0.1
    assert np.abs(mean_stops(answer, shown) - mean_stops(alone, shown)).max() < 0.05


def test_the_subject_in_the_source_plate_does_not_count(engine: Any) -> None:
    """The answer moves by less than a tenth of a stop if the source plate shows a bright subject at its own place."""
    clean, dirty = scene(1) * LOOK, scene(1) * LOOK
    dirty[42:78, 52:78] = 30.0
    answers = [run(start(engine), [frame(1001, source)])[0] for source in (clean, dirty)]

    assert (
        np.abs(mean_stops(answers[0], frame(1001, clean)) - mean_stops(answers[1], frame(1001, clean))).max()
        < 0.1
    )


def test_a_restored_session_answers_the_same_bits(engine: Any) -> None:
    """Saved and restored while frames wait, and later, a session gives the same answers and the same report."""
    frames = [
        frame(number, scene(1) * LOOK * np.float32(1 + i / 50)) for i, number in enumerate(NUMBERS[:19])
    ]
    whole = run(start(engine), frames)
    for cut in (3, 18):
        answers = run_restored(lambda: start(engine), frames, cut)
        assert [a.field.to_bytes() for a in answers] == [a.field.to_bytes() for a in whole]
        assert [a.report for a in answers] == [a.report for a in whole]


def test_a_cut_starts_the_comparison_anew(engine: Any) -> None:
    """Two scenes in one job are answered as two jobs would be, to the bit."""
    first = [frame(number, scene(1) * LOOK) for number in NUMBERS[:3]]
    second = [frame(number, scene(5)[:, ::-1] / LOOK, 1 / LOOK, place=5) for number in NUMBERS[3:6]]
    whole = run(start(engine), first + second)
    apart = run(start(engine), first) + run(start(engine), second)

    assert whole[3].report.get("cut")
    assert [a.field.to_bytes() for a in whole] == [a.field.to_bytes() for a in apart]


def test_a_bolder_variant_never_believes_the_source_plate_less() -> None:
    """The share grows with the number of pairs and with the variant's boldness, and falls with their spread."""
    assert list(DOUBT_PAIRS) == list(VARIANTS)
    for pairs, spread in ((0.0, 0.0), (1.0, 0.5), (30.0, 0.1)):
        shares = [share_of(pairs, spread, variant) for variant in VARIANTS]
        assert shares == sorted(shares)
        assert 0 <= shares[0] <= share_of(pairs + 1, spread, "cautious") < 1
        assert share_of(pairs, spread + 1, "bold") <= shares[-1]


def test_known_light_refuses_a_source_plate(engine: Any) -> None:
    """With panoramas a source plate is refused, because it would not be used."""
    with pytest.raises(OptionError, match="source plate"):
        start(engine, "light_to", "light_from")
