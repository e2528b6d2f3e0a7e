"""One shot in the deflicker: divided into segments at cuts, solved in overlapping windows.

Each block of frames is answered from a window that extends some frames to either side. Windows are placed by the
frames' index in their segment, so the result does not depend on when frames arrive. Memory is limited by the window.
Frames without a picture (black, or a single colour within a shot) belong to no window and are answered at once, before
frames that still wait: otherwise the server, which holds back frames while many have no answer, would send no more. The
frames around them are matched.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Dict, List, Mapping, Optional, Tuple

import cv2
import numpy as np
from harmovid.errors import OptionError
from harmovid.pixels.field import NULL

from harmovid_server.engines.base import Answer, ProxyFrame, State
from harmovid_server.engines.deflicker.corrections import Correction, TrackedFrame, answer
from harmovid_server.engines.deflicker.features import FrameFeatures, extract_features, quantiles
from harmovid_server.engines.deflicker.level import ReferenceLevel, Waiting
from harmovid_server.engines.deflicker.motion import (
    GAPS,
    SMALL_REGION,
    Flow,
    Motion,
    PairSamples,
    at_rest,
    follow,
    follow_far,
    match,
    thinned,
)
from harmovid_server.engines.deflicker.packing import packed, unpacked
from harmovid_server.engines.deflicker.window import NOTHING_TO_COMPARE, Amounts, Solved, level_of, solved

ENOUGH_TRUST = 0.25
"""If less of a frame's predecessor was tracked, quantiles are used too; they also change with the picture itself."""
RANGE_STEP = 3
"""Every third row and column is used for the range of a frame."""
PLACE_SAMPLES, FEWEST_PLACE_SAMPLES = 1000, 300
"""Samples kept of a whole picture; of a small region in proportion, but at least the second number."""


@dataclass(frozen=True)
class Reach:
    """Sizes of blocks and windows, in frames.

    Attributes:
        block: frames answered together.
        back, ahead: how far the window extends beyond the block; separating slow from fast changes needs long windows.
        later: a block is answered this many frames after its window is complete; meanwhile it is solved.
        places: how far local corrections are solved beyond the block.
        join: length of the crossfade with the corrections of the window before.
    """

    block: int = 32
    back: int = 48
    ahead: int = 32
    later: int = 24
    places: int = 24
    join: int = 12

    @property
    def frames(self) -> int:
        """Number of frames before the first answer."""
        return self.block + self.ahead + self.later

    @property
    def handles(self) -> int:
        """Number of frames before and after a part of a shot that are needed for the part to fit the rest.

        The window of its first block, and the block before, with which the first is crossfaded.
        """
        return self.back + self.block


FULL = Reach()
QUICK = Reach(block=8, back=24, ahead=12, later=4, places=12, join=4)


_KEPT: Mapping[str, Any] = {
    "_first": int, "_answered": int, "_fresh": bool, "_flat": bool, "_shift": Optional[float],
    "_frames": List[TrackedFrame], "_flows": List[Dict[int, Flow]], "_recent": List[FrameFeatures],
    "_overlap": Optional[Correction],
}  # fmt: skip
"""What a session's state consists of, with types, beside that of its `ReferenceLevel`."""


