"""The package as users get it: wheel and source distribution, installed and run in an empty environment.

These tests need the package index; where it cannot be reached they are skipped with that reason.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from harmovid.pixels import exr

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

REPO = Path(__file__).resolve().parents[2]
CONSTRAINTS = str(REPO / "constraints.txt")
LAZILY = ("--no-compile",)
"""For pip: modules are compiled when they are imported, and most of what is installed here never is."""


def run(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command away from the checkout, so that only what is installed can be imported."""
    return subprocess.run(words, capture_output=True, text=True, timeout=800, cwd=cwd)


def pip(python: Path | str, *words: str) -> str:
    """Run pip on an environment and return what it warned of; skip where the package index cannot be reached."""
    ours = (sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check")
    result = run(*ours, *words)
    if result.returncode and "NewConnectionError" in result.stdout + result.stderr:
        pytest.skip(f"the package index cannot be reached: {result.stderr[-200:]}")
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stderr


def empty_environment(folder: Path) -> Path:
    """Make an environment without any package, pip neither, and return its Python."""
    run(sys.executable, "-m", "venv", "--without-pip", str(folder))
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the wheel and the source distribution of this checkout."""
    out = tmp_path_factory.mktemp("built")
    source = tmp_path_factory.mktemp("source") / "harmovid"
    tracked = run("git", "ls-files", cwd=REPO).stdout.splitlines()
    for name in tracked:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((REPO / name).read_bytes())
    builder = empty_environment(tmp_path_factory.mktemp("builder") / "env")
    pip(builder, "install", "-q", *LAZILY, "-c", CONSTRAINTS, "setuptools", "build")
    result = run(str(builder), "-m", "build", "--no-isolation", "--outdir", str(out), str(source))
    assert result.returncode == 0, result.stdout + result.stderr
    return out


def test_wheel_holds_the_packages_and_nothing_else(built: Path) -> None:
    """The wheel has every package with its data, and no tests, benches or results."""
    (wheel,) = built.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()

    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert {
        "harmovid",
        "harmovid_server",
        "harmovid_training",
        "harmovid_evaluate",
        "harmovid_export",
    } <= tops
    assert all(top.startswith("harmovid") for top in tops)
    assert any(name.endswith(".onnx") for name in names)
    assert any(name.endswith("harmovid/py.typed") for name in names)


def test_source_distribution_builds_the_same_wheel(built: Path, tmp_path: Path) -> None:
    """A wheel built from the source distribution has the same files as one built from the checkout."""
    (source,) = built.glob("*.tar.gz")
    (wheel,) = built.glob("*.whl")
    with tarfile.open(source) as archive:
        archive.extractall(tmp_path, filter="data")
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())

    pip(sys.executable, "wheel", "-q", "--no-deps", "-w", str(tmp_path / "again"), str(folder))

    (again,) = (tmp_path / "again").glob("*.whl")
    assert set(zipfile.ZipFile(again).namelist()) == set(zipfile.ZipFile(wheel).namelist())


def test_server_runs_from_an_empty_environment(built: Path, tmp_path: Path) -> None:
    """`pip install harmovid[server]` into nothing gives a command that deflickers real EXRs on a private server."""
    (wheel,) = built.glob("*.whl")
    python = empty_environment(tmp_path / "env")
    pip(python, "install", "-q", *LAZILY, "-c", CONSTRAINTS, f"{wheel}[server]")
    plate = tmp_path / "plate"
    plate.mkdir()
    window = (0, 0, 32, 24)
    for frame in range(1, 4):
        channels = {c: np.full((24, 32), 0.2 + 0.05 * (frame % 2), np.float16) for c in "RGB"}
        exr.write(exr.make_frame(exr.PartHeader.make(window, window), channels), plate / f"p.{frame:04d}.exr")
    command = str(python.with_name("harmovid"))

    done = run(command, "deflicker", f"{plate}/p.####.exr", "-o", f"{tmp_path}/out/p.####.exr", cwd=tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list((tmp_path / "out").glob("p.*.exr"))) == 3


def test_the_extra_for_gpus_can_be_resolved(built: Path, tmp_path: Path) -> None:
    """pip finds versions of everything that `server-gpu` asks for, together; nothing large is downloaded for it."""
    (wheel,) = built.glob("*.whl")
    python = empty_environment(tmp_path / "env")

    warned = pip(python, "install", "--dry-run", "-c", CONSTRAINTS, f"{wheel}[server-gpu]")

    assert "does not provide the extra" not in warned  # pip only warns of an extra that is not there
