"""What a window of frames flickers by, and what is believed of it: colours first, then bands, then patches.

Each kind is solved on what the kinds before it left, and taken out in proportion to the evidence: below a size that
steady shots show by themselves nothing is touched, and a shot with nothing to take out comes back as it was.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy as np

from harmovid_server.engines.deflicker import joint_fit
from harmovid_server.engines.deflicker.bands import find_wave
from harmovid_server.engines.deflicker.colour_terms import (
    CENTRE_STOPS,
    RIDGE,
    TERMS,
    Array64,
    orthonormal,
    terms,
    visibility,
)
from harmovid_server.engines.deflicker.corrections import Correction, TrackedFrame
from harmovid_server.engines.deflicker.joint_fit import Batch, Fit, Place
from harmovid_server.engines.deflicker.local_gains import (
    BANDS,
    PATCHES,
    Lattice,
    LocalGains,
    read,
    solve_local,
)
from harmovid_server.engines.deflicker.matching import Link, shifted
from harmovid_server.engines.deflicker.trajectories import flicker_of

CURVES, BAND_KIND, PATCH_KIND = "curves", "bands", "patches"

CAUSES: Mapping[str, Tuple[str, ...]] = {
    "auto": (CURVES, BAND_KIND, PATCH_KIND),
    "exposure": (CURVES,),
    "local": (CURVES, PATCH_KIND),
    "bands": (CURVES, BAND_KIND),
    "harmonization": (CURVES, PATCH_KIND),
    "timelapse": (CURVES, PATCH_KIND),
}
"""What each mode looks for. `timelapse` takes things that move for misfits instead of following them."""

NOTHING_TO_COMPARE = "nothing to compare with"
SAID = {CURVES: "exposure and colour", BAND_KIND: "rolling bands", PATCH_KIND: "local light"}

# Flicker below the first size (stops, over a window) is called nothing, from the second on it is taken out fully.
GATES: Mapping[str, Tuple[float, float]] = {
    CURVES: (0.02, 0.04),
    BAND_KIND: (0.06, 0.1),
    PATCH_KIND: (0.03, 0.06),
}
FAINT = (0.005, 0.01)
"""The same of curves where a whole picture is measured and no bands roll: steady ones show 0.0025 at most, steady small
foregrounds up to 0.015; under bands, curves take 0.02 of what is the bands'."""
STOPS_NAMES = {CURVES: "global_stops", BAND_KIND: "band_stops", PATCH_KIND: "local_stops"}
LATTICES: Mapping[str, Lattice] = {BAND_KIND: BANDS, PATCH_KIND: PATCHES}
WAVE_BONUS = 0.8
"""A wave that explains this share of what free profiles explain is believed before them: it cannot follow noise."""
WAVE_SHARE = 0.3
"""Profiles of which an even wave explains less than this share are no bands: light that flickers on a tall subject."""
DEFAULT_PLACE_RADIUS_FRAMES = 12
COLOURS = 1000
"""About how many of a window's colours are enough to tell what is typical of it."""
LOCAL_SCALE_STOPS, LOCAL_RATIO = 0.08, 0.7
"""A gain with waves over the picture is tried where links leave more than the first, and believed where it leaves less
than the second of that: then light flickers in places, and curves would only imitate it."""
GAIN = 1
"""Terms of a gain."""
INVERSE_STEPS = 4
MOST_STOPS = 4.0
"""No correction is larger: beyond it the inverse of a slow change is a runaway."""
EXPLAINED: Mapping[str, Tuple[float, float]] = {BAND_KIND: (0.35, 0.55), PATCH_KIND: (0.22, 0.33)}
"""Share of the samples' differences that places must explain to be believed at all, and fully. On real footage bands
explain 0.7 and more of them; motion that was lost on a small foreground never more than 0.25."""


@dataclass(frozen=True)
class Amounts:
    """The engine's options that a window needs: amounts 0..1, radius in frames (0: found from the shot), mode.

    `hold` is the share 0..1 of the shot's own slow change that is taken out too, `reference` a frame that gives the
    level; `follow` whether moving things are followed.
    """

    luma: float
    chroma: float
    local: float
    radius_frames: int
    mode: str
    hold: float = 0.0
    reference: Optional[int] = None
    follow: bool = True

    @property
    def holds(self) -> bool:
        """Whether more is asked for than taking out flicker: a level."""
        return self.hold > 0 or self.reference is not None


def nothing(count: int) -> Correction:
    """Return what leaves `count` frames as they are."""
    maps = {kind: np.zeros((count, grid.rows, grid.columns, 3)) for kind, grid in LATTICES.items()}
    return Correction(np.zeros((count, TERMS, 3)), maps)


@dataclass(frozen=True)
class Solved:
    """What a window says: corrections of its frames, facts of the decision, and colours that are typical of it."""

    found: Correction
    report: Dict[str, Any]
    colours: Array64


