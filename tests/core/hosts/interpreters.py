"""Real interpreters for host tests: found on this machine, with pyzmq and msgpack from the package index."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Optional

NEEDED = ("pyzmq", "msgpack")
INSTALL_S = 300.0
# Installed once per machine and interpreter; if the layout of this folder changes it needs a new name.
CACHE = Path(tempfile.gettempdir()) / "harmovid-test-hosts-1"


def find(version: str) -> Optional[str]:
    """Return an interpreter of a version like "3.9", from the PATH or pyenv's versions; None where there is none."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    beside = [str(path) for path in sorted(root.glob(f"{version}.*/bin/python"))]
    named = shutil.which(f"python{version}")
    return next((path for path in [*beside, *([named] if named else [])] if _version(path) == version), None)


def _version(path: str) -> str:
    """Return an interpreter's version; "" where it does not run, like a pyenv shim without that version."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run([path, "-c", code], capture_output=True, text=True, timeout=300, env=_plain())
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def libraries(python: str, version: str) -> Path:
    """Return a folder with core's dependencies for this interpreter; they are installed at the first call.

    Raises:
        LookupError: they cannot be installed; the text is pip's last line.
    """
    folder = CACHE / version
    if folder.is_dir():
        return folder
    CACHE.mkdir(exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=CACHE))
    command = [python, "-m", "pip", "install", "--quiet", "--target", str(made / "lib"), *NEEDED]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S, env=_plain())
        if done.returncode:
            raise LookupError((done.stderr.strip().splitlines() or ["pip failed"])[-1])
        try:
            os.rename(made / "lib", folder)
        except OSError:  # another test process was quicker
            if not folder.is_dir():
                raise
    except subprocess.TimeoutExpired as error:
        raise LookupError("the package index does not answer") from error
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return folder


def _plain() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def run(python: str, program: Path, *words: str, path: list[Path]) -> subprocess.CompletedProcess[str]:
    """Run a program in an interpreter that sees only its own library and the folders of `path`."""
    environ = {**_plain(), "PYTHONPATH": os.pathsep.join(map(str, path)), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [python, "-s", str(program), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=500, env=environ)
