"""Packed bundles: the same bytes each time, verified when packed and unpacked, and no path outside the folder."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from pathlib import Path

import pytest
from harmovid import bundle
from harmovid.cli import exits, main
from harmovid.errors import BundleError
from harmovid_export.pack import pack, unpack
from harmovid_server.engines.harmonize.network import FOLDER


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a copy of the bundle that ships."""
    shutil.copytree(FOLDER, tmp_path / "harmonize")
    return tmp_path / "harmonize"


def test_a_bundle_comes_back_as_it_went(folder: Path, tmp_path: Path) -> None:
    """Packing twice gives the same bytes, and unpacking the same files, verified."""
    (tmp_path / "again").mkdir()
    path, again = pack(folder, tmp_path), pack(folder, tmp_path / "again")
    assert path.read_bytes() == again.read_bytes()
    back = unpack(path, tmp_path / "server")
    assert back == tmp_path / "server" / "harmonize"
    assert {one.name: one.read_bytes() for one in back.iterdir()} == {
        one.name: one.read_bytes()
        for one in folder.iterdir()
        if one.name in {held.name for held in back.iterdir()}
    }
    assert bundle.verify(back).name == "harmonize"


def test_a_damaged_bundle_is_not_packed(folder: Path, tmp_path: Path) -> None:
    """One byte that differs from the manifest's hash: refused by name, and nothing is written."""
    (folder / "head.onnx").write_bytes(b"x" + (folder / "head.onnx").read_bytes()[1:])
    with pytest.raises(BundleError, match=r"head\.onnx"):
        pack(folder, tmp_path)
    assert not list(tmp_path.glob("*.tar*"))


@pytest.mark.parametrize("name", ["../evil", "/evil", "harmonize/a/b", "harmonize/../evil"])
def test_what_reaches_outside_is_refused(tmp_path: Path, name: str) -> None:
    """A member with a path that no bundle has ends the unpacking, and nothing is left."""
    path = tmp_path / "bad.tar"
    with tarfile.open(path, "w") as tar:
        member = tarfile.TarInfo(name)
        member.size = 4
        tar.addfile(member, io.BytesIO(b"evil"))
    with pytest.raises(BundleError, match="which no bundle has"):
        unpack(path, tmp_path / "server")
    assert not list((tmp_path / "server").iterdir())
    assert not (tmp_path / "evil").exists()


def test_a_file_beside_the_manifest_is_refused(folder: Path, tmp_path: Path) -> None:
    """Files that the manifest does not name have no hash and are not packed."""
    path = pack(folder, tmp_path)
    with tarfile.open(path, "a") as tar:
        member = tarfile.TarInfo("harmonize/extra.bin")
        member.size = 4
        tar.addfile(member, io.BytesIO(b"more"))
    with pytest.raises(BundleError, match=r"extra\.bin"):
        unpack(path, tmp_path / "server")


def test_the_commands_tell_what_a_bundle_is(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """inspect prints name, licence and sizes; all commands end with 0, verify with an error if a file differs."""
    assert main(["bundle", "inspect", str(folder), "--json"]) == exits.OK
    told = json.loads(capsys.readouterr().out)
    assert (told["name"], told["licence"]) == ("harmonize", "Apache-2.0")
    assert main(["bundle", "inspect", str(folder)]) == exits.OK
    shown = capsys.readouterr().out
    tensors = [tensor for network in bundle.read(folder).networks.values() for tensor in network.inputs]
    sizes = {"x".join(str(size) for size in tensor.shape) for tensor in tensors}
    assert sizes
    assert all(size in shown for size in sizes)
    assert main(["bundle", "pack", str(folder), "-o", str(tmp_path)]) == exits.OK
    packed = capsys.readouterr().out.strip()
    assert main(["bundle", "unpack", packed, "-o", str(tmp_path / "server")]) == exits.OK
    assert main(["bundle", "verify", str(tmp_path / "server" / "harmonize")]) == exits.OK
    (folder / "encoder.onnx").write_bytes(b"")
    assert main(["bundle", "verify", str(folder)]) == exits.USAGE
    assert "encoder.onnx" in capsys.readouterr().err
