"""Results that arrive in pieces: whatever goes wrong, only complete files appear and nothing else is left."""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import Any, List

import pytest
from core.ends import MemorySource, plate
from core.reference_server import ReferenceServer
from harmovid.client import Client
from harmovid.errors import OutputError
from harmovid.frames import FramePattern, FrameRange
from harmovid.job import JobSpec, new_job_id
from harmovid.storage import atomic
from harmovid.storage.files import DirectorySink

FRAMES = FrameRange(range(1, 21))
MIB = 1 << 20


def large(frame: int) -> bytes:
    """Return a frame of some chunks."""
    return plate(frame).ljust(2 * MIB + 7 * frame, bytes([frame]))


def sink(folder: Path) -> DirectorySink:
    """Return a sink of files in a folder."""
    return DirectorySink(FramePattern.parse(str(folder / "out" / "p.####.exr")), FRAMES)


def files(folder: Path) -> List[str]:
    """Return the names in the output folder."""
    return sorted(path.name for path in (folder / "out").iterdir())


def job() -> JobSpec:
    """Return a fresh job over all frames."""
    return JobSpec(new_job_id(), "null", str(FRAMES), ("plate",))


def test_pieces_make_the_file(tmp_path: Path) -> None:
    """Until commit only a hidden temporary file is there; after it, the whole file and nothing else."""
    data = os.urandom(100_000)
    receiver = sink(tmp_path).receive(3, len(data))
    for at in range(0, len(data), 9999):
        receiver.write(memoryview(data)[at : at + 9999])
    assert [name for name in files(tmp_path) if not name.startswith(".")] == []
    receiver.commit({"crc": zlib.crc32(data)})
    assert files(tmp_path) == ["p.0003.exr"]
    assert (tmp_path / "out" / "p.0003.exr").read_bytes() == data


def test_a_dropped_result_leaves_nothing(tmp_path: Path) -> None:
    """After drop there is no file; dropping a committed one takes nothing away."""
    directory = sink(tmp_path)
    receiver = directory.receive(3, 4)
    receiver.write(b"half")
    receiver.drop()
    assert files(tmp_path) == []
    receiver = directory.receive(3, 4)
    receiver.write(b"full")
    receiver.commit({"crc": 0})
    receiver.drop()
    assert files(tmp_path) == ["p.0003.exr"]


def test_a_run_into_a_folder(server: ReferenceServer, tmp_path: Path) -> None:
    """Every result is a whole file with the server's bytes; damaged ones were asked for again."""
    server.faults.damaged_results = 2
    result = Client(server.address).run(job(), MemorySource(large), sink(tmp_path))
    assert server.log.count("RESULT_BAD") == 2
    assert files(tmp_path) == [f"p.{frame:04d}.exr" for frame in FRAMES]
    assert all((tmp_path / "out" / f"p.{frame:04d}.exr").read_bytes() == large(frame) for frame in FRAMES)
    assert result.progress.delivered == len(FRAMES)


def test_a_lost_server_leaves_no_half_results(server: ReferenceServer, tmp_path: Path) -> None:
    """The server restarts several times in the middle of results: at the end there are whole files only."""
    told: List[int] = []

    def disturb(frame: int, _: Any) -> None:
        told.append(frame)
        if len(told) % 4 == 0:
            server.restart()  # the next results are on their way

    Client(server.address).run(job(), MemorySource(large), sink(tmp_path), on_result=disturb)
    assert server.log.count("HELLO") > 3
    assert files(tmp_path) == [f"p.{frame:04d}.exr" for frame in FRAMES]
    assert all((tmp_path / "out" / f"p.{frame:04d}.exr").read_bytes() == large(frame) for frame in FRAMES)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_disk_that_fills_up_in_the_middle(
    server: ReferenceServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run ends with OutputError; whole results stay, nothing of the others."""
    real = os.open
    made: List[Any] = []

    def full(path: Any, flags: int, mode: int = 0o777) -> int:
        descriptor = real(path, flags, mode)
        if str(path).endswith(".tmp"):
            made.append(path)
            if len(made) > 3:
                os.close(descriptor)
                return real("/dev/full", os.O_WRONLY)
        return descriptor

    monkeypatch.setattr(atomic.os, "open", full)
    with pytest.raises(OutputError, match="The disk is full"):
        Client(server.address).run(job(), MemorySource(large), sink(tmp_path))
    monkeypatch.undo()
    assert len(files(tmp_path)) == 3
    assert all(name.endswith(".exr") for name in files(tmp_path))
