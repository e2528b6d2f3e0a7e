"""The self-test runs through every way of return on a seat, reports what it finds, and leaves nothing."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any, Dict

import numpy as np
import OpenEXR
import pytest
from fakes.resolve_host import pictures, serving
from fakes.resolve_host.quirks import Quirks
from fakes.resolve_host.snapshot import difference, snapshot
from fakes.resolve_runs import Film
from harmovid_resolve import exr_file, exr_tiny, selftest

ROOM = Path(selftest.__file__).parents[1]

PACKED = {
    "none": OpenEXR.NO_COMPRESSION, "zips": OpenEXR.ZIPS_COMPRESSION, "zip": OpenEXR.ZIP_COMPRESSION,
}  # fmt: skip


def report(film: Film) -> Dict[str, Any]:
    """Run it and return the report."""
    path = selftest.run({"resolve": film.host.resolve()}, str(film.folder), wait=lambda seconds: None)
    assert Path(path).name == selftest.REPORT
    found: Dict[str, Any] = json.loads(Path(path).read_text())
    return found


@pytest.mark.parametrize("version", [(19, 1), (20, 3), (21, 0, 4)])
def test_all_checks_pass_where_resolve_does_what_it_says(version: tuple, tmp_path: Path) -> None:
    """Every way of return is among them, and the project is as before."""
    film = Film(tmp_path, version=version)
    before = snapshot(film.host)
    found = report(film)
    assert {name: check for name, check in found["checks"].items() if check["result"] != "passed"} == {}
    assert found["passed"] is True
    assert len([name for name in found["checks"] if "graded" in name]) == 4
    assert found["checks"]["rendered frames"]["found"]["off by"] == 0
    assert found["versions"]["product"] == "DaVinci Resolve Studio"
    assert difference(before, snapshot(film.host)) == []
    assert film.host.violations == []


def test_an_old_version_says_what_it_lacks(tmp_path: Path) -> None:
    """In 18.5 a graded take cannot be made: that check alone fails, with the reason; missing methods are listed."""
    found = report(Film(tmp_path, version=(18, 5)))
    failed = {name: check["found"] for name, check in found["checks"].items() if check["result"] == "failed"}
    assert list(failed) == ["take, graded"]
    assert "graded twice" in failed["take, graded"]
    assert "DeleteRenderPreset" in found["checks"]["methods"]["found"]["Project"]


@pytest.mark.parametrize(
    ("quirks", "check"),
    [
        ({"exclusive_end": False}, "frames on a timeline"),
        ({"render_skips": frozenset({1})}, "rendered frames"),
        ({"source_start_off": 1}, None),
    ],
)
def test_what_is_otherwise_on_a_seat_is_in_the_report(quirks: dict, check: str, tmp_path: Path) -> None:
    """A Resolve that does it another way than we read it fails that check and no other check is lost."""
    film = Film(tmp_path, quirks=Quirks(**quirks))
    before = snapshot(film.host)
    found = report(film)
    assert found["passed"] is (check is None)
    if check is not None:
        assert found["checks"][check]["result"] == "failed"
    assert len(found["checks"]) == 13
    assert difference(before, snapshot(film.host)) == []


@pytest.mark.parametrize("kind", [np.float16, np.float32])
@pytest.mark.parametrize("compression", PACKED)
def test_small_files_are_read_as_other_programs_write_them(
    kind: type, compression: str, tmp_path: Path
) -> None:
    """Values of half and float files come out to the bit, also where packing did not help."""
    path = str(tmp_path / "a.exr")
    for pixels in (np.random.default_rng(1).normal(size=(37, 21)), np.zeros((37, 21))):
        header = {"compression": PACKED[compression], "type": OpenEXR.scanlineimage}
        with OpenEXR.File(header, {"R": pixels.astype(kind), "Z": pixels.astype(np.float32)}) as file:
            file.write(path)
        found = exr_tiny.read(path)
        np.testing.assert_array_equal(np.array(found["R"], kind), pixels.astype(kind))
        np.testing.assert_array_equal(np.array(found["Z"], np.float32), pixels.astype(np.float32))


def test_small_files_are_written_as_other_programs_read_them(tmp_path: Path) -> None:
    """OpenEXR reads them whole, and what it cannot be read here is refused."""
    path = str(tmp_path / "a.exr")
    rows = [[selftest.pixel(1003, x, y) for x in range(5)] for y in range(3)]
    exr_tiny.write(path, rows)
    assert exr_file.problem(path) == ""
    np.testing.assert_array_equal(pictures.read(path), np.array(rows, np.float32))
    header = {"compression": OpenEXR.PIZ_COMPRESSION, "type": OpenEXR.scanlineimage}
    with OpenEXR.File(header, {"R": np.zeros((3, 3), np.float32)}) as file:
        file.write(path)
    with pytest.raises(ValueError, match="compression 4 is not read here"):
        exr_tiny.read(path)


@pytest.mark.parametrize("version", ["3.9", "3.11", "3.13"])
def test_in_a_python_of_its_own(version: str, tmp_path: Path) -> None:
    """As Resolve starts it: in another process and another Python, without a package, with the menu's globals."""
    film = Film(tmp_path)
    film.host.queue.frames_per_poll = 100
    before = snapshot(film.host)
    script = tmp_path / "HarmoVid self-test.py"
    script.write_text(
        f"import sys\nsys.path.insert(0, {str(ROOM)!r})\n"
        f"from harmovid_resolve import selftest\nprint(selftest.run(globals(), {str(tmp_path)!r}))\n"
    )
    with serving.served(film.host) as environment:
        done = subprocess.run(
            [interpreter(version), "-I", "-S", serving.FUSCRIPT, str(script)],
            env={**os.environ, **environment}, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / selftest.REPORT).read_text())
    assert {name: check for name, check in found["checks"].items() if check["result"] != "passed"} == {}
    assert found["versions"]["python"].startswith(version + ".")
    assert difference(before, snapshot(film.host)) == []
    assert film.host.violations == []


def interpreter(version: str) -> str:
    """Return a Python of this version, also where it lies behind a shim of pyenv; or skip."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = sorted(path.name for path in root.glob(f"{version}.*"))
    named = {**os.environ, **({"PYENV_VERSION": found[-1]} if found else {})}
    words = [f"python{version}", "-c", "import sys; print(sys.executable)"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=True, env=named)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip(f"there is no Python {version} here")
    return done.stdout.strip()
