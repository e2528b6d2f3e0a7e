"""`harmovid plugin install resolve` and `uninstall`: a script in Resolve's menu, a folder of ours beside its scripts.

    harmovid plugin install resolve [--all-users] [--scripts-dir DIR] [--python PYTHON]
    harmovid plugin uninstall resolve [--all-users] [--scripts-dir DIR]

    Fusion/Scripts/Utility/HarmoVid.py      the door: standard library only, names the settings file
    Fusion/HarmoVid/settings.json           which Python runs our client process
    Fusion/HarmoVid/python/                 the part that runs in Resolve's Python, standard library only
    Fusion/HarmoVid/installed.json          what was made, for uninstalling

Nothing else of the user's is touched. A script of that name that was there is kept and comes back; a door that was
edited is kept beside as HarmoVid.py.edited. Installing twice changes nothing; uninstalling leaves the folder as it was,
to the byte.
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
    """Do what `harmovid plugin ACTION resolve WORDS` asks for; return the exit code.

    Args:
        action: "install" or "uninstall".
        words: what stands behind the host's name.
        console: takes text and the machine-readable answer.

    Raises:
        InputError, OutputError: it cannot be done; nothing is left half done.
    """
    args = _grammar(action).parse_args(list(words))
    usual = places.all_users_scripts() if args.all_users else places.user_scripts()
    scripts = Path(os.path.abspath(os.path.expanduser(args.scripts_dir))) if args.scripts_dir else usual
    if action == "uninstall":
        was_there, left = uninstall(scripts)
        console.text(f"HarmoVid is {'removed from' if was_there else 'not installed in'} {scripts}")
        for path in left:
            console.text(f"kept, because somebody has changed it: {path}")
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
        f"HarmoVid is installed in {scripts}. Start Resolve anew; look at Workspace > Scripts > HarmoVid."
    )
    console.text(f"Jobs run in {python}. `harmovid doctor` says which Python Resolve will find.")
    console.result({"ok": True, "folder": str(scripts), "python": python})
    return 0


@contextlib.contextmanager
def _readable_by_all() -> Iterator[None]:
    """Make what is written readable for everybody, whatever the umask of the administrator's shell."""
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
    """Raise `InputError` unless an interpreter has HarmoVid and its Resolve part."""
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
    """Return our own folder for a folder of scripts: beside it, where Resolve looks for no scripts."""
    return scripts.parent / DATA


def door_text(settings: Path) -> str:
    """Return the door for a settings file: a script that runs where `__file__` is not defined."""
    text = (Path(__file__).parent / "scripts" / DOOR).read_text(encoding="utf-8")
    if PLACEHOLDER not in text:
        raise OutputError("the door has no place for the settings file.", fix="Reinstall harmovid.")
    return text.replace(PLACEHOLDER, f"SETTINGS = {str(settings)!r}")


def install(scripts: Path, python: str) -> None:
    """Put the plugin into a folder of scripts, replacing an earlier one.

    Args:
        scripts: Resolve's folder Fusion/Scripts; made when missing.
        python: the interpreter of the client process.

    Raises:
        InputError: somebody else's folder is in the way. OutputError: it cannot be written.
    """
    data, door = data_folder(scripts), scripts / MENU / DOOR
    told = manifest(scripts)
    _refuse_strangers(data, door, told)
    try:
        made = [*told.get("made", []), *_make_folders(door.parent), *_make_folders(data)]
        write_whole(str(data / MANIFEST), _json({**told, "made": made}))
        kept = _keep(door, data, told) or bool(told.get("kept"))
        _write_package(data)
        settings = {"python": python, "package": str(data / PACKAGE)}
        write_whole(str(data / SETTINGS), _json(settings))
        text = door_text(data / SETTINGS).encode("utf-8")
        # Before the door: whatever is there from now on is known to be ours.
        noted = {"made": made, "kept": kept, "door": hashlib.sha256(text).hexdigest(), "python": python}
        write_whole(str(data / MANIFEST), _json(noted))
        write_whole(str(door), text)
    except OSError as error:
        if "door" not in told:  # the first installation: nothing of it stays, and the door is as it was
            with contextlib.suppress(OSError):
                _clear(data, manifest(scripts).get("made", []))
        raise OutputError(
            f"{scripts} cannot be written: {error.strerror}.", fix="Check its permissions."
        ) from error


