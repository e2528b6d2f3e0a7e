"""The job store: an SQLite file, from which a killed server restores its jobs and all their frames.

    store = Store.open(path)
    store.put_job(record); store.put_frame(job_id, 1001, FrameRecord(...)); store.commit()

Main writes while it handles a batch of messages, commits once, and only then sends its answers, so everything that a
client has been told is stored. WAL with synchronous=NORMAL keeps the file consistent through any crash of a process,
because the kernel has the pages. Only a power cut can undo the last transactions; the lost frames are then requested
again, since the client still has its files and its journal (RESUME).

If others fill the disk to the last byte, the server must go on: the store reserves free pages in its own files, so that
it can still store, and then report, that a job fails for lack of space.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

from harmovid.errors import InputError
from harmovid.job import JobSpec

log = logging.getLogger("harmovid.main")

SCHEMA = 1
"""Stored as SQLite's user_version; a store of another schema is refused."""

WANT, RECEIVED, COMPUTED, ACKED, DEAD = "WANT", "RECEIVED", "COMPUTED", "ACKED", "DEAD"
"""Frame states: to be requested, inputs in the spool, result in the spool, result delivered, failed."""

CONTEXT = "CONTEXT"
"""The state of a frame without a result (context); it is not stored."""

_RETRY_S = 0.5

_WAL_PAGES = 256
"""Pages of 4 KiB in the write-ahead log before SQLite writes it back: 1 MiB that frames cannot use."""

_ROOM_PAGES = 256
"""Free pages of 4 KiB kept in the store's file (and as many in its log): space for some thousand changes."""

_PAGE_BYTES = 4096  # the default of SQLite

_ROOM_EVERY = 64
"""Commits between two checks of the number of free pages."""

_TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE jobs (
    job TEXT PRIMARY KEY, user TEXT NOT NULL, spec TEXT NOT NULL, state TEXT NOT NULL,
    attempt INTEGER NOT NULL, crashes INTEGER NOT NULL, error TEXT,
    created_s REAL NOT NULL, seen_s REAL NOT NULL, ended_s REAL
) WITHOUT ROWID;
CREATE TABLE frames (
    job TEXT NOT NULL, frame INTEGER NOT NULL, state TEXT NOT NULL,
    size INTEGER NOT NULL, crc INTEGER NOT NULL, report TEXT, error TEXT,
    PRIMARY KEY (job, frame)
) WITHOUT ROWID;
CREATE TABLE inputs (
    job TEXT NOT NULL, frame INTEGER NOT NULL, layer TEXT NOT NULL, size INTEGER NOT NULL, crc INTEGER NOT
    NULL, PRIMARY KEY (job, frame, layer)
) WITHOUT ROWID;
"""


@dataclass
class JobRecord:
    """A job as stored. `seen_s` is the time when its client was last connected, `ended_s` when it ended (Unix time)."""

    spec: JobSpec
    user: str
    state: str
    created_s: float
    seen_s: float
    attempt: int = 0
    crashes: int = 0
    error: Optional[Dict[str, Any]] = None
    ended_s: Optional[float] = None


@dataclass
class FrameRecord:
    """A frame as stored: its result's size and CRC-32 once COMPUTED, its error once DEAD."""

    state: str = WANT
    size: int = 0
    crc: int = 0
    report: Optional[Dict[str, Any]] = None
    error: Optional[Dict[str, Any]] = None
    inputs: Dict[str, Tuple[int, int]] = field(default_factory=dict)


