"""Locked files: one holder at a time, gone with the holder."""

from __future__ import annotations

from pathlib import Path

import pytest
from harmovid.errors import OutputError
from harmovid.storage.locks import LockedFile


def test_a_file_has_one_holder_at_a_time(tmp_path: Path) -> None:
    """The second is refused with the words given; after the first has let go, it may."""
    path = str(tmp_path / "lock")
    with (
        LockedFile.take(path, "somebody works here"),
        pytest.raises(OutputError, match="somebody works here"),
    ):
        LockedFile.take(path, "somebody works here")

    with LockedFile.take(path, "somebody works here"):
        assert Path(path).is_file()


def test_a_folder_that_is_not_there_is_reported(tmp_path: Path) -> None:
    """A lock that cannot be made is an error."""
    with pytest.raises(OutputError, match="cannot be written"):
        LockedFile.take(str(tmp_path / "none" / "lock"), "taken")
