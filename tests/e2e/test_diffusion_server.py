"""A real server with a diffusion bundle: its own picture, a killed worker, new versions of the bundle."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Dict

import numpy as np
import pytest
from fakes.running import RunningServer
from fakes.toy_bundle import HEIGHT, WIDTH, Toy, shot, toy_bundle
from harmovid.cli import main
from harmovid.client import Client
from harmovid.errors import InputError
from harmovid.job_files import JobFiles
from harmovid.pixels import exr
from harmovid_server.worker import checkpoint

pytestmark = [
    pytest.mark.slow, pytest.mark.xdist_group("toy_bundle"), pytest.mark.timeout(900),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the server runs on Linux"),
    pytest.mark.usefixtures("own_settings"),
]  # fmt: skip

ENGINE = "toy-harmovid"
COUNT = 12
SCALE = 2
"""Plates are this many times as large as the proxies."""

STEPS = (60, 240, 960)
"""Steps of a sampling that takes longer than the pause between two checkpoints: more where the machine is faster."""


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """Return the run's HarmoVid toy."""
    return toy_bundle(tmp_path_factory, "harmovid")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, toy: Toy) -> Path:
    """Return a server's folder of bundles, which tests may change."""
    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(toy.bundle, folder / ENGINE)
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[RunningServer]:
    """Run a server with the bundle, on the CPU."""
    flags = ("--codecs", "1", "--engines", ENGINE, "--engine-folders", str(models), "--device", "cpu")
    with RunningServer(tmp_path_factory.mktemp("server"), *flags, echo=False) as running:
        yield running


@pytest.fixture(scope="module")
def plates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a foreground and its plate, at `SCALE` times the size of the proxies."""
    folder, made = tmp_path_factory.mktemp("plates"), shot(3, 33)
    for number in range(COUNT):
        mask = made.mask[number]
        layers = {"fg": (made.real[number] * mask[..., None], mask), "bg": (made.background[number], None)}
        for name, (picture, alpha) in layers.items():
            channels = {channel: large(picture[..., index]) for index, channel in enumerate("RGB")}
            if alpha is not None:
                channels["A"] = large(alpha)
            header = exr.PartHeader.make((0, 0, WIDTH * SCALE, HEIGHT * SCALE))
            exr.write(exr.make_frame(header, channels), folder / f"{name}.{1001 + number}.exr")
    return folder


def large(plane: np.ndarray) -> np.ndarray:
    """Return a plane with every pixel repeated."""
    return np.kron(plane, np.ones((SCALE, SCALE))).astype(np.float16)


def job_of(client: Client, plates: Path, out: Path, output: str = "fg", **options: Any) -> JobFiles:
    """Prepare the whole shot."""
    inputs = {name: f"{plates}/{name}.####.exr" for name in ("fg", "bg")}
    return JobFiles.prepare(
        client.engine(ENGINE), inputs, f"{out}/o.####.exr", output=output, options=options
    )


def run(server: RunningServer, plates: Path, out: Path, output: str = "fg", **options: Any) -> Any:
    """Run the whole shot and return its result."""
    out.mkdir(exist_ok=True)
    with Client(server.endpoint) as client:
        return client.start(job_of(client, plates, out, output, **options)).result()


def bits(folder: Path) -> Dict[str, bytes]:
    """Return the files of a folder, without the journal, by name."""
    return {path.name: path.read_bytes() for path in folder.glob("o.*.exr")}


def test_the_networks_own_picture_over_the_plate(server: RunningServer, plates: Path, tmp_path: Path) -> None:
    """Where the matte is 0 the plate's bits come back; inside it is the network's picture, near the light of the fg."""
    run(server, plates, tmp_path / "proxy", "proxy")
    for number in (1001, 1001 + COUNT - 1):
        found = exr.read(tmp_path / "proxy" / f"o.{number}.exr")
        front, back = (exr.read(plates / f"{name}.{number}.exr").channels for name in ("fg", "bg"))
        outside, inside = front["A"] == 0, front["A"] == 1
        assert outside.any()
        assert inside.any()
        for name in "RGB":
            assert found.channels[name][outside].tobytes() == back[name][outside].tobytes()
            ratio = found.channels[name][inside].astype(np.float32) / np.maximum(front[name][inside], 1e-3)
            assert 0.5 < np.median(ratio) < 2.0
            assert (found.channels[name][inside] != front[name][inside]).mean() > 0.9
        assert found.header.get("harmovid/output").startswith(
            f"proxy: the network's own picture of {WIDTH}x{HEIGHT}"
        )


def test_the_command_line_says_what_it_is(
    server: RunningServer, plates: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`check` has a sentence about the output proxy; engines without a picture refuse it; the memory is listed."""
    words = [
        f"{plates}/fg.####.exr", f"{plates}/bg.####.exr", "-o", f"{tmp_path}/o.####.exr", "--server", server.endpoint,
        "--engine", ENGINE,
    ]  # fmt: skip
    assert main(["check", "harmonize", *words, "--output", "proxy"]) == 0
    told = capsys.readouterr().out
    assert (
        f"the network's own picture of {HEIGHT} lines, enlarged to the plate's format, over the background"
        in told
    )
    assert main(["check", "harmonize", *words, "--output", "proxy", "--strength", "0.5"]) == 1
    assert "neither strength nor field" in capsys.readouterr().out
    assert main(["engines", "--server", server.endpoint]) == 0
    with Client(server.endpoint) as client:
        info = client.engine(ENGINE)
        needs = f"{ENGINE} needs {info.limits['weights_mb']} MB of the device's memory for its weights"
        assert needs in capsys.readouterr().out
        assert info.limits["weights_mb"] > 0
        inputs = {name: f"{plates}/{name}.####.exr" for name in ("fg", "bg")}
        plain = type(info).from_dict({**info.to_dict(), "picture_lines": 0})
        with pytest.raises(InputError, match="no picture of its own"):
            JobFiles.prepare(plain, inputs, f"{tmp_path}/o.####.exr", output="proxy")


