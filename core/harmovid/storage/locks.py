"""File locks that one process at a time can hold. A lock ends with its process, so a killed process leaves none."""

from __future__ import annotations

import os
import sys

from harmovid.errors import OutputError

# Windows locks bytes, and locked bytes cannot be read, so the locked byte is far behind any content.
_LOCK_OFFSET = 1 << 40


def lock_file(descriptor: int) -> None:
    """Lock the file for this open handle, or raise OSError at once; closing the handle unlocks it."""
    if sys.platform == "win32":
        import msvcrt

        os.lseek(descriptor, _LOCK_OFFSET, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class LockedFile:
    """An empty file that is locked while this object lives in a `with` block; the file itself stays."""

    def __init__(self, descriptor: int) -> None:
        """Use `take` instead."""
        self._descriptor = descriptor

    @classmethod
    def take(cls, path: str, taken: str) -> LockedFile:
        """Create the file if it is missing, and lock it.

        Args:
            path: of the file.
            taken: the message if another process holds it.

        Raises:
            OutputError: another process holds it, or it cannot be written.
        """
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise OutputError(
                f"{path} cannot be written: {error.strerror}.", fix="Check the folder."
            ) from error
        try:
            lock_file(descriptor)
        except OSError as error:
            os.close(descriptor)
            raise OutputError(f"{taken}: {path} is locked.", fix="Wait for it, or stop it.") from error
        return cls(descriptor)

    def __enter__(self) -> LockedFile:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)
