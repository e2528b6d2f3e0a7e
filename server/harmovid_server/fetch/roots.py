"""Shared storage: named roots that the server mounts too, so that frames need not be sent.

    roots = Roots({"show": "/srv/show"})
    pattern = roots.check("show:seq/010/plate.####.exr")     # InputError when it is not allowed
    handle = roots.open(pattern, 1001)
    size, crc = copy(handle, target_path, beat)

A client names a root and a relative pattern, never a path. Each folder of the path is opened on its own, relative to
the one before, without following symbolic links (openat with O_NOFOLLOW), so that neither ".." nor a link, nor a folder
replaced by a link at the wrong moment, leads out of the root. The frame is copied into the spool and then treated like
one that was sent. No other process opens a path that a client has named.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, Mapping, Tuple

from harmovid.errors import FrameMissing, FrameRefused, InputError
from harmovid.frames import FramePattern
from harmovid.storage.checksums import crc32

from harmovid_server.spool import PART

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: opening a named pipe must not hang.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_COPY_BYTES = 1 << 20


@dataclass(frozen=True)
class SharedPattern:
    """A checked "root:folder/name.####.exr": the root's name, the folders below it, the name's pattern."""

    root: str
    folders: Tuple[str, ...]
    name: FramePattern


class Roots:
    """The named folders of the configuration."""

    def __init__(self, folders: Mapping[str, str]) -> None:
        self._folders: Dict[str, str] = dict(folders)

    def check(self, text: str) -> SharedPattern:
        """Parse and check "root:folder/name.####.exr".

        Raises:
            InputError: no such root, an absolute path, "." or ".." in it, or a pattern that cannot be read.
        """
        root, colon, relative = text.partition(":")
        if not colon or root not in self._folders:
            known = ", ".join(sorted(self._folders)) or "none"
            raise InputError(f"shared input {text!r} names no root of this server.", fix=f"It has {known}.")
        parts = relative.split("/")
        if any(part in ("", ".", "..") or "\0" in part or "\\" in part for part in parts):
            raise InputError(
                f"shared input {text!r} is not allowed.",
                fix="Write root:folder/name.####.exr, without . and ..",
            )
        return SharedPattern(root, tuple(parts[:-1]), FramePattern.parse(parts[-1]))

    def open(self, pattern: SharedPattern, frame: int) -> int:
        """Return a file descriptor of one frame's file, which the caller closes.

        Raises:
            FrameMissing: there is no such file, it may not be read, or a link leads to it.
            FrameRefused: a folder, a device, a pipe, or an empty file.
        """
        handle = self._open(pattern, frame)
        facts = os.fstat(handle)
        if stat.S_ISREG(facts.st_mode) and facts.st_size:
            return handle
        os.close(handle)
        raise FrameRefused("what lies there is not a file with anything in it.", frame=frame)

    def _open(self, pattern: SharedPattern, frame: int) -> int:
        name = os.path.basename(pattern.name.path(frame))
        shown = f"{pattern.root}:{'/'.join((*pattern.folders, name))}"
        handle = -1
        try:
            # The root itself is a setting of the server and may be a link.
            handle = os.open(self._folders[pattern.root], os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            for folder in pattern.folders:
                inner = os.open(folder, _FOLDER, dir_fd=handle)
                os.close(handle)
                handle = inner
            return os.open(name, _FILE, dir_fd=handle)
        except OSError as error:
            raise FrameMissing(
                f"{shown} cannot be opened on the server: {error.strerror}.",
                fix="Check that it exists there, is no link, and may be read by the server's user.",
                frame=frame,
            ) from error
        finally:
            if handle >= 0:
                os.close(handle)


def copy(handle: int, target: Path, beat: Callable[[], None]) -> Tuple[int, int]:
    """Copy an open file to `target`, by a temporary name, and return its size and crc32.

    Args:
        beat: called after each MiB, so that a slow disk does not look like a dead process.

    Raises:
        OSError: the file cannot be read, or the disk is full.
    """
    part = target.with_name(target.name + PART)
    size = crc = 0
    try:
        with open(part, "wb") as stream:
            while chunk := os.read(handle, _COPY_BYTES):
                stream.write(chunk)
                size, crc = size + len(chunk), crc32(chunk, crc)
                beat()
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
    return size, crc
