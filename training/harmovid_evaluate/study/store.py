"""The study's answers: one SQLite file, in WAL mode; an answer is on disk before the participant gets its confirmation.

    store = Store(path, study)
    person = store.begin()
    store.answer(person, "lut/dancer", {"temporal": ["..."]})

A file belongs to one study; that of another one is refused. Each call opens its own connection, so any thread may call.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import sqlite3
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence

from harmovid.errors import InputError, OutputError

from harmovid_evaluate.study.plan import Sample, Study

TOKEN_BYTES = 16
WAIT_S = 10.0
"""How long a write waits for another one."""
SCHEMA = """
CREATE TABLE IF NOT EXISTS study (one INTEGER PRIMARY KEY CHECK (one = 1), key TEXT NOT NULL, plan TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS participants (
    number INTEGER PRIMARY KEY AUTOINCREMENT, token TEXT NOT NULL UNIQUE, begun TEXT NOT NULL, finished TEXT);
CREATE TABLE IF NOT EXISTS answers (
    number INTEGER NOT NULL REFERENCES participants (number), sample TEXT NOT NULL, question TEXT NOT NULL,
    chosen TEXT NOT NULL, given TEXT NOT NULL, PRIMARY KEY (number, sample, question));
"""


@dataclass(frozen=True)
class Participant:
    """A participant: a number that determines the order, and a secret token by which the participant can return."""

    number: int
    token: str


@dataclass(frozen=True)
class Answer:
    """One question of one sample: the methods that were found acceptable, which may be none."""

    number: int
    sample: str
    question: str
    chosen: Sequence[str]


class Store:
    """The file.

    Raises:
        InputError: it holds another study. OutputError: it cannot be opened or written.
    """

    def __init__(self, path: Path, study: Study) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with self._open() as database:
                database.execute("PRAGMA journal_mode = WAL")
                database.executescript(SCHEMA)
                plan = json.dumps(study.as_dict())
                database.execute("INSERT OR IGNORE INTO study VALUES (1, ?, ?)", (study.key, plan))
                held = database.execute("SELECT key FROM study").fetchone()[0]
        except (sqlite3.Error, OSError) as error:
            raise OutputError(f"{path} cannot be used: {error}.", fix="Name another folder.") from error
        if held != study.key:
            raise InputError(
                f"{path} holds the answers of another study (other clips, methods or seed).",
                fix="Start with the same flags, or move that file away.",
            )

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with contextlib.closing(
            sqlite3.connect(self._path, timeout=WAIT_S, isolation_level=None)
        ) as database:
            # With WAL's default a power cut may take the last commits back.
            database.execute("PRAGMA synchronous = FULL")
            database.execute("PRAGMA foreign_keys = ON")
            yield database

    def begin(self) -> Participant:
        """Return a new participant."""
        token = secrets.token_urlsafe(TOKEN_BYTES)
        with self._open() as database:
            made = database.execute("INSERT INTO participants (token, begun) VALUES (?, ?)", (token, _now()))
            # Numbers of participants count from 0.
            return Participant(int(made.lastrowid or 1) - 1, token)

    def find(self, token: str) -> Optional[Participant]:
        """Return the participant of a token, or None."""
        with self._open() as database:
            row = database.execute("SELECT number FROM participants WHERE token = ?", (token,)).fetchone()
        return None if row is None else Participant(row[0] - 1, token)

    def answer(self, person: Participant, sample: str, chosen: Mapping[str, Sequence[str]]) -> None:
        """Keep answers to a sample's questions, all or none; later ones replace earlier ones."""
        rows = [
            (person.number + 1, sample, question, json.dumps(sorted(names)), _now())
            for question, names in chosen.items()
        ]
        with self._open() as database:
            database.execute("BEGIN IMMEDIATE")
            try:
                database.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?)", rows)
                database.execute("COMMIT")
            except BaseException:
                database.execute("ROLLBACK")
                raise

    def finish(self, person: Participant) -> None:
        """Record that a participant has answered everything."""
        with self._open() as database:
            database.execute(
                "UPDATE participants SET finished = ? WHERE number = ? AND finished IS NULL",
                (_now(), person.number + 1),
            )

    def of(self, person: Participant) -> Dict[str, Dict[str, List[str]]]:
        """Return a participant's answers: methods by question by sample."""
        found: Dict[str, Dict[str, List[str]]] = {}
        with self._open() as database:
            rows = database.execute(
                "SELECT sample, question, chosen FROM answers WHERE number = ?", (person.number + 1,)
            )
            for sample, question, chosen in rows:
                found.setdefault(sample, {})[question] = json.loads(chosen)
        return found


@dataclass(frozen=True)
class StudyContents:
    """All of a study's file: the study, how many began and finished, and every answer."""

    study: Study
    begun: int
    finished: int
    answers: Sequence[Answer]


def read_study(path: Path) -> StudyContents:
    """Return what a study's file holds; it may be in use.

    Raises:
        InputError: there is none, or it is no study.
    """
    if not path.is_file():
        raise InputError(f"there is no study at {path}.", fix="`harmovid evaluate study OUT` starts one.")
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=WAIT_S)) as database:
            plan = json.loads(database.execute("SELECT plan FROM study").fetchone()[0])
            begun, finished = database.execute(
                "SELECT COUNT(*), COUNT(finished) FROM participants"
            ).fetchone()
            rows = database.execute(
                "SELECT number, sample, question, chosen FROM answers ORDER BY 1, 2, 3"
            ).fetchall()
    except (sqlite3.Error, TypeError, ValueError) as error:
        raise InputError(f"{path} is no study: {error}.") from error
    answers = [
        Answer(number - 1, sample, question, json.loads(chosen)) for number, sample, question, chosen in rows
    ]
    return StudyContents(_study(plan), begun, finished, answers)


def _study(plan: Dict[str, Any]) -> Study:
    samples = tuple(Sample(each["set"], each["clip"], tuple(each["methods"])) for each in plan["samples"])
    return Study(samples, plan["seed"], plan["clips"])


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
