"""`harmovid evaluate run` as a user runs it: a real server, real files, a table; a second run computes nothing."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from evaluate.little import COUNT, LINES, write_clips
from harmovid.cli import exits, main
from harmovid_evaluate.cases import load_case
from harmovid_training.stages import ic_light
from training.stages.tiny_ic_light import tiny_ic_light

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the server runs on Linux")


def evaluate(*words: object) -> int:
    """Run one command line, quietly."""
    return main(["evaluate", "run", *map(str, words), "--quiet"])


def test_from_clips_to_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All three sets of the paper, all rows and our engines run; a second run computes nothing and prints the same."""
    clips, out = write_clips(tmp_path / "clips"), tmp_path / "out"
    words = (clips, "-o", out, "--lines", LINES, "--frames", COUNT, "--json")
    assert evaluate(*words) == exits.OK
    first = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in first["sets"]] == ["lut", "lut-flicker", "harmonized"]
    for each in first["sets"]:
        names = [row["method"] for row in each["rows"]]
        assert any("engine" in name for name in names), names
        assert all(row["clips"].keys() == {"disc", "other"} for row in each["rows"])
    assert "Uniform LUT" in (out / "table.md").read_text(encoding="utf-8")
    times = {path: path.stat().st_mtime_ns for path in (out / "results").rglob("*.exr")}
    assert times
    assert evaluate(*words) == exits.OK
    assert json.loads(capsys.readouterr().out)["sets"] == first["sets"]
    assert {path: path.stat().st_mtime_ns for path in (out / "results").rglob("*.exr")} == times


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # diffusers' own scheduler, under numpy 2
def test_the_harmonized_set_is_made_by_our_engine_or_by_ic_light(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--harmonizer engine` and `ic-light` (tiny, random) make the set frame by frame, each another one, and say so."""
    clips = write_clips(tmp_path / "clips", count=3)
    offset, base = tiny_ic_light(tmp_path / "weights")
    monkeypatch.setattr(ic_light, "Demo", partial(ic_light.Demo, steps=2, strength=0.0))
    light = ("--ic-light", offset, "--ic-light-base", base)
    row = ("--method", "composite as it is", "--set", "harmonized", "--lines", 48, "--frames", 3, "--json")
    made, notes = {}, {}
    for name, more in {"engine": (), "ic-light": light}.items():
        out = tmp_path / name
        assert evaluate(clips, "-o", out, "--harmonizer", name, *more, *row) == exits.OK
        told = json.loads(capsys.readouterr().out)["sets"][0]
        assert told["clips"] == ["disc", "other"]
        case = load_case(out / "inputs" / "harmonized" / "disc")
        assert np.array_equal(case.composite[case.mask == 0], case.plate[case.mask == 0])
        made[name], notes[name] = case.composite, case.note
    assert not np.allclose(made["engine"], made["ic-light"], rtol=0.05)
    assert notes["engine"].startswith("our engine harmonize, version ")
    assert notes["ic-light"].startswith("IC-Light, offset.safetensors")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--only", "nobody"], "no clip 'nobody'"),
        (["--method", "magic"], "no built-in method 'magic'"),
        (["--results", "folder"], "not NAME=VALUE"),
        (["--checkpoint", "mine=run"], "needs its VAE"),
        (["--harmonizer", "unknown"], "neither stand-in"),
        (["--harmonizer", "ic-light"], "needs its weights"),
        (["--luts", "."], "no .cube"),
        (["--lines", "8"], "at least 48"),
        (["--set", "unknown"], "invalid choice"),
    ],
)
def test_what_cannot_be_done_is_reported(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    says: str,
) -> None:
    """A wrong argument ends as a usage error that names it, before anything is computed."""
    monkeypatch.chdir(tmp_path)
    clips = write_clips(tmp_path / "clips", ("disc",))
    assert evaluate(clips, "-o", tmp_path / "out", *words) == exits.USAGE
    assert says in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.real
@pytest.mark.slow
def test_real_footage_makes_all_sets(
    real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two real clips with binary masks and a keyed one go through; both ways to reduce flicker lower it."""
    names = ("davis_parkour", "davis_dance-twirl", "alpha_dancer")
    words = [word for name in names for word in ("--only", name)]
    rows = ["composite as it is", "mean and deviation over time", "HarmoVid engine: deflicker"]
    words += [word for row in rows for word in ("--method", row)]
    clips = real_data / "clips"
    assert evaluate(clips, "-o", tmp_path, "--lines", 96, "--frames", 8, "--json", *words) == exits.OK
    told = json.loads(capsys.readouterr().out)
    sets = {each["name"]: each for each in told["sets"]}
    assert sets["lut"]["clips"] == sets["lut-flicker"]["clips"] == ["davis_dance-twirl", "davis_parkour"]
    assert "alpha_dancer" in sets["harmonized"]["clips"]
    assert any("cut out" in line for line in told["notes"])
    rows_of = {row["method"]: row["mean"] for row in sets["lut-flicker"]["rows"]}
    for name in rows[1:]:
        for key in ("flicker", "warped", "motion_dis"):
            assert rows_of[name][key] < rows_of[rows[0]][key], (name, key)
