"""Solves a window of frames: global curves first, then bands, then patches, and decides which to apply.

Each kind is solved on the residual of those before, and applied in proportion to the evidence: below the size that
steady shots show, nothing is applied, and a shot without flicker stays unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

import numpy as np
import numpy.typing as npt

from harmovid_server.engines.deflicker import joint_fit
from harmovid_server.engines.deflicker.bands import ROWS, find_wave
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
from harmovid_server.engines.deflicker.held_out import SLOPES, agreement, quadratic_share, ramp
from harmovid_server.engines.deflicker.joint_fit import Batch, Fit, Place
from harmovid_server.engines.deflicker.local_gains import PATCHES, solve_local
from harmovid_server.engines.deflicker.motion import Link, shifted
from harmovid_server.engines.deflicker.trajectories import flicker_of

CURVES, BAND_KIND, PATCH_KIND = "curves", "bands", "patches"

CAUSES: Mapping[str, Tuple[str, ...]] = {
    "auto": (CURVES, BAND_KIND, PATCH_KIND),
    "exposure": (CURVES,),
    "local": (CURVES, PATCH_KIND),
    "bands": (BAND_KIND,),
    "harmonization": (CURVES, PATCH_KIND),
    "timelapse": (CURVES, PATCH_KIND),
}
"""What each mode takes out. `timelapse` treats moving things as outliers instead of tracking them."""

NOTHING_TO_COMPARE = "nothing to compare with"
SAID = {CURVES: "exposure and colour", BAND_KIND: "rolling bands", PATCH_KIND: "local light"}

# Flicker below the first size (stops, over a window) is ignored, from the second on it is removed completely.
GATES: Mapping[str, Tuple[float, float]] = {
    CURVES: (0.02, 0.04),
    BAND_KIND: (0.06, 0.1),
    PATCH_KIND: (0.03, 0.06),
}
FAINT_STOPS, FAINT_RATIO = 0.005, 0.4
"""The first size for curves if the whole picture is measured and there are no bands, and at least this share of the
residual: steady pictures show 0.0025 at most, steady small foregrounds up to 0.015, dissolves of two moving pictures
0.4 of their residual; with bands, curves imitate them with up to 0.02."""
SURE_STOPS, AGREED = 0.1, (0.1, 0.25)
"""Smaller flicker of a small region counts as far as it is found in both halves of the matches: their correlation is
0.1 at most on steady foregrounds, and 0.24 and more with 0.05 stops of flicker."""
MISFIT_RATIOS, MISFIT_REACH, TYPICAL_STOPS = (1.7, 2.5), 2, 0.03
"""A frame of a whole picture whose links fit this many times worse than a typical one (which counts as no better than
the last) is left alone in part, or entirely, and so are this many frames beside it: in the middle of a dissolve two
pictures at once have no corresponding points. Flickering frames fit at most 1.3 times worse (1.6 under strong local
flicker), dissolves 2.5 to 4 times."""
STOPS_NAMES = {CURVES: "global_stops", BAND_KIND: "band_stops", PATCH_KIND: "local_stops"}
GRIDS: Mapping[str, Tuple[int, int]] = {BAND_KIND: (ROWS, 1), PATCH_KIND: PATCHES}
"""Rows and columns of the maps."""
DEFAULT_PLACE_RADIUS_FRAMES = 12
COLOURS = 1000
"""Approximate number of typical colours kept of a window."""
LOCAL_SCALE_STOPS, LOCAL_RATIO = 0.08, 0.7
"""A gain with waves over the picture is tried if the residual exceeds the first, and preferred if it leaves less than
the second times that: then flicker is local, and curves would only imitate it."""
GAIN = 1
"""Number of terms of a gain."""
INVERSE_STEPS = 4
COMPOSED_SHARE = 0.5
"""Limit of the difference between composed and added changes, as a share of the flicker: where a slow change is so
steep that it has no inverse, it would be many stops."""
EXPLAINED: Mapping[str, Tuple[float, float]] = {BAND_KIND: (0.65, 0.8), PATCH_KIND: (0.22, 0.33)}
"""Share of the differences that a local correction must explain to be applied at all, and completely. Bands explain
0.9 and more of those between rows on real footage, all else 0.55 at most."""


@dataclass(frozen=True)
class Amounts:
    """The engine's options that a window needs: amounts 0..1, radius in frames (0: estimated from the shot), mode.

    `hold` is the share 0..1 of the shot's own slow change that is removed too, `reference` a frame that gives the
    level, `follow` whether motion is tracked.
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
        """Whether a level is to be held, in addition to removing flicker."""
        return self.hold > 0 or self.reference is not None


