"""`harmovid benchmark`: real jobs through real servers, and numbers that agree with each other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.echo_worker import LOOKAHEAD
from fakes.running import RunningServer
from harmovid.cli import benchmark, benchmark_frames, main, parser
from harmovid.cli.machine import MemoryPeak
from harmovid.engines import installed
from harmovid.job import PANORAMA, WHOLE_SHOT, EngineInfo, LayerInfo
from harmovid.pixels import exr
from harmovid.processes import family

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the server runs on Linux"),
    pytest.mark.usefixtures("own_settings"),
]


def test_a_private_server_is_measured_with_its_memory(capsys: pytest.CaptureFixture[str]) -> None:
    """Rates are consistent, memory is listed for main, front, worker and codec, and machine and versions are named."""
    words = ["benchmark", "--engine", "null", "--size", "540p", "--frames", "4"]
    assert main([*words, "--json"]) == 0

    answer = json.loads(capsys.readouterr().out)
    (row,) = answer["rows"]
    assert (row["engine"], row["size"], row["width"], row["height"], row["frames"]) == (
        "null",
        "540p",
        960,
        540,
        4,
    )
    assert row["seconds_per_frame"] * row["frames_per_second"] == pytest.approx(1.0)
    assert row["first_s"] > 0
    assert {"main", "front", "worker", "codec"} <= set(row["memory"])
    assert row["peak_bytes"] == sum(row["memory"].values()) > 50 << 20
    assert row["runtime"]["device"] == "cpu"
    assert set(answer["machine"]) == {"processor", "cores", "memory", "system"}
    assert all(answer["machine"].values())
    assert set(answer["versions"]) == {"harmovid", "python"}


def test_a_named_server_has_no_memory_to_tell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Through --server the table has the rates and a dash for the memory, and says whose machine is named."""
    with RunningServer(tmp_path) as server:
        code = main(
            ["benchmark", "--engine", "echo", "--size", "540p", "--frames", "2", "--server", server.endpoint]
        )
    assert code == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:4] == ["echo", "1", "540p", "2"]
    assert lines[1].split()[-2:] == ["-", "?"]
    assert any("the server may be another one" in line for line in lines)


def test_an_engine_that_looks_ahead_gets_a_longer_job(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By default the frames that it sees before its first answer come on top, as in the middle of a shot."""
    with RunningServer(tmp_path) as server:
        words = ["benchmark", "--engine", "pool", "--engine", "echo", "--size", "540p", "--quiet", "--json"]
        assert main([*words, "--server", server.endpoint]) == 0
    rows = {row["engine"]: row["frames"] for row in json.loads(capsys.readouterr().out)["rows"]}
    assert rows == {"pool": benchmark.FRAMES + LOOKAHEAD, "echo": benchmark.FRAMES}


def test_an_engine_that_sees_the_whole_shot_gets_a_window_more() -> None:
    """A diffusion model looks ahead to the end, however far that is: its job is a little longer than one window."""
    layers = (LayerInfo("plate", True, "P."),)
    info = EngineInfo(
        "e", "1", "deflicker", "E.", "plate", layers, lookahead_frames=WHOLE_SHOT, handle_frames=81
    )
    assert benchmark.frames_for(info) == benchmark.FRAMES + 81


def test_an_unknown_engine_and_too_few_frames_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both end with exit code 2 before anything is measured."""
    with RunningServer(tmp_path) as server:
        assert main(["benchmark", "--engine", "magic", "--server", server.endpoint]) == 2
    assert "magic" in capsys.readouterr().err
    assert main(["benchmark", "--frames", "1"]) == 2


@pytest.mark.parametrize("engine", installed(), ids=lambda engine: engine.name)
def test_inputs_of_every_shipped_engine_can_be_made_up(engine: EngineInfo, tmp_path: Path) -> None:
    """Every required input has a pattern of frames that can be read; what is cut out has an alpha that is not solid."""
    patterns = benchmark_frames.write_inputs(engine, "540p", 6, tmp_path)
    assert set(patterns) == {layer.name for layer in engine.layers if layer.required}
    for name, pattern in patterns.items():
        alphas = []
        for number in range(1, 7):
            alphas.append(exr.channel_plane(exr.read(pattern.replace("#", str(number))), "A"))
        has_matte = any(layer.name == "matte" for layer in engine.layers)
        assert (float(alphas[0].min()) < 0.5) == (name == engine.target and has_matte)


def test_an_engine_that_needs_more_than_pictures_is_left_out() -> None:
    """A required panorama cannot be generated, and the error names it."""
    sky = LayerInfo("sky", True, "The light.", PANORAMA)
    engine = EngineInfo("dome", "1", "any", "Relights.", "plate", (LayerInfo("plate", True, "It."), sky))
    assert benchmark_frames.missing_inputs(engine) == ["sky"]


def test_the_sizes_of_the_flag_are_those_that_can_be_made() -> None:
    """--size offers what benchmark_frames has."""
    assert tuple(benchmark_frames.SIZES) == parser.BENCHMARK_SIZES


def test_the_peak_is_of_all_descendants() -> None:
    """Children of children count, and `forget` resets the samples."""
    grow = (
        "import subprocess, sys; subprocess.run([sys.executable, '-c', 'b = bytearray(80 << 20); input()'])"
    )
    with subprocess.Popen([sys.executable, "-c", grow], stdin=subprocess.PIPE) as process:
        with MemoryPeak(process.pid) as memory:
            while sum(memory.peak().values()) < 80 << 20:
                assert process.poll() is None
            assert len(family(process.pid)) == 2
            process.communicate(b"\n")
        assert sum(memory.peak().values()) >= 80 << 20
        memory.forget()
        assert sum(memory.peak().values()) < 80 << 20
    assert os.getpid() in family(os.getpid())
