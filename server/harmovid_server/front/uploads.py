"""One file being received: META, chunks written directly to a temporary file of the spool, the checksum of the file.

The file is not kept in memory. An error concerns this file only; the rest of the file is then ignored chunk by
chunk, because the client may already have sent it.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Callable, Optional, Tuple

from harmovid.errors import FrameCorrupt, ProtocolError
from harmovid.storage.checksums import RunningSum
from harmovid.transport.schema import Buffer

from harmovid_server.spool import PART


class Upload:
    """A file that is being received. `target` is None if it is not needed (any more): then it is ignored."""

    def __init__(self, key: Tuple[str, str, int], size: int, crc: int, target: Optional[Path]) -> None:
        """Reserve disk space for the file at once, so that a full disk is noticed before any byte is sent.

        Raises:
            OSError: the temporary file cannot be created, or there is no space for it.
        """
        self.key = key
        self.size = size
        self.crc = crc
        self._target = target
        self._handle = -1
        self._sums = RunningSum()
        self._offset = 0
        self.arrived = 0
        self.failure: Optional[Callable[[], None]] = None
        if target is not None:
            self._part = target.with_name(target.name + PART)
            self._handle = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(self._handle, 0, size)
            except OSError as error:
                # Some file systems cannot reserve space (ZFS); there a full disk is noticed while writing.
                if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                    self.ignore()
                    raise

    @property
    def ignored(self) -> bool:
        """Whether the rest of the file is only counted."""
        return self._target is None

    def take(self, offset: int, crc: int, data: Buffer) -> bool:
        """Write one chunk; return True if the file is then complete, checked and renamed into place.

        Raises:
            FrameCorrupt: a checksum does not match, or chunks are out of order; the rest of the file is ignored.
            OSError: it could not be written; the rest of the file is ignored.
            ProtocolError: more bytes than META announced.
        """
        self.arrived += len(data)
        if self.arrived > self.size:
            self.ignore()
            raise ProtocolError(f"a file of {self.size} bytes goes on after its end.")
        if self.ignored:
            return False
        try:
            self._write(offset, crc, data)
            return self._offset == self.size and self._finish()
        except (OSError, FrameCorrupt):
            self.ignore()
            raise

    def _write(self, offset: int, crc: int, data: Buffer) -> None:
        _, layer, frame = self.key
        if offset != self._offset or self._sums.add(data) != crc:
            what = "out of order" if offset != self._offset else "damaged"
            raise FrameCorrupt(f"the chunk at byte {offset} came {what}.", frame=frame, layer=layer)
        view = memoryview(data)
        while view:
            written = os.pwrite(self._handle, view, self._offset)
            view, self._offset = view[written:], self._offset + written

    def _finish(self) -> bool:
        _, layer, frame = self.key
        if self._sums.whole != self.crc:
            raise FrameCorrupt("the whole file's checksum does not fit.", frame=frame, layer=layer)
        os.close(self._handle)
        self._handle = -1
        target, self._target = self._target, None
        if target is not None:
            os.replace(self._part, target)
        return True

    def tell_failure(self) -> None:
        """Report why the file was refused, once the client has finished sending it.

        Not earlier: if a file is requested again while it is still being sent, the client assumes that it is already
        sending it.
        """
        failure, self.failure = self.failure, None
        if failure is not None:
            failure()

    def ignore(self) -> None:
        """Delete what has been written, and only count the remaining bytes."""
        if self._handle >= 0:
            os.close(self._handle)
            self._part.unlink(missing_ok=True)
        self._handle, self._target = -1, None
