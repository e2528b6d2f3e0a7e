"""The joint fit on samples of known light: it finds the light, and outliers do not disturb it."""

from __future__ import annotations

import numpy as np
import pytest
from harmovid_server.engines.deflicker import joint_fit
from harmovid_server.engines.deflicker.colour_terms import terms
from harmovid_server.engines.deflicker.joint_fit import Batch, Place, solve
from harmovid_server.engines.deflicker.local_gains import weighted_median
from harmovid_server.engines.deflicker.motion import Link, PairSamples, thinned
from server.engines.deflicker.samples import flickering, links_of, scene, through

COUNT = 16


def changed(curves: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Return colours `(frames, n, 3)` after each frame's coefficients."""
    return np.stack([colours + terms(colours) @ each for each in curves])


def left(found: np.ndarray, curves: np.ndarray) -> float:
    """Return the flicker left by `found`, root mean square in stops; what all frames share does not count."""
    colours, _ = scene(seed=0)
    corrected = np.stack(
        [frame + terms(frame) @ each for frame, each in zip(changed(curves, colours), found)]
    )
    return float(np.sqrt(((corrected - corrected.mean(axis=0)) ** 2).mean()))


def fitted(links: list[Link], place: Place = Place.NOTHING, order: int = 10) -> joint_fit.Fit:
    """Return the fit of a window of `COUNT` frames."""
    return solve(Batch.of(links, {}, COUNT, place, 4 / 3), 0, order)


def test_known_light_is_found() -> None:
    """Gain, contrast and colour of every frame come out of the matched samples within a thirtieth of their size."""
    curves = flickering(COUNT, (0.3, 0.05, 0.03))
    fit = fitted(links_of(COUNT, through(curves)))

    assert left(np.zeros_like(curves), curves) > 0.2
    assert left(fit.curves(fit.trajectories), curves) < 0.015
    assert fit.residual_stops == joint_fit.SMALLEST_SCALE_STOPS


def test_a_quarter_of_false_matches_is_outvoted() -> None:
    """Samples that show something else in the other frame (two stops off) do not move the answer."""
    curves = flickering(COUNT, (0.3, 0.05))
    links = links_of(COUNT, through(curves))
    rng = np.random.default_rng(9)
    for link in links:
        false = rng.random(len(link.samples.weight)) < 0.25
        link.samples.later[false] += 2.0

    fit = fitted(links)
    assert left(fit.curves(fit.trajectories), curves) < 0.02


def test_colour_is_found_where_brightness_is_uncertain() -> None:
    """Shading that moves over the picture hides changes of brightness, not those of colour: they come out exactly."""
    curves, rng = np.zeros((COUNT, 10, 3)), np.random.default_rng(8)
    curves[:, 0] = rng.normal(0, 0.05, (COUNT, 3))
    curves -= curves.mean(axis=0)
    phases = rng.uniform(0, 6, COUNT)

    def seen(t: int, colours: np.ndarray, places: np.ndarray) -> np.ndarray:
        return through(curves)(t, colours, places) + 0.2 * np.sin(4 * places[:, :1] + phases[t])

    fit = fitted(links_of(COUNT, seen))
    found = fit.curves(fit.trajectories)[:, 0] + curves[:, 0]
    assert np.diff(found, axis=1).std() < 0.05 * np.diff(curves[:, 0], axis=1).std()


@pytest.mark.parametrize(("place", "more_exact"), [(Place.LENS, True), (Place.NOTHING, False)])
def test_colour_is_more_exact_than_brightness_on_whole_pictures_only(place: Place, more_exact: bool) -> None:
    """Shading that differs from cell to cell: a whole picture's colour is known better than its brightness; that of a
    small region, which is fitted without spatial terms, is not."""
    batch = Batch.of(links_of(COUNT, through(np.zeros((COUNT, 10, 3)))), {}, COUNT, place, 4 / 3)
    shading = np.sin(batch.cell.astype(float))[..., None] * np.full(3, 0.3)
    share = batch.weight / batch.weight.sum(axis=1, keepdims=True)

    brightness, colour = joint_fit._variance(batch, shading, share).T
    assert np.all(colour < brightness / 4) if more_exact else np.all(colour == brightness)


def test_noise_does_not_flatten_the_contrast() -> None:
    """Where both frames are noisy, a steady shot's colours keep their spread: no frame's contrast is taken away."""
    fit = fitted(links_of(COUNT, through(np.zeros((COUNT, 10, 3))), noise_stops=0.1))
    colours, _ = scene(seed=0)
    corrected = changed(fit.curves(fit.trajectories), colours)

    spread = corrected.std(axis=1).mean() / colours.std(axis=0).mean()
    assert spread == pytest.approx(1.0, abs=0.01)
    assert left(fit.curves(fit.trajectories), np.zeros((COUNT, 10, 3))) < 0.02


def panned(stops_over_width: float) -> list[Link]:
    """Return links of a pan by a tenth of the width a frame, under a lens that darkens to the right."""
    colours, at = scene()
    weight = np.full(len(at), 1 / 0.04**2)
    links = []
    for t in range(1, COUNT):
        later_at = at - np.float32([0.1, 0])
        later, earlier = (colours - stops_over_width * places[:, :1] for places in (later_at, at))
        links.append(Link(t, t - 1, PairSamples(later, earlier, later_at, at, weight, 1.0)))
    return links


def test_a_lens_is_no_change_of_light() -> None:
    """What goes with the place in the picture is fitted beside the light, up to what a pan shares with a drift."""
    plain, lens = (fitted(panned(1.0), place) for place in (Place.NOTHING, Place.LENS))

    assert plain.residual_stops == lens.residual_stops == joint_fit.SMALLEST_SCALE_STOPS
    # A pan at constant speed under a linear fall-off cannot be distinguished from a steady drift; it has no flicker.
    for fit in (plain, lens):
        assert np.abs(np.diff(fit.curves(fit.trajectories)[:, 0], n=2, axis=0)).max() < 0.01


def test_waves_over_the_picture_take_light_that_is_not_everywhere() -> None:
    """A lamp that flickers on one side cannot be fitted by curves; with gain and waves little is left."""
    rng = np.random.default_rng(5)
    sizes = rng.normal(0, 0.4, COUNT)
    links = links_of(COUNT, lambda t, colours, at: colours + sizes[t] * np.cos(np.pi * at[:, :1]))

    curves, waves = fitted(links), fitted(links, Place.WAVES, order=1)
    assert waves.residual_stops < 0.5 * curves.residual_stops
    assert np.abs(waves.curves(waves.trajectories)[:, 0]).max() < 0.15 * np.abs(sizes).max()


def test_links_with_a_handful_of_samples_are_left_out() -> None:
    """Fewer than a dozen samples are not used; padding of shorter links has no weight."""
    links = links_of(4, through(np.zeros((4, 10, 3))))
    few = Link(3, 0, thinned(links[0].samples, joint_fit.LEAST_SAMPLES - 2))
    short = Link(2, 0, thinned(links[0].samples, 100))
    assert len(few.samples.weight) < joint_fit.LEAST_SAMPLES

    batch = Batch.of([*links, few, short], {}, 4, Place.NOTHING, 1.0)
    assert len(batch.later) == len(links) + 1
    assert batch.weight[-1, len(short.samples.weight) :].sum() == 0
    assert (batch.weight[-1, : len(short.samples.weight)] > 0).all()


def test_quantiles_help_where_nothing_could_be_followed() -> None:
    """Of two halves without a link between them, quantiles of brightness tell how bright one is beside the other."""
    curves = np.repeat(flickering(COUNT, (0.3,)).mean(axis=2, keepdims=True), 3, axis=2)
    colours, _ = scene()
    links = [link for link in links_of(COUNT, through(curves)) if link.later < 8 or link.earlier >= 8]
    brightness = [changed(curves[t : t + 1], colours)[0].mean(axis=1) for t in (7, 8)]
    before, own = (np.quantile(each, np.linspace(0.1, 0.9, 9))[:, None] * np.ones(3) for each in brightness)

    alone, helped = (
        solve(Batch.of(links, given, COUNT, Place.NOTHING, 1.0), 0) for given in ({}, {8: (own, before)})
    )
    assert left(helped.curves(helped.trajectories), curves) < 0.5 * left(
        alone.curves(alone.trajectories), curves
    )


def test_the_weighted_median_is_the_weighted_median() -> None:
    """Half of a row's weight lies at or below the value."""
    rng = np.random.default_rng(2)
    values, weight = rng.normal(0, 1, (20, 31)), rng.uniform(0, 1, (20, 31))
    for row, own, found in zip(values, weight, weighted_median(values, weight)):
        assert own[row <= found].sum() >= own.sum() / 2 > own[row < found].sum()