def level_of(window: List[TrackedFrame]) -> float:
    """Return the stops to take off a segment's colours, so that its level is that of a common picture."""
    return float(np.median([frame.middle for frame in window])) - CENTRE_STOPS


def solved(window: List[TrackedFrame], inner: Tuple[int, int], amounts: Amounts, shift: float) -> Solved:
    """Return the corrections of the window's frames and the facts of the decision.

    Args:
        window: all frames that curves are solved over.
        inner: the first index and the end of the frames that places are solved over.
        amounts: the options.
        shift: stops to take off all colours: the segment's level.
    """
    links = [
        Link(i, i - gap, shifted(samples, shift))
        for i, frame in enumerate(window)
        for gap, samples in frame.samples.items()
        if gap <= i and len(samples.weight) >= joint_fit.LEAST_SAMPLES
    ]
    found = replace(nothing(len(window)), shift=shift)
    trust = float(np.mean([link.samples.trust for link in links])) if links else 0.0
    report: Dict[str, Any] = {"decision": "nothing", "trust": round(trust, 3)}
    if not links:
        return Solved(found, {**report, "reason": NOTHING_TO_COMPARE}, np.zeros((1, 3)))
    colours = np.concatenate([_some(link.samples.later, COLOURS // len(links)) for link in links])
    fit = _fit(window, links, amounts, inner, shift)
    flickering = flicker_of(fit.trajectories, amounts.radius_frames, fit.residual_stops)
    whole, slow = fit.curves(fit.trajectories), fit.curves(fit.trajectories - flickering)
    curves_found, maps, taken = before(slow, whole, colours), dict(found.maps), _Taken()
    size = flicker(np.einsum("nk,tkc->tnc", terms(colours), curves_found))
    share = taken.note(CURVES, size, gate(CURVES, size))
    curves = weighed(curves_found * share, amounts.luma, amounts.chroma)
    near = _within(links, inner)
    if amounts.local and BAND_KIND in CAUSES[amounts.mode]:
        maps[BAND_KIND], near = _places(BAND_KIND, near, whole, inner, amounts, taken)
    if not taken.shares.get(BAND_KIND) and not any(frame.small for frame in window):
        share = taken.note(CURVES, size, _ramp(size, *FAINT))
        curves = weighed(curves_found * share, amounts.luma, amounts.chroma)
    if amounts.local and PATCH_KIND in CAUSES[amounts.mode]:
        maps[PATCH_KIND], _ = _places(PATCH_KIND, near, whole, inner, amounts, taken)
    report.update({STOPS_NAMES[kind]: round(one, 4) for kind, one in taken.sizes.items()})
    report.update(taken.said(amounts.mode))
    both = np.stack([whole, slow], axis=1) if amounts.holds else None
    return Solved(replace(found, curves=curves, maps=maps, trajectories=both), report, colours)


def _fit(
    window: List[TrackedFrame], links: List[Link], amounts: Amounts, inner: Tuple[int, int], shift: float
) -> Fit:
    """Return the joint fit of curves; of gains alone where light flickers in places or in bands.

    Curves would imitate such light, as far as they can, with colours that happen to be in its way.
    """
    helped = {}
    for i, frame in enumerate(window):
        own, earlier = frame.quantiles, window[i - 1].quantiles
        if i and frame.lost and own is not None and earlier is not None:
            helped[i] = (own - shift, earlier - shift)
    count, aspect, radius = len(window), window[0].aspect, amounts.radius_frames
    plain = Place.NOTHING if any(frame.small for frame in window) else Place.LENS
    batch = Batch.of(links, helped, count, plain, aspect)
    fit = joint_fit.solve(batch, radius)
    if fit.residual_stops < LOCAL_SCALE_STOPS or not amounts.local:
        return fit
    local = joint_fit.solve(Batch.of(links, helped, count, Place.WAVES, aspect), radius, GAIN)
    if local.residual_stops < LOCAL_RATIO * fit.residual_stops:
        return local
    if BAND_KIND in CAUSES[amounts.mode]:
        gains = joint_fit.solve(batch, radius, GAIN)
        taken = _Taken()
        _places(BAND_KIND, _within(links, inner), gains.curves(gains.trajectories), inner, amounts, taken)
        if taken.shares[BAND_KIND] == 1:
            return gains
    return fit


def before(slow: Array64, whole: Array64, colours: Array64) -> Array64:
    """Return the corrections `(count, 10, 3)` that, followed by the slow maps, make the whole ones.

    Changes of light follow each other, they do not add: where the shot's contrast has slowly fallen by a tenth, the
    measured trajectory shows flicker a tenth smaller than it is.
    """
    design = terms(colours)
    basis = orthonormal(design.T @ design / len(design))
    plain = whole - slow
    wanted, guess = colours + design @ whole, colours + design @ plain
    for _ in range(INVERSE_STEPS):
        guess = colours + np.clip(wanted - terms(guess) @ slow - colours, -MOST_STOPS, MOST_STOPS)
    even, seen = design @ basis, visibility(colours.mean(axis=1))[:, None]
    normal = (even * seen).T @ even + RIDGE * seen.sum() * np.eye(TERMS)
    more = guess - colours - design @ plain
    found: Array64 = plain + basis @ np.linalg.solve(normal, (even * seen).T @ more)
    return found


@dataclass
class _Taken:
    """What was found of each kind, in stops, and the share of it that is taken out."""

    sizes: Dict[str, float] = field(default_factory=dict)
    shares: Dict[str, float] = field(default_factory=dict)

    def note(self, kind: str, size: float, share: float) -> float:
        """Keep both, and return the share."""
        self.sizes[kind], self.shares[kind] = size, share
        return share

    def said(self, mode: str) -> Dict[str, Any]:
        """Return the decision, its reason and the mode in words."""
        words = [
            f"{SAID[kind]} ({self.sizes[kind]:.3f} stops)" for kind, share in self.shares.items() if share
        ]
        if words:
            return {"decision": "corrected", "mode": f"{mode}: " + ", ".join(words)}
        reason = f"no flicker found: {self.sizes[CURVES]:.4f} stops of it, as steady shots show by themselves"
        return {"decision": "nothing", "mode": f"{mode}: nothing found", "reason": reason}


def _within(links: List[Link], inner: Tuple[int, int]) -> List[Link]:
    """Return the links between the inner frames, counted from the first of them."""
    first, end = inner
    return [
        Link(link.later - first, link.earlier - first, link.samples)
        for link in links
        if first <= link.earlier and link.later < end
    ]


def _places(
    kind: str, near: List[Link], curves: Array64, inner: Tuple[int, int], amounts: Amounts, taken: _Taken
) -> Tuple[Array64, List[Link]]:
    """Return the maps of one kind of place for all frames of a window, and the links as they are after it.

    Places are found beside all changes of the whole picture, `curves`: a fade is no light of a place.
    """
    first, end = inner
    count, curves = len(curves), curves[first:end]
    radius = float(amounts.radius_frames or DEFAULT_PLACE_RADIUS_FRAMES)
    places = solve_local(near, curves, radius, LATTICES[kind], EXPLAINED[kind][0])
    if kind == BAND_KIND:
        places = _waved(places, near, curves)
    # Bands drift evenly: their size is their own, not that of white flicker.
    size = float(np.sqrt((places.maps**2).mean())) if kind == BAND_KIND else flicker(places.maps)
    share = gate(kind, size) * _ramp(places.explained, *EXPLAINED[kind])
    if taken.note(kind, size if share else 0.0, share):
        near = [_after(link, places.maps * share, LATTICES[kind]) for link in near]
    maps = np.zeros((count, *places.maps.shape[1:]))
    maps[first:end] = places.maps * share * amounts.local
    return maps, near


def _waved(places: LocalGains, near: List[Link], curves: Array64) -> LocalGains:
    """Return an even wave instead of free profiles where it explains them, and nothing where it explains too little."""
    wave = find_wave(near, curves, places.maps)
    if wave.explained > WAVE_BONUS * places.explained:
        return LocalGains(wave.profiles(len(curves), BANDS.rows), wave.explained)
    if wave.explained < WAVE_SHARE * places.explained:
        return LocalGains(np.zeros_like(places.maps), 0.0)
    return places


def _after(link: Link, gains: Array64, lattice: Lattice) -> Link:
    """Return a link's samples as they are once `gains` have been applied."""
    samples = link.samples
    later = samples.later + read(gains, samples.later_at, link.later, lattice)
    earlier = samples.earlier + read(gains, samples.earlier_at, link.earlier, lattice)
    return replace(link, samples=replace(samples, later=later, earlier=earlier))


def _some(colours: Array64, count: int) -> Array64:
    return colours[:: max(1, len(colours) // max(count, 1))]


def gate(kind: str, size: float) -> float:
    """Return the share 0..1 of a correction that `size` stops of flicker speak for."""
    low, high = GATES[kind]
    return _ramp(size, low, high)


def _ramp(value: float, low: float, high: float) -> float:
    return float(np.clip((value - low) / (high - low), 0.0, 1.0))


def weighed(curves: Array64, luma: float, chroma: float) -> Array64:
    """Scale what all channels have in common by `luma` and what sets them apart by `chroma`."""
    common = curves.mean(axis=2, keepdims=True)
    weighed: Array64 = common * luma + (curves - common) * chroma
    return weighed


def flicker(traces: Array64) -> float:
    """Return the standard deviation of white flicker that has the second differences of `traces` `(T, ...)`.

    Slow corrections have next to none: they are drift of the measurement or of the shot, and no flicker.
    """
    if len(traces) < 3:
        return float(np.sqrt((traces**2).mean()))
    return float(np.sqrt((np.diff(traces, n=2, axis=0) ** 2).mean() / 6.0))
