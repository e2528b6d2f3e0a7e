"""Frames on disk: what is read, what is refused, what is written, and what a crash leaves behind."""

from __future__ import annotations

import errno
import os
import struct
import sys
import zlib
from pathlib import Path
from typing import Any, Dict

import pytest
from core.tiny_exr import tiny_exr
from harmovid.errors import FrameMissing, FrameRefused, FrameUnreadable, OutputError, PatternError
from harmovid.frames import FramePattern, FrameRange
from harmovid.job import DONE, FAILED, JobSpec, new_job_id
from harmovid.storage import atomic
from harmovid.storage.claims import Claim
from harmovid.storage.files import DirectorySink, DirectorySource, output_error
from harmovid.storage.journal import Journal, job_digest

# Root may write anywhere, so permission tests cannot fail there.
NOT_ROOT = pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() == 0, reason="permissions do not bind this user"
)
FRAMES = FrameRange.parse("1-5")


def pattern(folder: Path, name: str = "p.####.exr") -> FramePattern:
    """Return a pattern in a folder."""
    return FramePattern.parse(str(folder / name))


@pytest.fixture
def plates(tmp_path: Path) -> Path:
    """Return a folder with frames 1 to 5."""
    folder = tmp_path / "in"
    folder.mkdir()
    for frame in FRAMES:
        (folder / f"p.{frame:04d}.exr").write_bytes(tiny_exr(value=frame))
    return folder


def source(folder: Path) -> DirectorySource:
    """Return a source with one layer."""
    return DirectorySource({"plate": pattern(folder)})


def test_a_link_that_leads_nowhere_is_called_one(tmp_path: Path) -> None:
    """Not a missing file whose nearest neighbour is itself."""
    os.symlink("/nowhere/at/all.exr", tmp_path / "p.1.exr")
    source = DirectorySource({"plate": FramePattern.parse(f"{tmp_path}/p.#.exr")})
    with pytest.raises(FrameMissing, match=r"p\.1\.exr is a link to a file that is not there"):
        source.read("plate", 1)


def test_frames_are_read_whole(plates: Path) -> None:
    """A file's bytes are what is in it."""
    assert source(plates).read("plate", 3) == tiny_exr(value=3)


def test_one_file_serves_every_frame(plates: Path) -> None:
    """A matte without a number is the matte of all frames."""
    still = DirectorySource({"matte": pattern(plates, "p.0002.exr")})
    assert still.read("matte", 1) == still.read("matte", 99) == tiny_exr(value=2)


@pytest.mark.parametrize(("frame", "nearest"), [(7, "p.0005.exr"), (-3, "p.0001.exr")])
def test_a_missing_frame_names_the_nearest(plates: Path, frame: int, nearest: str) -> None:
    """The error says which file was looked for and which one is closest."""
    with pytest.raises(FrameMissing, match=nearest) as caught:
        source(plates).read("plate", frame)
    assert (caught.value.frame, caught.value.layer) == (frame, "plate")
    assert pattern(plates).name(frame) in caught.value.message


def test_a_missing_sequence_says_what_is_there(plates: Path) -> None:
    """Without any frame of the pattern, the folder's sequences are named."""
    with pytest.raises(FrameMissing, match="Did you mean p"):
        DirectorySource({"plate": pattern(plates, "q.####.exr")}).read("plate", 1)


def _flags(bits: int) -> bytes:
    data = bytearray(tiny_exr())
    struct.pack_into("<I", data, 4, 2 | bits)
    return bytes(data)


