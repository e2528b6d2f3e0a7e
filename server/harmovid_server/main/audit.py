"""The audit log: who submitted which job, and its outcome. One JSON line per event, append-only.

    audit = AuditLog(path)
    audit.write("submitted", user="anna", key="v[Oz}/ADo*", job=job_id, engine="deflicker", frames=100)

Only its owner can read the file (0600). It is opened for each line, so that it can be rotated by renaming.
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
    """Appends to one file. If a line cannot be written, the server's log says so; jobs continue."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._torn = False

    def write(self, event: str, **facts: Any) -> bool:
        """Append one line; values that are None are left out. Return whether it was written."""
        moment = datetime.fromtimestamp(time.time(), timezone.utc).isoformat(timespec="milliseconds")
        told = {name: value for name, value in facts.items() if value is not None}
        line = json.dumps({"time": moment, "event": event, **told}).encode() + b"\n"
        # A line truncated by a full disk must not damage the next one.
        line = b"\n" + line if self._torn else line
        try:
            handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                # One call, so that lines of several writers never mix.
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
