"""The status file beside a job file: written atomically, read back, and ignored when damaged."""

from __future__ import annotations

from pathlib import Path

import pytest
from harmovid.errors import InputError, OutputError
from harmovid.watch import status as states
from harmovid.watch.status import Status


def test_a_status_comes_back_as_it_was_written(tmp_path: Path) -> None:
    """Every field survives the file."""
    status = Status(
        states.INCOMPLETE,
        "d",
        7,
        3,
        2,
        "out",
        {"2": "gone"},
        ("odd",),
        "e",
        "f",
        {"1": {"engine": {"decision": "x"}}},
    )
    status.save(tmp_path / "a.job")

    assert states.load(tmp_path / "a.job") == status


@pytest.mark.parametrize("content", ["", "{", "[]", '{"state": "done", "unknown": 1}', "\x00"])
def test_a_damaged_status_is_none_or_whole(tmp_path: Path, content: str) -> None:
    """A file that cannot be read counts as no status; unknown fields of a newer version are ignored."""
    (tmp_path / "a.status.json").write_text(content, encoding="utf-8")

    found = states.load(tmp_path / "a.job")

    assert found is None or found.state == states.DONE


def test_the_reason_of_an_error_is_kept(tmp_path: Path) -> None:
    """`because` takes the error's sentence and its fix."""
    status = Status(states.RUNNING).because(states.FAILED, InputError("no.", fix="Do so."))

    assert (status.state, status.error, status.fix) == (states.FAILED, "no.", "Do so.")


def test_a_folder_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    """A status that cannot be kept is an error, not silence."""
    with pytest.raises(OutputError, match="cannot be written"):
        Status(states.DONE).save(tmp_path / "none" / "a.job")