BAD_FILES: Dict[str, Any] = {
    "empty": (b"", FrameUnreadable, "is empty"),
    "a renamed PNG": (b"\x89PNG\r\n\x1a\n" + bytes(50), FrameUnreadable, "not an EXR but a PNG"),
    "a renamed JPEG": (b"\xff\xd8\xff\xe0" + bytes(50), FrameUnreadable, "a JPEG"),
    "a renamed DPX": (b"SDPX" + bytes(50), FrameUnreadable, "a DPX"),
    "zeros": (bytes(4096), FrameUnreadable, "filled with zeros"),
    "a pointer": (b"version https://git-lfs.github.com/spec/v1\n", FrameUnreadable, "Git LFS pointer"),
    "words": (b"hello world, no picture", FrameUnreadable, "a file of no known type"),
    "five bytes": (tiny_exr()[:5], FrameUnreadable, "cut off"),
    "deep": (_flags(0x800), FrameRefused, "deep EXR"),
    "deep multi-part": (_flags(0x1800), FrameRefused, "deep EXR"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_files_that_are_no_flat_exr_are_told_apart(plates: Path, name: str) -> None:
    """The first bytes are enough to say what is wrong, before anything is sent."""
    data, error, words = BAD_FILES[name]
    (plates / "p.0002.exr").write_bytes(data)
    with pytest.raises(error, match=words) as caught:
        source(plates).read("plate", 2)
    assert (caught.value.frame, caught.value.layer) == (2, "plate")
    assert source(plates).read("plate", 3)


@pytest.mark.parametrize("bits", [0, 0x200, 0x400, 0x1000])
def test_tiled_long_named_and_multi_part_files_pass(plates: Path, bits: int) -> None:
    """Only the deep bit refuses a file here."""
    (plates / "p.0002.exr").write_bytes(_flags(bits))
    assert source(plates).read("plate", 2) == _flags(bits)


def test_a_folder_named_like_a_frame_is_reported(plates: Path) -> None:
    """What cannot be opened is unreadable, not a crash."""
    (plates / "p.0009.exr").mkdir()
    with pytest.raises(FrameUnreadable, match="cannot be read"):
        source(plates).read("plate", 9)


@NOT_ROOT
def test_a_file_without_permission_is_reported(plates: Path) -> None:
    """The message says to look at the permissions."""
    (plates / "p.0002.exr").chmod(0)
    with pytest.raises(FrameUnreadable, match="permissions"):
        source(plates).read("plate", 2)


def test_results_are_written_whole(plates: Path, tmp_path: Path) -> None:
    """The folder is made, the file is there under its name, and nothing else."""
    out = tmp_path / "a" / "b"
    sink = DirectorySink(pattern(out), FRAMES, source(plates))
    assert sink.begin(new_job_id()) == {}
    sink.write(2, bytearray(b"result"), {})
    sink.finish(DONE)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {"p.0002.exr": b"result"}


def test_inputs_are_never_written_over(plates: Path, tmp_path: Path) -> None:
    """The same folder and name is refused, also through a link and in other letters' case."""
    (tmp_path / "link").symlink_to(plates)
    (tmp_path / "out").mkdir()
    for folder, name in ((plates, "p.####.exr"), (tmp_path / "link", "p.%04d.exr"), (plates, "P.####.EXR")):
        with pytest.raises(OutputError, match="is one of the inputs"):
            DirectorySink(pattern(folder, name), FRAMES, source(plates))
    DirectorySink(pattern(plates, "q.####.exr"), FRAMES, source(plates))
    DirectorySink(pattern(tmp_path / "out"), FRAMES, source(plates))


def test_one_name_for_many_frames_is_refused(tmp_path: Path) -> None:
    """The results would write over each other."""
    with pytest.raises(PatternError, match=r"out\.####\.exr"):
        DirectorySink(pattern(tmp_path, "out.exr"), FRAMES)
    DirectorySink(pattern(tmp_path, "out.exr"), FrameRange([7])).write(7, b"x", {})
    assert (tmp_path / "out.exr").read_bytes() == b"x"


@pytest.mark.parametrize(
    ("number", "fix"),
    [
        (errno.ENOSPC, "free at least 3 MiB"),
        (errno.EDQUOT, "The disk is full"),
        (errno.EACCES, "writable for you"),
        (errno.EROFS, "write elsewhere"),
        (errno.EIO, "Check the storage"),
    ],
)
def test_failed_writes_are_reported_with_the_fix(number: int, fix: str) -> None:
    """Each cause has its own advice, and all say that the job can go on."""
    error = output_error(OSError(number, os.strerror(number)), "out/p.0001.exr", 3 << 20, 1)
    assert fix in str(error)
    assert "goes on where it stopped" in str(error)
    assert error.frame == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ENOSPC from a real device: OutputError, no temporary file, the old result untouched."""
    sink = DirectorySink(pattern(tmp_path), FRAMES)
    sink.write(1, b"old", {})
    real = os.open

    def full(path: Any, flags: int, mode: int = 0o777) -> int:
        made = real(path, flags, mode)
        if not str(path).endswith(".tmp"):
            return made
        os.close(made)
        return real("/dev/full", os.O_WRONLY)

    monkeypatch.setattr(atomic.os, "open", full)
    with pytest.raises(OutputError, match="The disk is full"):
        sink.write(1, bytes(1 << 20), {})
    monkeypatch.undo()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"p.0001.exr": b"old"}


def test_a_folder_that_vanished_is_reported(tmp_path: Path) -> None:
    """The user may have moved it; that is an OutputError too."""
    sink = DirectorySink(pattern(tmp_path / "out"), FRAMES)
    (tmp_path / "out").rmdir()
    with pytest.raises(OutputError, match="cannot be written"):
        sink.write(1, b"x", {})


def test_an_output_folder_that_is_a_file_is_reported(tmp_path: Path) -> None:
    """It is found out before anything is sent."""
    (tmp_path / "out").write_bytes(b"")
    with pytest.raises(OutputError):
        DirectorySink(pattern(tmp_path / "out"), FRAMES)


def journal(folder: Path, digest: str = "0" * 32) -> Journal:
    """Open the journal of the results in a folder."""
    return Journal.open(str(folder), digest, pattern(folder).path)


def test_a_broken_off_run_is_continued(tmp_path: Path) -> None:
    """The same job id and what is written come back; a finished job leaves no journal."""
    with journal(tmp_path) as first:
        sink = DirectorySink(pattern(tmp_path), FRAMES, journal=first)
        sink.begin(first.job_id)
        sink.write(1, b"one", {})
        sink.write(2, b"two", {})
        sink.finish("")
    second = journal(tmp_path)
    sink = DirectorySink(pattern(tmp_path), FRAMES, journal=second)
    assert second.job_id == first.job_id
    assert sink.begin(second.job_id) == {1: zlib.crc32(b"one"), 2: zlib.crc32(b"two")}
    sink.finish(DONE)
    assert sorted(os.listdir(tmp_path)) == ["p.0001.exr", "p.0002.exr"]


@pytest.mark.parametrize("harm", ["gone", "shorter", "changed"])
def test_results_that_were_touched_do_not_count(tmp_path: Path, harm: str) -> None:
    """A result that is gone or has other bytes is made again, under a new job id."""
    with journal(tmp_path) as first:
        sink = DirectorySink(pattern(tmp_path), FRAMES, journal=first)
        sink.write(1, b"one", {})
        sink.write(2, b"two", {})
    victim = tmp_path / "p.0001.exr"
    if harm == "gone":
        victim.unlink()
    else:
        victim.write_bytes(b"on" if harm == "shorter" else b"eno")
        os.utime(victim, ns=(1, 1))
    with journal(tmp_path) as second:
        assert second.job_id != first.job_id
        assert second.begin(second.job_id) == {2: zlib.crc32(b"two")}


def test_results_that_were_only_copied_still_count(tmp_path: Path) -> None:
    """A new time with the old bytes is the old result."""
    with journal(tmp_path) as first:
        DirectorySink(pattern(tmp_path), FRAMES, journal=first).write(1, b"one", {})
    os.utime(tmp_path / "p.0001.exr", ns=(1, 1))
    with journal(tmp_path) as second:
        assert second.job_id == first.job_id
        assert second.begin(second.job_id) == {1: zlib.crc32(b"one")}


@pytest.mark.parametrize("tail", [b"2 3 0000", b"\xff\xfe garbage\n", b"not a line\n3 1 zzzzzzzz 1\n"])
def test_a_torn_journal_still_counts_for_what_is_whole(tmp_path: Path, tail: bytes) -> None:
    """A line that a crash cut off, or that is no line, is passed over."""
    with journal(tmp_path) as first:
        DirectorySink(pattern(tmp_path), FRAMES, journal=first).write(1, b"one", {})
    with open(first.path, "ab") as file:
        file.write(tail)
    with journal(tmp_path) as second:
        assert second.job_id == first.job_id
        assert second.begin(second.job_id) == {1: zlib.crc32(b"one")}


def test_a_journal_of_nonsense_starts_anew(tmp_path: Path) -> None:
    """A damaged first line costs the earlier results, not the run."""
    with journal(tmp_path) as first:
        pass
    Path(first.path).write_bytes(os.urandom(100))
    with journal(tmp_path) as second:
        assert second.begin(second.job_id) == {}


def test_two_runs_of_one_command_do_not_mix(tmp_path: Path) -> None:
    """The second one is refused while the first one runs, and welcome afterwards."""
    with journal(tmp_path), pytest.raises(OutputError, match="another run of the same job"):
        journal(tmp_path)
    journal(tmp_path, "f" * 32).close()
    journal(tmp_path).close()


def test_a_failed_job_keeps_its_journal_under_the_next_id(tmp_path: Path) -> None:
    """The client takes a new id for a job that failed; what is written counts for it."""
    first = journal(tmp_path)
    sink = DirectorySink(pattern(tmp_path), FRAMES, journal=first)
    sink.write(1, b"one", {})
    renewed = new_job_id()
    assert sink.begin(renewed) == {1: zlib.crc32(b"one")}
    sink.finish(FAILED)
    with journal(tmp_path) as second:
        assert second.job_id == renewed


@pytest.mark.parametrize(("state", "stays"), [("", True), (FAILED, False), (DONE, False)])
def test_an_empty_journal_stays_only_for_a_job_that_may_go_on(
    tmp_path: Path, state: str, stays: bool
) -> None:
    """A broken-off run keeps the id of its job; one that is over leaves no file."""
    held = journal(tmp_path)
    held.finish(state)
    assert os.path.exists(held.path) == stays


def test_leftovers_of_a_killed_run_are_removed(tmp_path: Path) -> None:
    """Temporary files of this pattern go, those of others stay."""
    names = [".p.0003.exr.0123abcd.tmp", ".q.0003.exr.0123abcd.tmp", ".p.0003.exr.swp", "p.tmp"]
    for name in names:
        (tmp_path / name).write_bytes(b"half")
    with journal(tmp_path) as held:
        DirectorySink(pattern(tmp_path), FRAMES, journal=held)
        assert not (tmp_path / names[0]).exists()
        assert all((tmp_path / name).exists() for name in names[1:])


def test_the_digest_tells_jobs_apart(plates: Path) -> None:
    """Other options, label, inputs or output are another job; another id, context or file of the same name is not."""
    spec = JobSpec(new_job_id(), "null", "1-5", ("plate",))
    digest = job_digest(spec, source(plates), "out.####.exr")
    same = JobSpec(new_job_id(), "null", "1-5", ("plate",), context="6-9")
    assert job_digest(same, source(plates), "out.####.exr") == digest
    # The server takes the same id with another label for another job, so it is one here, too.
    labelled = JobSpec(new_job_id(), "null", "1-5", ("plate",), label="again")
    assert job_digest(labelled, source(plates), "out.####.exr") != digest
    other = JobSpec(new_job_id(), "null", "1-5", ("plate",), options={"amount": 1.0})
    assert job_digest(other, source(plates), "out.####.exr") != digest
    assert job_digest(spec, source(plates), "out_v2.####.exr") != digest
    assert job_digest(spec, source(plates.parent), "out.####.exr") != digest
    (plates / "p.0003.exr").write_bytes(tiny_exr(value=9) + b"more")
    assert job_digest(spec, source(plates), "out.####.exr") == digest


def tracked(plates: Path, folder: Path, sent: int = 1) -> Journal:
    """Open a journal that knows what its results were made from, and which results it is to have."""
    claim = Claim(pattern(folder), FRAMES)
    return Journal.open(str(folder), "0" * 32, pattern(folder).path, claim, source(plates), sent)


def test_a_job_with_failed_frames_leaves_its_journal_to_the_next(plates: Path, tmp_path: Path) -> None:
    """The job is over on the server, so what is missing gets a new id; when all is there the journal goes."""
    out = tmp_path / "out"
    first = tracked(plates, out)
    sink = DirectorySink(pattern(out), FRAMES, journal=first)
    for frame in (1, 2, 4, 5):
        sink.write(frame, b"result", {})
    done = first.job_id
    sink.finish(DONE)
    second = tracked(plates, out)
    assert second.job_id != done
    sink = DirectorySink(pattern(out), FRAMES, journal=second)
    assert list(sink.begin(second.job_id)) == [1, 2, 4, 5]
    sink.write(3, b"result", {})
    sink.finish(DONE)
    assert not os.path.exists(second.path)


@pytest.mark.parametrize("harm", ["changed", "gone"])
def test_results_whose_inputs_changed_are_made_again(plates: Path, tmp_path: Path, harm: str) -> None:
    """Another input: its result does not count and may be replaced, its neighbours stay; one that is gone stays."""
    out = tmp_path / "out"
    with tracked(plates, out) as first:
        sink = DirectorySink(pattern(out), FRAMES, journal=first)
        for frame in (1, 2, 3):
            sink.write(frame, b"result", {})
    victim = plates / "p.0002.exr"
    victim.unlink() if harm == "gone" else victim.write_bytes(tiny_exr(value=9) + b"more")
    for _ in range(2):  # it is not forgotten by a run that breaks off at once
        with tracked(plates, out, sent=2) as again:
            assert again.job_id != first.job_id
            assert list(again.begin(again.job_id)) == ([1, 2, 3] if harm == "gone" else [1, 3])
            assert list(again.outdated) == ([] if harm == "gone" else [2])
    with tracked(plates, out, sent=2) as last:
        sink = DirectorySink(pattern(out), FRAMES, journal=last)
        sink.begin(last.job_id)
        sink.write(2, b"redone", {})
    assert (out / "p.0002.exr").read_bytes() == b"redone"
    after = tracked(plates, out, sent=2)
    assert sorted(after.begin(after.job_id)) == [1, 2, 3]
    assert after.job_id == last.job_id
    after.finish(DONE)
    assert os.path.exists(after.path)  # frames 4 and 5 are missing


def test_results_that_others_made_are_not_missing(plates: Path, tmp_path: Path) -> None:
    """A run that made some frames of a shot again leaves no journal where all results are there."""
    out = tmp_path / "out"
    held = tracked(plates, out)
    sink = DirectorySink(pattern(out), FRAMES, journal=held)
    for frame in (1, 2, 4, 5):
        (out / pattern(out).name(frame)).write_bytes(b"earlier")
    sink.write(3, b"again", {})
    sink.finish(DONE)
    assert not os.path.exists(held.path)
