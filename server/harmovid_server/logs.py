"""Structured logs on stderr: one line per event, as text or as JSON.

    log = logging.getLogger("harmovid.main")
    log.info("job started", extra=about(job=job_id, user=user, frame=1001, attempt=2))

Lines carry names and numbers only: no pixels, no secret keys, no file contents. A user is the public key's
first ten characters, which is enough to tell users apart in a log.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any, Dict

_SHORT_USER = 10


def about(**facts: Any) -> Dict[str, Dict[str, Any]]:
    """Return the `extra` of a log call; facts that are None are left out."""
    told = {name: value for name, value in facts.items() if value is not None}
    if "user" in told:
        told["user"] = str(told["user"])[:_SHORT_USER]
    return {"facts": told}


class TextLines(logging.Formatter):
    """`2026-11-22T10:00:00.125Z info main: job started job=... frame=1001`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line (several where an exception is attached)."""
        facts = "".join(f" {name}={value}" for name, value in getattr(record, "facts", {}).items())
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}"
        name = record.name.removeprefix("harmovid.")
        text = f"{stamp}Z {record.levelname.lower()} {name}: {record.getMessage()}{facts}"
        return text + (f"\n{self.formatException(record.exc_info)}" if record.exc_info else "")


class JsonLines(logging.Formatter):
    """One JSON object per line: time, level, process, event, and the facts."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line; an exception is the value of "trace"."""
        line: Dict[str, Any] = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "process": record.name.removeprefix("harmovid."),
            "event": record.getMessage(),
            **getattr(record, "facts", {}),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def set_up(level: str, as_json: bool) -> None:
    """Send the log of this process to stderr. Called once, when a process starts."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if as_json else TextLines())
    root = logging.getLogger("harmovid")
    root.handlers = [handler]
    root.propagate = False
    root.setLevel(level.upper())
