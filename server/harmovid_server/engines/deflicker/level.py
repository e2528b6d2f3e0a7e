"""Levels that a user sets: the whole shot brought to one frame's light, and trims, corrections in stops as text.

    level = ReferenceLevel(amounts, trims)
    trajectories = level.aligned(first, trajectories)     # each window of a segment, in order
    answers = level.answers(block)              # each block
    answers += level.finish()                   # at the end of the segment
    parse_trims("1001:+0.2, 1010-1014:-0.05")   # {1001: 0.2, 1010: -0.05, ...}

Each window knows its trajectories up to a constant. The frames that two windows share give the difference of both
constants, so the light of an earlier frame can be held through a shot of any length. Frames before the reference wait
for it; of each, a few kB are kept to answer it later.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import Any, Dict, List, Mapping, Optional, Tuple, cast

import numpy as np
from harmovid.errors import OptionError

from harmovid_server.engines.base import Answer, State
from harmovid_server.engines.deflicker.colour_terms import Array64
from harmovid_server.engines.deflicker.corrections import Correction, TrackedFrame, answer
from harmovid_server.engines.deflicker.packing import packed, unpacked
from harmovid_server.engines.deflicker.window import Amounts, before, weighed

WHOLE, SLOW = 0, 1
COLOURS = 300
"""Number of a window's typical colours that are kept for frames that wait."""
LARGEST_STOPS = 8.0
MOST_FRAMES = 100_000
FORM = (
    r"\s*|(\s*\d{1,9}(-\d{1,9})?\s*:\s*[+-]?0*([0-7](\.\d*)?|8(\.0*)?)\s*,)*"
    r"\s*\d{1,9}(-\d{1,9})?\s*:\s*[+-]?0*([0-7](\.\d*)?|8(\.0*)?)\s*"
)
"""Pattern of the option's text; hosts check it before a job is sent."""
_ONE = re.compile(r"\s*(\d{1,9})(?:-(\d{1,9}))?\s*:\s*([+-]?\d+(?:\.\d*)?)\s*\Z")


@dataclass(frozen=True)
class Waiting:
    """A block of frames that is solved, but whose level is perhaps not known yet."""

    frames: List[TrackedFrame]
    found: Correction
    report: Mapping[str, Any]
    colours: Array64


_STATE = Tuple[Optional[int], Optional[Array64], Optional[Tuple[int, Array64]], List[Waiting]]


class ReferenceLevel:
    """The light that each segment of a shot is brought to.

    Args:
        amounts: `hold` is the share of the slow change that is removed; `reference` the frame that stays unchanged.
            If that is None or not in a segment, the segment's first frame gives the level.
        trims: stops by frame number.
    """

    def __init__(self, amounts: Amounts, trims: Mapping[int, float]) -> None:
        self._amounts, self._trims = amounts, trims
        self._begin()

    def _begin(self) -> None:
        self._waiting: List[Waiting] = []
        self._before: Optional[Tuple[int, Array64]] = None
        self._held: Optional[Array64] = (
            None  # (2, 10, 3): whole and slow trajectory at the frame that gives the level
        )
        self._from: Optional[int] = None  # the reference, once it has been seen

    def aligned(self, first: int, trajectories: Array64) -> Array64:
        """Return a window's trajectories `(n, 2, 10, 3)` with the constant of the windows before it.

        Args:
            first: the window's first frame, by index in the segment.
        """
        if self._before is not None:
            start, earlier = self._before
            shared = earlier[first - start :][: len(trajectories)]
            if len(shared):
                trajectories = trajectories + (shared - trajectories[: len(shared)])[:, WHOLE].mean(axis=0)
        self._before = (first, trajectories)
        return trajectories

    def answers(self, block: Waiting) -> List[Answer]:
        """Add the next block, with aligned trajectories; return the answers that can be given now."""
        frames = [replace(frame, samples={}) for frame in block.frames]
        colours = block.colours[:: max(1, len(block.colours) // COLOURS)]
        self._waiting.append(Waiting(frames, block.found, block.report, colours))
        for frame, trajectories in zip(frames, _trajectories(block.found)):
            self._read(frame.number, trajectories)
        return self._released() if self._held is not None else []

    def _read(self, number: int, trajectories: Array64) -> None:
        reference = self._amounts.reference
        if number == reference:
            self._held, self._from = trajectories, number
        elif self._held is None and (reference is None or number > reference):
            self._settle()

    def _settle(self) -> None:
        """Let the segment's first frame give the level, since the reference is not in the segment."""
        if self._held is None and self._waiting:
            self._held = _trajectories(self._waiting[0].found)[0]

    def finish(self) -> List[Answer]:
        """End the segment: answer the frames that still wait."""
        self._settle()
        answers = self._released()
        self._begin()
        return answers

    def _released(self) -> List[Answer]:
        answers: List[Answer] = []
        for block in self._waiting:
            curves = weighed(self._curves(block), self._amounts.luma, self._amounts.chroma)
            found, report = replace(block.found, curves=curves), {**block.report, **self._facts()}
            answers += [
                answer(frame, found, i, report, self._trims.get(frame.number, 0.0))
                for i, frame in enumerate(block.frames)
            ]
        self._waiting = []
        return answers

    def _curves(self, block: Waiting) -> Array64:
        trajectories, held = _trajectories(block.found), cast(Array64, self._held)
        share = self._amounts.hold
        slow = (1 - share) * trajectories[:, SLOW] + share * held[SLOW]
        if self._from is not None:  # the reference itself stays unchanged, including its flicker
            slow = slow + held[WHOLE] - held[SLOW]
        return before(slow, trajectories[:, WHOLE], block.colours)

    def _facts(self) -> Dict[str, Any]:
        level = "start of the shot" if self._from is None else f"frame {self._from}"
        return {"decision": "corrected", "level": level, "hold": self._amounts.hold}

    def state(self) -> State:
        """Return the whole state, for a checkpoint."""
        return packed("level", [self._from, self._held, self._before, self._waiting])

    def restore(self, state: State) -> None:
        """Restore what `state` returned."""
        self._from, self._held, self._before, self._waiting = unpacked(_STATE, "level", state)


def _trajectories(found: Correction) -> Array64:
    if found.trajectories is None:
        return np.zeros((len(found.curves), 2, *found.curves.shape[1:]))
    return found.trajectories


def parse_trims(text: str) -> Dict[int, float]:
    """Return stops by frame number; if a frame has several entries, the last one counts.

    Raises:
        OptionError: the text is not of the form `frame:stops, first-last:stops`.
    """
    trims: Dict[int, float] = {}
    for entry in text.split(",") if text.strip() else []:
        found = _ONE.match(entry)
        if not found:
            raise _bad(f"{entry.strip()!r} is no trim")
        first, last = int(found[1]), int(found[2] or found[1])
        stops = float(found[3])
        if not math.isfinite(stops) or abs(stops) > LARGEST_STOPS:
            raise _bad(f"{stops} stops is beyond {LARGEST_STOPS:g}")
        if last < first or last - first >= MOST_FRAMES:
            raise _bad(f"{entry.strip()!r} is no range of frames")
        trims.update(dict.fromkeys(range(first, last + 1), stops))
    return trims


def _bad(what: str) -> OptionError:
    return OptionError(f"option trims: {what}.", fix="Write it as 1001:+0.2,1010-1014:-0.05 (stops).")
