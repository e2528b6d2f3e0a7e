"""Structured logs on stderr: one line per event, as text or as JSON.

    log = logging.getLogger("harmovid.main")
    log.info("job started", extra=about(job=job_id, user=user, frame=1001, attempt=2))
    with of_job(job_id):
        engine.push(frame)              # every line logged meanwhile carries this job's id

Lines hold names and numbers only: no pixels, no secret keys, no file contents. A user is shown as the first ten
characters of the public key, which is enough to distinguish users in a log.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import threading
import time
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Dict, Iterator, Optional, Type

_SHORT_USER = 10

_JOB: ContextVar[str] = ContextVar("job", default="")


def about(**facts: Any) -> Dict[str, Dict[str, Any]]:
    """Return the `extra` of a log call; facts that are None are left out."""
    told = {name: value for name, value in facts.items() if value is not None}
    if "user" in told:
        told["user"] = short(told["user"])
    return {"facts": told}


def short(user: str) -> str:
    """Return the name of a user in logs: the beginning of the public key."""
    return str(user)[:_SHORT_USER]


@contextlib.contextmanager
def of_job(job: str) -> Iterator[None]:
    """Context in which every line logged by this thread carries the job's id, unless the line names another."""
    token = _JOB.set(job)
    try:
        yield
    finally:
        _JOB.reset(token)


def current_job() -> str:
    """Return the id that `of_job` has set; "" outside of it."""
    return _JOB.get()


def _facts(record: logging.LogRecord) -> Dict[str, Any]:
    facts: Dict[str, Any] = getattr(record, "facts", {})
    job = _JOB.get()
    return {"job": job, **facts} if job else facts


class TextLines(logging.Formatter):
    """`2026-11-22T10:00:00.125Z info main: job started job=... frame=1001`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line (several if there is an exception)."""
        facts = "".join(f" {name}={value}" for name, value in _facts(record).items())
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}"
        name = record.name.removeprefix("harmovid.")
        text = f"{stamp}Z {record.levelname.lower()} {name}: {record.getMessage()}{facts}"
        return text + (f"\n{self.formatException(record.exc_info)}" if record.exc_info else "")


class JsonLines(logging.Formatter):
    """One JSON object per line: time, level, process, pid, event, and further fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line; an exception is the value of "trace"."""
        line: Dict[str, Any] = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "process": record.name.removeprefix("harmovid."),
            "pid": os.getpid(),
            "event": record.getMessage(),
            **_facts(record),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def set_up(level: str, as_json: bool) -> None:
    """Send this process's log to stderr, with uncaught exceptions and warnings of libraries.

    Called once, when a process starts.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if as_json else TextLines())
    logging.captureWarnings(True)
    for name in ("harmovid", "py.warnings"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(level.upper())
    sys.excepthook = _ended
    threading.excepthook = _thread_ended


def _ended(kind: Type[BaseException], error: BaseException, trace: Optional[TracebackType]) -> None:
    """Log the exception that ends this process in the same format as other lines."""
    logging.getLogger("harmovid.process").critical("ended by a fault", exc_info=(kind, error, trace))


def _thread_ended(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_value is not None and not isinstance(ended.exc_value, SystemExit):
        _ended(ended.exc_type, ended.exc_value, ended.exc_traceback)
