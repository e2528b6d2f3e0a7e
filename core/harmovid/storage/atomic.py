"""Atomic writes: files are written under a temporary name in the same folder, fsynced and renamed.

    write_whole(path, data)                    # data in memory
    file = WholeFile(path)                     # data in chunks
    with replacing(path) as temporary: ...     # what a library writes

The temporary name is hidden, contains `.tmp`, and the file is removed after an error. Names may be as long as the file
system allows (255 bytes) and need not be UTF-8; in the temporary name of a long one a digest replaces the name.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
from typing import Iterator, Optional, Union

Buffer = Union[bytes, bytearray, memoryview]

LONGEST_NAME_BYTES = 255
"""Longest file name on Linux, macOS and Windows file systems."""

_RANDOM_BYTES = 4
_LONGEST_SUFFIX = 8
_TEMPORARY = re.compile(r"\.(.+)\.[0-9a-f]{8}\.tmp(?:\.\w{1,7})?", re.DOTALL)
# Errors of file systems without hard links.
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL)


def stem_of(name: str) -> str:
    """Return the beginning of a file's temporary names after the dot: its name, or a digest of a long one."""
    added = len(f"..{'0' * 2 * _RANDOM_BYTES}.tmp") + _LONGEST_SUFFIX
    raw = os.fsencode(name)
    return name if len(raw) + added <= LONGEST_NAME_BYTES else hashlib.sha256(raw).hexdigest()[:32]


def temporary_stem(name: str) -> Optional[str]:
    """Return the stem of a temporary name, or None if `name` is not one."""
    match = _TEMPORARY.fullmatch(name)
    return match.group(1) if match else None


def _temporary_name(name: str) -> str:
    return f".{stem_of(name)}.{secrets.token_hex(_RANDOM_BYTES)}.tmp"


class WholeFile:
    """A file that is being written in chunks under its temporary name.

        file = WholeFile(path)
        file.write(piece); file.write(piece)
        file.commit()                           # or file.drop()

    Every method except `drop` may raise `OSError`: the folder is missing, full or not writable. Then call
    `drop`.
    """

    def __init__(self, path: str, mode: int = 0o666) -> None:
        """Create the temporary file.

        Args:
            path: the final name; its folder must exist.
            mode: permission bits of the new file, narrowed by the umask (POSIX).
        """
        self._path = path
        self._folder, name = os.path.split(path)
        self._temporary = os.path.join(self._folder, _temporary_name(name))
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        self._descriptor = os.open(self._temporary, flags, mode)

    def write(self, data: Buffer) -> None:
        """Write the next chunk."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def commit(self, replace: bool = True) -> None:
        """Give the file its final name; return when it is stored durably.

        Args:
            replace: whether an existing file may be replaced; otherwise it raises `FileExistsError`.
        """
        os.fsync(self._descriptor)
        self._close()
        if replace:
            os.replace(self._temporary, self._path)
        else:
            _rename_to_free_name(self._temporary, self._path)
        sync_folder(self._folder)

    def drop(self) -> None:
        """Remove the temporary file; do nothing after `commit`."""
        self._close()
        with contextlib.suppress(OSError):
            os.unlink(self._temporary)

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def _rename_to_free_name(source: str, target: str) -> None:
    """Rename a file; raise `FileExistsError` if the new name exists."""
    if os.name == "nt":
        os.rename(source, target)  # Windows never replaces here
        return
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target) from error
        os.replace(source, target)
    else:
        os.unlink(source)


def write_whole(path: str, data: Buffer, mode: int = 0o666) -> None:
    """Write `data` to `path`, replacing an existing file; return when it is stored durably.

    Args:
        path: the final name; its folder must exist.
        data: the content.
        mode: permission bits of the new file, narrowed by the umask (POSIX).

    Raises:
        OSError: the folder is missing, full or not writable; no temporary file remains.
    """
    file = WholeFile(path, mode)
    try:
        file.write(data)
        file.commit()
    except BaseException:  # also after Ctrl-C: the unfinished file must not stay
        file.drop()
        raise


@contextlib.contextmanager
def replacing(
    path: Union[str, os.PathLike[str]], durable: bool = True, keep_suffix: bool = False
) -> Iterator[str]:
    """Context with a temporary path to write to; it replaces `path` if the block ends without an error.

    Args:
        path: the final name; its folder must exist.
        durable: whether the file is fsynced at the end of the block.
        keep_suffix: whether the temporary name has the same suffix, for libraries that choose a format by it.

    Raises:
        OSError: nothing was written, or it cannot be renamed; no temporary file remains.
    """
    folder, name = os.path.split(os.fspath(path))
    suffix = os.path.splitext(name)[1]
    kept = suffix if keep_suffix and len(os.fsencode(suffix)) <= _LONGEST_SUFFIX else ""
    temporary = os.path.join(folder, _temporary_name(name) + kept)
    try:
        yield temporary
        if durable:
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:  # also after Ctrl-C: the unfinished file must not stay
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    if durable:
        sync_folder(folder)


def sync_folder(folder: str) -> None:
    """Make a rename in `folder` survive a power cut, if the system can (not on Windows)."""
    with contextlib.suppress(OSError, AttributeError):
        descriptor = os.open(folder or ".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
