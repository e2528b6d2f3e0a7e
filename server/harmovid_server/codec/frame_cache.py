"""Decoded frames that a codec child keeps between measuring a frame and finishing it.

Frames are finished in the order in which they were measured, some time later. If the cache is full and dropped its
oldest frame, it would drop the one that is needed next and never hit; so it refuses the newest instead.
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
        """Keep a frame if there is space; return whether it is kept."""
        self.take(key)
        size = _pixel_bytes(frames)
        if self._used_bytes + size > self._budget_bytes:
            return False
        self._held[key] = frames
        self._used_bytes += size
        return True

    def take(self, key: Key) -> Optional[Frames]:
        """Return a frame and remove it from the cache; None if it is not there."""
        frames = self._held.pop(key, None)
        if frames is not None:
            self._used_bytes -= _pixel_bytes(frames)
        return frames

    def forget(self, job: str) -> None:
        """Remove all frames of a job."""
        for key in [key for key in self._held if key[0] == job]:
            self.take(key)


def _pixel_bytes(frames: Frames) -> int:
    return sum(
        pixels.nbytes
        for frame in frames.values()
        for part in frame.parts
        for pixels in part.channels.values()
    )
