"""The dashboard's requests to its server, few at a time.

    source = Source(client)
    source.jobs(); source.frames(job_id); source.preview(job_id, 1001, "after")

Every request has its own connection, and a server accepts a limited number of clients; a page with a hundred previews
must not use all of them. Every method may be called from any thread.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import Callable, Dict, List, Optional, Tuple

from harmovid.client import Client, FrameStatus, JobStatus, WorkerStatus
from harmovid.errors import JobUnknown
from harmovid.job import EngineInfo

AT_ONCE = 4
"""Connections to the server, of its `sessions` (64 by default)."""

PREVIEWS_BYTES = 32 << 20
"""Previews kept, so that a page that is loaded again asks for none of them."""

PREVIEWS_S = 60.0
"""How long they are kept: then the server is asked again, and refuses if the key may no longer see the job."""

HISTORIES = 16
"""Jobs whose frames are kept, so that only new ones are asked for."""

Key = Tuple[str, int, str]


class Source:
    """One server, seen with one key."""

    def __init__(self, client: Client, clock: Callable[[], float] = time.monotonic) -> None:
        self._client, self._clock = client, clock
        self._turn = threading.BoundedSemaphore(AT_ONCE)
        self._lock = threading.Lock()
        self._previews: OrderedDict[Key, Tuple[float, bytes]] = OrderedDict()
        self._previews_bytes = 0
        self._frames: OrderedDict[str, Tuple[int, Dict[int, FrameStatus]]] = OrderedDict()

    def jobs(self) -> List[JobStatus]:
        """Return the jobs that the key may see, the newest first; raise `HarmoVidError`."""
        with self._turn:
            return self._client.status()

    def job(self, job_id: str) -> JobStatus:
        """Return one job; raise `JobUnknown` if it does not exist or the key may not see it."""
        with self._turn:
            found = self._client.status(job_id)
        if not found:
            raise JobUnknown(f"there is no job {job_id}.")
        return found[0]

    def cancel(self, job_id: str) -> None:
        """Cancel a job; raise `HarmoVidError`."""
        with self._turn:
            self._client.cancel(job_id)

    def retry(self, job_id: str) -> None:
        """Have a job's failed frames made once more; raise `HarmoVidError`."""
        with self._turn:
            self._client.retry(job_id)

    def engines(self) -> List[EngineInfo]:
        """Return the server's engines; raise `HarmoVidError`."""
        with self._turn:
            return self._client.engines()

    def workers(self) -> List[WorkerStatus]:
        """Return the server's workers; raise `HarmoVidError`."""
        with self._turn:
            return self._client.workers()

    def frames(self, job_id: str) -> List[FrameStatus]:
        """Return what is known of a job's frames, by number; raise `HarmoVidError`."""
        with self._lock:
            at, known = self._frames.get(job_id, (0, {}))
        with self._turn:
            new, at = self._client.frames(job_id, at)
        known = {**known, **{frame.frame: frame for frame in new}}
        with self._lock:
            self._frames[job_id] = (at, known)
            self._frames.move_to_end(job_id)
            while len(self._frames) > HISTORIES:
                self._frames.popitem(last=False)
        return [known[number] for number in sorted(known)]

    def preview(self, job_id: str, frame: int, side: str) -> Optional[bytes]:
        """Return a small JPEG of a frame, "before" or "after"; None where there is none. Raises `HarmoVidError`."""
        key = (job_id, frame, side)
        with self._lock:
            asked_s, known = self._previews.get(key, (0.0, None))
            if known is not None and self._clock() - asked_s < PREVIEWS_S:
                self._previews.move_to_end(key)
                return known
        with self._turn:
            data = self._client.preview(job_id, frame, side)
        if data is not None:
            self._keep(key, data)
        return data

    def _keep(self, key: Key, data: bytes) -> None:
        with self._lock:
            _, old = self._previews.pop(key, (0.0, b""))
            self._previews_bytes += len(data) - len(old)
            self._previews[key] = (self._clock(), data)
            while self._previews_bytes > PREVIEWS_BYTES:
                _, (_, oldest) = self._previews.popitem(last=False)
                self._previews_bytes -= len(oldest)
