"""The history of jobs: reports, errors and previews of their frames, for monitoring.

    STATE/history/<job>/frames.ndjson                  one line per frame that was computed or has failed
    STATE/history/<job>/1001.before.jpg, ...           written by the codec children where `previews` is set

    history.note(job, {"frame": 1001, "state": "computed", "report": {...}}, preview_bytes)
    lines, at = history.read(job, 0)

Jobs do not depend on it: records that cannot be written are left out, and if there are more than `history_bytes`, those
of the oldest jobs are deleted. It is kept as long as the job's record.
"""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional, Tuple

from harmovid.errors import ProtocolError
from harmovid.transport import schema

from harmovid_server.logs import about
from harmovid_server.spool import job_folder, preview_path

log = logging.getLogger("harmovid.main")

Line = Dict[str, Any]

LINES = "frames.ndjson"
LINE_BYTES = 64 << 10
"""Limit of a report; a longer one is left out."""

READ_BYTES = 384 << 10
"""Bytes of lines per answer: as msgpack, in which a short number may take nine bytes, they stay below 1 MiB."""


class History:
    """The folder and its size; jobs are in the order of submission."""

    def __init__(self, folder: Path, budget_bytes: int) -> None:
        self.folder = folder
        self._budget_bytes = budget_bytes
        self._bytes: Dict[str, int] = {}
        self._full = False
        self._told = False

    def restore(self, jobs: Iterable[str]) -> None:
        """At start: measure the files of these jobs, oldest first, and remove all others."""
        known = list(jobs)
        if self.folder.is_dir():
            for entry in self.folder.iterdir():
                if entry.name not in known:
                    shutil.rmtree(entry, ignore_errors=True)
        for job in known:
            folder = job_folder(self.folder, job)
            if folder.is_dir():
                self._bytes[job] = sum(path.stat().st_size for path in folder.iterdir())

    def begin(self, job: str) -> None:
        """Make room for a job's previews, which the codec children write."""
        self._bytes.setdefault(job, 0)
        try:
            job_folder(self.folder, job).mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            self._tell(job, error)

    def note(self, job: str, line: Line, preview_bytes: int = 0) -> None:
        """Add the record of one frame.

        Args:
            line: "frame", "state" ("computed" or "failed"), and "report" or "error".
            preview_bytes: size of its previews.
        """
        if not self._budget_bytes:
            return
        data = _encoded(line)
        self._bytes[job] = self._bytes.get(job, 0) + len(data) + preview_bytes
        self._make_room(job)
        if self._full:
            return
        folder = job_folder(self.folder, job)
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(folder / LINES, "ab") as stream:
                stream.write(data)
            self._told = False
        except OSError as error:
            self._tell(job, error)

    def _make_room(self, job: str) -> None:
        for other in [other for other in self._bytes if other != job]:
            if sum(self._bytes.values()) <= self._budget_bytes:
                break
            self.forget(other)
        full = sum(self._bytes.values()) > self._budget_bytes
        if full and not self._full:
            log.warning("the history of this job alone is larger than history_bytes", extra=about(job=job))
        self._full = full

    def read(self, job: str, at: int) -> Tuple[List[Line], int]:
        """Return the next lines of a job from a position on, and the position after them; no lines at the end.

        Args:
            at: 0, or a position returned before.
        """
        try:
            with open(job_folder(self.folder, job) / LINES, "rb") as stream:
                stream.seek(at)
                data = stream.read(READ_BYTES)
        except OSError:
            return [], at
        whole = data[: data.rfind(b"\n") + 1]
        lines = []
        for text in whole.splitlines():
            try:
                lines.append(json.loads(text, parse_constant=lambda _: None))
            except ValueError:  # not the beginning of a line, or a line truncated by a full disk
                continue
        return [line for line in lines if isinstance(line, dict)], at + len(whole)

    def preview(self, job: str, frame: int, side: str) -> Optional[bytes]:
        """Return one of a frame's two previews as JPEG; None if there is none."""
        try:
            return preview_path(self.folder, job, frame, side).read_bytes()
        except OSError:
            return None

    def forget(self, job: str) -> None:
        """Remove a job's history."""
        self._bytes.pop(job, None)
        shutil.rmtree(job_folder(self.folder, job), ignore_errors=True)

    def _tell(self, job: str, error: OSError) -> None:
        if not self._told:
            log.warning("no history can be kept for now", extra=about(job=job, error=error.strerror))
        self._told = True


def _encoded(line: Line) -> bytes:
    """Return the line, without its report if that is too long or cannot be sent."""
    try:
        schema.plain_map(line, "line")
        data = json.dumps(line).encode() + b"\n"
    except (ProtocolError, TypeError, ValueError):
        data = b""
    if not data or len(data) > LINE_BYTES:
        data = json.dumps({"frame": line["frame"], "state": line["state"]}).encode() + b"\n"
    return data
