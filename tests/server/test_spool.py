"""The spool: names, accounting of its disk space, and cleaning at start."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import pytest
from harmovid_server.spool import PART, Spool, file_is, input_path, job_folder, output_path
from hypothesis import given
from hypothesis import strategies as st

JOB, OTHER = "a" * 32, "b" * 32


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """Return a spool of 1000 bytes with one job."""
    made = Spool(tmp_path / "spool", 1000)
    made.folder.mkdir()
    made.make_job(JOB)
    return made


@pytest.mark.parametrize("job", ["", "a" * 31, "A" * 32, "../" + "a" * 29, "a" * 32 + "\n", "a" * 31 + "/"])
def test_only_job_ids_name_folders(tmp_path: Path, job: str) -> None:
    """Whatever is not 32 hex digits never becomes a path."""
    with pytest.raises(ValueError, match="job id"):
        job_folder(tmp_path, job)


@given(st.text(max_size=40), st.integers(-(2**31), 2**31 - 1))
def test_every_input_path_stays_in_its_folder(layer: str, frame: int) -> None:
    """A layer name either gives a path directly in the job's `in` folder or is refused."""
    base = Path("/spool")
    try:
        path = input_path(base, JOB, layer, frame)
    except ValueError:
        return
    assert Path(os.path.normpath(path)).parent == base / JOB / "in"
    assert path.name == f"{layer}.{frame}.exr"


def test_the_account_follows_promises_files_and_removals(spool: Spool) -> None:
    """Free space shrinks with reservations and files, and grows when they are removed or cancelled."""
    path = input_path(spool.folder, JOB, "plate", 1)
    spool.promise(path, 300)
    assert spool.room_bytes() == 700
    path.write_bytes(b"x" * 200)
    spool.add(path, 200)
    assert (spool.room_bytes(), spool.used_bytes) == (800, 200)
    spool.promise(output_path(spool.folder, JOB, 1), 100)
    spool.release_promise(output_path(spool.folder, JOB, 1))
    spool.remove(path)
    assert (spool.room_bytes(), spool.used_bytes) == (1000, 0)
    assert not path.exists()


def test_counting_a_file_twice_counts_it_once(spool: Spool) -> None:
    """A file that is sent again replaces itself in the account."""
    path = input_path(spool.folder, JOB, "plate", 1)
    spool.add(path, 200)
    spool.add(path, 250)
    assert spool.used_bytes == 250


def test_removing_a_job_frees_all_it_held(spool: Spool) -> None:
    """Files and promises of the job go, those of another job stay."""
    spool.make_job(OTHER)
    spool.add(input_path(spool.folder, JOB, "plate", 1), 100)
    spool.promise(input_path(spool.folder, JOB, "plate", 2), 100)
    spool.add(input_path(spool.folder, OTHER, "plate", 1), 50)
    spool.remove_job(JOB)
    assert spool.room_bytes() == 950
    assert not job_folder(spool.folder, JOB).exists()
    assert job_folder(spool.folder, OTHER).exists()


def test_room_never_reaches_into_the_disks_last_bytes(tmp_path: Path) -> None:
    """With a budget larger than the disk, the disk's free space less a reserve is the limit."""
    spool = Spool(tmp_path, 1 << 60)
    disk = os.statvfs(tmp_path)
    assert spool.room_bytes() < disk.f_bavail * disk.f_frsize


def test_sweep_removes_unknown_and_unfinished_files(spool: Spool) -> None:
    """At start only known jobs stay, and in them only whole files."""
    spool.make_job(OTHER)
    whole = input_path(spool.folder, JOB, "plate", 1)
    half = whole.with_name("plate.2.exr" + PART)
    for path in (whole, half, spool.folder / "stray.txt"):
        path.write_bytes(b"x")
    assert spool.remove_leftovers([JOB]) == (2, 1)
    assert whole.exists()
    assert not half.exists()
    assert os.listdir(spool.folder) == [JOB]


def test_a_file_is_known_by_size_and_checksum(tmp_path: Path) -> None:
    """A changed byte is found by the checksum, a missing or cut file by its size."""
    path = tmp_path / "1.exr"
    path.write_bytes(b"x" * 3_000_000)
    crc = zlib.crc32(path.read_bytes())
    assert file_is(path, 3_000_000, crc)
    assert not file_is(path, 2_999_999, None)
    path.write_bytes(b"x" * 2_999_999 + b"y")
    assert file_is(path, 3_000_000, None)
    assert not file_is(path, 3_000_000, crc)
    assert not file_is(tmp_path / "2.exr", 1, None)
