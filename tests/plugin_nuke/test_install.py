"""Installation into Nuke's folder and removal; compiled packages for each Python, from a wheelhouse."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Dict

import pytest
from harmovid.cli.console import Console
from harmovid.errors import InputError
from harmovid_nuke import install, vendor, wheels

MINE = "# mine\nimport nuke\nnuke.pluginAddPath('./tools')"
ABI = vendor.abi()


def wheel(folder: Path, name: str, version: str, tags: str, files: Dict[str, str]) -> None:
    """Write a wheel with these files."""
    with zipfile.ZipFile(folder / f"{name}-{version}-{tags}.whl", "w") as archive:
        for inside, text in files.items():
            archive.writestr(inside, text)


@pytest.fixture
def wheelhouse(tmp_path: Path) -> Path:
    """Return a wheelhouse with stand-ins of both packages for three Pythons on Linux, Windows and macOS."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for python in ("cp39", "cp310", "cp311"):
        for tag in ("manylinux2014_x86_64.manylinux_2_17_x86_64", "win_amd64", "macosx_10_15_universal2"):
            tags = f"{python}-{python}-{tag}"
            files = {
                "zmq/__init__.py": f"# {tags}",
                "zmq/tests/x.py": "",
                "pyzmq.libs/libzmq.so": "binary",
                "zmq/a.pyi": "",
            }
            wheel(folder, "pyzmq", wheels.PINNED[python]["pyzmq"], tags, files)
            wheel(
                folder,
                "msgpack",
                wheels.PINNED[python]["msgpack"],
                tags,
                {"msgpack/__init__.py": f"# {tags}"},
            )
    return folder


def contents(folder: Path) -> Dict[str, bytes]:
    """Return the bytes of every file below a folder, and None for folders."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b"<folder>"
        for path in folder.rglob("*")
    }


@pytest.mark.parametrize("before", [None, "", MINE, MINE + "\n", MINE.replace("\n", "\r\n") + "\r\n", "\n\n"])
def test_uninstall_leaves_the_folder_as_it_was(tmp_path: Path, wheelhouse: Path, before: object) -> None:
    """Uninstalling restores every byte of init.py, or its absence."""
    folder = tmp_path / "nuke"
    folder.mkdir()
    (folder / "menu.py").write_text("# menu of mine\n")
    if before is not None:
        (folder / "init.py").write_bytes(str(before).encode())
    found = contents(folder)
    install.install(str(folder), ["cp311-linux_x86_64"], str(wheelhouse))
    assert (folder / "harmovid" / "init.py").exists()
    assert (folder / "init.py").read_bytes().startswith(str(before or "").encode())
    assert install.uninstall(str(folder))
    assert contents(folder) == found
    assert not install.uninstall(str(folder))


def test_a_folder_that_we_made_is_removed(tmp_path: Path, wheelhouse: Path) -> None:
    """If there was no Nuke folder, there is none after uninstalling."""
    install.install(str(tmp_path / "new" / "nuke"), ["cp310-win_amd64"], str(wheelhouse))
    install.uninstall(str(tmp_path / "new" / "nuke"))
    assert not (tmp_path / "new" / "nuke").exists()


def test_installing_twice_changes_nothing(tmp_path: Path, wheelhouse: Path) -> None:
    """The second install leaves the same files, one block, and the first copy of init.py."""
    folder = tmp_path / "nuke"
    folder.mkdir()
    (folder / "init.py").write_text(MINE)
    install.install(str(folder), ["cp39-linux_x86_64"], str(wheelhouse))
    first = contents(folder)
    install.install(str(folder), ["cp39-linux_x86_64"], str(wheelhouse))
    assert contents(folder) == first
    assert (folder / "init.py").read_text().count(install.BEGIN) == 1
    assert (folder / install.BACKUP).read_text() == MINE


def test_edits_after_the_installation_survive(tmp_path: Path, wheelhouse: Path) -> None:
    """Lines that the artist adds later stay when the block goes."""
    folder = tmp_path / "nuke"
    folder.mkdir()
    (folder / "init.py").write_text(MINE + "\n")
    install.install(str(folder), ["cp39-linux_x86_64"], str(wheelhouse))
    with open(folder / "init.py", "a") as file:
        file.write("# added later\n")
    install.uninstall(str(folder))
    assert (folder / "init.py").read_text() == MINE + "\n# added later\n"


def test_a_damaged_note_of_the_installation_stops_nothing(tmp_path: Path, wheelhouse: Path) -> None:
    """Where `installed.json` is no JSON any more, installing again and uninstalling still work."""
    folder = tmp_path / "nuke"
    folder.mkdir()
    before = contents(folder)
    for again in (False, True):
        install.install(str(folder), ["cp39-linux_x86_64"], str(wheelhouse))
        (folder / install.FOLDER / install.MANIFEST).write_bytes(b"{")
        if again:
            install.install(str(folder), ["cp39-linux_x86_64"], str(wheelhouse))
        assert install.uninstall(str(folder))
        assert contents(folder) == before


def test_a_foreign_folder_is_not_touched(tmp_path: Path, wheelhouse: Path) -> None:
    """A folder named harmovid that we did not write stops the installation, and stays."""
    (tmp_path / "nuke" / "harmovid").mkdir(parents=True)
    (tmp_path / "nuke" / "harmovid" / "precious").write_text("x")
    found = contents(tmp_path / "nuke")
    with pytest.raises(InputError, match="is not HarmoVid's"):
        install.install(str(tmp_path / "nuke"), ["cp39-linux_x86_64"], str(wheelhouse))
    assert contents(tmp_path / "nuke") == found


def test_a_missing_wheel_leaves_nothing_behind(tmp_path: Path, wheelhouse: Path) -> None:
    """Offline without the wheel of a pair, the message names it, and Nuke's folder is as before."""
    folder = tmp_path / "nuke"
    folder.mkdir()
    with pytest.raises(InputError, match=r"pyzmq for cp313-linux_x86_64"):
        install.install(str(folder), ["cp311-linux_x86_64", "cp313-linux_x86_64"], str(wheelhouse))
    assert contents(folder) == {}


