"""Progress as text: names of states, lines for logs, the bar on a terminal."""

from __future__ import annotations

import io
from typing import Any

import pytest
from harmovid.cli import progress
from harmovid.cli.console import Console
from harmovid.job import Progress


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Return true."""
        return True


def job(state: str = "RUNNING", **counts: Any) -> Progress:
    """Return the progress of a ten-frame job."""
    return Progress(job_id="a" * 32, state=state, total=10, **counts)


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (job("QUEUED", queue_position=2), "queued #2"),
        (job("QUEUED"), "queued"),
        (job(received=4), "sending"),
        (job(received=4, computed=1), "computing"),
        (job(received=10), "computing"),
        (job(received=10, computed=9, failed=1, delivered=3), "fetching"),
        (job("DONE", delivered=10), "done"),
        (job("CANCELLED"), "cancelled"),
        (job(received=10, message="the server compiles"), "computing: the server compiles"),
    ],
)
def test_state_in_words(shown: Progress, text: str) -> None:
    """Each state of a job has its own text."""
    assert progress.state_text(shown) == text


def test_lines_come_at_intervals_and_when_the_state_changes() -> None:
    """A log gets a line per change of state and per interval, with rate and time left."""
    err, now = io.StringIO(), [100.0]
    view = progress.Lines(Console(err=err), "shot", clock=lambda: now[0])

    view.update(job("QUEUED", queue_position=1))
    now[0] = 101.0
    view.update(job(received=1))
    now[0] = 102.0
    view.update(job(received=2))
    now[0] = 108.0
    view.update(job(received=9, computed=4, delivered=4))

    assert err.getvalue().splitlines() == [
        "shot: 0/10 frames, queued #1",
        "shot: 0/10 frames, sending",
        "shot: 4/10 frames, computing, 0.50 fps, 0:12 left",
    ]


def test_resumed_frames_do_not_flatter_the_rate() -> None:
    """Frames that existed at the start count as done, but not for the rate."""
    err, now = io.StringIO(), [0.0]
    view = progress.Lines(Console(err=err), "shot", clock=lambda: now[0])

    view.update(job(received=8, delivered=8))
    now[0] = 10.0
    view.update(job(received=9, computed=9, delivered=9))

    assert err.getvalue().splitlines()[-1] == "shot: 9/10 frames, computing, 0.10 fps, 0:10 left"


def test_a_terminal_gets_a_bar_and_notes_above_it() -> None:
    """On a terminal the bar shows counts and state, and ends at the full count."""
    err = Terminal()
    view = progress.view(Console(err=err), "shot")

    view.update(job(received=3, computed=1, delivered=1))
    view.note("frame 7 failed")
    view.update(job("DONE", received=10, computed=10, delivered=9, failed=1))
    view.close()

    text = err.getvalue()
    assert "1/10" in text
    assert "frame 7 failed\n" in text
    assert "10/10" in text.rsplit("\r", 1)[-1]
    assert "computing" in text


def test_quiet_shows_nothing() -> None:
    """With --quiet neither progress nor notes are written, terminal or not."""
    err = Terminal()
    view = progress.view(Console(quiet=True, err=err), "shot")

    view.update(job(received=3))
    view.note("a note")
    view.close()

    assert err.getvalue() == ""
