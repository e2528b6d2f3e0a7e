"""Decoded frames that a codec child holds between measuring a frame and finishing it.

Frames are finished in the order they were measured, some time later. When the room is used up, a cache that
drops its oldest frame drops the very frame that is wanted next, and never hits; this one turns the newest
away.
"""

from __future__ import annotations

from typing import Dict, Mapping, Optional, Tuple

from harmovid.pixels.exr import ExrFrame

Key = Tuple[str, int]
Frames = Mapping[str, ExrFrame]


class FrameCache:
    """Decoded layers by (job, frame), within `budget_bytes` of pixels."""

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        self._used_bytes = 0
        self._held: Dict[Key, Frames] = {}

    def put(self, key: Key, frames: Frames) -> bool:
        """Hold a frame if there is room; return whether it is held."""
        self.take(key)
        size = _pixel_bytes(frames)
        if self._used_bytes + size > self._budget_bytes:
            return False
        self._held[key] = frames
        self._used_bytes += size
        return True

    def take(self, key: Key) -> Optional[Frames]:
        """Return a frame and hold it no longer; None where it is not held."""
        frames = self._held.pop(key, None)
        if frames is not None:
            self._used_bytes -= _pixel_bytes(frames)
        return frames

    def forget(self, job: str) -> None:
        """Let all frames of a job go."""
        for key in [key for key in self._held if key[0] == job]:
            self.take(key)


def _pixel_bytes(frames: Frames) -> int:
    return sum(
        pixels.nbytes
        for frame in frames.values()
        for part in frame.parts
        for pixels in part.channels.values()
    )