def test_a_worker_killed_while_it_samples(server: RunningServer, plates: Path, tmp_path: Path) -> None:
    """kill -9 between two steps: the next worker goes on from the steps done, and every file is the same to the bit."""
    for steps in STEPS:
        options = {"sampler": "dpm", "steps": steps, "seed": 3}
        out = tmp_path / f"killed-{steps}"
        out.mkdir()
        with Client(server.endpoint) as client:
            handle = client.start(job_of(client, plates, out, **options))
            step = step_met(server, handle)
            if step:
                os.kill(server.child("worker-0"), signal.SIGKILL)
            assert not handle.result().failed
        if step:
            break
    assert 0 < step < steps
    assert "job goes on" in server.log
    run(server, plates, tmp_path / "whole", **options)
    assert len(bits(out)) == COUNT
    assert bits(out) == bits(tmp_path / "whole")


def step_met(server: RunningServer, handle: Any) -> int:
    """Wait until the job's checkpoint holds steps of the sampler; return how many, or 0 if it has ended before."""
    while not handle.done:
        for path in (server.folder / "state").rglob(checkpoint.STATE):
            found = checkpoint.load(path, f"{ENGINE} 1")
            if found is not None and "step" in found.state:
                return int(found.state["step"])
        time.sleep(0.02)
    return 0


def test_a_new_version_is_served_and_a_damaged_one_is_not(
    server: RunningServer, models: Path, plates: Path, tmp_path: Path
) -> None:
    """Without a restart: the next job runs the new version, and the old one goes on when a version is damaged."""
    bundle = models / ENGINE
    held = json.loads((bundle / "manifest.json").read_text())
    try:
        (bundle / "manifest.json").write_text(json.dumps({**held, "version": "2"}))
        run(server, plates, tmp_path / "second")
        assert exr.read(tmp_path / "second" / "o.1001.exr").header.get("harmovid/engine") == f"{ENGINE} 2"
        with Client(server.endpoint) as client:
            assert client.engine(ENGINE).version == "2"
        (bundle / "manifest.json").write_text(json.dumps({**held, "version": "3"}))
        (bundle / "transformer.onnx").write_bytes(b"half a file")
        run(server, plates, tmp_path / "third")
        assert bits(tmp_path / "third") == bits(tmp_path / "second")
        assert "old version serves on" in server.log
        with Client(server.endpoint) as client:
            assert client.engine(ENGINE).version == "2"
            assert client.engine(ENGINE).runtime["provider"] == "cpu"
    finally:
        server.kill()
