"""One shot going through the deflicker: cut into segments at scene cuts, solved in overlapping windows.

Blocks of `BLOCK_FRAMES` are answered from a window that reaches `margin` frames to either side, laid out by the frames'
index in their segment, so the result does not depend on when frames arrive. What is kept is bounded by the window.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Tuple, cast

import numpy as np
from harmovid.pixels.field import MID_GREY, NULL, Curve, Grid, LightingField

from harmovid_server.engines.base import Answer, ProxyFrame, State
from harmovid_server.engines.deflicker.local import COLUMNS, ROWS, solve_local
from harmovid_server.engines.deflicker.match import Looks, Pairs, is_cut, look, match, quantile_pairs
from harmovid_server.engines.deflicker.solve import Array64, Link, solve, terms
from harmovid_server.engines.deflicker.store import pack_looks, pack_pairs, unpack_looks, unpack_pairs

BLOCK_FRAMES = 16
GAPS = (1, 2, 4, 8)
# A pair with less trust than this is helped out by the frames' quantiles.
ENOUGH_TRUST = 0.25
# With fewer matched samples a pair of frames says nothing.
FEWEST_SAMPLES = 8
# Flicker below the first size (stops, over a window) is called nothing, from the second on it is taken out fully.
NOTHING_STOPS, SOMETHING_STOPS = 0.02, 0.04
LOCAL_NOTHING_STOPS, LOCAL_SOMETHING_STOPS = 0.03, 0.06


@dataclass
class Seen:
    """What is kept of a pushed frame: its number, range of log2 colours, and links to earlier frames (by gap)."""

    number: int
    low: float
    high: float
    box: Tuple[int, int, int, int]
    pairs: Dict[int, Pairs] = field(default_factory=dict)
    quantiles: Optional[Pairs] = None


@dataclass(frozen=True)
class Found:
    """What a window says of some frames: `curves` `(n, 10, 3)` and `maps` `(n, ROWS, COLUMNS, 3)`, in stops."""

    curves: Array64
    maps: Array64

    def part(self, first: int, last: int) -> Found:
        """Return the frames from index `first` up to and without `last`."""
        return Found(self.curves[first:last], self.maps[first:last])

    def joined(self, foretold: Found) -> Found:
        """Return this block, led over from what the window before said of it: no step where blocks meet."""
        count = min(len(self.curves), len(foretold.curves))
        curves, maps = self.curves.copy(), self.maps.copy()
        for i in range(count):
            share = (i + 1) / (count + 1)
            curves[i] = share * curves[i] + (1 - share) * foretold.curves[i]
            maps[i] = share * maps[i] + (1 - share) * foretold.maps[i]
        return Found(curves, maps)


@dataclass(frozen=True)
class Amounts:
    """The engine's options, as numbers: amounts 0..1 and the radius in frames."""

    luma: float
    chroma: float
    local: float
    radius_frames: int

    @property
    def margin_frames(self) -> int:
        """How far a window reaches beyond the frames that it answers."""
        return 5 * self.radius_frames // 2


class DeflickerSession:
    """See the module; `push`, `finish`, `state`, `restore` as `base.Session` wants them."""

    def __init__(self, amounts: Amounts) -> None:
        self._amounts = amounts
        self._recent: List[Looks] = []
        self._seen: List[Seen] = []
        self._first = 0  # index in the segment of self._seen[0]
        self._answered = 0  # frames of the segment that have been answered
        self._foretold: Optional[Found] = None  # what the last window said of the block now owed

    def push(self, frame: ProxyFrame) -> List[Answer]:
        """Take one frame; answer a block when its window is complete, or all that is owed at a cut."""
        looks = look(frame)
        answers: List[Answer] = []
        newest: Optional[Pairs] = match(looks, self._recent[-1]) if self._recent else None
        if newest is not None and is_cut(newest):
            answers = self.finish()
            newest = None
        self._seen.append(self._linked(looks, newest))
        self._recent = [*self._recent[-(max(GAPS) - 1) :], looks]
        while self._end - self._answered >= BLOCK_FRAMES + self._amounts.margin_frames:
            answers += self._block(self._answered + BLOCK_FRAMES)
        return answers

    def finish(self) -> List[Answer]:
        """Answer all frames of the segment that are still owed, and begin a new one."""
        answers = []
        while self._answered < self._end:
            answers += self._block(min(self._answered + BLOCK_FRAMES, self._end))
        self._recent, self._seen, self._first, self._answered, self._foretold = [], [], 0, 0, None
        return answers

    @property
    def _end(self) -> int:
        return self._first + len(self._seen)

    def _linked(self, looks: Looks, newest: Optional[Pairs]) -> Seen:
        inside = looks.logs[looks.weight > 0.5]
        low, high = (float(np.quantile(inside, q)) for q in (0.005, 0.995)) if len(inside) else (-1.0, 1.0)
        seen = Seen(looks.number, low, max(high, low + 1.0), looks.box)
        for gap in GAPS:
            if gap <= len(self._recent) and newest is not None:
                seen.pairs[gap] = newest if gap == 1 else match(looks, self._recent[-gap])
        if newest is not None and newest.trust < ENOUGH_TRUST:
            seen.quantiles = quantile_pairs(looks, self._recent[-1])
        return seen

    def _block(self, end: int) -> List[Answer]:
        """Solve the window around the frames from the last answered one to `end`, answer them, forget what is old."""
        margin = self._amounts.margin_frames
        start = max(0, self._answered - margin)
        window = self._seen[start - self._first : end + margin - self._first]
        found, report = _solved(window, self._amounts)
        owed = found.part(self._answered - start, end - start)
        if self._foretold is not None:
            owed = owed.joined(self._foretold)
        self._foretold = found.part(end - start, end - start + BLOCK_FRAMES)
        frames = window[self._answered - start : end - start]
        answers = [_answer(seen, owed.curves[i], owed.maps[i], report) for i, seen in enumerate(frames)]
        self._answered = end
        old = max(0, end - margin) - self._first
        self._seen, self._first = self._seen[max(old, 0) :], self._first + max(old, 0)
        return answers

    def state(self) -> State:
        """Return everything the session knows, as arrays and numbers."""
        state: Dict[str, Any] = {"first": self._first, "answered": self._answered}
        state["seen"] = np.array([[s.number, s.low, s.high, *s.box] for s in self._seen], np.float64).reshape(
            -1, 7
        )
        for i, seen in enumerate(self._seen):
            for gap, pairs in [*seen.pairs.items(), *([(0, seen.quantiles)] if seen.quantiles else [])]:
                state.update(pack_pairs(f"pairs.{i}.{gap}", pairs))
        if self._foretold is not None:
            state["foretold.curves"], state["foretold.maps"] = self._foretold.curves, self._foretold.maps
        for i, looks in enumerate(self._recent):
            state.update(pack_looks(f"looks.{i}", looks))
        return state

    def restore(self, state: State) -> None:
        """Become the session whose `state` this is."""
        self._first, self._answered = int(cast(int, state["first"])), int(cast(int, state["answered"]))
        rows = cast(Array64, state["seen"])
        self._seen = [
            Seen(int(r[0]), float(r[1]), float(r[2]), (int(r[3]), int(r[4]), int(r[5]), int(r[6])))
            for r in rows
        ]
        for i, seen in enumerate(self._seen):
            seen.pairs = {g: p for g in GAPS if (p := unpack_pairs(f"pairs.{i}.{g}", state)) is not None}
            seen.quantiles = unpack_pairs(f"pairs.{i}.0", state)
        self._foretold = None
        if "foretold.curves" in state:
            curves, maps = (cast(Array64, state[f"foretold.{kind}"]) for kind in ("curves", "maps"))
            self._foretold = Found(curves, maps)
        self._recent = []
        while (looks := unpack_looks(f"looks.{len(self._recent)}", state)) is not None:
            self._recent.append(looks)


