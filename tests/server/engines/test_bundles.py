"""Engines from bundles: the shipped one, another one beside it, and every mismatch refused with one sentence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Callable, Dict

import pytest
from harmovid import bundle
from harmovid.errors import BundleError, EngineUnknown
from harmovid.job import WEIGHTS_MB
from harmovid_server import engines
from harmovid_server.engines import bundles
from harmovid_server.engines.harmonize.network import FOLDER
from harmovid_server.runtimes.base import ANY


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a copy of the shipped bundle under the name "relight"."""
    folder = tmp_path / "models" / "relight"
    shutil.copytree(FOLDER, folder)
    edit(folder, lambda data: data.update(name="relight"))
    return folder


def edit(folder: Path, change: Callable[[Dict[str, Any]], None]) -> None:
    """Change the manifest of a bundle."""
    data = json.loads((folder / bundle.MANIFEST).read_text())
    change(data)
    (folder / bundle.MANIFEST).write_text(json.dumps(data))


def test_the_shipped_bundle_is_whole() -> None:
    """Every file of the harmonizer that ships has the hash its manifest says."""
    assert bundle.verify(FOLDER).name == "harmonize"


def test_a_bundle_folder_is_one_more_engine(copy: Path) -> None:
    """A bundle in an engine folder is offered beside the installed engines, with its own name and version."""
    infos = {engine.info.name: engine.info for engine in engines.load(folders=[str(copy.parent)])}

    assert list(infos)[:4] == list(engines.OURS)
    assert infos["relight"].layers == infos["harmonize"].layers
    assert not infos["relight"].default
    size = sum(path.stat().st_size for path in copy.glob("*.onnx*"))
    assert infos["relight"].limits[WEIGHTS_MB] == -(-size // (1 << 20)) > 0
    (engine,) = engines.load(["relight"], [str(copy)])
    assert engine.runtime == {}
    engine.activate(ANY)
    assert engine.runtime["runtime"].startswith("onnxruntime")
    engine.close()
    assert engine.runtime == {}


def test_a_name_that_is_taken_is_refused(copy: Path) -> None:
    """A bundle may not have the name of an installed engine or of another bundle; an unknown name is an error."""
    shutil.copytree(copy, copy.parent / "again")
    with pytest.raises(BundleError, match="another bundle is called 'relight'"):
        engines.load(folders=[str(copy.parent)])
    edit(copy, lambda data: data.update(name="deflicker"))
    with pytest.raises(BundleError, match="called 'deflicker'"):
        engines.load(folders=[str(copy)])
    with pytest.raises(EngineUnknown, match="nothing"):
        engines.load(["nothing"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data.update(kind="dream"), "of kind 'dream'"),
        (lambda data: data["networks"].pop("head"), "no network 'head'"),
        (lambda data: data["colour"].update(mid_grey=0.2), "another colour encoding: mid_grey differ"),
        (lambda data: data["constants"].pop("low"), "other constants"),
    ],
)
def test_another_engines_bundle_is_refused_at_once(
    copy: Path, change: Callable[[Dict[str, Any]], None], said: str
) -> None:
    """Kind, networks, colour encoding and constants are compared before anything is loaded."""
    edit(copy, change)

    with pytest.raises(BundleError, match=said):
        bundles.create(copy)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data["networks"]["head"].update(sha256="0" * 64), "head.onnx.*SHA-256"),
        (
            lambda data: data["networks"]["head"]["outputs"][0].update(shape=["n", 3, 11]),
            r"coeffs is float32",
        ),
        (lambda data: data["networks"]["head"]["outputs"][0].update(dtype="float16"), r"says float16"),
        (lambda data: data["networks"]["head"]["outputs"][0].update(name="gain"), "the manifest says gain"),
        (lambda data: data.update(runtime={"onnxruntime": "99.0"}), "needs onnxruntime 99.0"),
        (
            lambda data: data.update(runtime={"coreml": "1"}),
            "needs coreml 1 or newer; installed is none of them",
        ),
    ],
)
def test_another_network_or_runtime_is_refused_when_loaded(
    copy: Path, change: Callable[[Dict[str, Any]], None], said: str
) -> None:
    """A wrong hash, shape, type, tensor name or runtime is one sentence when the engine is activated."""
    edit(copy, change)
    engine = bundles.create(copy)

    with pytest.raises(BundleError, match=said) as found:
        engine.activate(ANY)
    assert found.value.fix
    engine.close()


def test_the_precision_is_that_of_the_weights(copy: Path) -> None:
    """A network of half precision may have inputs of single precision, so the manifest says what is reported."""
    edit(copy, lambda data: data.update(precision="float16"))
    engine = bundles.create(copy)
    engine.activate(ANY)

    assert engine.runtime["precision"] == "float16"
    engine.close()


def test_a_plan_that_cannot_run_here_is_passed_over_for_onnx(copy: Path) -> None:
    """With a compiled plan that nothing here can run, the ONNX file runs and the reason says so."""
    (copy / "head.plan").write_bytes(b"no plan")
    plan = {"file": "head.plan", "runtime": "tensorrt", "version": "11", "gpu": "sm90", "precision": "float16",
            "sha256": bundle.sha256(copy / "head.plan")}  # fmt: skip
    edit(copy, lambda data: data["networks"]["head"].update(plans=[plan]))
    engine = bundles.create(copy)
    engine.activate(ANY)

    assert "head.plan" in engine.runtime["reason"]
    engine.close()
