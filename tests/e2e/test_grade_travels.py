"""A deflickered shot without the server: its global part as CDL, Nuke node or data reproduces the result."""

from __future__ import annotations

import json
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harmovid.cli import main
from harmovid.pixels import exr
from harmovid.pixels.fitting.cdl import Cdl
from harmovid.pixels.fitting.nuke_grade import NukeGrade

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the server runs on Linux")

FRAMES = range(1001, 1013)
WIDTH, HEIGHT = 96, 64
ROUNDING_STOPS = 1e-3
"""Nine digits in the files, and the field's own float32 arithmetic."""


@pytest.fixture(scope="module")
def shot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder: a flickering plate in float, and `harmovid deflicker --field` of it by a private server."""
    folder = tmp_path_factory.mktemp("shot")
    (folder / "plate").mkdir()
    rng = np.random.default_rng(3)
    light = np.exp2(
        rng.uniform(-5, 1, (HEIGHT // 8, WIDTH // 8, 1)) + rng.normal(0, 0.2, (HEIGHT // 8, WIDTH // 8, 3))
    )
    picture = np.kron(0.18 * light, np.ones((8, 8, 1))).astype(np.float32)
    for frame in FRAMES:
        gain = np.exp2(rng.normal(0, 0.3) + rng.normal(0, 0.05, 3))
        channels = {name: (picture[..., c] * gain[c]).astype(np.float32) for c, name in enumerate("RGB")}
        header = exr.PartHeader.make((0, 0, WIDTH, HEIGHT))
        exr.write(exr.make_frame(header, channels), folder / "plate" / f"p.{frame}.exr")
    with pytest.MonkeyPatch.context() as settings:
        settings.setenv("XDG_CONFIG_HOME", str(folder / "config"))
        for name in ("HARMOVID_SERVER", "HARMOVID_KEY", "HARMOVID_CLIENT_CONFIG"):
            settings.delenv(name, raising=False)
        code = main([
            "deflicker", str(folder / "plate"), "-o", str(folder / "out"), "--field", "--local", "0", "--quiet",
            "--diagnostics", str(folder / "diagnostics"),
        ])  # fmt: skip
    assert code == 0
    return folder


def pictures(shot: Path, frame: int) -> tuple[Any, Any]:
    """Return plate and result, `(H, W, 3)` float32."""
    plate, result = (exr.read(shot / name / f"p.{frame}.exr") for name in ("plate", "out"))
    return exr.layer_rgb(plate)[1], exr.layer_rgb(result)[1]


def exported(shot: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, float]:
    """Running `harmovid grade` and return the residual, in stops, that it states for each frame."""
    capsys.readouterr()
    assert main(["grade", str(shot / "out"), "-o", str(out), "--json"]) == 0
    stated: dict[str, float] = json.loads(capsys.readouterr().out)["max_residual_stops"]
    assert set(stated) == {f"p.{frame}" for frame in FRAMES}
    return stated


def corrections(path: Path) -> dict[str, Cdl]:
    """Return the corrections of a .ccc by id, read as any program would read its XML."""
    space = "{urn:ASC:CDL:v1.01}"
    found = {}
    for each in ET.parse(path).getroot().iter(f"{space}ColorCorrection"):  # noqa: S314 (our own file)
        triples = {
            name: tuple(float(number) for number in (each.find(f".//{space}{name}").text or "").split())  # type: ignore[union-attr]
            for name in ("Slope", "Offset", "Power")
        }
        saturation = float(each.find(f".//{space}Saturation").text or "")  # type: ignore[union-attr]
        found[each.attrib["id"]] = Cdl(triples["Slope"], triples["Offset"], triples["Power"], saturation)  # type: ignore[arg-type]
    return found


def knobs(path: Path, frame: int) -> NukeGrade:
    """Return the node's knobs on one frame, read from its script."""
    text = path.read_text("utf-8")
    values = {}
    for knob in ("multiply", "add", "gamma"):
        line = re.search(rf"^ {knob} \{{(.+)\}}$", text, re.MULTILINE)
        assert line is not None
        channels = re.findall(r"\{curve L ([^}]+)\}|(\S+)", line.group(1))[:3]
        values[knob] = tuple(
            float(plain) if plain else float(re.search(rf"x{frame} (\S+)", keys).group(1))  # type: ignore[union-attr]
            for keys, plain in channels
        )
    return NukeGrade(**values)


def test_the_plate_flickered_and_was_calmed(shot: Path) -> None:
    """The correction is not trivial: the result's level flickers less than half as much as the plate's."""
    levels = [[float(np.log2(each[..., 1]).mean()) for each in pictures(shot, frame)] for frame in FRAMES]
    before, after = np.abs(np.diff(levels, n=2, axis=0)).mean(axis=0)
    assert before > 0.1
    assert after < 0.5 * before


def test_the_cdl_gives_the_result_again(
    shot: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every frame's correction from the .ccc, applied to the plate, is the result within the stated residual."""
    stated = exported(shot, tmp_path / "shot.ccc", capsys)
    for name, correction in corrections(tmp_path / "shot.ccc").items():
        plate, result = pictures(shot, int(name.split(".")[1]))
        off = np.abs(np.log2(correction.apply(plate)) - np.log2(result))
        assert off.max() <= stated[name] + ROUNDING_STOPS, name


def test_the_nuke_node_gives_the_result_again(
    shot: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The animated Grade node, by Nuke's own formula, is the result within the residual stated for each frame."""
    stated = exported(shot, tmp_path / "shot.nk", capsys)
    for frame in FRAMES:
        plate, result = pictures(shot, frame)
        off = np.abs(np.log2(knobs(tmp_path / "shot.nk", frame).apply(plate)) - np.log2(result))
        assert off.max() <= stated[f"p.{frame}"] + ROUNDING_STOPS, frame


def test_the_diagnostics_of_the_same_run_are_there(shot: Path) -> None:
    """--diagnostics with a real server: a row per frame with a decision, and pictures of the field."""
    data = json.loads((shot / "diagnostics" / "curves.json").read_text("utf-8"))
    assert [row["frame"] for row in data["frames"]] == list(FRAMES)
    assert {row["decision"] for row in data["frames"]} <= {"corrected", "nothing"}
    assert list((shot / "diagnostics").glob("field.*.png"))
    assert "<svg" in (shot / "diagnostics" / "index.html").read_text("utf-8")
