"""`harmovid plugin install resolve` and `uninstall`: a script in Resolve's menu, and a folder beside Resolve's scripts.

    harmovid plugin install resolve [--all-users] [--scripts-dir DIR] [--python PYTHON]
    harmovid plugin uninstall resolve [--all-users] [--scripts-dir DIR]

    Fusion/Scripts/Utility/HarmoVid.py      the menu script ("door" in the code); standard library only
    Fusion/HarmoVid/settings.json           which Python runs the client process
    Fusion/HarmoVid/python/                 the part that runs in Resolve's Python, standard library only
    Fusion/HarmoVid/installed.json          what was made, for uninstalling

The user's other files are not changed. An existing script of that name is kept and restored later; an edited menu
script is kept as HarmoVid.py.edited. Installing twice has no further effect; uninstalling leaves the folder exactly as
it was.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence

from harmovid.cli.parser import Parser
from harmovid.errors import InputError, OutputError
from harmovid.storage.atomic import write_whole

from harmovid_resolve import places

DOOR, MENU, DATA = "HarmoVid.py", "Utility", "HarmoVid"
SETTINGS, MANIFEST, PACKAGE, KEPT = "settings.json", "installed.json", "python", "kept"
OTHER_PYTHON = (
    "serve_client.py",
    "serve_run.py",
    "serve_pixels.py",
    "window.py",
    "install.py",
    "doctor.py",
    "places.py",
)
"""Modules that never run in Resolve's Python."""
PLACEHOLDER = 'SETTINGS = ""'
ASK_S = 60.0


def run(action: str, words: Sequence[str], console: Any) -> int:
    """Run `harmovid plugin ACTION resolve WORDS`; return the exit code.

    Args:
        action: "install" or "uninstall".
        words: the arguments after the host's name.
        console: for text and JSON output.

    Raises:
        InputError, OutputError: it failed; no partial change is left.
    """
    args = _grammar(action).parse_args(list(words))
    usual = places.all_users_scripts() if args.all_users else places.user_scripts()
    scripts = Path(os.path.abspath(os.path.expanduser(args.scripts_dir))) if args.scripts_dir else usual
    if action == "uninstall":
        was_there, left = uninstall(scripts)
        console.text(f"HarmoVid is {'removed from' if was_there else 'not installed in'} {scripts}")
        for path in left:
            console.text(f"kept, because it was edited: {path}")
        console.result(
            {"ok": True, "folder": str(scripts), "removed": was_there, "kept": [str(path) for path in left]}
        )
        return 0
    python = os.path.abspath(os.path.expanduser(args.python)) if args.python else sys.executable
    if args.python:
        check_python(python)
    with _readable_by_all() if args.all_users else contextlib.nullcontext():
        install(scripts, python)
    console.text(
        f"HarmoVid is installed in {scripts}. Restart Resolve and choose Workspace > Scripts > HarmoVid."
    )
    console.text(f"Jobs run in {python}. `harmovid doctor` says which Python Resolve will find.")
    console.result({"ok": True, "folder": str(scripts), "python": python})
    return 0


@contextlib.contextmanager
def _readable_by_all() -> Iterator[None]:
    """Make the written files readable for all users, whatever the umask of the administrator's shell."""
    before = os.umask(0o022)
    try:
        yield
    finally:
        os.umask(before)


def _grammar(action: str) -> argparse.ArgumentParser:
    grammar = Parser(prog=f"harmovid plugin {action} resolve")
    place = grammar.add_mutually_exclusive_group()
    place.add_argument("--all-users", action="store_true", help=f"into {places.all_users_scripts()}")
    place.add_argument(
        "--scripts-dir", metavar="DIR", help=f"Resolve's folder Fusion/Scripts ({places.user_scripts()})"
    )
    if action == "install":
        grammar.add_argument(
            "--python",
            metavar="PYTHON",
            help="the Python that has HarmoVid and runs jobs (by default this one)",
        )
    return grammar


