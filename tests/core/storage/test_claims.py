"""Two jobs with one output folder: which files each may write, and which are never replaced."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from harmovid.errors import OutputError
from harmovid.frames import FramePattern, FrameRange
from harmovid.job import new_job_id
from harmovid.storage import atomic
from harmovid.storage.claims import Claim
from harmovid.storage.files import DirectorySink
from harmovid.storage.journal import Journal
from hypothesis import example, given
from hypothesis import strategies as st

NAME = "p.####.exr"


def pattern(folder: Path, name: str = NAME) -> FramePattern:
    """Return a pattern in a folder."""
    return FramePattern.parse(str(folder / name))


def opened(folder: Path, digest: str, frames: str = "1-5", name: str = NAME) -> Journal:
    """Open the journal of a job that writes these frames."""
    results = pattern(folder, name)
    return Journal.open(str(folder), digest * 32, results.path, Claim(results, FrameRange.parse(frames)))


def sink(folder: Path, journal: Journal, overwrite: bool = False) -> DirectorySink:
    """Return a sink of frames 1 to 5, begun."""
    made = DirectorySink(pattern(folder), FrameRange(range(1, 6)), journal=journal, overwrite=overwrite)
    made.begin(journal.job_id)
    return made


@pytest.mark.parametrize("name", [NAME, "p.%04d.exr", "P.####.EXR"])
def test_a_second_job_with_the_same_results_is_refused(tmp_path: Path, name: str) -> None:
    """While a job runs, another one that would write one of its files is refused and the file named; later it may."""
    with opened(tmp_path, "a"), pytest.raises(OutputError, match=r"another job is writing .* frames 3-5,"):
        opened(tmp_path, "b", "3-9", name)
    assert len(os.listdir(tmp_path)) == 1
    opened(tmp_path, "b", "3-9", name).close()


@pytest.mark.parametrize(("frames", "name"), [("6-9", NAME), ("1-5", "q.####.exr"), ("1-5", "p.#.exr")])
def test_jobs_with_other_results_share_a_folder(tmp_path: Path, frames: str, name: str) -> None:
    """Other frames of one pattern (a farm's parts of a shot), or other names, are no clash."""
    with opened(tmp_path, "a"), opened(tmp_path, "b", frames, name):
        assert len(os.listdir(tmp_path)) == 2


def test_the_claim_of_a_killed_job_holds_nothing(tmp_path: Path) -> None:
    """A killed job keeps its journal, so that it can be resumed, and does not block other jobs."""
    code = (
        "import os, sys; from harmovid.frames import *; from harmovid.storage.claims import Claim; "
        "from harmovid.storage.journal import Journal; p = FramePattern.parse(sys.argv[1]); "
        "Journal.open(p.folder, 'a' * 32, p.path, Claim(p, FrameRange(range(1, 6)))); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / NAME)]).returncode == 9
    opened(tmp_path, "b").close()


def test_a_file_that_appears_while_the_job_runs_is_not_replaced(tmp_path: Path) -> None:
    """If another program has created a result's file meanwhile, the run ends and that file is kept."""
    with opened(tmp_path, "a") as journal:
        ours = sink(tmp_path, journal)
        (tmp_path / "p.0002.exr").write_bytes(b"painted")
        ours.write(1, b"one", {})
        with pytest.raises(OutputError, match="has appeared since the job began") as caught:
            ours.write(2, b"two", {})
    assert (tmp_path / "p.0002.exr").read_bytes() == b"painted"
    assert caught.value.frame == 2
    assert not list(tmp_path.glob("*.tmp"))


def test_with_overwrite_it_is(tmp_path: Path) -> None:
    """--overwrite replaces whatever has the name, also what appeared later."""
    with opened(tmp_path, "a") as journal:
        ours = sink(tmp_path, journal, overwrite=True)
        (tmp_path / "p.0002.exr").write_bytes(b"painted")
        ours.write(2, b"two", {})
    assert (tmp_path / "p.0002.exr").read_bytes() == b"two"


def test_a_job_may_write_its_own_result_again(tmp_path: Path) -> None:
    """A result that comes twice, or again after a resume, replaces itself."""
    with opened(tmp_path, "a") as journal:
        ours = sink(tmp_path, journal)
        ours.write(1, b"one", {})
        ours.write(1, b"uno", {})
    with opened(tmp_path, "a") as journal:
        sink(tmp_path, journal).write(1, b"ein", {})
    assert (tmp_path / "p.0001.exr").read_bytes() == b"ein"


def test_a_run_killed_before_its_note_knows_its_own_file(tmp_path: Path) -> None:
    """A result that was renamed into place but not journalled counts as written; a foreign file does not."""
    with opened(tmp_path, "a") as journal:
        for frame in (1, 2):
            journal.announce(frame, 3, zlib.crc32(b"one"))
        (tmp_path / "p.0001.exr").write_bytes(b"one")
        (tmp_path / "p.0002.exr").write_bytes(b"two")
    with opened(tmp_path, "a") as journal:
        assert journal.begin(journal.job_id) == {1: zlib.crc32(b"one")}
    with opened(tmp_path, "a") as journal:  # and once more, as it was noted then
        assert journal.begin(journal.job_id) == {1: zlib.crc32(b"one")}


@pytest.mark.parametrize("there", [False, True])
def test_a_file_system_without_links_is_served(tmp_path: Path, monkeypatch, there: bool) -> None:
    """Where no hard link can be made, a free name is taken all the same and a taken one is not."""

    def refused(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(atomic.os, "link", refused)
    path = tmp_path / "p.exr"
    if there:
        path.write_bytes(b"old")
    file = atomic.WholeFile(str(path))
    file.write(b"new")
    if there:
        with pytest.raises(FileExistsError):
            file.commit(replace=False)
        file.drop()
    else:
        file.commit(replace=False)
    assert path.read_bytes() == (b"old" if there else b"new")
    assert os.listdir(tmp_path) == ["p.exr"]


@given(
    st.binary(min_size=1, max_size=40).filter(lambda raw: not {0, 47, 92} & set(raw)),
    st.sets(st.integers(-50, 5000), min_size=1, max_size=9),
)
@example(b"pl\xe9te %20\n.", {1})
def test_a_claim_survives_its_line(raw: bytes, numbers: set) -> None:
    """Any name, UTF-8 or not, and any frames come back from the journal's line, which is plain ASCII."""
    name = os.fsdecode(raw).translate(dict.fromkeys(map(ord, "#@%$*?{}[]"), "_")) + "####.exr"
    claim = Claim(FramePattern.parse(name), FrameRange(numbers))
    line = claim.line()
    assert line.isascii()
    assert "\n" not in line
    assert Claim.parse(line) == claim
    assert claim.clash(claim) == FrameRange(numbers)


@pytest.mark.parametrize(
    "line", ["", "results", "results 1-5", "results x p.exr", "results 1 %23%40", "1 2 3 4"]
)
def test_what_is_no_claim_claims_nothing(line: str) -> None:
    """Other lines of a journal, and damaged ones, are passed over."""
    found = Claim.parse(line)
    assert found is None or found.clash(Claim(FramePattern.parse(NAME), FrameRange([1]))) == FrameRange()


@pytest.mark.parametrize(
    "name", ["n" * 251 + ".exr", "é" * 125 + ".exr", "n" * 242 + ".exr", "n" * 240 + ".exr"]
)
def test_names_as_long_as_the_file_system_takes(tmp_path: Path, name: str) -> None:
    """A name of 255 bytes is written whole; what a killed run left of it is removed by the next one."""
    long = FramePattern.parse(str(tmp_path / name))
    target = DirectorySink(long, FrameRange([1]))
    target.write(1, b"one", {})
    assert os.listdir(tmp_path) == [name]
    (tmp_path / f".{atomic.stem_of(name)}.0123abcd.tmp").write_bytes(b"half")
    with Journal.open(str(tmp_path), "c" * 32, long.path) as journal:
        DirectorySink(long, FrameRange([1]), journal=journal)
    assert set(os.listdir(tmp_path)) == {name, os.path.basename(journal.path)}


def test_a_job_id_is_kept_over_a_claim(tmp_path: Path) -> None:
    """The journal with a claim in it resumes under its own id."""
    with opened(tmp_path, "a") as first:
        sink(tmp_path, first).write(1, b"one", {})
    with opened(tmp_path, "a") as second:
        assert second.job_id == first.job_id
        assert second.begin(new_job_id()) == {1: zlib.crc32(b"one")}