def test_each_python_gets_its_own_packages(tmp_path: Path, wheelhouse: Path) -> None:
    """Packages of two Pythons are installed, without tests, type stubs, pixel code or the command line."""
    install.install(str(tmp_path / "n"), ["cp39-linux_x86_64", "cp311-macos_arm64"], str(wheelhouse))
    plugin = tmp_path / "n" / "harmovid"
    for python, place in (("cp39", "linux_x86_64"), ("cp311", "macos_arm64")):
        folder = plugin / vendor.FOLDER / f"{python}-{place}"
        assert f"{python}-{python}" in (folder / "zmq" / "__init__.py").read_text()
        assert (folder / "pyzmq.libs" / "libzmq.so").exists()
        assert not (folder / "zmq" / "tests").exists()
        assert not list(folder.rglob("*.pyi"))
    assert (plugin / "python" / "harmovid_nuke" / "node.py").exists()
    assert not (plugin / "python" / "harmovid" / "pixels").exists()
    assert not (plugin / "python" / "harmovid" / "cli").exists()


def test_the_command(tmp_path: Path, wheelhouse: Path) -> None:
    """`harmovid plugin install nuke` and `uninstall` say what they did, and where."""
    said = io.StringIO()
    words = [
        "--nuke-dir",
        str(tmp_path / "n"),
        "--wheelhouse",
        str(wheelhouse),
        "--abi",
        "cp310-linux_x86_64",
    ]
    assert install.run("install", words, Console(out=said)) == 0
    assert install.run("uninstall", words[:2], Console(out=said)) == 0
    assert f"installed in {tmp_path}/n, for cp310-linux_x86_64" in said.getvalue()
    assert "removed" in said.getvalue()
    assert "Python 3.7: not supported" in install.table()