def check_python(python: str) -> None:
    """Raise `InputError` unless an interpreter has HarmoVid with its Resolve plugin installed."""
    words = [python, "-c", f"import harmovid, harmovid_resolve.serve_client; print({DATA!r})"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=ASK_S, check=False)
        answers = done.returncode == 0 and DATA in done.stdout
        why = "" if answers else (done.stderr.strip().splitlines() or ["it is no Python"])[-1]
    except (OSError, subprocess.TimeoutExpired) as error:
        why = str(error)
    if why:
        raise InputError(
            f"{python} cannot run HarmoVid: {why}.", fix=f"Run: {python} -m pip install 'harmovid[server]'"
        )


def data_folder(scripts: Path) -> Path:
    """Return our folder for a folder of scripts: beside it, where Resolve does not look for scripts."""
    return scripts.parent / DATA


def door_text(settings: Path) -> str:
    """Return the text of the menu script for a settings file; it works where `__file__` is not defined."""
    text = (Path(__file__).parent / "scripts" / DOOR).read_text(encoding="utf-8")
    if PLACEHOLDER not in text:
        raise OutputError("the door has no place for the settings file.", fix="Reinstall harmovid.")
    return text.replace(PLACEHOLDER, f"SETTINGS = {str(settings)!r}")


def install(scripts: Path, python: str) -> None:
    """Install the plugin into a folder of scripts, replacing an earlier one.

    Args:
        scripts: Resolve's folder Fusion/Scripts; made if it is missing.
        python: the interpreter of the client process.

    Raises:
        InputError: a folder or file of that name exists that is not HarmoVid's. OutputError: it cannot be written.
    """
    data, door = data_folder(scripts), scripts / MENU / DOOR
    told = manifest(scripts)
    _refuse_foreign(data, door, told)
    try:
        made = [*told.get("made", []), *_make_folders(door.parent), *_make_folders(data)]
        write_whole(str(data / MANIFEST), _json({**told, "made": made}))
        kept = _keep(door, data, told) or bool(told.get("kept"))
        _write_package(data)
        settings = {"python": python, "package": str(data / PACKAGE)}
        write_whole(str(data / SETTINGS), _json(settings))
        text = door_text(data / SETTINGS).encode("utf-8")
        # Before the menu script, so that an interrupted installation is recognised as ours.
        noted = {"made": made, "kept": kept, "door": hashlib.sha256(text).hexdigest(), "python": python}
        write_whole(str(data / MANIFEST), _json(noted))
        write_whole(str(door), text)
    except OSError as error:
        if "door" not in told:  # the first installation: remove all of it, and restore what was there
            with contextlib.suppress(OSError):
                _clear(data, manifest(scripts).get("made", []))
        raise OutputError(
            f"{scripts} cannot be written: {error.strerror}.", fix="Check its permissions."
        ) from error


def _refuse_foreign(data: Path, door: Path, told: Dict[str, Any]) -> None:
    """Raise `InputError` if a file or folder that is not ours is in the way, before anything is made."""
    strange = None
    if (os.path.lexists(data) and not data.is_dir()) or (data.is_dir() and not told and os.listdir(data)):
        strange = data
    elif door.is_dir():
        strange = door
    if strange is not None:
        raise InputError(
            f"{strange} exists already and is not HarmoVid's.",
            fix="Move it away, or name another --scripts-dir.",
        )


def manifest(scripts: Path) -> Dict[str, Any]:
    """Return the manifest of an installation, {} if there is none.

    If it is damaged or gone, it is rebuilt from the menu script and our folder.
    """
    data = data_folder(scripts)
    try:
        found = json.loads((data / MANIFEST).read_bytes())
    except (OSError, ValueError):
        found = None
    return found if isinstance(found, dict) and found else _rebuilt(data)


