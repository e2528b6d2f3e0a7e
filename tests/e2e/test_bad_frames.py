"""Bad frames in a good shot, through a real server: one clear error each, and no effect on other frames."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path
from typing import Dict

import pytest
from fakes.exr_files import claim, deep, plate
from harmovid.client import Client
from harmovid.embedded import EmbeddedServer
from harmovid.errors import FrameError, HarmoVidError
from harmovid.frames import FramePattern, FrameRange
from harmovid.job import JobSpec
from harmovid.pixels import exr
from harmovid.storage.files import DirectorySink, DirectorySource
from harmovid.storage.journal import Journal

FRAMES = FrameRange(range(1001, 1021))
BAD = {
    1002: "truncated",
    1004: "deep",
    1006: "bomb",
    1008: "PNG",
    1010: "bit flip",
    1012: "0 byte",
    1014: "wrong size",
    1016: "missing",
    1018: "cut in the header",
}
# Text that the message or its fix must contain, so that an artist knows what is wrong with the file.
SAYS = {
    "truncated": "again",
    "deep": "deep",
    "bomb": "65536",
    "PNG": "PNG",
    "bit flip": "damaged",
    "0 byte": "empty",
    "wrong size": "40 x 24",
    "missing": "no file",
    "cut in the header": "again",
}


def good(number: int) -> bytes:
    """Return a frame with overscan, AOVs and all kinds of attributes."""
    return exr.write(plate(number))


def bad(kind: str, number: int) -> bytes | None:
    """Return the bytes of one bad frame; None where there is no file at all."""
    whole = good(number)
    return {
        "truncated": whole[: len(whole) * 2 // 3],
        "deep": deep(),
        "bomb": claim((0, 0, 65535, 65535)),
        "PNG": b"\x89PNG\r\n\x1a\n" + bytes(2000),
        "bit flip": whole[:-300] + bytes([whole[-300] ^ 0x10]) + whole[-299:],
        "0 byte": b"",
        "wrong size": exr.write(plate(number, width=40)),
        "missing": None,
        "cut in the header": whole[:100],
    }[kind]


def run(server: EmbeddedServer, folder: Path, engine: str) -> Dict[int, HarmoVidError]:
    """Run a folder's frames through the server into `out`; return the frames' errors."""
    source = DirectorySource({"plate": FramePattern.parse(str(folder / "plate.####.exr"))})
    out = FramePattern.parse(str(folder / "out" / "plate.####.exr"))
    journal = Journal.open(out.folder, uuid.uuid4().hex, out.path)
    spec = JobSpec(journal.job_id, engine, str(FRAMES), ("plate",))
    with Client(server.address, server.keys) as client:
        return client.run(spec, source, DirectorySink(out, FRAMES, source, journal)).failed


@pytest.fixture(scope="module")
def shots(tmp_path_factory: pytest.TempPathFactory) -> Dict[str, Path]:
    """Return the shot as it should be, without the bad frames' numbers, and with the bad frames in it."""
    folders = {name: tmp_path_factory.mktemp(name) for name in ("undisturbed", "disturbed")}
    for number in FRAMES:
        wrong = bad(BAD[number], number) if number in BAD else None
        if number not in BAD:
            for folder in folders.values():
                (folder / f"plate.{number}.exr").write_bytes(good(number))
        elif wrong is not None:
            (folders["disturbed"] / f"plate.{number}.exr").write_bytes(wrong)
    return folders


@pytest.mark.fault
@pytest.mark.parametrize("engine", ["null", "deflicker"])
def test_bad_frames_are_one_error_each_and_neighbours_are_the_same_to_the_bit(shots, engine) -> None:
    """Of twenty frames nine are bad, each in its own way: nine errors that name frame and fix, eleven results.

    The results are equal to those of a run in which the bad frames are missing.
    """
    with EmbeddedServer("--codecs", "2") as server:
        if engine not in [info.name for info in Client(server.address, server.keys).engines()]:
            pytest.skip(f"this server has no engine {engine}")
        failed = run(server, shots["disturbed"], engine)
        absent = run(server, shots["undisturbed"], engine)
    assert sorted(failed) == sorted(BAD)
    for number, error in failed.items():
        assert isinstance(error, FrameError), error
        assert error.frame == number
        assert error.layer == "plate"
        assert error.fix
        assert SAYS[BAD[number]].lower() in str(error).lower()
    assert sorted(absent) == sorted(BAD)
    for number in FRAMES:
        results = [folder / "out" / f"plate.{number}.exr" for folder in shots.values()]
        if number in BAD:
            assert not any(path.exists() for path in results)
        else:
            assert results[0].read_bytes() == results[1].read_bytes()
    for folder in shots.values():
        shutil.rmtree(folder / "out")