@pytest.mark.parametrize(
    ("name", "abi", "fits"),
    [
        (
            "pyzmq-26.4.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
            "cp311-linux_x86_64",
            True,
        ),
        (
            "pyzmq-26.4.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
            "cp310-linux_x86_64",
            False,
        ),
        (
            "pyzmq-27.3.0-cp312-abi3-manylinux_2_26_x86_64.manylinux_2_28_x86_64.whl",
            "cp313-linux_x86_64",
            True,
        ),
        (
            "pyzmq-27.3.0-cp312-abi3-manylinux_2_26_x86_64.manylinux_2_28_x86_64.whl",
            "cp311-linux_x86_64",
            False,
        ),
        ("pyzmq-27.3.0-cp310-cp310-macosx_10_15_universal2.whl", "cp310-macos_arm64", True),
        ("msgpack-1.2.4-cp310-cp310-macosx_10_9_x86_64.whl", "cp310-macos_arm64", False),
        ("msgpack-1.2.4-cp311-cp311-musllinux_1_2_x86_64.whl", "cp311-linux_x86_64", False),
        ("msgpack-1.2.4-cp311-cp311-win_amd64.whl", "cp311-win_amd64", True),
    ],
)
def test_wheels_fit_by_their_names(name: str, abi: str, fits: bool) -> None:
    """Which wheel runs under which Python and platform, as published names say it, stable ABI included."""
    assert wheels.parse(name).fits(abi) is fits


def test_hostile_wheels_stay_in_their_folder(tmp_path: Path) -> None:
    """A wheel that writes outside its folder, or is no zip file, is refused."""
    wheel(tmp_path, "pyzmq", "1", "cp311-cp311-win_amd64", {"../evil.py": "x"})
    with pytest.raises(InputError, match="outside"):
        wheels.unpack(wheels.in_folder(str(tmp_path)), str(tmp_path / "out"))
    assert not (tmp_path / "evil.py").exists()
    (tmp_path / "pyzmq-1-cp311-cp311-win_amd64.whl").write_text("no zip")
    with pytest.raises(InputError, match="cannot be unpacked"):
        wheels.unpack(wheels.in_folder(str(tmp_path)), str(tmp_path / "out"))


def test_the_platform_folder_is_chosen_by_python_and_machine() -> None:
    """Names of ABI folders for the platforms that Nuke runs on."""
    assert vendor.abi((3, 9), "linux", "x86_64") == "cp39-linux_x86_64"
    assert vendor.abi((3, 10), "win32", "AMD64") == "cp310-win_amd64"
    assert vendor.abi((3, 11), "darwin", "arm64") == "cp311-macos_arm64"
    assert vendor.abi((3, 11), "darwin", "x86_64") == "cp311-macos_x86_64"


def in_a_python(code: str, *folders: Path) -> str:
    """Run code in a bare interpreter of this Python, without any packages but those of the folders."""
    words = [sys.executable, "-S", "-E", "-c", code]
    return subprocess.run(words, capture_output=True, text=True, check=True, cwd=os.fspath(folders[0])).stdout


def test_activate_says_what_is_missing_and_how_to_get_it(tmp_path: Path, wheelhouse: Path) -> None:
    """In a Python whose packages are not vendored, init.py prints one line that names the command, and Nuke starts."""
    install.install(str(tmp_path), ["cp39-win_amd64"], str(wheelhouse))
    said = in_a_python(
        "exec(compile(open('harmovid/init.py').read(), 'harmovid/init.py', 'exec'), {'__file__': 'harmovid/init.py'})",
        tmp_path,
    )
    assert f"there is nothing for {ABI}" in said
    assert "harmovid plugin install nuke --abi" in said


def test_an_old_pyzmq_of_another_tool_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A pyzmq that is loaded already is kept; one that is too old is named instead of being replaced."""
    import types

    old = types.ModuleType("zmq")
    old.pyzmq_version_info = lambda: (18, 0)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "zmq", old)
    assert "old pyzmq" in vendor.activate(str(tmp_path))[0]
    old.pyzmq_version_info = lambda: (26, 4)  # type: ignore[attr-defined]
    assert vendor.activate(str(tmp_path)) == []
