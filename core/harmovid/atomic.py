"""Files that are there whole or not at all: written to a temporary name in the same folder, fsynced, renamed.

The temporary name is hidden, ends in `.tmp` and is removed again when anything goes wrong.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from typing import Union

Buffer = Union[bytes, bytearray, memoryview]


def write_whole(path: str, data: Buffer, mode: int = 0o666) -> None:
    """Write `data` to `path`, replacing what was there, and return when it is on the disk.

    Args:
        path: the final name; its folder must exist.
        data: the whole content.
        mode: permission bits of the new file, narrowed by the umask (POSIX).

    Raises:
        OSError: the folder is missing, full or not writable; nothing is left behind.
    """
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}.{secrets.token_hex(4)}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    descriptor = os.open(temporary, flags, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:  # also Ctrl-C: the half file must not stay
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    sync_folder(folder)


def sync_folder(folder: str) -> None:
    """Make a rename in `folder` survive a power cut, where the system can (not on Windows)."""
    with contextlib.suppress(OSError, AttributeError):
        descriptor = os.open(folder or ".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
