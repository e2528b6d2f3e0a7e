"""Networks through ONNX Runtime: results, reported facts, and refusals."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from harmovid_server.runtimes import onnx as onnx_runtime
from harmovid_server.runtimes.base import ANY, FACTS, RuntimeSettings, RuntimeUnavailableError, Tensor, load
from onnx import TensorProto, helper

AVAILABLE = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]


@pytest.fixture
def doubling(tmp_path: Path) -> Path:
    """Return a network whose `twice` is two times `x`, and `half` half of it."""
    x, *outputs = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3]) for name in ("x", "twice", "half")
    )
    weights = [
        helper.make_tensor(name, TensorProto.FLOAT, [1], [value]) for name, value in (("a", 2.0), ("b", 0.5))
    ]
    nodes = [helper.make_node("Mul", ["x", "a"], ["twice"]), helper.make_node("Mul", ["x", "b"], ["half"])]
    model = helper.make_model(helper.make_graph(nodes, "double", [x], outputs, weights), ir_version=10,
                              opset_imports=[helper.make_opsetid("", 18)])  # fmt: skip
    onnx.save(model, str(tmp_path / "double.onnx"))
    return tmp_path / "double.onnx"


def test_a_network_says_what_it_takes_and_what_runs_it(doubling: Path) -> None:
    """Tensors come by name with free sizes named; the facts have all their keys; a closed network refuses to run."""
    network = load(doubling, RuntimeSettings(device="cpu"))
    x = np.float32([[1, 2, 3]])
    found = network({"x": x})

    np.testing.assert_array_equal(found["twice"], 2 * x)
    np.testing.assert_array_equal(found["half"], x / 2)
    assert network.inputs == {"x": Tensor(("n", 3), "float32")}
    assert set(network.outputs) == {"twice", "half"}
    assert tuple(network.facts) == FACTS
    assert network.facts["provider"] == network.facts["device"] == "cpu"
    assert network.facts["reason"] == "device is set to cpu"
    network.close()
    with pytest.raises(RuntimeError, match="closed"):
        network({"x": x})


def test_nothing_is_kept_for_a_report(doubling: Path, tmp_path: Path) -> None:
    """ONNX Runtime leaves nothing in the user's folders; with reports on it keeps an id and a queue there."""
    home = tmp_path / "home"
    home.mkdir()
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "ORT_"))}
    code = (
        "from pathlib import Path\nfrom harmovid_server.runtimes.base import ANY, load\n"
        f"print(load(Path({str(doubling)!r}), ANY).facts['provider'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=300,
        env={**environ, "HOME": str(home)},
    )
    assert done.stdout.strip(), done.stderr
    assert not list(home.rglob("*onnxruntime*"))


def test_kept_outputs_go_in_again(doubling: Path) -> None:
    """What a call keeps on the device is the next call's input, and gives the same numbers as arrays do."""
    network = load(doubling, ANY)
    x = np.float32([[1, 2, 3], [4, 5, 6]])
    first = network({"x": x}, keep=["twice"])
    second = network({"x": first["twice"]}, keep=[])

    assert not isinstance(first["twice"], np.ndarray)
    np.testing.assert_array_equal(first["half"], x / 2)
    np.testing.assert_array_equal(second["twice"], 4 * x)
    network.close()


def test_read_only_arrays_are_copied_to_the_device_once(doubling: Path) -> None:
    """A read-only array stays on the device while calls bring the same; another one, or one that changes, is copied."""
    network = load(doubling, RuntimeSettings(device="cpu"))
    constant, other = np.float32([[1, 2, 3]]), np.float32([[4, 5, 6]])
    constant.setflags(write=False)
    other.setflags(write=False)
    resident = network._binding._resident
    for x in (constant, constant, other, constant):
        found = network({"x": x}, keep=["twice"])
        np.testing.assert_array_equal(found["half"], x / 2)
        np.testing.assert_array_equal(found["twice"].numpy(), 2 * x)
        assert resident._held["x"][0] is x
    value = resident.value("x", constant)
    assert resident.value("x", constant) is value
    shared = np.float32([[1, 1, 1], [2, 2, 2]])
    view = shared[:1]
    view.setflags(write=False)
    for _ in range(2):
        shared += 1
        np.testing.assert_array_equal(network({"x": view}, keep=["twice"])["half"], shared[:1] / 2)
    changing = np.float32([[7, 8, 9]])
    for _ in range(2):
        changing += 1
        np.testing.assert_array_equal(network({"x": changing}, keep=["twice"])["half"], changing / 2)
    network.close()


