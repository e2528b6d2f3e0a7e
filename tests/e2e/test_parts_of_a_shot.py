"""Chunks, a repaired frame made again, a job begun anew: what is made later fits what is there."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.differences import check_same_files, check_same_results, name_differences
from fakes.running import RunningServer
from fakes.waiting import wait_until
from harmovid.cli import main
from harmovid.client import Client
from harmovid.errors import OutputError, WireError
from harmovid.job_files import JobFiles
from harmovid.pixels import exr
from harmovid.storage.files import DirectorySource

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the server runs on Linux"),
    pytest.mark.usefixtures("own_settings"),
]
FRAMES = range(1001, 1025)
SIZE = (48, 64)
FITS_STOPS = 0.02


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Yield a real server with the real engines."""
    with RunningServer(tmp_path_factory.mktemp("server"), "--codecs", "1", echo=False) as running:
        yield running


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    """Return the light of the shot without its flicker."""
    blocks = np.random.default_rng(0).random((12, 16, 3))
    return np.kron(blocks, np.ones((4, 4, 1))) * 0.5 + 0.05


@pytest.fixture(scope="module")
def shots(tmp_path_factory: pytest.TempPathFactory, scene: np.ndarray) -> Path:
    """Return a folder with a plate whose exposure is another one in each frame, by 0.3 stops."""
    folder = tmp_path_factory.mktemp("shots")
    rng = np.random.default_rng(1)
    for frame in FRAMES:
        picture = (scene + rng.normal(0, 0.003, scene.shape)).clip(0.003) * 2.0 ** rng.normal(0, 0.3)
        channels = {name: picture[..., i].astype(np.float16) for i, name in enumerate("RGB")}
        header = exr.PartHeader.make((0, 0, SIZE[1], SIZE[0]))
        exr.write(exr.make_frame(header, channels), folder / f"p.{frame}.exr")
    return folder


@pytest.fixture
def shot(shots: Path, tmp_path: Path) -> Path:
    """Return a copy of the plate that a test may harm."""
    return Path(shutil.copytree(shots, tmp_path / "shot"))


