"""A window of frames: its flicker, how much of it is trusted, and the report of the decision."""

from __future__ import annotations

import numpy as np
import pytest
from harmovid_server.engines.deflicker import window
from harmovid_server.engines.deflicker.colour_terms import terms
from harmovid_server.engines.deflicker.window import Amounts, before, flicker, gate, solved, weighed
from server.engines.deflicker.samples import flickering, links_of, scene, through, window_of

COUNT = 16
INNER = (0, COUNT)
ALL = Amounts(luma=1.0, chroma=1.0, local=1.0, radius_frames=0, mode="auto")


def said(curves: np.ndarray, amounts: Amounts = ALL) -> window.Solved:
    """Return the result of a window whose light was changed by `curves`."""
    return solved(window_of(COUNT, links_of(COUNT, through(curves), noise_stops=0.01)), INNER, amounts, 0.0)


def corrected(curves: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Return the scene's colours `(frames, n, 3)`, changed by `curves` and then by `found`."""
    colours, _ = scene()
    frames = [colours + terms(colours) @ each for each in curves]
    return np.stack([frame + terms(frame) @ each for frame, each in zip(frames, found)])


def test_flicker_is_taken_out_and_named() -> None:
    """Nine tenths and more of white flicker goes, and the report says how much it was."""
    curves = flickering(COUNT, (0.3, 0.05))
    answer = said(curves)

    assert flicker(corrected(curves, answer.found.curves)) < 0.1 * flicker(corrected(curves, curves * 0))
    assert answer.report["decision"] == "corrected"
    assert answer.report["mode"].startswith("auto: exposure and colour")
    assert answer.report["global_stops"] == pytest.approx(flicker(corrected(curves, curves * 0)), rel=0.1)


def test_a_steady_shot_is_left_alone_to_the_last_bit() -> None:
    """Noise alone is no flicker: all corrections are exactly none, and the report says why."""
    answer = said(np.zeros((COUNT, 10, 3)))

    assert not answer.found.curves.any()
    assert not any(one.any() for one in answer.found.maps.values())
    assert answer.report["decision"] == "nothing"
    assert "no flicker found" in answer.report["reason"]


def test_frames_without_matches_have_nothing_to_compare_with() -> None:
    """A window of unrelated frames gets no correction, and the report says so."""
    answer = solved(window_of(COUNT, []), INNER, ALL, 0.0)

    assert not answer.found.curves.any()
    assert answer.report["reason"] == window.NOTHING_TO_COMPARE


def test_frames_without_corresponding_points_are_left_alone() -> None:
    """Where two frames fit far worse than the rest, as in a dissolve, they and their neighbours get no correction."""
    curves, rng = flickering(COUNT, (0.3, 0.05)), np.random.default_rng(7)

    def seen(t: int, colours: np.ndarray, places: np.ndarray) -> np.ndarray:
        plain = through(curves)(t, colours, places)
        return plain + rng.normal(0, 0.4, colours.shape) if t in (7, 8) else plain

    answer = solved(window_of(COUNT, links_of(COUNT, seen, 0.01)), INNER, ALL, 0.0)
    sizes = np.abs(answer.found.curves).max(axis=(1, 2))
    assert not sizes[5:11].any()
    assert sizes[:4].min() > 0 < sizes[12:].min()


def test_luma_and_chroma_are_two_amounts() -> None:
    """With chroma 0 all channels are corrected alike; with luma 0 their mean is not touched."""
    curves = flickering(COUNT, (0.3,))
    of_luma = said(curves, Amounts(1.0, 0.0, 1.0, 0, "auto")).found.curves
    of_chroma = said(curves, Amounts(0.0, 1.0, 1.0, 0, "auto")).found.curves

    assert np.ptp(of_luma, axis=2).max() < 1e-9 < np.abs(of_luma).max()
    assert np.abs(of_chroma.mean(axis=2)).max() < 1e-9 < np.abs(of_chroma).max()
    np.testing.assert_allclose(of_luma + of_chroma, said(curves).found.curves, atol=1e-9)
    np.testing.assert_array_equal(weighed(of_luma, 0.0, 1.0), of_luma - of_luma)


def test_only_what_the_mode_names_is_looked_for() -> None:
    """A lamp on one side is local light to `auto`, and left alone by `exposure`."""
    sizes = np.random.default_rng(5).normal(0, 0.5, COUNT)
    links = links_of(COUNT, lambda t, colours, at: colours + sizes[t] * np.cos(np.pi * at[:, :1]), 0.01)
    frames = window_of(COUNT, links)
    local = solved(frames, INNER, ALL, 0.0)
    exposure = solved(frames, INNER, Amounts(1.0, 1.0, 1.0, 0, "exposure"), 0.0)

    assert np.abs(local.found.maps["patches"]).max() > 0.2
    assert "local light" in local.report["mode"]
    assert not any(one.any() for one in exposure.found.maps.values())


def test_a_correction_before_a_slow_change_makes_the_whole_one() -> None:
    """`before` finds what, followed by the slow change, is the whole change: changes follow each other, none adds."""
    colours, _ = scene()
    slow, whole = np.zeros((1, 10, 3)), np.zeros((1, 10, 3))
    slow[0, 0], slow[0, 1] = 0.4, -0.1
    whole[0, 0], whole[0, 1] = 0.7, -0.05

    found = before(slow, whole, colours)
    first = colours + terms(colours) @ found[0]
    both = first + terms(first) @ slow[0]
    np.testing.assert_allclose(both, colours + terms(colours) @ whole[0], atol=0.01)
    assert np.abs(found - (whole - slow)).max() > 0.02  # a sum would be another answer


def test_a_slow_change_that_has_no_inverse_adds_nothing() -> None:
    """Where a slow change folds colours over each other, what goes before it stays near the flicker itself."""
    colours, _ = scene()
    slow, flickering_stops = np.zeros((1, 10, 3)), np.zeros((1, 10, 3))
    slow[0, 1], slow[0, 4], flickering_stops[0, 0] = -1.2, 0.3, 0.01

    found = before(slow, slow + flickering_stops, colours)
    assert np.abs(terms(colours) @ found[0]).max() < 0.02


@pytest.mark.parametrize(("kind", "limits"), window.GATES.items())
def test_evidence_opens_gates_gradually(kind: str, limits: tuple[float, float]) -> None:
    """Below the first size nothing is removed, from the second on all of it, between them a share."""
    low, high = limits
    assert (gate(kind, low), gate(kind, high), gate(kind, (low + high) / 2)) == (0.0, 1.0, pytest.approx(0.5))


def test_drift_is_no_flicker() -> None:
    """White flicker is measured at its standard deviation, a ramp at none."""
    noise = np.random.default_rng(1).normal(0, 0.1, (4000, 1))
    assert flicker(noise) == pytest.approx(0.1, rel=0.05)
    assert flicker(np.linspace(0, 2, 50)[:, None]) < 1e-12


def test_only_frames_that_count_have_flicker() -> None:
    """Frames that do not count, and those beside them, add nothing; if none count, all do."""
    traces = np.zeros((20, 5, 3))
    traces[10] = 1.0
    counted = np.ones(20, bool)
    counted[10] = False

    assert flicker(traces, counted) == 0
    assert flicker(traces, ~counted) == flicker(traces) > 0.2
