"""Engine descriptions are complete: a form is built from them alone, and another package can add an engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from harmovid.pixels import exr

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the server runs on Linux")
FORM = [sys.executable, str(Path(__file__).with_name("text_form.py"))]
HARMOVID = [sys.executable, "-m", "harmovid.cli"]

ENGINE = '''
"""An engine of another package: brings a plate to the light of a clean plate, a layer that no other engine has."""

import numpy as np
from harmovid.job import EngineInfo, LayerInfo, Option
from harmovid.pixels.field import Curve, LightingField
from harmovid_server.engines.base import Answer


class Session:
    def __init__(self, amount):
        self.amount = amount

    def push(self, frame):
        levels = [float(frame.images[name].mean()) for name in ("clean_plate", "plate")]
        stops = self.amount * float(np.log2(levels[0] / levels[1]))
        return [Answer(frame.number, LightingField((Curve.gain(stops, stops, stops),)), {"decision": "matched"})]

    def finish(self):
        return []

    def state(self):
        return {}

    def restore(self, state):
        pass

    def close(self):
        pass


class Engine:
    proxy_lines = 16
    runtime = {}
    info = EngineInfo(
        "studio-match", "1", "deflicker", "Brings a plate to the level of a clean plate.", "plate",
        (LayerInfo("plate", True, "The plate."), LayerInfo("clean_plate", True, "The same set, lit right.")),
        (Option("amount", "float", 1.0, "How far.", "Amount", "Level", minimum=0.0, maximum=1.0),),
    )

    def activate(self, settings=None):
        pass

    def start(self, shot):
        return Session(shot.options["amount"])

    def close(self):
        pass


def create():
    return Engine()
'''


@pytest.fixture(scope="module")
def shot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a plate of level 0.1, a brighter clean plate, and a foreground with alpha."""
    folder = tmp_path_factory.mktemp("shot")
    for name, level in (("plate", 0.1), ("clean", 0.2), ("fg", 0.05)):
        for frame in (-1, 0, 1):
            channels = {channel: np.full((16, 24), level, np.float16) for channel in "RGB"}
            if name == "fg":
                channels["A"] = np.ones((16, 24), np.float16)
            exr.write(
                exr.make_frame(exr.PartHeader.make((0, 0, 24, 16)), channels), folder / f"{name}.{frame}.exr"
            )
    return folder


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return an environment in which the engine's package is installed: a module and its metadata, in one folder."""
    folder = tmp_path_factory.mktemp("studio")
    (folder / "studio_match.py").write_text(ENGINE, "utf-8")
    about = folder / "studio_match-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: studio-match\nVersion: 1.0\n", "utf-8")
    (about / "entry_points.txt").write_text(
        "[harmovid.engines]\nstudio-match = studio_match:create\n", "utf-8"
    )
    own = {name: value for name, value in os.environ.items() if not name.startswith("HARMOVID_")}
    return {**own, "PYTHONPATH": str(folder), "XDG_CONFIG_HOME": str(folder)}


def run(command: list[str], environ: dict[str, str], given: str = "") -> str:
    """Return what a command prints; it has to succeed."""
    done = subprocess.run(command, env=environ, input=given, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def described(environ: dict[str, str]) -> str:
    """Return `harmovid engines --json`."""
    return run([*HARMOVID, "engines", "--json"], environ)


def red(path: Path) -> float:
    """Return the mean of a result's red channel."""
    return float(exr.read(path).parts[0].channels["R"].mean())


def test_a_form_is_made_from_the_description_and_runs_a_job(shot: Path, studio: dict, tmp_path: Path) -> None:
    """Inputs, groups, ranges, units, choices and a frame number are read from the JSON; the filled form is a job."""
    engines = described(studio)

    lines = run([*FORM, "deflicker"], studio, engines).splitlines()
    (tmp_path / "form.txt").write_text(
        f"Plate = {shot}/plate.#.exr\nResults = {tmp_path}/out.#.exr\nBrightness = 0.5\nReference frame = -1\n"
        "Look for = exposure\n",
        "utf-8",
    )
    printed = run([*FORM, "deflicker", "--filled", str(tmp_path / "form.txt")], studio, engines)

    assert "Plate = (required image) The flickering frames." in lines
    assert any(line.startswith("Mask = (optional matte)") for line in lines)
    assert any(line.startswith("Look for = auto (auto | exposure |") for line in lines)
    assert any(line.startswith("Radius = 0 (frames, 0 to 24)") for line in lines)
    assert any(line.startswith("Reference frame = none") for line in lines)
    assert [line for line in lines if line.startswith("[")] == [
        "[Inputs]",
        "[Detection]",
        "[Amounts]",
        "[Level]",
    ]
    assert printed.strip() == f"{tmp_path}/out.#.exr"
    assert sorted(path.name for path in tmp_path.glob("out.*")) == ["out.-1.exr", "out.0.exr", "out.1.exr"]


def test_an_engine_of_another_package_brings_its_own_layer(shot: Path, studio: dict, tmp_path: Path) -> None:
    """A package adds an engine with a new layer by its entry point: listed, on a command line, in a form, and run."""
    listed = {engine["name"]: engine for engine in json.loads(described(studio))["engines"]}
    assert [layer["label"] for layer in listed["studio-match"]["layers"]] == ["Plate", "Clean plate"]

    line = [*HARMOVID, "deflicker", str(shot / "plate.#.exr"), str(shot / "clean.#.exr")]
    run([*line, "-o", str(tmp_path / "a.#.exr"), "--engine", "studio-match", "--amount", "1", "-q"], studio)
    assert red(tmp_path / "a.0.exr") == pytest.approx(0.2, rel=0.01)

    (tmp_path / "form.txt").write_text(
        f"Plate = {shot}/plate.#.exr\nClean plate = {shot}/clean.#.exr\nResults = {tmp_path}/b.#.exr\nAmount = 0.5\n",
        "utf-8",
    )
    run([*FORM, "studio-match", "--filled", str(tmp_path / "form.txt")], studio, described(studio))
    assert red(tmp_path / "b.-1.exr") == pytest.approx(0.1 * 2**0.5, rel=0.01)


def test_an_engine_that_cannot_be_loaded_hides_no_other(studio: dict, tmp_path: Path) -> None:
    """A broken package is left out of the list, and `doctor` reports it."""
    about = tmp_path / "broken-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n", "utf-8")
    (about / "entry_points.txt").write_text("[harmovid.engines]\nbroken = no_such_module:create\n", "utf-8")
    environ = {**studio, "PYTHONPATH": os.pathsep.join([studio["PYTHONPATH"], str(tmp_path)])}

    names = [engine["name"] for engine in json.loads(described(environ))["engines"]]
    doctor = subprocess.run(
        [*HARMOVID, "doctor", "--json"], env=environ, capture_output=True, text=True, timeout=300
    )

    findings = {finding["check"]: finding for finding in json.loads(doctor.stdout)["findings"]}
    assert {"harmonize", "studio-match"} <= set(names)
    assert "broken" not in names
    assert findings["engine broken"]["status"] == "fail"
    assert "no_such_module" in findings["engine broken"]["detail"]
