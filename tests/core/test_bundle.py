"""Bundles are read back as written, and every kind of damage is reported with the file and a fix."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Callable, Dict

import pytest
from harmovid import bundle
from harmovid.bundle import MANIFEST, Manifest, NetworkInfo, PlanInfo, TensorInfo
from harmovid.errors import BundleError

FILES = ("net.onnx", "net.onnx.data", "net.sm90.plan", "card.md")
CODES = TensorInfo("codes", "float32", ("n", 3, "h", "w"), {"min": (1, 3, 16, 16), "max": (1, 3, 64, 64)})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a bundle whose network files are a few bytes each."""
    tmp_path = tmp_path / "models" / "relight"
    tmp_path.mkdir(parents=True)
    for name in FILES:
        (tmp_path / name).write_bytes(name.encode())
    plan = PlanInfo("net.sm90.plan", "tensorrt", "11.4", "sm90", "float16")
    network = NetworkInfo("net.onnx", (CODES,), (TensorInfo("out", "float32", ("n", 10)),), data={"net.onnx.data": ""},
                          plans=(plan,))  # fmt: skip
    bundle.write(
        tmp_path,
        Manifest(
            name="relight", version="7", task="harmonize", kind="harmonizer", networks={"net": network},
            colour={"encoding": "acescct"}, precision="float32", runtime={"onnxruntime": "1.20"}, licence="MIT",
            card="card.md", constants={"low": -7.0}, scheduler={"steps": 4},
        ),
    )  # fmt: skip
    return tmp_path


def change(folder: Path, edit: Callable[[Dict[str, Any]], None]) -> None:
    """Edit the manifest, as if by hand."""
    data = json.loads((folder / MANIFEST).read_text())
    edit(data)
    (folder / MANIFEST).write_text(json.dumps(data))


def test_a_bundle_comes_back_as_written(folder: Path) -> None:
    """Everything of a manifest survives the file, shapes and profiles as tuples, and all hashes are filled in."""
    manifest = bundle.verify(folder)

    assert manifest.networks["net"].inputs == (CODES,)
    assert manifest.scheduler == {"steps": 4}
    assert [name for name, _ in manifest.files()] == list(FILES[:3])
    assert all(len(digest) == 64 for _, digest in manifest.files())
    assert bundle.write(folder, manifest) == manifest


@pytest.mark.parametrize("name", FILES[:3])
def test_another_file_is_reported(folder: Path, name: str) -> None:
    """A network, its external weights or a plan with one byte changed is refused by name; `read` alone takes it."""
    data = bytearray((folder / name).read_bytes())
    data[0] ^= 1
    (folder / name).write_bytes(data)

    assert bundle.read(folder).name == "relight"
    with pytest.raises(BundleError, match=rf"{name}.*SHA-256") as found:
        bundle.verify(folder)
    assert "again" in found.value.fix


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_reported(folder: Path, name: str) -> None:
    """A file that the manifest names and the folder does not hold is refused before anything is loaded."""
    (folder / name).unlink()

    with pytest.raises(BundleError, match=f"{name} is not there"):
        bundle.read(folder)


def _set(*path: str, value: Any) -> Callable[[Dict[str, Any]], None]:
    def edit(data: Dict[str, Any]) -> None:
        *above, last = path
        for key in above:
            data = data[key]
        data[last] = value

    return edit


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (_set("schema", value=2), "its schema is 2"),
        (_set("name", value=""), "name is empty"),
        (_set("version", value=7), "version is 7"),
        (_set("networks", "net", "file", value="../net.onnx"), "'../net.onnx' is no file name"),
        (_set("networks", "net", "data", value={"/etc/passwd": ""}), "is no file name"),
        (_set("networks", "net", "inputs", value=[{"name": "codes"}]), r"networks.net.inputs\[0\].|shape"),
        (_set("networks", "net", value=3), "networks.net. is not a map"),
        (_set("colour", value=None), "colour is None"),
    ],
)
def test_a_malformed_manifest_is_reported(
    folder: Path, edit: Callable[[Dict[str, Any]], None], said: str
) -> None:
    """A field that is missing, of another kind, or a path out of the folder is refused, naming the field."""
    change(folder, edit)

    with pytest.raises(BundleError, match=said):
        bundle.read(folder)


def test_a_profile_of_another_rank_is_reported(folder: Path) -> None:
    """A profile's shapes have as many sizes as the tensor."""
    change(folder, lambda data: data["networks"]["net"]["inputs"][0]["profile"].update(max=[1, 3]))

    with pytest.raises(BundleError, match="profile of codes"):
        bundle.read(folder)


def test_bundles_are_found_in_a_folder_or_below(folder: Path) -> None:
    """A folder is a bundle itself or holds some, hidden ones not counted; one without any is refused."""
    assert bundle.find(folder) == [folder]
    assert bundle.find(folder.parent) == [folder]
    shutil.copytree(folder, folder.parent / ".relight.1f2e")  # one that is being written
    assert bundle.find(folder.parent) == [folder]
    (folder / "empty").mkdir()
    with pytest.raises(BundleError, match="holds no engine bundle"):
        bundle.find(folder / "empty")
    with pytest.raises(BundleError, match="cannot be read"):
        bundle.read(folder / "empty")


def test_text_that_is_no_json_is_reported(folder: Path) -> None:
    """A manifest that is no JSON, or no map, or far too large, is refused."""
    for text in ("{", "[]", " " * (bundle.MANIFEST_BYTES + 1)):
        (folder / MANIFEST).write_text(text)
        with pytest.raises(BundleError, match="no manifest of schema 1"):
            bundle.read(folder)
