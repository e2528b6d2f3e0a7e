"""One shot going through the deflicker: cut into segments at scene cuts, solved in overlapping windows.

Blocks of `BLOCK_FRAMES` are answered from a window that reaches some frames to either side, laid out by the frames'
index in their segment, so the result does not depend on when frames arrive. What is kept is bounded by the window.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Dict, List, Mapping, Optional, Tuple, cast

import cv2
import numpy as np

from harmovid_server.engines.base import Answer, ProxyFrame, State
from harmovid_server.engines.deflicker import store
from harmovid_server.engines.deflicker.hold import Level, Waiting
from harmovid_server.engines.deflicker.links import Change, fit, from_quantiles
from harmovid_server.engines.deflicker.looks import Looks, look, quantiles
from harmovid_server.engines.deflicker.match import Pairs, match, thinned
from harmovid_server.engines.deflicker.motion import SMALL_REGION, Flow, Motion, at_rest, follow, follow_far
from harmovid_server.engines.deflicker.seen import Found, Seen, answer
from harmovid_server.engines.deflicker.window import Amounts, Solved, solved

BLOCK_FRAMES = 32
BACK_FRAMES, AHEAD_FRAMES = 48, 32
"""How far the window reaches beyond the block that it answers: telling slow from fast takes a long look."""
LATER_FRAMES = 24
"""A block is answered so many frames after its window is complete: it is solved beside them."""
PLACE_FRAMES = 24
"""How far places are solved beyond the block."""
JOIN_FRAMES = 12
"""Frames over which a block is led over from what the window before said of it."""
GAPS = (1, 2, 4, 8)
ENOUGH_TRUST = 0.25
"""A pair with less trust than this is helped out by the frames' quantiles; they also move with the picture itself."""
RANGE_STEP = 3
"""Every so-manieth row and column says how dark and bright a frame gets."""
PLACE_SAMPLES, FEWEST_PLACE_SAMPLES = 1000, 300
"""Samples of a whole picture that are kept for finding places; of a small region as much fewer, but so many."""