class DeflickerSession:
    """See the module; `push`, `finish`, `state`, `restore` as in `base.ShotSession`."""

    def __init__(
        self,
        amounts: Amounts,
        trims: Mapping[int, float],
        reach: Reach = FULL,
        facts: Optional[Mapping[str, str]] = None,
    ) -> None:
        """Open a session.

        Args:
            amounts: the options.
            trims: stops by frame number, added to the correction.
            reach: sizes of blocks and windows.
            facts: added to the report of every frame.
        """
        self._facts = dict(facts or {})
        self._amounts, self._trims, self._reach = amounts, trims, reach
        self._level = ReferenceLevel(amounts, trims)
        self._still = amounts.mode == "timelapse" or not amounts.follow
        self._matcher = ThreadPoolExecutor(1, thread_name_prefix="deflicker-match")
        self._solver = ThreadPoolExecutor(1, thread_name_prefix="deflicker-solve")
        self._solving: Optional[Future[Solved]] = None
        self._fresh = True  # whether nothing was pushed yet: the first frame is no cut
        self._begin_segment()

    def _begin_segment(self) -> None:
        self._recent: List[FrameFeatures] = []
        self._flows: List[Dict[int, Flow]] = []
        self._frames: List[TrackedFrame] = []
        self._first = 0  # index in the segment of self._frames[0]
        self._answered = 0  # frames of the segment that have been answered
        self._overlap: Optional[Correction] = (
            None  # the last window's corrections of the block to be answered next
        )
        self._shift: Optional[float] = None  # the segment's level, after its first window
        self._flat = True  # whether all its frames so far are a single colour

    def push(self, frame: ProxyFrame) -> List[Answer]:
        """Add one frame; answer a block when its window is complete, or all waiting frames at a cut.

        Raises:
            OptionError: the reference frame has no picture.
        """
        features = extract_features(frame)
        if self._is_blank(features):
            return self._skipped(features.number)
        answers: List[Answer] = []
        before = self._flows[-1].get(1) if self._flows else None
        newest = follow(features, self._recent[-1], before) if self._recent else None
        if newest is not None and (newest.is_cut or self._flat != features.is_flat):
            answers = self.finish()
            newest = None
        self._flat = features.is_flat
        self._frames.append(self._tracked(features, newest))
        self._fresh = False
        self._recent = [*self._recent[-(max(GAPS) - 1) :], features]
        owed, reach = self._end - self._answered, self._reach
        if owed == reach.block + reach.ahead:
            self._begin()
        if owed >= reach.frames:
            answers += self._block(self._answered + reach.block)
        return answers

    def _is_blank(self, features: FrameFeatures) -> bool:
        """Whether a frame has no picture: no light, or a single colour although the frames before have more."""
        return features.is_dark or (features.is_flat and bool(self._frames) and not self._flat)

    def _skipped(self, number: int) -> List[Answer]:
        if number == self._amounts.reference:
            raise OptionError(
                f"the reference frame {number} holds no picture: there is no light to measure in it.",
                fix="Name a frame that shows the shot.",
            )
        facts = {"decision": "nothing", "reason": f"{NOTHING_TO_COMPARE}: the frame holds no picture"}
        return [Answer(number, NULL, facts)]

    def finish(self) -> List[Answer]:
        """Answer all waiting frames of the segment, and begin a new one."""
        answers, reach = [], self._reach
        if self._end - self._answered >= reach.block + reach.ahead:
            answers += self._block(self._answered + reach.block)
        if self._answered < self._end:
            # All waiting frames at once: the window is not larger than that of a block in the middle.
            answers += self._block(self._end)
        answers += self._level.finish()
        self._begin_segment()
        return answers

    @property
    def _end(self) -> int:
        return self._first + len(self._frames)

    @property
    def _window_start(self) -> int:
        return max(0, self._answered - self._reach.back)

    def _tracked(self, features: FrameFeatures, newest: Optional[Motion]) -> TrackedFrame:
        """Return the frame with its matches to earlier frames, each computed while the next motion is searched."""
        found = self._matcher.submit(_tracked, features, after_cut=newest is None and not self._fresh)
        flows: Dict[int, Flow] = {}
        matched: Dict[int, Future[PairSamples]] = {}
        for gap in GAPS if newest is not None else ():
            if gap > len(self._recent):
                continue
            earlier = self._recent[-gap]
            if self._still:
                motion = at_rest(features)
            elif gap == 1 and newest is not None:
                motion = newest
            else:
                motion = follow_far(features, earlier, self._guess(flows, gap))
            matched[gap] = self._matcher.submit(match, features, earlier, motion)
            flows[gap] = motion.coarse()
        kept = max(FEWEST_PLACE_SAMPLES, round(PLACE_SAMPLES * float(features.weight.mean())))
        frame = found.result()
        frame.samples = {gap: thinned(future.result(), kept) for gap, future in matched.items()}
        self._flows = [*self._flows[-(max(GAPS) // 2 - 1) :], flows]
        # Quantiles change with the picture itself, but for a small region they still help.
        if newest is not None:
            frame.lost = frame.small or frame.samples[1].trust < ENOUGH_TRUST
        return frame

    def _guess(self, flows: Dict[int, Flow], gap: int) -> Optional[Flow]:
        """Return an estimate of the motion over a gap from that over its two halves."""
        half = gap // 2
        if half not in flows or half > len(self._flows) or half not in self._flows[-half]:
            return None
        return flows[half].then(self._flows[-half][half])

    def _begin(self) -> None:
        """Begin to solve the next block in a thread: its window is complete, its answers are not due yet."""
        window, inner = self._window(self._answered + self._reach.block)
        self._solving = self._solver.submit(solved, window, inner, self._amounts, self._level_of(window))

    def _level_of(self, window: List[TrackedFrame]) -> float:
        """Return the segment's level, found from its first window."""
        if self._shift is None:
            self._shift = level_of(window)
        return self._shift

    def _window(self, end: int) -> Tuple[List[TrackedFrame], Tuple[int, int]]:
        """Return the window for the frames from the last answered one to `end`, and `inner` for `solved`."""
        start, reach = self._window_start, self._reach
        window = self._frames[start - self._first : end + reach.ahead - self._first]
        first, last = self._answered - start - reach.places, end - start + reach.places
        return window, (max(0, first), min(len(window), last))

    def _block(self, end: int) -> List[Answer]:
        """Answer the frames from the last answered one to `end`, and drop old ones."""
        start, (window, inner) = self._window_start, self._window(end)
        begun = self._solving if end == self._answered + self._reach.block else None
        what = begun.result() if begun else solved(window, inner, self._amounts, self._level_of(window))
        self._solving = None
        found = what.found
        if found.trajectories is not None:
            found = replace(found, trajectories=self._level.aligned(start, found.trajectories))
        owed = found.part(self._answered - start, end - start)
        if self._overlap is not None:
            owed = owed.crossfaded(self._overlap)
        self._overlap = found.part(end - start, end - start + self._reach.join)
        frames = window[self._answered - start : end - start]
        if self._amounts.holds:
            report = {**self._facts, **what.report}
            answers = self._level.answers(Waiting(frames, owed, report, what.colours))
        else:
            answers = [
                answer(frame, owed, i, {**self._facts, **what.report}, self._trims.get(frame.number, 0.0))
                for i, frame in enumerate(frames)
            ]
        self._answered = end
        old = max(0, end - self._reach.back - self._first)
        self._frames, self._first = self._frames[old:], self._first + old
        return answers

    def state(self) -> State:
        """Return the whole state, as arrays and numbers."""
        state = {key: one for name in _KEPT for key, one in packed(name, getattr(self, name)).items()}
        return {**state, **self._level.state()}

    def restore(self, state: State) -> None:
        """Restore what `state` returned."""
        for name, kind in _KEPT.items():
            setattr(self, name, unpacked(kind, name, state))
        self._level.restore(state)

    def close(self) -> None:
        """End its threads."""
        for threads in (self._matcher, self._solver):
            threads.shutdown(wait=False, cancel_futures=True)


def _tracked(features: FrameFeatures, *, after_cut: bool) -> TrackedFrame:
    measured = (features.weight > 0.5).astype(np.uint8)
    low, high = features.level - 1.0, features.level + 1.0
    level = (0.0, 0.0, 0.0)
    inside = features.logs[::RANGE_STEP, ::RANGE_STEP][measured[::RANGE_STEP, ::RANGE_STEP] > 0]
    if len(inside):
        low, high = (float(end) for end in np.quantile(inside, (0.005, 0.995)))
        r, g, b, _ = cv2.mean(features.logs, measured)
        level = (float(r), float(g), float(b))
    height, width = features.plain.shape
    return TrackedFrame(
        features.number, low, max(high, low + 1.0), features.box, after_cut, level, features.level,
        small=float(features.weight.mean()) < SMALL_REGION, aspect=width / height, quantiles=quantiles(features),
    )  # fmt: skip
