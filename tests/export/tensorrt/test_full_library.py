"""What only the full TensorRT does, with a strict stand-in: timing cache, refit, progress, log, and clear failures."""

from __future__ import annotations

import inspect
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest
from export.tensorrt.test_build import HERE, network
from harmovid import bundle
from harmovid.errors import BundleError
from harmovid_export.onnx.names import KEY
from harmovid_export.tensorrt.build import PYTHON, Plan, build
from harmovid_export.tensorrt.plans import build_plans
from harmovid_server.engines.harmonize.network import FOLDER

LIBRARY = Path(__file__).resolve().parents[2] / "fakes" / "tensorrt_library"
REAL = os.environ.get(PYTHON) or sys.executable
"""The interpreter with the real library."""
CACHE = "timing.current.tensorrt.cache"


@pytest.fixture(autouse=True)
def library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the child process find the stand-in."""
    monkeypatch.setenv("PYTHONPATH", str(LIBRARY))
    monkeypatch.delenv(PYTHON, raising=False)


def built(folder: Path, **settings: Any) -> Plan:
    """Build the small network."""
    return build(folder, network(folder), "product.plan", library="tensorrt", **settings)


def timed(folder: Path) -> str:
    """Return what the log says about times of layers."""
    log = (folder / "product.plan.log").read_text()
    return next(line for line in log.splitlines() if "layers timed" in line)


def test_times_of_layers_are_kept_for_the_next_build(tmp_path, monkeypatch):
    """The second build times nothing; one of another version measures anew and replaces the file."""
    first = built(tmp_path, timing_cache=CACHE)
    assert "1 layers timed, 0 from" in timed(tmp_path)
    assert first.timing_cache == (tmp_path / CACHE).stat().st_size
    built(tmp_path, timing_cache=CACHE)
    assert "0 layers timed, 1 from" in timed(tmp_path)
    monkeypatch.setenv("FAKE_TENSORRT_VERSION", "11.5.0")
    built(tmp_path, timing_cache=CACHE)
    assert "1 layers timed, 0 from" in timed(tmp_path)
    assert json.loads((tmp_path / CACHE).read_bytes())[0] == "11.5.0"
    assert not list(tmp_path.glob("*.part"))


def test_the_refit_map_names_the_checkpoints_weights(tmp_path):
    """Beside a plan whose weights can be changed lies the list of them; other plans have none."""
    folder = tmp_path / "bundle"
    shutil.copytree(FOLDER, folder)
    model = onnx.load(str(folder / "head.onnx"))
    weight = model.graph.initializer[0].name
    onnx.helper.set_model_props(model, {KEY: json.dumps({weight: ["T:head.weight"]})})
    onnx.save(model, str(folder / "head.onnx"))
    bundle.write(folder, bundle.read(folder))
    build_plans(folder, "tensorrt", "current", ("head",))
    assert not list(folder.glob("*.refit.json"))
    manifest, told = build_plans(folder, "tensorrt", "current", ("head",), refit=True)
    held = json.loads((folder / f"{told[0].file}.refit.json").read_text())
    assert held["plan"] == told[0].file
    assert held["weights"][weight] == ["T:head.weight"]
    assert set(held["weights"]) == {one.name for one in model.graph.initializer}
    assert bundle.verify(folder) == manifest


def test_progress_and_log(tmp_path):
    """Phases of several steps are reported; the log has the request, the library's lines and what went to stderr."""
    lines: list[str] = []
    built(tmp_path, tell=lines.append)
    assert lines == ["product.onnx: Building engine 0/2"]
    log = (tmp_path / "product.plan.log").read_text()
    assert "tensorrt 11.4.0: {" in log
    assert "layers timed" in log
    assert "a line of CUDA's own" in log


@pytest.mark.parametrize(
    ("fault", "match", "fix"),
    [
        ("no gpu", "tensorrt cannot start here: CUDA initialization failure", "--gpu current on the machine"),
        ("memory", "OutOfMemory", "more memory"),
        ("killed", "was killed; this machine's memory", "more memory"),
        ("raises", "RuntimeError: something that nobody has seen", "another --precision"),
    ],
)
def test_each_failure_says_what_is_missing(tmp_path, monkeypatch, fault, match, fix):
    """A missing GPU, missing memory, a killed or raising builder: each is an error with its own fix, and no plan."""
    monkeypatch.setenv("FAKE_TENSORRT", fault)
    with pytest.raises(BundleError, match=match) as caught:
        built(tmp_path)
    assert fix in caught.value.fix
    assert not (tmp_path / "product.plan").exists()


@pytest.mark.parametrize(
    ("gpu", "match"),
    [("sm86", r"capability 8\.9 or newer, this is 8\.6"), ("current", "no GPU is in this machine")],
)
def test_fp8_is_refused_for_gpus_without_it(tmp_path, gpu, match):
    """The refusal comes before the builder starts; Ada and newer pass."""
    if gpu == "current" and Path("/proc/driver/nvidia").exists():
        pytest.skip("this machine has a GPU")
    with pytest.raises(BundleError, match=match):
        built(tmp_path, gpu=gpu, capability=89)


def test_the_stand_in_has_nothing_that_the_library_lacks():
    """Every class, method and argument of the stand-in is in the bindings of `tensorrt_rtx`."""
    if not HERE:
        pytest.skip("no interpreter with tensorrt_rtx: make test-tensorrt")
    sys.path.insert(0, str(LIBRARY))
    try:
        import tensorrt as fake
    finally:
        sys.path.remove(str(LIBRARY))
        sys.modules.pop("tensorrt", None)
    wanted = {}
    for name, kind in vars(fake).items():
        if inspect.isclass(kind) and kind.__module__ == "tensorrt":
            for key, value in vars(kind).items():
                if not key.startswith("_"):
                    words = list(inspect.signature(value).parameters)[1:] if inspect.isfunction(value) else []
                    wanted[f"{name}.{key}"] = words
    own = ("INetworkDefinition.inputs", "INetworkDefinition.layers", "INetworkDefinition.weights")
    script = (
        "import json, sys, tensorrt_rtx as t\n"
        "lost = []\n"
        "for path, words in json.loads(sys.argv[1]).items():\n"
        "    kind, name = path.split('.')\n"
        "    found = getattr(getattr(t, kind, None), name, None)\n"
        "    said = str(getattr(found, '__doc__', ''))\n"
        "    if found is None or (words and not all(f'{word}: ' in said for word in words)):\n"
        "        lost.append(path)\n"
        "print(json.dumps(lost))\n"
    )
    done = subprocess.run(
        [REAL, "-c", script, json.dumps(wanted)],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": ""},
    )
    assert [path for path in json.loads(done.stdout) if path not in own] == []