class DeflickerSession:
    """See the module; `push`, `finish`, `state`, `restore` as `base.ShotSession` wants them."""

    def __init__(self, amounts: Amounts, trims: Mapping[int, float]) -> None:
        """Open a session.

        Args:
            amounts: the options.
            trims: stops by frame number, added to what is found.
        """
        self._amounts = amounts
        self._trims = trims
        self._level = Level(amounts, trims)
        self._still = amounts.mode == "timelapse" or not amounts.follow
        self._fits = ThreadPoolExecutor(1, thread_name_prefix="deflicker-fit")
        self._solver = ThreadPoolExecutor(1, thread_name_prefix="deflicker-solve")
        self._solving: Optional[Future[Solved]] = None
        self._fresh = True  # nothing was pushed yet: the first frame follows no cut
        self._recent: List[Looks] = []
        self._flows: List[Dict[int, Flow]] = []
        self._seen: List[Seen] = []
        self._first = 0  # index in the segment of self._seen[0]
        self._answered = 0  # frames of the segment that have been answered
        self._foretold: Optional[Found] = None  # what the last window said of the block now owed

    def push(self, frame: ProxyFrame) -> List[Answer]:
        """Take one frame; answer a block when its window is complete, or all that is owed at a cut."""
        looks = look(frame)
        answers: List[Answer] = []
        before = self._flows[-1].get(1) if self._flows else None
        newest = follow(looks, self._recent[-1], before) if self._recent else None
        if newest is not None and newest.is_cut:
            answers = self.finish()
            newest = None
        self._seen.append(self._linked(looks, newest))
        self._fresh = False
        self._recent = [*self._recent[-(max(GAPS) - 1) :], looks]
        if self._end - self._answered == BLOCK_FRAMES + AHEAD_FRAMES:
            self._begin()
        if self._end - self._answered >= BLOCK_FRAMES + AHEAD_FRAMES + LATER_FRAMES:
            answers += self._block(self._answered + BLOCK_FRAMES)
        return answers

    def finish(self) -> List[Answer]:
        """Answer all frames of the segment that are still owed, and begin a new one."""
        answers = []
        if self._end - self._answered >= BLOCK_FRAMES + AHEAD_FRAMES:
            answers += self._block(self._answered + BLOCK_FRAMES)
        if self._answered < self._end:
            # All that is owed at once: the window is no larger than that of a block in the middle.
            answers += self._block(self._end)
        answers += self._level.finish()
        self._recent, self._flows = [], []
        self._seen, self._first, self._answered, self._foretold = [], 0, 0, None
        return answers

    @property
    def _end(self) -> int:
        return self._first + len(self._seen)

    @property
    def _window_start(self) -> int:
        return max(0, self._answered - BACK_FRAMES)

    def _linked(self, looks: Looks, newest: Optional[Motion]) -> Seen:
        found = self._fits.submit(_seen, looks, after_cut=newest is None and not self._fresh)
        flows: Dict[int, Flow] = {}
        fitted: Dict[int, Future[Tuple[Pairs, Optional[Change]]]] = {}
        for gap in GAPS if newest is not None else ():
            if gap > len(self._recent):
                continue
            earlier = self._recent[-gap]
            if self._still:
                motion = at_rest(looks)
            elif gap == 1 and newest is not None:
                motion = newest
            else:
                motion = follow_far(looks, earlier, self._guess(flows, gap))
            # Compared and fitted beside the search for the next motion.
            fitted[gap] = self._fits.submit(_compared, looks, earlier, motion)
            flows[gap] = motion.coarse()
        kept = max(FEWEST_PLACE_SAMPLES, round(PLACE_SAMPLES * float(looks.weight.mean())))
        seen, trust = found.result(), 0.0
        for gap, future in fitted.items():
            pairs, change = future.result()
            trust = pairs.trust if gap == 1 else trust
            if change is not None:
                seen.pairs[gap], seen.changes[gap] = thinned(pairs, kept), change
        self._flows = [*self._flows[-(max(GAPS) // 2 - 1) :], flows]
        # Quantiles move with the picture itself; of a small region they help all the same.
        lost = newest is not None and (seen.small or trust < ENOUGH_TRUST)
        before = self._seen[-1].quantiles if lost else None
        if seen.quantiles is not None and before is not None:
            seen.changes[0] = from_quantiles(seen.quantiles, before)
        return seen

    def _guess(self, flows: Dict[int, Flow], gap: int) -> Optional[Flow]:
        """Return the motion over a gap from what is known over its two halves."""
        half = gap // 2
        if half not in flows or half > len(self._flows) or half not in self._flows[-half]:
            return None
        return flows[half].then(self._flows[-half][half])

    def _begin(self) -> None:
        """Begin to solve the next block beside the frames to come: its window is there, its answers are not due yet."""
        self._solving = self._solver.submit(
            solved, *self._window(self._answered + BLOCK_FRAMES), self._amounts
        )

    def _window(self, end: int) -> Tuple[List[Seen], Tuple[int, int]]:
        """Return the frames that those from the last answered one to `end` are solved from, and `inner` of `solved`."""
        start = self._window_start
        window = self._seen[start - self._first : end + AHEAD_FRAMES - self._first]
        inner = (max(0, self._answered - start - PLACE_FRAMES), min(len(window), end - start + PLACE_FRAMES))
        return window, inner

    def _block(self, end: int) -> List[Answer]:
        """Answer the frames from the last answered one to `end`, and forget what is old."""
        start, (window, inner) = self._window_start, self._window(end)
        begun = self._solving if end == self._answered + BLOCK_FRAMES else None
        what = begun.result() if begun else solved(window, inner, self._amounts)
        self._solving = None
        found = what.found
        if found.courses is not None:
            found = replace(found, courses=self._level.aligned(start, found.courses))
        owed = found.part(self._answered - start, end - start)
        if self._foretold is not None:
            owed = owed.joined(self._foretold)
        self._foretold = found.part(end - start, end - start + JOIN_FRAMES)
        frames = window[self._answered - start : end - start]
        if self._amounts.holds:
            answers = self._level.answers(Waiting(frames, owed, what.report, what.colours))
        else:
            answers = [
                answer(s, owed, i, what.report, self._trims.get(s.number, 0.0)) for i, s in enumerate(frames)
            ]
        self._answered = end
        old = max(0, end - BACK_FRAMES) - self._first
        self._seen, self._first = self._seen[max(old, 0) :], self._first + max(old, 0)
        return answers

    def state(self) -> State:
        """Return everything the session knows, as arrays and numbers."""
        state: Dict[str, Any] = {"first": self._first, "answered": self._answered, "fresh": self._fresh}
        for i, seen in enumerate(self._seen):
            state.update(store.pack_seen(f"seen.{i}", seen))
        for i, flows in enumerate(self._flows[::-1]):
            state.update(store.pack_flows(f"flows.{i}", flows))
        for i, looks in enumerate(self._recent):
            state.update(store.pack_looks(f"looks.{i}", looks))
        if self._foretold is not None:
            state.update(store.pack_found("foretold", self._foretold))
        return {**state, **self._level.state()}

    def restore(self, state: State) -> None:
        """Become the session whose `state` this is."""
        self._first, self._answered = int(cast(int, state["first"])), int(cast(int, state["answered"]))
        self._fresh = bool(state["fresh"])
        self._seen, self._recent = store.unpack_all_seen("seen", state, GAPS), []
        while (looks := store.unpack_looks(f"looks.{len(self._recent)}", state)) is not None:
            self._recent.append(looks)
        count = min(len(self._recent), max(GAPS) // 2)
        self._flows = [store.unpack_flows(f"flows.{i}", state, GAPS) for i in range(count)][::-1]
        self._foretold = store.unpack_found("foretold", state)
        self._level.restore(state)

    def close(self) -> None:
        """Do nothing: nothing is held outside Python's memory."""


def _compared(here: Looks, there: Looks, motion: Motion) -> Tuple[Pairs, Optional[Change]]:
    pairs = match(here, there, motion)
    height, width = here.plain.shape
    return pairs, fit(pairs, width / height)


def _seen(looks: Looks, *, after_cut: bool) -> Seen:
    measured = (looks.weight > 0.5).astype(np.uint8)
    low, high = -1.0, 1.0
    level = (0.0, 0.0, 0.0)
    inside = looks.logs[::RANGE_STEP, ::RANGE_STEP][measured[::RANGE_STEP, ::RANGE_STEP] > 0]
    if len(inside):
        low, high = (float(end) for end in np.quantile(inside, (0.005, 0.995)))
        r, g, b, _ = cv2.mean(looks.logs, measured)
        level = (float(r), float(g), float(b))
    small = float(looks.weight.mean()) < SMALL_REGION
    seen = Seen(looks.number, low, max(high, low + 1.0), looks.box, after_cut, level, small)
    seen.quantiles = quantiles(looks)
    return seen