def _refuse_strangers(data: Path, door: Path, told: Dict[str, Any]) -> None:
    """Raise `InputError` where something that is not ours is in the way, before anything is made."""
    strange = None
    if (os.path.lexists(data) and not data.is_dir()) or (data.is_dir() and not told and os.listdir(data)):
        strange = data
    elif door.is_dir():
        strange = door
    if strange is not None:
        raise InputError(
            f"{strange} is there already and is not ours.", fix="Move it away, or name another --scripts-dir."
        )


def manifest(scripts: Path) -> Dict[str, Any]:
    """Return what is known of an installation, {} where there is none.

    Where the note of it is damaged or gone, it is what can be told from the rest: the door and our folder.
    """
    data = data_folder(scripts)
    try:
        found = json.loads((data / MANIFEST).read_bytes())
    except (OSError, ValueError):
        found = None
    return found if isinstance(found, dict) and found else _rebuilt(data)


def _rebuilt(data: Path) -> Dict[str, Any]:
    """Return a manifest for a folder that is ours by its content; {} for any other."""
    if not (data / PACKAGE / Path(__file__).parent.name).is_dir():
        return {}
    # A door that is not this version's counts as edited, and is kept beside.
    text = door_text(data / SETTINGS).encode("utf-8")
    kept = os.path.lexists(data / KEPT / DOOR)
    return {"made": [str(data)], "kept": kept, "door": hashlib.sha256(text).hexdigest()}


def uninstall(scripts: Path) -> Any:
    """Take the plugin out; return whether it was there, and the paths of what stays because somebody has changed it.

    Raises:
        OutputError: something cannot be removed.
    """
    data, door = data_folder(scripts), scripts / MENU / DOOR
    told, left = manifest(scripts), []
    if not told:
        return False, []
    try:
        # Without "door" in the manifest an installation was cut short, and what is there is the user's own.
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
    """Remove what is in our folder, and those of the folders that we made that are empty."""
    for name in (PACKAGE, KEPT):
        shutil.rmtree(data / name, ignore_errors=True)
    for name in (SETTINGS, MANIFEST):
        (data / name).unlink(missing_ok=True)
    for folder in sorted(map(Path, made), key=lambda path: len(path.parts), reverse=True):
        with contextlib.suppress(OSError):  # not empty: somebody else uses it now
            folder.rmdir()


def _make_folders(folder: Path) -> List[str]:
    """Make a folder and what is above it; return those that were missing."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return [str(path) for path in missing]


def _keep(door: Path, data: Path, told: Dict[str, Any]) -> bool:
    """Put a script of the door's name that is not ours where it is safe; return whether it comes back in the end."""
    if not os.path.lexists(door) or ("door" in told and _digest(door) == told["door"]):
        return False
    if "door" in told:
        _aside(door)
        return False
    (data / KEPT).mkdir(exist_ok=True)
    shutil.copy2(door, data / KEPT / DOOR, follow_symlinks=False)  # a link comes back as a link
    return True


def _aside(door: Path) -> Path:
    """Rename an edited door so that Resolve does not list it, and return its new place."""
    for number in range(1, 1000):
        place = door.with_name(f"{DOOR}.edited" + ("" if number == 1 else str(number)))
        if not place.exists():
            os.replace(door, place)
            return place
    raise OutputError(f"there are too many edited doors beside {door}.", fix="Remove some.")


def _digest(path: Path) -> Optional[str]:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


def _modules() -> List[Path]:
    """Return the modules that run in Resolve's Python."""
    return [path for path in sorted(Path(__file__).parent.glob("*.py")) if path.name not in OTHER_PYTHON]


def is_current(scripts: Path) -> bool:
    """Return whether the part that runs in Resolve is the one of this HarmoVid, byte for byte."""
    folder = data_folder(scripts) / PACKAGE / Path(__file__).parent.name
    return all(_digest(folder / path.name) == _digest(path) for path in _modules())


def _write_package(data: Path) -> None:
    """Put the modules that run in Resolve's Python into our folder, in place of earlier ones."""
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
