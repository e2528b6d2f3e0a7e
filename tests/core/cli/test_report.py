"""What became of a job: summary, warnings, failures, JSON, exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from harmovid import errors
from harmovid.cli import exits, report


def test_warnings_sum_up_counts_and_reasons() -> None:
    """Pixel counts are summed over frames and named with them; frames left alone are grouped by reason."""
    outcome = report.Outcome(total=4)
    outcome.frames.update(
        {
            1: {"nan": 3, "clamped_values": 0, "compression": "zip instead of dwaa"},
            2: {"nan": 4, "engine": {"decision": "nothing", "reason": "no flicker found"}},
            3: {"engine": {"decision": "nothing", "reason": "no flicker found"}},
            4: {"engine": {"decision": "corrected"}},
        }
    )

    assert outcome.warnings() == [
        "7 pixels that are not numbers (NaN), left as they came (frames 1-2)",
        "written as zip instead of dwaa (frames 1)",
        "unchanged: no flicker found (frames 2-3)",
    ]


def test_failures_are_grouped_and_carry_their_fix() -> None:
    """Frames that failed for the same reason share a line and its fix; another reason has its own."""
    outcome = report.Outcome(total=5, out="out.####.exr")
    for frame in (3, 4):
        outcome.failures[frame] = errors.FrameMissing("there is no file.", fix="Render it.", frame=frame)
    outcome.failures[5] = errors.FrameUnreadable("truncated.", fix="Copy it again.", frame=5)

    assert outcome.summary()[1:] == [
        "failed: frames 3-4: there is no file.",
        "        Render it.",
        "failed: frame 5: truncated.",
        "        Copy it again.",
    ]
    assert outcome.exit_code == exits.FRAMES_FAILED


def test_the_saved_report_has_every_frame(tmp_path: Path) -> None:
    """`--report` writes each frame's own report beside the outcome and leaves no temporary file."""
    outcome = report.Outcome(total=1, job_id="ab", frames={1: {"decision": "corrected", "stops": 0.25}})

    outcome.save(tmp_path / "r.json")

    data = json.loads((tmp_path / "r.json").read_text("utf-8"))
    assert data["reports"] == {"1": {"decision": "corrected", "stops": 0.25}}
    assert data["ok"] is True
    assert [p.name for p in tmp_path.iterdir()] == ["r.json"]


def test_a_report_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    """A folder that does not exist raises OutputError."""
    with pytest.raises(errors.OutputError):
        report.Outcome(total=1).save(tmp_path / "none" / "r.json")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.PatternError("x"), 2),
        (errors.OptionError("x"), 2),
        (errors.KeyFileError("x"), 5),
        (errors.AuthError("x"), 5),
        (errors.Unreachable("x"), 4),
        (errors.VersionError("x"), 4),
        (errors.ServerBusy("x"), 4),
        (errors.ServerDraining("x"), 4),
        (errors.SpoolFull("x"), 4),
        (errors.EngineUnknown("x"), 2),
        (errors.EngineFailed("x"), 1),
        (errors.JobConflict("x"), 1),
        (errors.OutputError("x"), 6),
        (errors.JobCancelled("x"), 130),
        (errors.FrameMissing("x"), 2),
        (errors.HarmoVidError("x"), 1),
    ],
)
def test_every_error_has_its_documented_exit_code(error: errors.HarmoVidError, code: int) -> None:
    """The documented exit codes hold for the whole error tree."""
    assert exits.for_error(error) == code
    assert code in exits.MEANINGS
