"""The audit log: who sent which job, and what became of it. One JSON line per event, only ever appended.

    audit = AuditLog(path)
    audit.write("submitted", user="anna", key="v[Oz}/ADo*", job=job_id, engine="deflicker", frames=100)

The file is its owner's alone (0600). It is opened for each line, so that it can be rotated by renaming it.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

log = logging.getLogger("harmovid.main")


class AuditLog:
    """Appends to one file. A line that cannot be written is told in the server's log; jobs go on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._torn = False

    def write(self, event: str, **facts: Any) -> bool:
        """Append one line; facts that are None are left out. Returns whether it was written."""
        moment = datetime.fromtimestamp(time.time(), timezone.utc).isoformat(timespec="milliseconds")
        told = {name: value for name, value in facts.items() if value is not None}
        line = json.dumps({"time": moment, "event": event, **told}).encode() + b"\n"
        # What a full disk cut off must not spoil the next line.
        line = b"\n" + line if self._torn else line
        try:
            handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                # One call, so that a line is there whole or not at all, whoever else appends.
                written = os.write(handle, line)
            finally:
                os.close(handle)
            self._torn = written < len(line)
            if self._torn:
                raise OSError(errno.ENOSPC, "no room for the whole line")
        except OSError as error:
            log.error("the audit log %s cannot be written: %s", self._path, error.strerror or error)
            return False
        return True
