"""The display of a running job: a bar on a terminal, occasional lines elsewhere, nothing with `--quiet`.

    view = progress.view(console, label="deflicker plate.####.exr")
    client.run(..., progress=view.update)
    view.close()

Everything goes to stderr, so that stdout stays free for `--json`.
"""

from __future__ import annotations

import os
import time
from typing import Any, Callable, Dict, Optional, Protocol, TextIO

from harmovid.cli.console import Console
from harmovid.job import CANCELLED, DONE, EXPIRED, FAILED, QUEUED, Progress

# Seconds between two lines where there is no terminal: a farm's log should stay readable.
LINE_INTERVAL_S = 5.0
DEFAULT_COLUMNS, DEFAULT_ROWS = 80, 24
BAR_FORMAT = "{desc} |{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_noinv_fmt}{postfix}]"


class View(Protocol):
    """A display of a job's progress."""

    def update(self, progress: Progress) -> None:
        """Show how far the job is. Called from the client's thread, often."""

    def note(self, line: str) -> None:
        """Print one line and keep the drawing intact."""

    def close(self) -> None:
        """Leave the terminal as it was found."""


def state_text(progress: Progress) -> str:
    """Return the job's state in a word or two ("queued #2", "sending", "computing"), and what the server says of it."""
    state = _state(progress)
    return f"{state}: {progress.message}" if progress.message else state


def _state(progress: Progress) -> str:
    if progress.state == QUEUED:
        return f"queued #{progress.queue_position}" if progress.queue_position else "queued"
    if progress.state in (DONE, FAILED, CANCELLED, EXPIRED):
        return progress.state.lower()
    settled = progress.computed + progress.failed
    if settled >= progress.total:
        return "fetching"
    # Sending and computing overlap in a stream; it is only "sending" until the first answer exists.
    return "sending" if progress.computed == 0 and progress.received < progress.total else "computing"


def settled_frames(progress: Progress) -> int:
    """Return the number of frames that need no more work: written to disk here, or failed."""
    return progress.delivered + progress.failed


class Silent:
    """Shows nothing but notes, which the console may suppress as well."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def update(self, progress: Progress) -> None:
        """Show nothing."""

    def note(self, line: str) -> None:
        """Print `line`, unless the console is quiet."""
        self._console.note(line)

    def close(self) -> None:
        """Nothing to tidy."""


class Lines:
    """One line per `LINE_INTERVAL_S` and per change of state, for logs."""

    def __init__(self, console: Console, label: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._label = label
        self._clock = clock
        self._state = ""
        self._next_s = 0.0
        self._started: Optional[tuple[float, int]] = None

    def update(self, progress: Progress) -> None:
        """Print a line when the state is new or the last line is old."""
        state, now = state_text(progress), self._clock()
        done = settled_frames(progress)
        if self._started is None:
            self._started = (now, done)
        if state == self._state and now < self._next_s:
            return
        self._state, self._next_s = state, now + LINE_INTERVAL_S
        self._console.note(
            f"{self._label}: {done}/{progress.total} frames, {state}{self._pace(progress, now)}"
        )

    def _pace(self, progress: Progress, now: float) -> str:
        """Return rate and time left as text, or nothing while there is nothing to measure."""
        begun_s, begun_frames = self._started or (now, 0)
        done = settled_frames(progress)
        if now <= begun_s or done <= begun_frames:
            return ""
        rate = (done - begun_frames) / (now - begun_s)
        return f", {rate:.2f} fps, {_clock_text((progress.total - done) / rate)} left"

    def note(self, line: str) -> None:
        """Print `line`."""
        self._console.note(line)

    def close(self) -> None:
        """Nothing to tidy."""


class Bar:
    """A tqdm bar: frames done of all, rate, time left, state."""

    def __init__(self, console: Console, label: str) -> None:
        self._console = console
        self._label = label
        self._bar: Optional[Any] = None

    def update(self, progress: Progress) -> None:
        """Draw the bar; frames that were there before the first call do not count for the rate."""
        done = settled_frames(progress)
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(
                total=progress.total,
                initial=done,
                desc=self._label,
                unit="frame",
                file=self._console.err,
                **_size(self._console.err),
                bar_format=BAR_FORMAT,
            )
        self._bar.set_postfix_str(state_text(progress), refresh=False)
        self._bar.update(done - self._bar.n)
        self._bar.refresh()

    def note(self, line: str) -> None:
        """Print `line` above the bar."""
        if self._bar is None:
            self._console.note(line)
        elif not self._console.quiet:
            self._bar.write(line, file=self._console.err)

    def close(self) -> None:
        """Finish the bar's line."""
        if self._bar is not None:
            self._bar.close()


def view(console: Console, label: str) -> View:
    """Return the view for a console: silent if it is quiet, a bar on a terminal, lines elsewhere."""
    if console.quiet:
        return Silent(console)
    if console.err.isatty():
        return Bar(console, label)
    return Lines(console, label)


def _size(stream: TextIO) -> Dict[str, Any]:
    """Return tqdm's size arguments: those of the terminal, as it changes, or fixed ones where it has none.

    Farm consoles and containers have pseudo-terminals of no columns and rows, on which tqdm draws nothing.
    """
    try:
        known = os.get_terminal_size(stream.fileno()).columns > 0
    except (OSError, ValueError):
        known = False
    return {"dynamic_ncols": True} if known else {"ncols": DEFAULT_COLUMNS, "nrows": DEFAULT_ROWS}


def _clock_text(seconds: float) -> str:
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
