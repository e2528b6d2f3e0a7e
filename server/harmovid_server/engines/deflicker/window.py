"""What a window of frames flickers by, and what is believed of it: colours first, then bands, then patches.

Each kind is solved on what the kinds before it left, and taken out in proportion to the evidence: below a size that
steady shots show by themselves nothing is touched, and a shot with nothing to take out comes back as it was.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
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
    curves = courses.flicker()
    size = flicker(np.einsum("nk,tkc->tnc", terms(colours), curves))
    sizes = {CURVES: size}
    curves = weighed(curves * gate(CURVES, size), amounts.luma, amounts.chroma)
    maps = dict(found.maps)
    if amounts.local:
        maps.update(_places(matched, curves, inner, amounts, sizes))
    report.update({STOPS_NAMES[kind]: round(one, 4) for kind, one in sizes.items()})
    report.update(_said(sizes, amounts.mode))
    both = np.stack([courses.whole, courses.slow], axis=1) if amounts.holds else None
    return Solved(Found(curves, maps, both), report, colours)


def _places(
    matched: List[Matched], curves: Array64, inner: Tuple[int, int], amounts: Amounts, sizes: Dict[str, float]
) -> Dict[str, Array64]:
    """Return the maps of every kind of place that the mode looks for, and put their sizes into `sizes`."""
    first, end = inner
    count = len(curves)
    near = [
        Matched(link.later - first, link.earlier - first, link.pairs)
        for link in matched
        if first <= link.earlier and link.later < end
    ]
    radius = float(amounts.radius_frames or DEFAULT_PLACE_RADIUS_FRAMES)
    causes, curves = CAUSES[amounts.mode], curves[first:end]
    maps: Dict[str, Array64] = {}
    for kind in (BAND_KIND, PATCH_KIND):
        if kind not in causes:
            continue
        places = solve_places(near, curves, radius, LATTICES[kind], EXPLAINED[kind][0])
        if kind == BAND_KIND:
            wave = find_wave(near, curves, places.maps)
            if wave.explained > WAVE_BONUS * places.explained:
                places = Places(wave.profiles(end - first, BANDS.rows), wave.explained)
            elif wave.explained < WAVE_SHARE * places.explained:
                places = Places(np.zeros_like(places.maps), 0.0)
        # Bands drift evenly: their size is their own, not that of white flicker.
        size = float(np.sqrt((places.maps**2).mean())) if kind == BAND_KIND else flicker(places.maps)
        share = gate(kind, size) * _ramp(places.explained, *EXPLAINED[kind])
        sizes[kind] = size if share else 0.0
        maps[kind] = np.zeros((count, *places.maps.shape[1:]))
        maps[kind][first:end] = places.maps * share * amounts.local
        if share:
            near = [_after(link, places.maps * share, LATTICES[kind]) for link in near]
    return maps


def _after(link: Matched, gains: Array64, lattice: Lattice) -> Matched:
    """Return a link's samples as they are once `gains` have been applied."""
    pairs = link.pairs
    here = pairs.here + read(gains, pairs.at, link.later, lattice)
    there = pairs.there + read(gains, pairs.at_there, link.earlier, lattice)
    return Matched(link.later, link.earlier, replace(pairs, here=here, there=there))


def _some(colours: Array64, count: int) -> Array64:
    return colours[:: max(1, len(colours) // max(count, 1))]


def _said(sizes: Mapping[str, float], mode: str) -> Dict[str, Any]:
    """Return the decision, its reason and the mode in words."""
    taken = [f"{SAID[kind]} ({size:.3f} stops)" for kind, size in sizes.items() if gate(kind, size) > 0]
    if taken:
        return {"decision": "corrected", "mode": f"{mode}: " + ", ".join(taken)}
    least = min(GATES[kind][0] for kind in sizes)
    reason = f"no flicker found: less than {least} stops of it"
    return {"decision": "nothing", "mode": f"{mode}: nothing found", "reason": reason}


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
