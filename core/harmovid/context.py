"""Frames that an engine sees beside those asked for, so that a part of a shot fits the whole: handles, and named ones.

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
    """What is asked for beside a job's frames.

    Attributes:
        handles: so many frames to either side of each frame, as far as they are there.
        step: more before the first one, up to a whole number of so many frames from the start of the sequence
            (`EngineInfo.handle_step`).
        named: further frames, as a range.
    """

    handles: int = 0
    step: int = 1
    named: Union[str, FrameRange, None] = None

    def frames(self, frames: FrameRange, there: FrameRange) -> FrameRange:
        """Return the frames beside those of the job.

        Args:
            frames: the job's.
            there: those that have files.

        Raises:
            InputError: handles below 0. PatternError: a range that cannot be read.
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
    """Yield those of some numbers that are no further from the nearest frame than `reach`."""
    for number in numbers:
        nearest = frames.nearest(number)
        if nearest is not None and abs(nearest - number) <= reach:
            yield number
