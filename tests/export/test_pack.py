"""Packed bundles: the same bytes each time, verified when packed and unpacked, and no path outside the folder."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, Dict, Tuple

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


def test_a_card_of_other_words_is_not_packed(folder: Path, tmp_path: Path) -> None:
    """The model card states licence and limits: a changed one is refused, too."""
    (folder / "card.md").write_text("Use it for everything.\n")
    with pytest.raises(BundleError, match=r"card\.md is not the file"):
        pack(folder, tmp_path)


def test_links_are_packed_as_files(folder: Path, tmp_path: Path) -> None:
    """Weights that lie elsewhere behind a symbolic or hard link arrive as files."""
    (folder / "head.onnx").rename(tmp_path / "weights")
    (folder / "head.onnx").symlink_to(tmp_path / "weights")
    (tmp_path / "hard").hardlink_to(folder / "encoder.onnx")
    back = unpack(pack(folder, tmp_path), tmp_path / "server")
    assert not (back / "head.onnx").is_symlink()
    assert bundle.verify(back).name == "harmonize"


Change = Callable[[tarfile.TarInfo, bytes], Iterator[Tuple[tarfile.TarInfo, bytes]]]


def changed(path: Path, change: Change) -> Path:
    """Write a copy of a packed bundle whose members went through `change`; return its path."""
    made = path.with_name("changed.tar")
    with tarfile.open(path) as old, tarfile.open(made, "w") as new:
        for member in old:
            held = old.extractfile(member)
            assert held is not None
            for one, data in change(member, held.read()):
                one.size = len(data)
                new.addfile(one, io.BytesIO(data))
    return made


def only(name: str, turned: Callable[[tarfile.TarInfo, bytes], Any]) -> Change:
    """Return a change of one member: `turned` gives its members, all others stay."""

    def change(member: tarfile.TarInfo, data: bytes) -> Iterator[Tuple[tarfile.TarInfo, bytes]]:
        yield from turned(member, data) if member.name.endswith(name) else [(member, data)]

    return change


def renamed(name: str) -> Change:
    """Return a change that gives the card another path."""

    def turned(member: tarfile.TarInfo, data: bytes) -> Any:
        member.name = name
        return [(member, data)]

    return only("card.md", turned)


def linked(kind: bytes) -> Change:
    """Return a change that makes the card a link out of the folder."""

    def turned(member: tarfile.TarInfo, data: bytes) -> Any:
        member.type, member.linkname = kind, "/etc/passwd"
        return [(member, b"")]

    return only("card.md", turned)


def licence(value: str) -> Change:
    """Return a change of the manifest's licence."""
    return only(
        "manifest.json", lambda member, data: [(member, data.replace(b'"Apache-2.0"', value.encode()))]
    )


BAD: Dict[str, Tuple[Change, str]] = {
    "another hash": (only("head.onnx", lambda m, d: [(m, b"x" + d[1:])]), "head.onnx is not the file that"),
    "missing file": (only("head.onnx", lambda m, d: []), "head.onnx is not there"),
    "further file": (
        only("card.md", lambda m, d: [(m, d), (tarfile.TarInfo("harmonize/extra.bin"), b"more")]),
        r"extra\.bin, which its manifest does not name",
    ),
    "twice": (only("card.md", lambda m, d: [(m, d), (m, d)]), "card.md' twice"),
    "licence of another kind": (licence("5"), "licence is 5"),
    "licence of spaces": (licence('"  "'), "licence is empty"),
    "parent folder": (renamed("../evil"), "which no bundle has"),
    "absolute path": (renamed("/evil"), "which no bundle has"),
    "deeper": (renamed("harmonize/a/b"), "which no bundle has"),
    "back out": (renamed("harmonize/../evil"), "which no bundle has"),
    "two folders": (renamed("other/card.md"), "does not hold one folder"),
    "symbolic link": (linked(tarfile.SYMTYPE), "which no bundle has"),
    "hard link": (linked(tarfile.LNKTYPE), "which no bundle has"),
    "device": (linked(tarfile.CHRTYPE), "which no bundle has"),
}


