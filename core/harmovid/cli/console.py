"""Output of commands: plain text on stdout, errors and progress on stderr; or one JSON object with `--json`, or one per
event with `--events`.

Errors print as three short lines: what went wrong and where, then what to do.
"""

from __future__ import annotations

import io
import json
import sys
from typing import Any, Dict, List, Optional, Sequence, TextIO

from harmovid.errors import HarmoVidError, OutputError


class Console:
    """The two streams of one command.

    With `machine`, stdout gets only the object given to `result`, and text is dropped; with `events`, stdout gets one
    line per call of `event`; with `quiet`, notes are dropped: warnings, errors and requested tables remain.
    """

    def __init__(
        self,
        machine: bool = False,
        quiet: bool = False,
        out: Optional[TextIO] = None,
        err: Optional[TextIO] = None,
        events: bool = False,
    ) -> None:
        self.machine = machine
        self.events = events
        self.quiet = quiet
        self.out = out or sys.stdout
        self.err = err or sys.stderr
        # A file name may have characters that the terminal cannot show, or invalid bytes; they are escaped.
        for stream in (self.out, self.err):
            if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
                stream.reconfigure(errors="backslashreplace")

    def text(self, line: str = "") -> None:
        """Print a line of the requested answer."""
        if not self.machine and not self.events:
            _print(line, self.out)

    def note(self, line: str) -> None:
        """Print a note on stderr."""
        if not self.quiet:
            _print(line, self.err, flush=True)

    def warn(self, line: str) -> None:
        """Print a warning on stderr, also with `quiet`, unless the answer on stdout holds it."""
        if not self.quiet or not (self.machine or self.events):
            _print(line, self.err, flush=True)

    def result(self, data: Any) -> None:
        """Print the JSON answer; do nothing without `--json`."""
        if self.machine:
            _print(json.dumps(data, indent=2, sort_keys=False, default=str), self.out, flush=True)

    def event(self, name: str, **facts: Any) -> None:
        """Print one event as a line of JSON; do nothing without `--events`. May be called from any thread."""
        if self.events:
            _print(json.dumps({"event": name, **facts}, default=str), self.out, flush=True)

    def flush(self) -> None:
        """Flush the streams.

        Raises:
            BrokenPipeError, OutputError: as for printing.
        """
        for stream in (self.out, self.err):
            try:
                if stream is not None and not stream.closed:
                    stream.flush()
            except BrokenPipeError:
                raise
            except OSError as error:
                raise _lost(error) from error

    def error(self, error: HarmoVidError, exit_code: int) -> None:
        """Report the error that ended the command: as text on stderr, or on stdout as JSON object or event "failed"."""
        if self.events:
            self.event("failed", ok=False, exit=exit_code, error=error.to_wire())
        elif self.machine:
            self.result({"ok": False, "exit": exit_code, "error": error.to_wire()})
        else:
            _print(describe(error), self.err, flush=True)


def _print(line: str, stream: TextIO, flush: bool = False) -> None:
    """Print a line.

    Raises:
        BrokenPipeError: the reader has closed the pipe, as `| head` does.
        OutputError: the stream cannot be written for another reason, e.g. a full disk.
    """
    try:
        # One write per line, because several threads print events.
        stream.write(line + "\n")
        if flush:
            stream.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _lost(error) from error


def _lost(error: OSError) -> OutputError:
    return OutputError(f"the output cannot be written: {error.strerror or error}.", fix="Write it elsewhere.")


def describe(error: HarmoVidError) -> str:
    """Return the error as text: what and where, and on a second line the fix."""
    where = ""
    if error.frame is not None:
        where = f"frame {error.frame}" + (f" of {error.layer}" if error.layer else "") + ": "
    elif error.layer:
        where = f"{error.layer}: "
    lines = [f"error: {where}{error.message}"]
    if error.fix:
        lines.append(f"       {error.fix}")
    if error.retry_after_s is not None:
        lines.append(f"       Try again in {error.retry_after_s:g} s.")
    return "\n".join(lines)


def table(rows: Sequence[Sequence[str]], header: Sequence[str]) -> List[str]:
    """Return the lines of a left-aligned table with a header; the last column is not padded."""
    grid = [list(header), *(list(row) for row in rows)]
    widths = [max(len(row[i]) for row in grid) for i in range(len(header))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in grid]


def human_bytes(size: float) -> str:
    """Return a byte count as text in binary units ("1.5 GiB")."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def ok_result(**fields: Any) -> Dict[str, Any]:
    """Return the JSON answer of a successful command."""
    return {"ok": True, "exit": 0, **fields}
