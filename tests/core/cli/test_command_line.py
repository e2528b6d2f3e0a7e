"""The command of a job, made from its specification."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from core.tiny_exr import tiny_exr
from harmovid.cli import arguments, parser
from harmovid.cli.command_line import words
from harmovid.job import EngineInfo, JobSpec
from harmovid.job_files import JobFiles
from harmovid.settings import Settings
from harmovid_server import engines

pytestmark = pytest.mark.usefixtures("own_settings")

ENGINES = {engine.info.name: engine.info for engine in engines.load()}
CASES: dict[str, dict[str, Any]] = {
    "null": {"layers": ("plate",), "frames": "1-4x2"},
    "deflicker": {
        "layers": ("plate", "mask"),
        "options": {"reference_frame": 2, "luma": 0.25, "quick": True},
        "strength": 0.5,
        "colorspace": {"plate": "ACES - ACEScg"},
        "matte_channels": {"mask": "R"},
        "field": True,
    },
    "harmonize": {
        "layers": ("fg", "bg", "normals"),
        "output": "comp",
        "premultiplied": False,
        "exr_layers": {"fg": "beauty", "normals": "N"},
        "label": "sh010 'night' comp",
    },
}


def prepared(folder: Path, engine: EngineInfo, layers: tuple[str, ...], **more: Any) -> JobSpec:
    """Write small inputs and return the specification of a job with them."""
    for layer in layers:
        (folder / layer).mkdir(parents=True)
        for frame in range(1, 5):
            (folder / layer / f"{layer}.{frame}.exr").write_bytes(tiny_exr())
    inputs = {layer: str(folder / layer / f"{layer}.#.exr") for layer in layers}
    return JobFiles.prepare(engine, inputs, str(folder / "out") + "/", **more).spec


@pytest.mark.parametrize("name", CASES)
def test_the_command_is_the_job_again(name: str, tmp_path: Path) -> None:
    """With the file names filled in, the arguments parse to the same specification, whatever was chosen."""
    engine, case = ENGINES[name], CASES[name]
    spec = prepared(tmp_path, engine, **case)
    line = words(spec, engine)
    assert line[0] == "harmovid"
    places = {layer.upper(): str(tmp_path / layer / f"{layer}.#.exr") for layer in case["layers"]}
    said = [places.get(word, word.replace("OUTPUT", str(tmp_path / "out"))) for word in line[1:]]
    args = parser.build(engine).parse_args(said)
    again = arguments.prepare(args, engine, Settings()).spec
    assert replace(again, job_id=spec.job_id) == spec


def test_no_option_is_forgotten() -> None:
    """Every option of every engine, set to another value than its default, is among the words."""
    for engine in ENGINES.values():
        for option in engine.options:
            values = {
                "bool": [False, True], "choice": option.choices, "int": [option.minimum, option.maximum, 3],
                "float": [option.minimum, option.maximum, -0.5], "frame": [-3], "str": ["x y"],
            }[option.kind]  # fmt: skip
            other = next(value for value in values if value not in (None, option.default))
            layers = tuple(layer.name for layer in engine.layers if layer.required)
            spec = JobSpec("0" * 32, engine.name, "1-4", layers, {option.name: other})
            args = parser.build(engine).parse_args(words(spec, engine)[1:])
            assert arguments.options_of(args)[option.name] == other, (engine.name, option.name)


def test_a_label_of_ones_own_says_nothing_of_the_results(tmp_path: Path) -> None:
    """Only the label that a job gets by itself names its results; another one is written as a label."""
    engine = ENGINES["null"]
    plain = prepared(tmp_path / "a", engine, ("plate",))
    assert "OUTPUT/plate.#.exr" in words(plain, engine)
    assert "--label" not in words(plain, engine)
    named = replace(plain, label="sh010")
    assert words(named, engine)[-2:] == ["--label", "sh010"]
    assert "OUTPUT" in words(named, engine)