def test_buffers_at_fixed_addresses_give_the_same(doubling: Path) -> None:
    """As CUDA graphs need it, calls of one shape share their buffers; results are the plain ones and stay as they are.

    Here on the CPU, where nothing is captured; more shapes than there are buffers for run without.
    """
    network = load(doubling, RuntimeSettings(device="cpu", graphs=True))
    rng, kept = np.random.default_rng(0), []
    for rows in (1, 2, 1, 3, 4, 5, 6, 2, 1, 6):
        x = rng.random((rows, 3), np.float32)
        x.setflags(write=rows != 2)
        for _ in range(2):
            found = network({"x": x})
            kept.append((x, found))
    for x, found in kept:
        np.testing.assert_array_equal(found["twice"], 2 * x)
        np.testing.assert_array_equal(found["half"], x / 2)
    assert [shapes[0][1][0] for shapes in network._fixed._sets] == [1, 2, 3, 4]
    first = network({"x": kept[0][0]}, keep=["twice"])
    np.testing.assert_array_equal(network({"x": first["twice"]}, keep=["half"])["twice"], 4 * kept[0][0])
    network.close()


def test_auto_says_why_nothing_faster_runs(doubling: Path) -> None:
    """On a machine without a GPU "auto" runs on the processor and the reason names what is missing."""
    network = load(doubling, ANY)
    if network.facts["provider"] == "cpu":
        assert "cuda" in network.facts["reason"]
    network.close()


def test_a_device_that_was_named_is_not_replaced(doubling: Path) -> None:
    """`device = cuda` fails where there is none, instead of running on the processor."""
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA")
    with pytest.raises(RuntimeUnavailableError, match="cuda"):
        load(doubling, RuntimeSettings(device="cuda:1"))


def test_a_file_that_is_no_network_is_reported(tmp_path: Path) -> None:
    """Text with the suffix .onnx, and a suffix that no runtime takes, are refused by name."""
    for name in ("text.onnx", "text.txt"):
        (tmp_path / name).write_text("no network")
        with pytest.raises(RuntimeUnavailableError, match=name):
            load(tmp_path / name, ANY)


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        (ANY, ["tensorrt", "cuda", "cpu"]),
        (RuntimeSettings(device="auto:1"), ["tensorrt", "cuda", "cpu"]),
        (RuntimeSettings(device="cpu"), ["cpu"]),
        (RuntimeSettings(device="cuda:1"), ["tensorrt", "cuda"]),
        (RuntimeSettings(providers=("cpu", "cuda")), ["cuda", "cpu"]),
        (RuntimeSettings(device="cuda", providers=("cuda", "cpu")), ["cuda"]),
    ],
)
def test_providers_in_order(settings: RuntimeSettings, names: list[str]) -> None:
    """TensorRT before CUDA before the processor, as far as device and providers allow."""
    assert onnx_runtime.wanted_providers(settings) == names


def test_options_of_a_gpu() -> None:
    """Device number, memory limit, half precision, cache and shapes reach the provider under its own names."""
    settings = RuntimeSettings("cuda:1", "float16", 1 << 30, cache="/cache")
    profiles = {"x": {"min": (1, 3), "max": (8, 3)}}

    graphs = replace(settings, graphs=True)
    assert onnx_runtime.provider_options("cuda", graphs, profiles)["enable_cuda_graph"] is True
    assert onnx_runtime.provider_options("tensorrt", graphs, profiles)["trt_cuda_graph_enable"] is True
    assert onnx_runtime.provider_options("cpu", graphs, profiles) == {}
    cuda = onnx_runtime.provider_options("cuda", settings, profiles)
    assert cuda == {"device_id": 1, "gpu_mem_limit": 1 << 30, "arena_extend_strategy": "kSameAsRequested"}
    found = onnx_runtime.provider_options("tensorrt", settings, profiles)
    assert found["trt_profile_min_shapes"] == "x:1x3"
    assert found["trt_profile_max_shapes"] == "x:8x3"
    assert found["trt_fp16_enable"]
    assert found["trt_engine_cache_path"] == "/cache"
    assert onnx_runtime.provider_options("cpu", settings, profiles) == {}


def test_both_packages_over_each_other_are_seen(tmp_path: Path) -> None:
    """One package of ONNX Runtime is fine, whichever it is; both in one installation are found out."""
    assert not onnx_runtime.doubly_installed()
    for name in ("onnxruntime", "onnxruntime-gpu"):
        assert not onnx_runtime.doubly_installed([str(tmp_path)])
        folder = tmp_path / f"{name.replace('-', '_')}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    assert onnx_runtime.doubly_installed([str(tmp_path)])