def nothing(count: int) -> Correction:
    """Return a correction that leaves `count` frames unchanged."""
    maps = {kind: np.zeros((count, *grid, 3)) for kind, grid in GRIDS.items()}
    return Correction(np.zeros((count, TERMS, 3)), maps)


@dataclass(frozen=True)
class Solved:
    """The result of a window: corrections of its frames, facts of the decision, and typical colours."""

    found: Correction
    report: Dict[str, Any]
    colours: Array64


def level_of(window: List[TrackedFrame]) -> float:
    """Return the stops to subtract from a segment's colours, so that its level is that of an average picture."""
    return float(np.median([frame.middle for frame in window])) - CENTRE_STOPS


def solved(window: List[TrackedFrame], inner: Tuple[int, int], amounts: Amounts, shift: float) -> Solved:
    """Return the corrections of the window's frames and the facts of the decision.

    Args:
        window: all frames that curves are solved over.
        inner: the first index and the end of the frames over which local corrections are solved.
        amounts: the options.
        shift: the segment's level in stops, subtracted from all colours.
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
    maps, taken = dict(found.maps), _Shares()
    if amounts.local and BAND_KIND in CAUSES[amounts.mode]:
        maps[BAND_KIND], links = _bands(links, len(window), amounts, taken)
    colours, small = _colours(links), any(frame.small for frame in window)
    fitted, supported = _fitter(window, _quantiles(window, shift), amounts), np.ones(len(window))
    fit = _fit(links, fitted, small, amounts)
    if not small:
        supported = _corresponding(fit.misfits / max(fit.residual_stops, TYPICAL_STOPS))
    flickering = flicker_of(fit.trajectories, amounts.radius_frames, fit.residual_stops)
    whole, slow = fit.curves(fit.trajectories), fit.curves(fit.trajectories - flickering)
    curves, (low, high) = before(slow, whole, colours) * supported[:, None, None], GATES[CURVES]
    if not small and not taken.shares.get(BAND_KIND):
        low = float(np.clip(FAINT_RATIO * fit.residual_stops, FAINT_STOPS, low))
        high = 2 * low
    size = flicker(np.einsum("nk,tkc->tnc", terms(colours), curves), supported == 1)
    share = ramp(size, low, high) if CURVES in CAUSES[amounts.mode] else 0.0
    if small and share and size < SURE_STOPS:
        # Without quantiles, which are the same in both halves.
        alone = partial(_curves_of, _fitter(window, {}, amounts))
        share *= ramp(agreement(links, alone, colours), *AGREED)
    taken.note(CURVES, size, share)
    curves = weighed(curves * share, amounts.luma, amounts.chroma)
    if amounts.local and PATCH_KIND in CAUSES[amounts.mode]:
        maps[PATCH_KIND] = _patches(links, whole, inner, amounts, taken)
    report.update({STOPS_NAMES[kind]: round(one, 4) for kind, one in taken.sizes.items()})
    report.update(taken.said(amounts.mode))
    steady = whole if CURVES in CAUSES[amounts.mode] else slow
    both = np.stack([steady, slow], axis=1) if amounts.holds else None
    return Solved(replace(found, curves=curves, maps=maps, trajectories=both), report, colours)


Fitter = Callable[[List[Link], Place, int], Fit]
"""Returns the joint fit of some of a window's links, with so many terms."""


Quantiles = Mapping[int, Tuple[Array64, Array64]]
"""By frame, those of its brightness and of the frame before."""


