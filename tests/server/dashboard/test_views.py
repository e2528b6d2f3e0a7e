"""What a page shows of the server's words: rows, ages, pages of frames, curves and reports."""

from __future__ import annotations

import pytest
from harmovid.client import FrameStatus, JobStatus
from harmovid.job import Progress
from harmovid_server.dashboard import views

JOB = "0123456789abcdef" * 2


def frames(count: int) -> list[FrameStatus]:
    """Return computed frames without reports."""
    return [FrameStatus(number, "computed", {}, {}) for number in range(1001, 1001 + count)]


def levels(frame: int, **engine: object) -> FrameStatus:
    """Return a frame of which a deflicker tells levels."""
    told = {"measured": [0.0, 0.1, 0.2], "corrected": [0.0, 0.0, 0.0], "decision": "corrected", **engine}
    return FrameStatus(frame, "computed", {"engine": told}, {})


def test_a_row_counts_failed_frames_as_over_and_keeps_the_place_in_the_queue() -> None:
    """7 delivered and 1 failed of 10 are 80 percent; a waiting job shows its place."""
    progress = Progress(JOB, "RUNNING", 10, 9, 8, 7, 1, 0, "computing")
    row = views.job_row(JobStatus(progress, "null", "sh010", 75.0, "anna"))
    assert (row.done, row.failed, row.total, row.percent, row.age) == (7, 1, 10, 80, "75 s")
    assert (row.who, row.label, row.short, row.active) == ("anna", "sh010", JOB[:8], True)
    waiting = views.job_row(JobStatus(Progress(JOB, "QUEUED", 10, queue_position=3)))
    assert (waiting.state, waiting.position) == ("QUEUED #3", 3)
    assert not views.job_row(JobStatus(Progress(JOB, "DONE", 10, delivered=10))).active


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (89, "89 s"), (90, "2 min"), (7200, "2 h"), (200_000, "2 d")]
)
def test_ages_have_a_unit_that_suits_them(seconds: float, text: str) -> None:
    """Seconds, minutes, hours, days."""
    assert views.age(seconds) == text


@pytest.mark.parametrize(
    ("count", "first", "shown", "before", "after"),
    [
        (0, 0, 0, -1, -1),
        (10, 0, 10, -1, -1),
        (views.FRAMES_PER_PAGE + 5, 0, views.FRAMES_PER_PAGE, -1, views.FRAMES_PER_PAGE),
        (views.FRAMES_PER_PAGE + 5, views.FRAMES_PER_PAGE, 5, 0, -1),
        (10, 99999, 1, 0, -1),
    ],
)
def test_pages_of_frames_know_their_neighbours(
    count: int, first: int, shown: int, before: int, after: int
) -> None:
    """The first page has none before it, the last none after it, and a wrong place is the last frame's."""
    page = views.page(frames(count), first)
    assert (len(page.frames), page.before, page.after, page.count) == (shown, before, after, count)


def test_curves_are_drawn_of_frames_that_tell_levels_only() -> None:
    """Without levels there is no plot; a failed frame has its reason in it; words cannot become markup."""
    assert views.curves(frames(3)) == []
    failed = FrameStatus(
        1002, "failed", {}, {"code": "frame", "message": "</svg><script>", "retryable": False}
    )
    rows = views.curves([levels(1001), failed, levels(1003, decision="nothing", reason="<b>steady</b>")])
    assert len(rows) == 3
    text = views.curves_svg(rows)
    assert "<script>" not in text
    assert "<b>" not in text
    assert "&lt;script&gt;" in text


def test_a_report_is_told_engine_first_and_cut_short() -> None:
    """The engine's words stand before the codec's counts, numbers are short, long texts end somewhere."""
    report = {
        "engine": {"decision": "corrected", "trust": 0.123456},
        "nan": 3,
        "notes": ["x" * 1000],
        "runtime": {"device": "cpu", "runtime": "numba", "precision": "float32", "reason": "no GPU"},
    }
    rows = dict(views.report_rows(report))
    assert list(rows) == ["decision", "trust", "nan", "notes", "runtime"]
    assert rows["trust"] == "0.1235"
    assert len(rows["notes"]) <= 400
    assert rows["runtime"] == "cpu: numba, float32 (no GPU)"
    assert views.report_rows({"engine": "odd"}) == []
