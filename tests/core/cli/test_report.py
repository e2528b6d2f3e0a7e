"""The outcome of a job: summary, warnings, failures, JSON, exit code."""

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
        "7 pixels that are not numbers (NaN), left unchanged (frames 1-2)",
        "written as zip instead of dwaa (frames 1)",
        "unchanged: no flicker found (frames 2-3)",
    ]


def test_what_was_left_alone_or_chosen_is_reported_once() -> None:
    """Notes of frames are grouped; a matte of one colour is reported only if it is so in every frame."""
    outcome = report.Outcome(total=3, remarks=["2 files are left out"])
    note = "plate: the view right gets the same correction"
    for frame in (1, 2, 3):
        solid = {"mask": "white", "measure_mask": "black" if frame < 3 else "white"}
        outcome.frames[frame] = {"notes": [note], "solid": solid, "added_light_pixels": 5}

    said = outcome.warnings()
    assert said[0].startswith("15 pixels of light with alpha 0, added to the background")
    assert said[1] == f"{note} (frames 1-3)"
    assert said[2].startswith("mask is white everywhere in all frames: it limits nothing")
    assert len(said) == 3
    assert outcome.to_dict()["warnings"] == ["2 files are left out", *said]
    outcome.frames[2] = {"solid": "nonsense", "notes": "nonsense"}
    assert not any("everywhere" in line for line in outcome.warnings())


def test_notes_of_the_engine_are_warnings() -> None:
    """What an engine says in its own part of the report is told with its frames."""
    outcome = report.Outcome(total=2)
    for frame in (1, 2):
        outcome.frames[frame] = {"engine": {"decision": "corrected", "notes": ["contrast: no effect"]}}
    assert outcome.warnings() == ["contrast: no effect (frames 1-2)"]


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