@pytest.mark.parametrize("name", list(BAD))
def test_a_bad_file_is_refused_in_a_sentence_and_leaves_nothing(
    folder: Path, tmp_path: Path, name: str
) -> None:
    """Whatever is wrong with a packed bundle is reported with the file's name; no file of it is left."""
    change, match = BAD[name]
    path = changed(pack(folder, tmp_path), change)
    with pytest.raises(BundleError, match=match) as caught:
        unpack(path, tmp_path / "server")
    assert str(path) in caught.value.message
    assert str(tmp_path / "server") not in caught.value.message
    assert caught.value.fix
    assert not list((tmp_path / "server").iterdir())
    assert not (tmp_path / "evil").exists()


def test_more_than_the_file_holds_is_refused_before_the_disk_is_full(tmp_path: Path) -> None:
    """A member that claims a terabyte, or a sparse file of one, is refused from the table of contents."""
    path = tmp_path / "huge.tar"
    member = tarfile.TarInfo("harmonize/card.md")
    member.size = 1 << 40
    path.write_bytes(member.tobuf() + bytes(1024))
    with pytest.raises(BundleError, match=r"claims to hold more|no packed bundle"):
        unpack(path, tmp_path / "server")
    member.pax_headers = {
        "GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.map": "0,0", "GNU.sparse.size": str(1 << 40),
        "GNU.sparse.name": member.name,
    }  # fmt: skip
    member.size = 0
    path.write_bytes(member.tobuf(tarfile.PAX_FORMAT) + bytes(1024))
    with pytest.raises(BundleError, match="which no bundle has"):
        unpack(path, tmp_path / "server")
    assert not list((tmp_path / "server").iterdir())


def test_what_is_no_bundle_is_never_replaced(folder: Path, tmp_path: Path) -> None:
    """A folder that happens to have the engine's name stays as it is; an older bundle of the name is replaced."""
    path = pack(folder, tmp_path)
    (tmp_path / "server" / "harmonize").mkdir(parents=True)
    (tmp_path / "server" / "harmonize" / "shots.txt").write_text("mine")
    with pytest.raises(BundleError, match="is no bundle, so it is not replaced"):
        unpack(path, tmp_path / "server")
    assert [one.name for one in (tmp_path / "server").rglob("*")] == ["harmonize", "shots.txt"]
    (tmp_path / "server" / "harmonize" / "shots.txt").unlink()
    unpack(path, tmp_path / "server")
    (tmp_path / "server" / "harmonize" / "left.log").write_text("of the old one")
    back = unpack(path, tmp_path / "server")
    assert not (back / "left.log").exists()
    assert [one.name for one in (tmp_path / "server").iterdir()] == ["harmonize"]


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda path: None, "is no file"),
        (lambda path: path.mkdir(), "is no file"),
        (lambda path: path.write_bytes(b"PK"), "no packed bundle"),
        (lambda path: path.write_bytes(gzip.compress(b"x" * 9999)), "no packed bundle"),
        (lambda path: path.write_bytes(bytes(10240)), "does not hold one folder"),
    ],
)
def test_what_is_no_tar_is_reported(tmp_path: Path, make: Callable[[Path], Any], match: str) -> None:
    """A missing, foreign, compressed or empty file is an error with a fix, and nothing is left."""
    make(tmp_path / "file.tar")
    with pytest.raises(BundleError, match=match) as caught:
        unpack(tmp_path / "file.tar", tmp_path / "server")
    assert caught.value.fix
    assert not list((tmp_path / "server").iterdir())


def test_places_that_cannot_be_written_are_reported(folder: Path, tmp_path: Path) -> None:
    """A file where the folder should be is an error of one sentence for both commands."""
    path = pack(folder, tmp_path / "new")
    (tmp_path / "taken").write_text("")
    with pytest.raises(BundleError, match="cannot be written"):
        pack(folder, tmp_path / "taken")
    with pytest.raises(BundleError, match="no folder that can be written"):
        unpack(path, tmp_path / "taken")


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