def _solved(window: List[Seen], amounts: Amounts) -> Tuple[Found, Mapping[str, Any]]:
    """Return the corrections of the window's frames and the facts of the decision."""
    links = [Link(i, i - gap, p) for i, s in enumerate(window) for gap, p in s.pairs.items() if gap <= i]
    links = [link for link in links if len(link.pairs.here) >= FEWEST_SAMPLES]
    trust = float(np.mean([link.pairs.trust for link in links])) if links else 0.0
    links += [Link(i, i - 1, s.quantiles) for i, s in enumerate(window) if s.quantiles is not None and i]
    count = len(window)
    maps = np.zeros((count, ROWS, COLUMNS, 3))
    if not links:
        reason = {"decision": "nothing", "reason": "nothing to compare with"}
        return Found(np.zeros((count, 10, 3)), maps), reason
    curves = _weighed(solve(links, count, amounts.radius_frames), amounts)
    size = _curve_size(links, curves)
    curves *= _gate(size, NOTHING_STOPS, SOMETHING_STOPS)
    report: Dict[str, Any] = {
        "decision": "corrected",
        "global_stops": round(size, 4),
        "trust": round(trust, 3),
    }
    if amounts.local:
        maps = solve_local(links, curves, amounts.radius_frames)
        spread = _flicker(maps)
        report["local_stops"] = round(spread, 4)
        maps *= amounts.local * _gate(spread, LOCAL_NOTHING_STOPS, LOCAL_SOMETHING_STOPS)
    if not curves.any() and not maps.any():
        report.update(decision="nothing", reason="no flicker found")
    return Found(curves, maps), report


def _gate(size: float, nothing: float, something: float) -> float:
    return float(np.clip((size - nothing) / (something - nothing), 0.0, 1.0))


def _weighed(curves: Array64, amounts: Amounts) -> Array64:
    """Scale what all channels have in common by `luma` and what sets them apart by `chroma`."""
    common = curves.mean(axis=2, keepdims=True)
    weighed: Array64 = common * amounts.luma + (curves - common) * amounts.chroma
    return weighed


def _curve_size(links: List[Link], curves: Array64) -> float:
    """Return how much the corrections of typical colours of the window flicker, in stops."""
    colours = [link.pairs.here[:: max(1, len(link.pairs.here) // 8)] for link in links]
    return _flicker(np.einsum("nk,tkc->tnc", terms(np.concatenate(colours)), curves))


def _flicker(traces: Array64) -> float:
    """Return the standard deviation of white flicker that has the second differences of `traces` `(T, ...)`.

    Slow corrections have next to none: they are drift of the measurement or of the shot, and no flicker.
    """
    if len(traces) < 3:
        return float(np.sqrt((traces**2).mean()))
    return float(np.sqrt((np.diff(traces, n=2, axis=0) ** 2).mean() / 6.0))


def _answer(seen: Seen, curve: Array64, cells: Array64, report: Mapping[str, Any]) -> Answer:
    parts: List[Any] = []
    if curve.any():
        parts.append(Curve(curve.T, MID_GREY, seen.low, seen.high))
    if cells.any():
        # The local part is the same for dark and bright pixels: two equal layers over any range of luma.
        stops = np.repeat(cells[:, :, None, :], 2, axis=2).astype(np.float32)
        x0, y0, x1, y1 = (float(edge) for edge in seen.box)
        parts.append(Grid(stops, (x0, y0, x1, y1), -1.0, 1.0))
    facts = {**report, "frame_stops": round(float(curve[0].mean()), 4)}
    return Answer(seen.number, LightingField(tuple(parts)) if parts else NULL, facts)
