"""What a window of frames flickers by, and what is believed of it: colours first, then bands, then patches.

Each kind is solved on what the kinds before it left, and taken out in proportion to the evidence: below a size that
steady shots show by themselves nothing is touched, and a shot with nothing to take out comes back as it was.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy as np

from harmovid_server.engines.deflicker.bands import find_wave
from harmovid_server.engines.deflicker.basis import Array64, terms
from harmovid_server.engines.deflicker.places import (
    BANDS,
    PATCHES,
    Lattice,
    Matched,
    Places,
    read,
    solve_places,
)
from harmovid_server.engines.deflicker.seen import Found, Seen
from harmovid_server.engines.deflicker.solve import Link, solve

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
EXPLAINED: Mapping[str, Tuple[float, float]] = {BAND_KIND: (0.35, 0.55), PATCH_KIND: (0.08, 0.2)}
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


def nothing(count: int) -> Found:
    """Return what leaves `count` frames as they are."""
    maps = {kind: np.zeros((count, grid.rows, grid.columns, 3)) for kind, grid in LATTICES.items()}
    return Found(np.zeros((count, 10, 3)), maps)


@dataclass(frozen=True)
class Solved:
    """What a window says: corrections of its frames, facts of the decision, and colours that are typical of it."""

    found: Found
    report: Dict[str, Any]
    colours: Array64


def solved(window: List[Seen], inner: Tuple[int, int], amounts: Amounts) -> Solved:
    """Return the corrections of the window's frames and the facts of the decision.

    Args:
        window: all frames that curves are solved over.
        inner: the first index and the end of the frames that places are solved over.
        amounts: the options.
    """
    links = [
        Link(i, i - max(g, 1), c)
        for i, s in enumerate(window)
        for g, c in s.changes.items()
        if max(g, 1) <= i
    ]
    matched = [Matched(i, i - g, p) for i, s in enumerate(window) for g, p in s.pairs.items() if g <= i]
    found = nothing(len(window))
    trust = float(np.mean([link.pairs.trust for link in matched])) if matched else 0.0
    report: Dict[str, Any] = {"decision": "nothing", "trust": round(trust, 3)}
    if not links or not matched:
        return Solved(found, {**report, "reason": "nothing to compare with"}, np.zeros((1, 3)))
    colours = np.concatenate([_some(link.pairs.here, COLOURS // len(matched)) for link in matched])
    courses = solve(links, len(window), amounts.radius_frames, colours)
    whole, maps, taken = courses.flicker(), dict(found.maps), _Taken()
    size = flicker(np.einsum("nk,tkc->tnc", terms(colours), whole))
    share = taken.note(CURVES, size, gate(CURVES, size))
    curves = weighed(whole * share, amounts.luma, amounts.chroma)
    near = _within(matched, inner)
    if amounts.local and BAND_KIND in CAUSES[amounts.mode]:
        maps[BAND_KIND], near = _places(BAND_KIND, near, curves, inner, amounts, taken)
    if not taken.shares.get(BAND_KIND) and not any(seen.small for seen in window):
        share = taken.note(CURVES, size, _ramp(size, *FAINT))
        curves = weighed(whole * share, amounts.luma, amounts.chroma)
    if amounts.local and PATCH_KIND in CAUSES[amounts.mode]:
        maps[PATCH_KIND], _ = _places(PATCH_KIND, near, curves, inner, amounts, taken)
    report.update({STOPS_NAMES[kind]: round(one, 4) for kind, one in taken.sizes.items()})
    report.update(taken.said(amounts.mode))
    both = np.stack([courses.whole, courses.slow], axis=1) if amounts.holds else None
    return Solved(Found(curves, maps, both), report, colours)


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


def _within(matched: List[Matched], inner: Tuple[int, int]) -> List[Matched]:
    """Return the links between the inner frames, counted from the first of them."""
    first, end = inner
    return [
        Matched(link.later - first, link.earlier - first, link.pairs)
        for link in matched
        if first <= link.earlier and link.later < end
    ]


def _places(
    kind: str, near: List[Matched], curves: Array64, inner: Tuple[int, int], amounts: Amounts, taken: _Taken
) -> Tuple[Array64, List[Matched]]:
    """Return the maps of one kind of place for all frames of a window, and the links as they are after it."""
    first, end = inner
    count, curves = len(curves), curves[first:end]
    radius = float(amounts.radius_frames or DEFAULT_PLACE_RADIUS_FRAMES)
    places = solve_places(near, curves, radius, LATTICES[kind], EXPLAINED[kind][0])
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


def _waved(places: Places, near: List[Matched], curves: Array64) -> Places:
    """Return an even wave instead of free profiles where it explains them, and nothing where it explains too little."""
    wave = find_wave(near, curves, places.maps)
    if wave.explained > WAVE_BONUS * places.explained:
        return Places(wave.profiles(len(curves), BANDS.rows), wave.explained)
    if wave.explained < WAVE_SHARE * places.explained:
        return Places(np.zeros_like(places.maps), 0.0)
    return places


def _after(link: Matched, gains: Array64, lattice: Lattice) -> Matched:
    """Return a link's samples as they are once `gains` have been applied."""
    pairs = link.pairs
    here = pairs.here + read(gains, pairs.at, link.later, lattice)
    there = pairs.there + read(gains, pairs.at_there, link.earlier, lattice)
    return Matched(link.later, link.earlier, replace(pairs, here=here, there=there))


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
