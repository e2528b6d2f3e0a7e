"""Frames that an engine sees in addition to those of a job, so that a part of a shot fits the rest: handles and others.

context = Context(handles=48, step=32)
context.frames(FrameRange.parse("1101-1132"), there=plate.found())
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable, Iterator, Union

from harmovid.errors import InputError
from harmovid.frames import FrameRange


@dataclass(frozen=True)
class Context:
    """The settings for additional frames.

    Attributes:
        handles: number of frames on either side of each frame, where they exist.
        step: additional frames before the first one, so that the start is a multiple of `step` frames after the start
            of the sequence (`EngineInfo.handle_step`).
        named: further frames, as a range.
    """

    handles: int = 0
    step: int = 1
    named: Union[str, FrameRange, None] = None

    def frames(self, frames: FrameRange, there: FrameRange) -> FrameRange:
        """Return the additional frames.

        Args:
            frames: the job's frames.
            there: the frames that have files.

        Raises:
            InputError: handles are below 0. PatternError: a range cannot be parsed.
        """
        if self.handles < 0:
            raise InputError(
                f"{self.handles} handles are asked for.", fix="Name a number of frames, 0 or more."
            )
        named = FrameRange.parse(self.named) if isinstance(self.named, str) and self.named else self.named
        found = set(named or ())
        if self.handles:
            found.update(self._with_handles(frames, there))
        return FrameRange(found.difference(frames))

    def _with_handles(self, frames: FrameRange, there: FrameRange) -> Iterator[int]:
        nearby = set(near(there, frames, self.handles))
        first = next((index for index, number in enumerate(there) if number in nearby), 0)
        yield from there[first - first % self.step : first]
        yield from nearby


def near(numbers: Iterable[int], frames: FrameRange, reach: int) -> Iterator[int]:
    """Yield the numbers within `reach` of the nearest frame."""
    for number in numbers:
        nearest = frames.nearest(number)
        if nearest is not None and abs(nearest - number) <= reach:
            yield number
