"""TensorRT plans with the real builder, which needs no GPU; and the errors where it is missing, crashes or gets bad
input.

The tests that build are skipped where no interpreter has `tensorrt_rtx`: `make test-tensorrt` installs it (234 MB), or
HARMOVID_TENSORRT_PYTHON names one.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
from fakes.toy_bundle import toy_bundle
from harmovid import bundle
from harmovid.bundle import NetworkInfo, TensorInfo
from harmovid.errors import BundleError, InputError
from harmovid_export.tensorrt import build as build_module
from harmovid_export.tensorrt.build import PYTHON, build, library_named
from harmovid_export.tensorrt.plans import build_plans
from harmovid_server.runtimes.base import ANY, RuntimeUnavailableError, load

HERE = bool(os.environ.get(PYTHON)) or importlib.util.find_spec("tensorrt_rtx") is not None
builds = pytest.mark.skipif(not HERE, reason="no interpreter with tensorrt_rtx: make test-tensorrt")
PROFILE = {"min": (1, 4), "opt": (3, 4), "max": (8, 4)}


def network(folder: Path, dtype: str = "float32", profile: Any = None) -> NetworkInfo:
    """Write a product of matrices with a free number of rows, and return what a manifest says of it."""
    float16 = onnx.TensorProto.FLOAT16 if dtype == "float16" else onnx.TensorProto.FLOAT
    weight = onnx.helper.make_tensor("w", float16, [4, 4], [float(value) for value in range(16)])
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", ["x", "w"], ["y"])],
        "product",
        [onnx.helper.make_tensor_value_info("x", float16, ["rows", 4])],
        [onnx.helper.make_tensor_value_info("y", float16, ["rows", 4])],
        [weight],
    )
    made = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(made, str(folder / "product.onnx"))
    given = TensorInfo("x", dtype, ("rows", 4), PROFILE if profile is None else profile)
    return NetworkInfo("product.onnx", (given,), (TensorInfo("y", dtype, ("rows", 4)),))


@builds
def test_a_strongly_typed_plan_is_built_for_a_gpu_that_is_not_here(tmp_path):
    """The plan is written, its layers compute in the file's type, and the log lies beside it."""
    plan = build(tmp_path, network(tmp_path, "float16"), "product.plan", library="tensorrt_rtx", gpu="sm89")
    assert (tmp_path / "product.plan").stat().st_size > 0
    assert plan.types.get("HALF")
    assert "FLOAT" not in plan.types
    assert (tmp_path / "product.plan.log").is_file()


@builds
@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"dtype": "float16"}, "float32 in the file and float16 in the manifest"),
        ({"profile": {"min": (1, 4), "opt": (9, 4), "max": (8, 4)}}, "does not take the profile"),
        ({"profile": {"min": (1, 5), "opt": (3, 5), "max": (8, 5)}}, "does not take the profile"),
        ({"profile": {}}, "free sizes and no profile"),
    ],
)
def test_a_wrong_type_and_a_wrong_profile_are_caught(tmp_path, change, match):
    """The manifest is compared with the file before anything is built; a difference is an error with a fix."""
    right = network(tmp_path)
    wrong = replace(right, inputs=(replace(right.inputs[0], **change),))
    with pytest.raises(BundleError, match=match) as caught:
        build(tmp_path, wrong, "product.plan", library="tensorrt_rtx", gpu="sm89")
    assert caught.value.fix
    assert not (tmp_path / "product.plan").exists()


@builds
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_bundle_gets_plans_that_its_manifest_names(tmp_path, tmp_path_factory):
    """Networks of the toy are built, named with their hashes, and say that they were not run; positions must fit."""
    folder = tmp_path / "bundle"
    shutil.copytree(toy_bundle(tmp_path_factory, "harmovid").bundle, folder)
    manifest, built = build_plans(folder, "tensorrt_rtx", "sm89", ("transformer", "decode_next"))
    assert [one.file for one in built] == [
        "transformer.sm89.tensorrt_rtx.plan", "decode_next.sm89.tensorrt_rtx.plan",
    ]  # fmt: skip
    assert all(one.checked.startswith(("finite", "not run")) for one in built)
    assert bundle.verify(folder) == manifest
    right = manifest.networks["transformer"]
    shifted = tuple(
        replace(one, profile={key: (shape[0] + 1, *shape[1:]) for key, shape in one.profile.items()})
        if one.name == "sine" else one for one in right.inputs
    )  # fmt: skip
    with pytest.raises(BundleError, match="tokens must be equal"):
        build(folder, replace(right, inputs=shifted), "wrong.plan", library="tensorrt_rtx", gpu="sm89")


@builds
def test_a_gpu_that_the_library_does_not_know_is_refused(tmp_path):
    """TensorRT for RTX cannot build for Hopper; that is an error, not an unusable plan."""
    with pytest.raises(BundleError, match="sm90"):
        build(tmp_path, network(tmp_path), "product.plan", library="tensorrt_rtx", gpu="sm90")


def test_a_missing_library_is_reported(tmp_path, monkeypatch):
    """Without the library the error says what to install."""
    monkeypatch.delenv(PYTHON, raising=False)
    with pytest.raises(BundleError, match="cannot be loaded") as caught:
        build(tmp_path, network(tmp_path), "product.plan", library="no_such_library")
    assert "pip install" in caught.value.fix
    monkeypatch.setattr(build_module, "LIBRARIES", ("no_such_library",))
    with pytest.raises(InputError, match="neither tensorrt nor tensorrt_rtx") as caught:
        library_named("auto")
    assert "pip install" in caught.value.fix
    monkeypatch.setenv(PYTHON, str(tmp_path / "python"))
    with pytest.raises(InputError, match="names no Python"):
        library_named("auto")


def test_a_builder_that_crashes_is_a_failure_and_not_the_end(tmp_path, monkeypatch):
    """A library that aborts its process is reported with the signal; this process lives on."""
    (tmp_path / "crashing_library.py").write_text("import os\nos.abort()\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.delenv(PYTHON, raising=False)
    with pytest.raises(BundleError, match="the builder crashed \\(SIGABRT\\)"):
        build(tmp_path, network(tmp_path), "product.plan", library="crashing_library")


def test_a_plan_without_its_library_or_gpu_is_passed_over(tmp_path):
    """A plan that cannot run here raises RuntimeUnavailableError, after which the server uses the ONNX file.

    The error names the library where that is missing, and the GPU where only that is.
    """
    for name in ("transformer.sm89.tensorrt_rtx.plan", "transformer.plan"):
        (tmp_path / name).write_bytes(b"plan")
        with pytest.raises(RuntimeUnavailableError, match=r"tensorrt|GPU 0 cannot be used"):
            load(tmp_path / name, ANY)
