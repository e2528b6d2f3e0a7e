"""Claims: which results a running job is going to write, so that no other job writes the same files.

    claim = Claim(pattern, frames)
    with exclusive(folder):                                  # one job begins at a time
        for path in other_journals(folder, own): ...
        claim.clash(other)                                   # the frames whose files both would write

A claim is one line of a job's journal (`harmovid.storage.journal`); it is valid while that journal is locked.
"""

from __future__ import annotations

import contextlib
import glob
import os
import sys
from dataclasses import dataclass
from typing import Iterator, List, Optional
from urllib.parse import quote_from_bytes, unquote_to_bytes

from harmovid.errors import PatternError
from harmovid.frames import FramePattern, FrameRange

_WORD = "results"


@dataclass(frozen=True)
class Claim:
    """The results of one job: the file names that `pattern` gives to `frames`, without the folder."""

    pattern: FramePattern
    frames: FrameRange

    def line(self) -> str:
        """Return the claim as a line of a journal, ASCII, without its end."""
        text = self.pattern.text[len(self.pattern.folder) :]
        return f"{_WORD} {self.frames} {quote_from_bytes(os.fsencode(text))}"

    @classmethod
    def parse(cls, line: str) -> Optional[Claim]:
        """Return the claim in a line that `line` made, or None if it holds no claim."""
        word, _, rest = line.partition(" ")
        frames, _, name = rest.partition(" ")
        if word != _WORD or not name:
            return None
        try:
            return cls(FramePattern.parse(os.fsdecode(unquote_to_bytes(name))), FrameRange.parse(frames))
        except PatternError:
            return None

    def clash(self, other: Claim) -> FrameRange:
        """Return the frames for which both would write the same file name, ignoring case."""
        common = set(self.frames) & set(other.frames)
        same = (n for n in common if self.pattern.name(n).casefold() == other.pattern.name(n).casefold())
        return FrameRange(same)


def other_journals(folder: str, own: str) -> List[str]:
    """Return the paths of the journals in an output folder, except one."""
    found = glob.glob(os.path.join(glob.escape(folder or "."), ".harmovid-*.journal"))
    return [path for path in found if os.path.basename(path) != os.path.basename(own)]


@contextlib.contextmanager
def exclusive(folder: str) -> Iterator[None]:
    """Let only one job at a time begin in a folder, on systems that can lock folders (not on Windows)."""
    descriptor = -1
    if sys.platform != "win32":
        import fcntl

        # Some network file systems cannot lock folders: two jobs that begin at the same moment may then miss each
        # other.
        with contextlib.suppress(OSError):
            descriptor = os.open(folder or ".", os.O_RDONLY)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if descriptor >= 0:
            os.close(descriptor)
