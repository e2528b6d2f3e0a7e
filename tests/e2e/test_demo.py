"""The demo end to end at a tiny size: real server, real command line, sheet, wipe, report."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from harmovid.pixels import exr
from harmovid_demo.__main__ import main
from harmovid_demo.shot import Shot, ShotFiles

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the server runs on Linux"),
]
WIDTH, COUNT = 192, 12


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the demo once and return its folder."""
    out = tmp_path_factory.mktemp("demo")
    assert main(["--out", str(out), "--width", str(WIDTH), "--frames", str(COUNT)]) == 0
    return out


@pytest.fixture(scope="module")
def files(run: Path) -> ShotFiles:
    """Return the shot that the run rendered."""
    return ShotFiles(run / "shot", Shot(width=WIDTH, height=WIDTH * 9 // 16, count=COUNT))


def test_everything_is_written(run, files):
    """Results for every frame, contact sheet, wipe, opening picture and report are there; the server is gone."""
    names = {path.name for path in run.iterdir()}
    assert {"contact_sheet.png", "before_after.png", "wipe.mp4", "report.json", "server.log"} <= names
    assert not {"server", "server.ready.json"} & names
    for frame in files.shot.frames:
        assert (run / "deflicker" / f"flicker.{frame}.exr").is_file()
        assert (run / "harmonize" / f"fg.{frame}.exr").is_file()
        assert (run / "harmonize-light" / f"fg.{frame}.exr").is_file()


def test_flicker_falls(run):
    """The delivered clip flickers less than a quarter of what came in, and is nearer to the truth."""
    report = json.loads((run / "report.json").read_text())["deflicker"]
    before, after = report["flickering"], report["HarmoVid"]
    assert after["flicker_stops"] < 0.25 * before["flicker_stops"]
    assert after["steady_error_stops"] < before["steady_error_stops"]


def test_known_light_turns_the_figure(run):
    """With both panoramas and the normals the figure is far nearer to the truth, and no steady gain comes as near."""
    report = json.loads((run / "report.json").read_text())["harmonize"]
    before, known = report["as composited"], report["light known"]
    assert known["error_stops"] < 0.7 * before["error_stops"]
    assert known["error_stops"] < 0.8 * before["steady_error_stops"]


def test_the_figure_is_relit_and_the_rest_left_alone(run, files):
    """Colour changed inside the matte only; windows, alpha, depth, normals and ids came back bit-identical."""
    for frame in files.shot.frames:
        sent, back = exr.read(files.path("fg", frame)), exr.read(run / "harmonize" / f"fg.{frame}.exr")
        assert back.data_window == sent.data_window
        assert back.header.get("timeCode") == sent.header.get("timeCode")
        for name in ("A", "Z", "N.x", "N.y", "N.z", "id"):
            np.testing.assert_array_equal(back.channels[name], sent.channels[name])
        empty = sent.channels["A"] == 0
        for name in "RGB":
            np.testing.assert_array_equal(back.channels[name][empty], sent.channels[name][empty])
        assert not np.array_equal(back.channels["R"], sent.channels["R"])


def test_the_users_own_frames(run, files, tmp_path, capfd):
    """With --plate, --fg and --bg the same path runs on given files and says before and after, without truth."""
    plate, fg, bg = (files.pattern(name) for name in ("flicker", "fg", "plate"))
    assert main(["--out", str(tmp_path), "--plate", plate, "--fg", fg, "--bg", bg]) == 0
    said = capfd.readouterr().out
    assert "before" in said
    assert "truth" not in said
    assert (tmp_path / "contact_sheet.png").is_file()
    assert len(list((tmp_path / "deflicker").glob("*.exr"))) == COUNT


def test_a_failed_job_fails_the_demo(tmp_path, capfd):
    """Frames that are no EXR end the demo with code 1."""
    for frame in (1, 2):
        (tmp_path / f"bad.{frame:04d}.exr").write_bytes(b"this is no EXR")
    assert main(["--out", str(tmp_path / "out"), "--plate", str(tmp_path / "bad.####.exr")]) == 1
    assert "the demo failed" in capfd.readouterr().err
