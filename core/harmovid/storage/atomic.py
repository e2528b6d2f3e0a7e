"""Files that are there whole or not at all: written to a temporary name in the same folder, fsynced, renamed.

The temporary name is hidden, ends in `.tmp` and is removed again when anything goes wrong.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from typing import Union

Buffer = Union[bytes, bytearray, memoryview]


class WholeFile:
    """A file that is being written, piece by piece, under its temporary name.

        file = WholeFile(path)
        file.write(piece); file.write(piece)
        file.commit()                           # or file.drop()

    Every method but `drop` raises `OSError`: the folder is missing, full or not writable. The file is
    then to be dropped.
    """

    def __init__(self, path: str, mode: int = 0o666) -> None:
        """Make the temporary file.

        Args:
            path: the final name; its folder must exist.
            mode: permission bits of the new file, narrowed by the umask (POSIX).
        """
        self._path = path
        self._folder, name = os.path.split(path)
        self._temporary = os.path.join(self._folder, f".{name}.{secrets.token_hex(4)}.tmp")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        self._descriptor = os.open(self._temporary, flags, mode)

    def write(self, data: Buffer) -> None:
        """Write the next piece."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def commit(self) -> None:
        """Give the file its final name, replacing what was there; return when it is on the disk."""
        os.fsync(self._descriptor)
        self._close()
        os.replace(self._temporary, self._path)
        sync_folder(self._folder)

    def drop(self) -> None:
        """Remove the temporary file; of a file that is committed nothing is removed."""
        self._close()
        with contextlib.suppress(OSError):
            os.unlink(self._temporary)

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def write_whole(path: str, data: Buffer, mode: int = 0o666) -> None:
    """Write `data` to `path`, replacing what was there, and return when it is on the disk.

    Args:
        path: the final name; its folder must exist.
        data: the whole content.
        mode: permission bits of the new file, narrowed by the umask (POSIX).

    Raises:
        OSError: the folder is missing, full or not writable; nothing is left behind.
    """
    file = WholeFile(path, mode)
    try:
        file.write(data)
        file.commit()
    except BaseException:  # also Ctrl-C: the half file must not stay
        file.drop()
        raise


def sync_folder(folder: str) -> None:
    """Make a rename in `folder` survive a power cut, where the system can (not on Windows)."""
    with contextlib.suppress(OSError, AttributeError):
        descriptor = os.open(folder or ".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
