"""A bundle is replaced, and rolled back, while the server runs: docs/deploy.md, "Upgrade and roll back"."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, List

import numpy as np
import pytest
from fakes.running import RunningServer
from fakes.toy_bundle import HEIGHT, WIDTH, toy_bundle
from harmovid import Client, JobFiles
from harmovid.pixels import exr

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

FRAMES = range(1001, 1010)


def write_plate(folder: Path) -> str:
    """Write a short flickering plate and return its pattern."""
    folder.mkdir()
    window = (0, 0, WIDTH, HEIGHT)
    texture = np.linspace(0.5, 1.5, WIDTH * HEIGHT, dtype=np.float32).reshape(HEIGHT, WIDTH)
    for frame in FRAMES:
        level = 0.2 if frame % 2 else 0.15
        channels = {name: (texture * level).astype(np.float16) for name in "RGB"}
        exr.write(
            exr.make_frame(exr.PartHeader.make(window, window), channels), folder / f"plate.{frame}.exr"
        )
    return str(folder / "plate.####.exr")


def put_version(store: Path, bundle: Path, version: str) -> Path:
    """Put a bundle of a version into a folder of its own, as `harmovid bundle unpack` does."""
    folder = store / f"toy-{version}"
    shutil.copytree(bundle, folder)
    held = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**held, "version": version}))
    return folder


def point(link: Path, folder: Path) -> None:
    """Make the link lead to a folder, in one step: `ln -s FOLDER LINK.new && mv -T LINK.new LINK`."""
    fresh = link.with_name(link.name + ".new")
    fresh.symlink_to(folder)
    fresh.rename(link)


def maker(result: Path) -> str:
    """Return the engine and version in a result's attribute."""
    return str(exr.read_header(result).parts[0].attributes["harmovid/engine"].value)


def test_a_bundle_is_upgraded_and_rolled_back_while_jobs_run(tmp_path: Path, tmp_path_factory: Any) -> None:
    """Every job after a switch is made by the version that the link leads to and says so; none fails."""
    bundle = toy_bundle(tmp_path_factory, "deflicker").bundle
    store, served = tmp_path / "store", tmp_path / "served"
    store.mkdir()
    served.mkdir()
    one, two = (put_version(store, bundle, version) for version in ("1", "2"))
    broken = put_version(store, bundle, "3")
    (broken / "transformer.onnx").write_bytes(b"half a file")
    plate = write_plate(tmp_path / "plate")
    point(served / "toy", one)
    made: List[str] = []
    flags = ("--engine-folders", str(served), "--codecs", "1", "--device", "cpu")
    with RunningServer(tmp_path / "server", *flags, echo=False) as server, Client(server.endpoint) as client:
        for index, folder in enumerate((one, two, broken, one)):
            point(served / "toy", folder)
            job = JobFiles.prepare(
                client.engine("toy-deflicker"), {"plate": plate}, out=str(tmp_path / f"out{index}") + "/"
            )
            result = client.start(job).result()
            assert result.failed == {}
            made.append(maker(tmp_path / f"out{index}" / "plate.1001.exr"))
        told = client.engine("toy-deflicker").version

    assert made == ["toy-deflicker 1", "toy-deflicker 2", "toy-deflicker 2", "toy-deflicker 1"]
    assert told == "1"
    assert "old version serves on" in server.log