def _quantiles(window: List[TrackedFrame], shift: float) -> Quantiles:
    """Return the quantiles of frames that could not be tracked well."""
    pairs = [(frame, frame.quantiles, last.quantiles) for last, frame in zip(window, window[1:])]
    return {
        i: (own - shift, earlier - shift)
        for i, (frame, own, earlier) in enumerate(pairs, start=1)
        if frame.lost and own is not None and earlier is not None
    }


def _fitter(window: List[TrackedFrame], quantiles: Quantiles, amounts: Amounts) -> Fitter:
    def fitted(links: List[Link], place: Place, order: int) -> Fit:
        batch = Batch.of(links, quantiles, len(window), place, window[0].aspect)
        return joint_fit.solve(batch, amounts.radius_frames, order)

    return fitted


def _curves_of(fitted: Fitter, links: List[Link], order: int) -> Array64:
    fit = fitted(links, Place.NOTHING, order)
    return fit.curves(fit.trajectories)


def _fit(links: List[Link], fitted: Fitter, small: bool, amounts: Amounts) -> Fit:
    """Return the joint fit of curves, or of gains alone if flicker is local.

    Curves would imitate such flicker through the colours that happen to be there. In a small region, where waves over
    the picture do not tell, quadratic terms are used as far as a test on matches that were left out believes them.
    """
    fit = fitted(links, Place.NOTHING if small else Place.LENS, TERMS)
    if fit.residual_stops < LOCAL_SCALE_STOPS or not amounts.local:
        return fit
    local = fitted(links, Place.WAVES, GAIN)
    if local.residual_stops < LOCAL_RATIO * fit.residual_stops:
        return local
    if not small:
        return fit
    share = quadratic_share(links, partial(_curves_of, fitted), _colours(links))
    believed = np.where(np.arange(TERMS) < SLOPES, 1.0, share)
    return replace(fit, trajectories=fit.trajectories * believed[:, None])


def before(slow: Array64, whole: Array64, colours: Array64) -> Array64:
    """Return the corrections `(count, 10, 3)` that, followed by the slow change, give the whole change.

    Changes of light are composed, not added: if the shot's contrast has slowly fallen by a tenth, the measured
    trajectory shows flicker a tenth smaller than it is.
    """
    design = terms(colours)
    basis = orthonormal(design.T @ design / len(design))
    plain = whole - slow
    wanted, stops = colours + design @ whole, design @ plain
    limit, more = COMPOSED_SHARE * np.sqrt((stops**2).mean(axis=2, keepdims=True)), np.zeros_like(stops)
    for _ in range(INVERSE_STEPS):
        guess = colours + stops + more
        more = np.clip(wanted - terms(guess) @ slow - colours - stops, -limit, limit)
    even, seen = design @ basis, visibility(colours.mean(axis=1))[:, None]
    normal = (even * seen).T @ even + RIDGE * seen.sum() * np.eye(TERMS)
    found: Array64 = plain + basis @ np.linalg.solve(normal, (even * seen).T @ more)
    return found


@dataclass
class _Shares:
    """The size of each kind of flicker, in stops, and the share of it that is removed."""

    sizes: Dict[str, float] = field(default_factory=dict)
    shares: Dict[str, float] = field(default_factory=dict)

    def note(self, kind: str, size: float, share: float) -> float:
        """Store both, and return the share."""
        self.sizes[kind], self.shares[kind] = size, share
        return share

    def said(self, mode: str) -> Dict[str, Any]:
        """Return the decision, its reason and the mode in words."""
        words = [f"{SAID[kind]} ({self.sizes[kind]:.3f} stops)" for kind in SAID if self.shares.get(kind)]
        if words:
            return {"decision": "corrected", "mode": f"{mode}: " + ", ".join(words)}
        reason = f"no flicker found: {self.sizes[CURVES]:.4f} stops of it, as steady shots show by themselves"
        if CURVES not in CAUSES[mode]:
            reason = "no rolling bands found"
        return {"decision": "nothing", "mode": f"{mode}: nothing found", "reason": reason}


