"""The journal survives a death at any byte of what it writes: what was noted before stays known."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Callable, Dict

import pytest
from harmovid.job import JobSpec, new_job_id
from harmovid.storage import journal as module
from harmovid.storage.checksums import crc32
from harmovid.storage.journal import Journal, entries_of, job_digest


class KilledError(BaseException):
    """Stands for kill -9: nothing is tidied up by what it passes through."""


class Places:
    """Inputs that never change."""

    def places(self) -> list[str]:
        """Return one place."""
        return ["in"]

    def fingerprint(self, frames: Any) -> int:
        """Return the same number always."""
        return 7

    def fingerprint_of(self, frame: int) -> int:
        """Return the same number for every frame."""
        return 7


DIGEST = job_digest(JobSpec("0" * 32, "null", "1-9", ("plate",)), Places(), "out.#.exr")


def path_of(folder: Path) -> Callable[[int], str]:
    """Return where results lie."""
    return lambda frame: str(folder / f"out.{frame}.exr")


def reopen(folder: Path) -> Journal:
    """Open the job's journal, as the same command does when it is run again."""
    return Journal.open(str(folder), DIGEST, path_of(folder), None, Places(), 5)


def write(journal: Journal, folder: Path, frame: int) -> None:
    """Write a result and note it."""
    data = b"frame %d" % frame
    journal.announce(frame, len(data), crc32(data))
    Path(path_of(folder)(frame)).write_bytes(data)
    journal.record(frame, path_of(folder)(frame), crc32(data))


def dying(after: int) -> Callable[[int, bytes], int]:
    """Return an `os.write` that ends the process once it has written so many bytes in all."""
    left = [after]

    def write_some(descriptor: int, data: bytes) -> int:
        count = REAL_WRITE(descriptor, data[: left[0]])
        left[0] -= count
        if not left[0]:
            raise KilledError
        return count

    return write_some


REAL_WRITE = os.write


def known(folder: Path) -> tuple[str, Dict[int, int]]:
    """Return the job id and the results that a new run knows; and hold that watchers read the same."""
    with reopen(folder) as journal:
        written = dict(journal.begin(journal.job_id))
    assert set(entries_of(journal.path)) == set(written)
    return journal.job_id, written


@pytest.mark.parametrize("new_id", [False, True])
def test_a_death_while_the_journal_is_opened_again_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new_id: bool
) -> None:
    """Killed after any number of bytes of a second run's beginning, a third run knows all results.

    With the same job id, so that it finds its job on the server; or with the new one where that was settled already.
    """
    for after in range(1, 600, 7):
        folder = tmp_path / str(after)
        with reopen(folder) as journal:
            first_id = journal.job_id
            for frame in (1, 2, 3):
                write(journal, folder, frame)
        second_id = new_job_id() if new_id else first_id
        monkeypatch.setattr(module.os, "write", dying(after))
        died = False
        try:
            with reopen(folder) as journal:
                journal.begin(second_id)
        except KilledError:
            died = True
        monkeypatch.setattr(module.os, "write", REAL_WRITE)

        job_id, written = known(folder)

        assert set(written) == {1, 2, 3}, f"killed after {after} bytes"
        assert job_id in (first_id, second_id), f"killed after {after} bytes"
        if not died:
            break
    assert not died, "no number of bytes was enough"


def test_results_of_many_runs_are_all_known(tmp_path: Path) -> None:
    """Each run adds to what the earlier ones wrote; the id stays while everything is there, and changes when not."""
    ids = set()
    for frame in range(1, 8):
        with reopen(tmp_path) as journal:
            ids.add(journal.job_id)
            assert set(journal.begin(journal.job_id)) == set(range(1, frame))
            write(journal, tmp_path, frame)
    assert len(ids) == 1
    (tmp_path / "out.4.exr").unlink()
    first = known(tmp_path)
    assert set(first[1]) == {1, 2, 3, 5, 6, 7}
    assert first[0] not in ids
    assert known(tmp_path) == first, "what is gone is gone: the new id stays"
