"""Checks of `harmovid doctor` for DaVinci Resolve: is the plugin installed, and which Python will Resolve use."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Dict, Iterator, List

from harmovid import __version__
from harmovid.doctor import FAIL, OK, WARN, Check, Finding
from harmovid.errors import InputError
from harmovid.settings import Settings

from harmovid_resolve import install, places

INSTALL = "Run: harmovid plugin install resolve"
WAYS = {
    "darwin": "Install Python from python.org, or run: launchctl setenv PYTHON3HOME FOLDER (with bin/python3 in it).",
    "win32": "Install 64-bit Python from python.org for all users, or set FUSION_PYTHON3_HOME to its folder.",
}


def plugin(_: Settings) -> Iterator[Finding]:
    """Yield whether the plugin is installed, and whether the files that it names still exist."""
    found = [
        scripts
        for scripts in (places.user_scripts(), places.all_users_scripts())
        if install.manifest(scripts)
    ]
    for scripts in found:
        yield _installed(scripts)
    if not found and places.is_here():
        yield Finding("Resolve plugin", WARN, "DaVinci Resolve is here, the plugin is not installed", INSTALL)
    elif not found:
        yield Finding("Resolve plugin", OK, "no DaVinci Resolve for this user, and no plugin")
    elif find_spec("PySide6") is None:
        yield Finding(
            "Resolve window", OK, "not installed; only a Resolve without UIManager needs it: harmovid[window]"
        )


def _installed(scripts: Path) -> Finding:
    told = install.manifest(scripts)
    door = scripts / install.MENU / install.DOOR
    if not door.exists():
        return Finding("Resolve plugin", FAIL, f"{door} is gone", INSTALL)
    python = _settings(scripts).get("python", "")
    try:
        install.check_python(str(python))
    except InputError as error:
        return Finding("Resolve plugin", FAIL, error.message, f"{INSTALL}. {error.fix}")
    if not install.is_current(scripts):
        said = f"{door}: what runs in Resolve is of another version than this HarmoVid, {__version__}"
        return Finding("Resolve plugin", WARN, said, INSTALL)
    changed = "" if install._digest(door) == told.get("door") else ", edited"
    return Finding("Resolve plugin", OK, f"{door}{changed}; jobs run in {python}")


def _settings(scripts: Path) -> Dict[str, Any]:
    try:
        found = json.loads((install.data_folder(scripts) / install.SETTINGS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def python_of_resolve(_: Settings) -> Iterator[Finding]:
    """Yield which Python Resolve will use for the menu script; nothing if there is neither Resolve nor the plugin."""
    scripts = (places.user_scripts(), places.all_users_scripts())
    if not places.is_here() and not any(install.manifest(each) for each in scripts):
        return
    yield judged(places.find_python(), sys.platform)


def judged(found: places.FoundPython, system: str) -> Finding:
    """Return the finding for a Python that was found."""
    name, fix = "Resolve's Python", WAYS.get(system, "Install the system's python3 package.")
    if not found.path:
        return Finding(name, FAIL, found.how, fix)
    version = ".".join(map(str, found.version)) if found.version != (0, 0) else "unknown"
    detail = f"{found.path}, version {version}: {found.how}"
    if found.version == (0, 0):
        return Finding(name, WARN, f"{detail}; it cannot be asked", fix)
    if found.version < places.OLDEST_PYTHON:
        wanted = ".".join(map(str, places.OLDEST_PYTHON))
        return Finding(name, FAIL, f"{detail}; the plugin needs {wanted}", fix)
    if found.version >= places.NEW_PYTHON:
        return Finding(name, OK, f"{detail}; Resolve before 20.3 may not work with it")
    return Finding(name, OK, detail)


CHECKS: List[Check] = [plugin, python_of_resolve]