class Store:
    """`put_*` and `drop_*` collect changes that `commit` writes in one transaction; reading commits first."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._sql = connection
        self._pending: List[Tuple[str, Tuple[Any, ...]]] = []
        self._commits = 0
        self._keep_room()

    @classmethod
    def open(cls, path: Path) -> Store:
        """Open or create the store.

        Raises:
            InputError: the file has another schema, is not an SQLite file, or cannot be opened.
        """
        try:
            connection = sqlite3.connect(path, isolation_level=None)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute(f"PRAGMA wal_autocheckpoint={_WAL_PAGES}")
            (schema,) = connection.execute("PRAGMA user_version").fetchone()
            if schema == 0:
                connection.executescript(f"BEGIN; {_TABLES} PRAGMA user_version={SCHEMA}; COMMIT;")
        except sqlite3.Error as error:
            raise InputError(
                f"the job store {path} cannot be used: {error}.",
                fix="Move it away, or name another --state folder.",
            ) from error
        if schema not in (0, SCHEMA):
            connection.close()
            raise InputError(
                f"the job store {path} is of schema {schema}, this server writes {SCHEMA}.",
                fix="Use the server version that wrote it, or name another --state folder.",
            )
        return cls(connection)

    def _write(self, statement: str, values: Tuple[Any, ...]) -> None:
        self._pending.append((statement, values))

    def commit(self) -> None:
        """Write all changes. On a full disk wait and retry, since unstored changes must not be reported.

        SQLite rolls back a transaction that it cannot store, so the transaction is repeated each time.
        """
        told = False
        while self._pending:
            try:
                self._sql.execute("BEGIN")
                for statement, values in self._pending:
                    self._sql.execute(statement, values)
                self._sql.execute("COMMIT")
                self._pending.clear()
                self._commits += 1
                if self._commits % _ROOM_EVERY == 0:
                    self._keep_room()
            except sqlite3.OperationalError as error:
                if self._sql.in_transaction:
                    self._sql.execute("ROLLBACK")
                if not told:
                    log.error("the job store cannot be written, waiting: %s", error)
                told = True
                time.sleep(_RETRY_S)

    def _keep_room(self) -> None:
        """Reserve free pages in the store's file and log; on a full disk try again later.

        In two transactions, because pages that are freed by the transaction that made them are never written.
        """
        (free,) = self._sql.execute("PRAGMA freelist_count").fetchone()
        if free >= _ROOM_PAGES // 2:
            return
        try:
            self._sql.execute("CREATE TABLE IF NOT EXISTS room (bytes BLOB)")
            self._sql.execute("INSERT INTO room VALUES (zeroblob(?))", (_ROOM_PAGES * _PAGE_BYTES,))
            self._sql.execute("PRAGMA wal_checkpoint(PASSIVE)")
        except sqlite3.OperationalError as error:
            log.warning("no room can be kept for the job store: %s", error)
        with contextlib.suppress(sqlite3.OperationalError):
            self._sql.execute("DROP TABLE IF EXISTS room")

    def close(self) -> None:
        """Commit and close; SQLite writes the WAL back into the file."""
        self.commit()
        self._sql.close()

    def meta(self, name: str) -> Optional[str]:
        """Return one value that belongs to the whole store."""
        self.commit()
        row = self._sql.execute("SELECT value FROM meta WHERE name=?", (name,)).fetchone()
        return row[0] if row else None

    def put_meta(self, name: str, value: str) -> None:
        """Set one value that belongs to the whole store."""
        self._write("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def put_job(self, record: JobRecord) -> None:
        """Insert or replace a job."""
        self._write(
            "INSERT OR REPLACE INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                record.spec.job_id, record.user, json.dumps(record.spec.to_dict()), record.state,
                record.attempt, record.crashes, _json(record.error), record.created_s, record.seen_s,
                record.ended_s,
            ),
        )  # fmt: skip

    def put_frame(self, job: str, frame: int, record: FrameRecord) -> None:
        """Insert or replace a frame, without its inputs."""
        self._write(
            "INSERT OR REPLACE INTO frames VALUES (?, ?, ?, ?, ?, ?, ?)",
            (job, frame, record.state, record.size, record.crc, _json(record.report), _json(record.error)),
        )

    def put_input(self, job: str, frame: int, layer: str, size: int, crc: int) -> None:
        """Record that one input of a frame is complete in the spool."""
        self._write("INSERT OR REPLACE INTO inputs VALUES (?, ?, ?, ?, ?)", (job, frame, layer, size, crc))

    def drop_inputs(self, job: str, frame: Optional[int] = None) -> None:
        """Record that the inputs of a frame, or of the whole job, have left the spool."""
        if frame is None:
            self._write("DELETE FROM inputs WHERE job=?", (job,))
        else:
            self._write("DELETE FROM inputs WHERE job=? AND frame=?", (job, frame))

    def drop_job(self, job: str) -> None:
        """Delete a job."""
        for table in ("frames", "inputs", "jobs"):
            self._write(f"DELETE FROM {table} WHERE job=?", (job,))  # noqa: S608  (a constant name)

    def counts(self, job: str) -> Dict[str, int]:
        """Return how many frames of a job are in each state; frames without a record are not counted."""
        return dict(
            self._sql.execute("SELECT state, count(*) FROM frames WHERE job=? GROUP BY state", (job,))
        )

    def jobs(self) -> List[JobRecord]:
        """Return all jobs, oldest first."""
        self.commit()
        rows = self._sql.execute("SELECT * FROM jobs ORDER BY created_s, job")
        return [
            JobRecord(
                spec=JobSpec.from_dict(json.loads(spec)), user=user, state=state, attempt=attempt,
                crashes=crashes, error=_plain(error), created_s=created_s, seen_s=seen_s, ended_s=ended_s,
            )
            for _, user, spec, state, attempt, crashes, error, created_s, seen_s, ended_s in rows
        ]  # fmt: skip

    def frames(self, job: str) -> Dict[int, FrameRecord]:
        """Return the frames of a job that have left WANT or have an input, by number."""
        found = {
            frame: FrameRecord(state, size, crc, _plain(report), _plain(error))
            for _, frame, state, size, crc, report, error in self._rows("frames", job)
        }
        for _, frame, layer, size, crc in self._rows("inputs", job):
            found.setdefault(frame, FrameRecord()).inputs[layer] = (size, crc)
        return found

    def _rows(self, table: str, job: str) -> Iterator[Tuple[Any, ...]]:
        self.commit()
        return iter(self._sql.execute(f"SELECT * FROM {table} WHERE job=?", (job,)))  # noqa: S608  (constant)


def _json(value: Optional[Dict[str, Any]]) -> Optional[str]:
    return None if value is None else json.dumps(value, default=str)


def _plain(text: Optional[str]) -> Optional[Dict[str, Any]]:
    return None if text is None else json.loads(text)