def _rebuilt(data: Path) -> Dict[str, Any]:
    """Return a manifest for a folder with our content; {} for any other."""
    if not (data / PACKAGE / Path(__file__).parent.name).is_dir():
        return {}
    # A menu script that is not this version's counts as edited, and is kept.
    text = door_text(data / SETTINGS).encode("utf-8")
    kept = os.path.lexists(data / KEPT / DOOR)
    return {"made": [str(data)], "kept": kept, "door": hashlib.sha256(text).hexdigest()}


def uninstall(scripts: Path) -> Any:
    """Remove the plugin; return whether it was installed, and the paths of files that stay because they were edited.

    Raises:
        OutputError: something cannot be removed.
    """
    data, door = data_folder(scripts), scripts / MENU / DOOR
    told, left = manifest(scripts), []
    if not told:
        return False, []
    try:
        # Without "door" in the manifest the installation was interrupted, and the script there is the user's own.
        if "door" in told and _digest(door) == told["door"]:
            door.unlink()
        elif "door" in told and os.path.lexists(door):
            left.append(_aside(door))
        if told.get("kept") and not os.path.lexists(door):
            shutil.copy2(data / KEPT / DOOR, door, follow_symlinks=False)
        _clear(data, told.get("made", []))
    except OSError as error:
        raise OutputError(
            f"{scripts} cannot be cleaned: {error.strerror}.", fix="Close Resolve and try again."
        ) from error
    return True, left


def _clear(data: Path, made: Sequence[str]) -> None:
    """Remove our files, and those of the folders we made that are empty then."""
    for name in (PACKAGE, KEPT):
        shutil.rmtree(data / name, ignore_errors=True)
    for name in (SETTINGS, MANIFEST):
        (data / name).unlink(missing_ok=True)
    for folder in sorted(map(Path, made), key=lambda path: len(path.parts), reverse=True):
        with contextlib.suppress(OSError):  # not empty: other programs use it now
            folder.rmdir()


def _make_folders(folder: Path) -> List[str]:
    """Make a folder with its parents; return those that were missing."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return [str(path) for path in missing]


def _keep(door: Path, data: Path, told: Dict[str, Any]) -> bool:
    """Move an existing script of the menu script's name that is not ours to a safe place; return whether it will be
    restored.
    """
    if not os.path.lexists(door) or ("door" in told and _digest(door) == told["door"]):
        return False
    if "door" in told:
        _aside(door)
        return False
    (data / KEPT).mkdir(exist_ok=True)
    shutil.copy2(door, data / KEPT / DOOR, follow_symlinks=False)  # a link stays a link
    return True


def _aside(door: Path) -> Path:
    """Rename an edited menu script so that Resolve does not list it, and return its new path."""
    for number in range(1, 1000):
        place = door.with_name(f"{DOOR}.edited" + ("" if number == 1 else str(number)))
        if not place.exists():
            os.replace(door, place)
            return place
    raise OutputError(f"there are too many edited copies of {door}.", fix="Remove some.")


def _digest(path: Path) -> Optional[str]:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


def _modules() -> List[Path]:
    """Return the modules that run in Resolve's Python."""
    return [path for path in sorted(Path(__file__).parent.glob("*.py")) if path.name not in OTHER_PYTHON]


def is_current(scripts: Path) -> bool:
    """Return whether the installed part in Resolve is that of this HarmoVid, byte for byte."""
    folder = data_folder(scripts) / PACKAGE / Path(__file__).parent.name
    return all(_digest(folder / path.name) == _digest(path) for path in _modules())


def _write_package(data: Path) -> None:
    """Write the modules that run in Resolve's Python into our folder, in place of earlier ones."""
    source, target = Path(__file__).parent, data / PACKAGE
    with tempfile.TemporaryDirectory(prefix=".harmovid-", dir=data) as work:
        fresh = Path(work) / PACKAGE / source.name
        fresh.mkdir(parents=True)
        for path in _modules():
            shutil.copyfile(path, fresh / path.name)
        if target.is_dir():
            os.rename(target, Path(work) / "old")
        os.rename(fresh.parent, target)


def _json(data: Dict[str, Any]) -> bytes:
    return (json.dumps(data, indent=1) + "\n").encode("utf-8")