@pytest.fixture(scope="module")
def whole(server: RunningServer, shots: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the results of the whole shot in one go."""
    out = tmp_path_factory.mktemp("whole")
    with Client(server.endpoint) as client:
        job = JobFiles.prepare(client.engine("deflicker"), {"plate": f"{shots}/p.####.exr"}, f"{out}/")
        client.start(job).result()
    return out


def deflicker(
    capsys: pytest.CaptureFixture[str], server: RunningServer, shot: Path, out: Path, *words: object
) -> tuple[int, dict[str, Any]]:
    """Return exit code and JSON answer of a run."""
    line = ["deflicker", shot / "p.####.exr", "-o", f"{out}/", "--server", server.endpoint, *words, "--json"]
    code = main([str(word) for word in line])
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    return code, json.loads(printed.out)


def names(out: Path) -> list[str]:
    """Return what lies in a folder, hidden files too."""
    return sorted(os.listdir(out))


def results(out: Path) -> list[str]:
    """Return which results lie in a folder; none where it has not been made yet."""
    return sorted(path.name for path in out.glob("*.exr"))


def data(folder: Path, frame: int) -> bytes:
    """Return the bytes of a result."""
    return (folder / f"p.{frame}.exr").read_bytes()


def level(folder: Path, scene: np.ndarray, frame: int) -> float:
    """Return the exposure of a result, in stops over the scene."""
    channels = exr.read(folder / f"p.{frame}.exr").parts[0].channels
    picture = np.stack([channels[name].astype(np.float64) for name in "RGB"], axis=-1)
    return float(np.median(np.log2(picture / scene)))


def test_chunks_with_handles_are_the_whole(
    server: RunningServer, shots: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A farm's chunks see the frames beside them and give the very files of one job; nothing else is written."""
    out = tmp_path / "out"
    for chunk in ("1001-1010", "1011-1023", "1024"):
        code, answer = deflicker(capsys, server, shots, out, "--frames", chunk)
        assert (code, answer["warnings"]) == (0, []), answer
        assert answer["frames"]["total"] == answer["frames"]["written"], answer
    assert names(whole) == [f"p.{frame}.exr" for frame in FRAMES]
    check_same_results(out, whole, FRAMES)


def test_a_chunk_without_handles_is_reported(
    server: RunningServer, shots: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`check`, the run and its report say that the part belongs to more, and what to do; not of a whole sequence."""
    report = tmp_path / "report.json"
    code, answer = deflicker(
        capsys, server, shots, tmp_path / "out", "--frames", "1001-1010", "--handles", 0, "--report", report
    )
    assert code == 0
    told = [answer["warnings"], json.loads(report.read_text())["warnings"]]
    line = ["deflicker", f"{shots}/p.####.exr", "-o", f"{tmp_path}/new/", "--server", server.endpoint]
    assert main(["check", *line, "--frames", "1001-1010", "--handles", "0", "--json"]) == 0
    told.append(json.loads(capsys.readouterr().out)["notes"])
    for said in told:
        (sentence,) = [each for each in said if "longer sequence" in each]
        assert "frames 1001-1010 are part of a longer sequence, 1001-1024" in sentence
        assert "--handles 80" in sentence
    assert main(["check", *line, "--json"]) == 0
    assert "longer" not in capsys.readouterr().out
    assert (
        main(["check", *line, "--frames", "1001-1010", "--handles", "0", "--preset", "quick", "--json"]) == 0
    )
    notes = json.loads(capsys.readouterr().out)["notes"]
    assert "quick: the first result comes after 24 frames instead of 88" in notes
    assert any("--handles 32" in note for note in notes)


def test_a_repaired_frame_is_made_and_the_good_ones_are_left_alone(
    *,
    server: RunningServer,
    shot: Path,
    whole: Path,
    scene: np.ndarray,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit 3, the file repaired, the same command: the missing result comes, as in the whole; no other is touched."""
    out, broken = tmp_path / "out", shot / "p.1012.exr"
    kept = broken.read_bytes()
    broken.write_bytes(kept[:200])
    code, answer = deflicker(capsys, server, shot, out)
    assert code == 3, answer
    good = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in out.glob("*.exr")}
    assert len(good) == len(FRAMES) - 1

    broken.write_bytes(kept)
    code, answer = deflicker(capsys, server, shot, out)

    assert (code, answer["frames"]) == (0, {"total": 24, "written": 1, "resumed": 23}), answer
    now = {name: ((out / name).read_bytes(), (out / name).stat().st_mtime_ns) for name in good}
    assert [name for name in good if now[name] != good[name]] == []
    assert name_differences(out, whole) == []
    check_same_files(out, whole, [1012])
    levels = [level(out, scene, frame) for frame in (1011, 1012, 1013)]
    assert max(levels) - min(levels) < FITS_STOPS


def test_a_changed_input_is_made_again_and_said(
    server: RunningServer, shot: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """After exit 3 a frame was rendered anew as well: both come, and what cannot be seen any more is named."""
    out, broken = tmp_path / "out", shot / "p.1012.exr"
    kept = broken.read_bytes()
    broken.unlink()
    line = ("--frames", "1001-1024", "--engine", "deflicker")
    code, answer = deflicker(capsys, server, shot, out, *line)
    assert code == 3, answer
    before = data(out, 1003)
    broken.write_bytes(kept)
    (shot / "p.1003.exr").write_bytes((shot / "p.1004.exr").read_bytes())
    os.utime(shot / "p.1003.exr", ns=(5, 5))
    (shot / "p.1020.exr").unlink()

    code, answer = deflicker(capsys, server, shot, out, *line)

    assert (code, answer["frames"]) == (0, {"total": 24, "written": 2, "resumed": 22}), answer
    assert data(out, 1003) != before, answer
    said = "\n".join(answer["warnings"])
    assert "the inputs of 1 results have changed: frames 1003 are made again" in said
    assert "22 results stay, frames 1001-1002,1004-1011,1013-1024, although inputs" in said
    assert "the engine could not see the frames 1020 beside it (frames 1003,1012)" in said


def test_handles_are_read_from_shared_storage(
    shots: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Frames beside a chunk that the server mounts are not sent either, and the chunk is the same."""
    out = tmp_path / "out"
    with RunningServer(tmp_path / "server", "--codecs", "1", "--root", f"s={shots}", echo=False) as own:
        code, answer = deflicker(capsys, own, shots, out, "--frames", "1009-1012", "--map", f"{shots}=s")
    assert (code, answer["warnings"]) == (0, []), answer
    check_same_files(out, whole, range(1009, 1013))


class Striking(DirectorySource):
    """Does something when it is asked for certain frames, once each."""

    def __init__(self, patterns: Any, strike: Callable[[], None], frames: Iterable[int]) -> None:
        super().__init__(patterns)
        self.strike, self.frames = strike, set(frames)

    def read(self, layer: str, frame: int) -> bytes:
        """Return a frame's bytes, after the strike where it is one of those."""
        if frame in self.frames:
            self.frames.discard(frame)
            self.strike()
        return super().read(layer, frame)


class RunningAhead:
    """A client's clock that is right until it is told to run ahead, so that patience ends soon, but not before."""

    def __init__(self) -> None:
        self.since_s: float | None = None

    def run_ahead(self) -> None:
        """Run a thousand times as fast from now on."""
        self.since_s = time.monotonic()

    def __call__(self) -> float:
        """Return the time in seconds."""
        now_s, since_s = time.monotonic(), self.since_s
        return now_s if since_s is None else since_s + 1000 * (now_s - since_s)


def prepared(client: Client, shots: Path, whole: Path, out: Path, frames: str) -> JobFiles:
    """Return a job of an engine that averages over time, on the shot and its deflickered version."""
    inputs = {"fg": f"{whole}/p.####.exr", "bg": f"{shots}/p.####.exr", "matte": f"{shots}/p.####.exr"}
    engine = client.engine("harmonize-statistics")
    return JobFiles.prepare(engine, inputs, f"{out}/", frames=frames, options={"exposure": 1.0})


@pytest.mark.fault
def test_a_killed_worker_sees_the_handles_again(
    server: RunningServer, shots: Path, whole: Path, tmp_path: Path
) -> None:
    """Kill -9 of the worker among the handles and among the frames of a part: no pixel shows it."""
    with Client(server.endpoint) as client:
        client.start(prepared(client, shots, whole, tmp_path / "undisturbed", "1013-1024")).result()
        job = prepared(client, shots, whole, tmp_path / "out", "1013-1024")
        assert job.spec.context == "1001-1012"
        job.source = Striking(
            job.source.patterns, lambda: os.kill(server.child("worker-0"), signal.SIGKILL), (1010, 1023)
        )
        client.start(job).result()
    check_same_results(tmp_path / "out", tmp_path / "undisturbed", range(1013, 1025))


@pytest.mark.fault
def test_a_job_begun_anew_on_the_server_gets_the_same_pixels(
    shots: Path, tmp_path: Path, whole: Path
) -> None:
    """The server loses everything in the middle of a job; the client goes on, and no pixel shows it."""
    out = tmp_path / "out"
    flags = ("--codecs", "1", "--prefetch-frames", "1")
    with RunningServer(tmp_path / "server", *flags, echo=False) as own:
        clock = RunningAhead()

        def lose() -> None:
            wait_until(lambda: results(out) != [])
            own.kill()
            clock.run_ahead()

        with Client(own.endpoint) as client:
            client.start(prepared(client, shots, whole, tmp_path / "undisturbed", "1001-1024")).result()
        with Client(own.endpoint, clock=clock) as client:
            job = prepared(client, shots, whole, out, "1001-1024")
            job.source = Striking(job.source.patterns, lose, [1024])
            with pytest.raises((WireError, OutputError)):
                client.start(job).result()
        first = results(out)
        assert first, own.log
        shutil.rmtree(own.folder / "state")
        own.start()
        with Client(own.endpoint) as client:
            again = client.start(prepared(client, shots, whole, out, "1001-1024")).result()
        assert again.resumed == len(first) < len(FRAMES), (again, first, own.log)
    said = f"resumed: {first}\nreports: {again.reports}\n{own.log}"
    check_same_results(out, tmp_path / "undisturbed", FRAMES, said)