def _within(links: List[Link], inner: Tuple[int, int]) -> List[Link]:
    """Return the links between the inner frames, with indices relative to the first of them."""
    first, end = inner
    return [
        Link(link.later - first, link.earlier - first, link.samples)
        for link in links
        if first <= link.earlier and link.later < end
    ]


def _bands(links: List[Link], count: int, amounts: Amounts, taken: _Shares) -> Tuple[Array64, List[Link]]:
    """Return the maps of rolling bands for all frames of a window, and the links without the bands."""
    wave = find_wave(links, count)
    maps = wave.profiles(count)
    size = float(np.sqrt((maps**2).mean()))
    share = gate(BAND_KIND, size) * ramp(wave.explained, *EXPLAINED[BAND_KIND])
    if taken.note(BAND_KIND, size if share else 0.0, share):
        links = [wave.taken_out(link, share) for link in links]
    return maps * share * amounts.local, links


def _patches(
    links: List[Link], curves: Array64, inner: Tuple[int, int], amounts: Amounts, taken: _Shares
) -> Array64:
    """Return the maps of local light for all frames of a window.

    It is measured relative to all global changes, `curves`, so a fade does not count.
    """
    first, end = inner
    radius = float(amounts.radius_frames or DEFAULT_PLACE_RADIUS_FRAMES)
    places = solve_local(_within(links, inner), curves[first:end], radius, EXPLAINED[PATCH_KIND][0])
    # What is the same all over the picture is no local light, but what curves could not measure in nearly black frames.
    size = flicker(places.maps - np.median(places.maps, axis=(1, 2), keepdims=True))
    share = gate(PATCH_KIND, size) * ramp(places.explained, *EXPLAINED[PATCH_KIND])
    taken.note(PATCH_KIND, size if share else 0.0, share)
    maps = np.zeros((len(curves), *PATCHES, 3))
    maps[first:end] = places.maps * share * amounts.local
    return maps


def _colours(links: List[Link]) -> Array64:
    """Return about `COLOURS` typical colours."""
    most = max(1, COLOURS // len(links))
    later = [link.samples.later for link in links]
    return np.concatenate([colours[:: max(1, len(colours) // most)] for colours in later])


def gate(kind: str, size: float) -> float:
    """Return the share 0..1 of a correction to apply for flicker of `size` stops."""
    low, high = GATES[kind]
    return ramp(size, low, high)


def _corresponding(misfits: Array64) -> Array64:
    """Return the share 0..1 of each frame's correction that its links support; 1 is the misfit of a typical link."""
    low, high = MISFIT_RATIOS
    shares = np.pad(1 - np.clip((misfits - low) / (high - low), 0.0, 1.0), MISFIT_REACH, mode="edge")
    lowest: Array64 = np.lib.stride_tricks.sliding_window_view(shares, 2 * MISFIT_REACH + 1).min(axis=1)
    return lowest


def weighed(curves: Array64, luma: float, chroma: float) -> Array64:
    """Scale what all channels have in common by `luma` and what sets them apart by `chroma`."""
    common = curves.mean(axis=2, keepdims=True)
    weighed: Array64 = common * luma + (curves - common) * chroma
    return weighed


def flicker(traces: Array64, counted: Optional[npt.NDArray[np.bool_]] = None) -> float:
    """Return the standard deviation of white-noise flicker with the same second differences as `traces` `(T, ...)`.

    Slow corrections have almost none: they are drift of the measurement or of the shot, not flicker.

    Args:
        traces: of every frame.
        counted: `(T,)` the frames that count, where three of them follow each other; all if there are none.
    """
    if len(traces) < 3:
        return float(np.sqrt((traces**2).mean()))
    bends = np.diff(traces, n=2, axis=0)
    if counted is not None:
        inner = counted[:-2] & counted[1:-1] & counted[2:]
        bends = bends[inner] if inner.any() else bends
    return float(np.sqrt((bends**2).mean() / 6.0))
