"""The installed plugin with real compiled packages, in the Pythons of Nuke 14, 15 and 16: import and a whole job."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fakes.nuke_driver import FIRST, LAST, harmonize, sent
from fakes.nuke_host.host import Host
from fakes.running import RunningServer
from harmovid.errors import InputError
from harmovid_nuke import install, vendor, wheels

PYTHONS = {"3.9": "cp39", "3.10": "cp310", "3.11": "cp311"}
IN_PYTHON = Path(__file__).parents[1] / "fakes" / "nuke_in_python.py"


@pytest.fixture(scope="module")
def wheelhouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of real wheels: HARMOVID_WHEELHOUSE, or downloaded; skip if neither is possible."""
    named = os.environ.get("HARMOVID_WHEELHOUSE")
    if named:
        return Path(named)
    folder = tmp_path_factory.mktemp("wheels")
    try:
        for python in PYTHONS.values():
            wheels.fetch(f"{python}-{place()}", str(folder))
    except InputError as error:
        pytest.skip(
            f"the wheels cannot be fetched here ({error}); HARMOVID_WHEELHOUSE may name a folder of them"
        )
    return folder


def place() -> str:
    """Return this machine's platform as the plugin names it."""
    return vendor.abi().partition("-")[2]


def interpreter(version: str) -> str:
    """Return a command that runs a Python of this version, or skip."""
    words = [f"python{version}", "-c", "import sys; print(sys.executable)"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=True, env=_environment(version))
    except (OSError, subprocess.CalledProcessError):
        pytest.skip(f"there is no Python {version} here")
    return done.stdout.strip()


def _environment(version: str) -> Any:
    """Return an environment in which a pyenv shim of this version runs, where there is one."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = sorted(path.name for path in root.glob(f"{version}.*"))
    return {**os.environ, **({"PYENV_VERSION": found[-1]} if found else {})}


@pytest.mark.slow
@pytest.mark.parametrize("version", list(PYTHONS))
def test_a_whole_job_with_vendored_packages(
    host: Host, nuke: Any, tmp_path: Path, server: RunningServer, wheelhouse: Path, version: str
) -> None:
    """A Python without site packages sends a job through the installed plugin; its frames have the bits of ours."""
    python = interpreter(version)
    install.install(str(tmp_path / "nuke"), [f"{PYTHONS[version]}-{place()}"], str(wheelhouse))
    run = sent(host, harmonize(nuke, tmp_path, server.endpoint))
    words = [
        python,
        "-S",
        "-E",
        str(IN_PYTHON),
        str(tmp_path / "nuke"),
        str(tmp_path / "shot.nk"),
        sys.executable,
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=_environment(version))
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert ".".join(map(str, said["python"])) == version
    assert said["status"].startswith("v002: 6 of 6 frames."), said
    assert said["violations"] == []
    assert str(tmp_path / "nuke" / "harmovid" / "vendor") in said["zmq"]
    assert not said["numpy"]
    other = Path(run.record.folder).with_name("v002")
    for frame in range(FIRST, LAST + 1):
        assert (other / f"result.{frame}.exr").read_bytes() == Path(
            run.record.result("") % frame
        ).read_bytes()


def test_nuke_13_is_refused_in_words(tmp_path: Path) -> None:
    """In a Python 3.7 init.py prints which Nuke is needed, and Nuke starts."""
    python = interpreter("3.7")
    doors = Path(install.__file__).parent / "doors" / "init.py"
    package = str(Path(install.__file__).parents[1])
    run = f"exec(open({str(doors)!r}).read(), {{'__file__': {str(doors)!r}}})"
    code = f"import sys; sys.path.insert(0, {package!r}); {run}"
    done = subprocess.run(
        [python, "-c", code], capture_output=True, text=True, check=False, env=_environment("3.7")
    )
    assert done.returncode == 0
    assert "Use Nuke 14 or later" in done.stdout
