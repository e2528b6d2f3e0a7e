"""`harmovid plugin install nuke` and `uninstall`: a folder in Nuke's user folder, and a marked block in its init.py.

    harmovid plugin install nuke [--nuke-dir DIR] [--wheelhouse DIR] [--abi cp311-linux_x86_64 ...]
    harmovid plugin uninstall nuke [--nuke-dir DIR]

Installing twice has no further effect. Files are backed up before they are changed, and uninstalling restores Nuke's
folder to the byte; an init.py that was edited meanwhile keeps the edits and loses only the block.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

from harmovid.cli.parser import Parser
from harmovid.errors import InputError, OutputError

from harmovid_nuke import vendor, wheels

FOLDER, MANIFEST, BACKUP = "harmovid", "installed.json", "init.py.before-harmovid"
BEGIN, END = "# >>> harmovid >>>", "# <<< harmovid <<<"
BLOCK = f"""{BEGIN}
# Written by `harmovid plugin install nuke`; `harmovid plugin uninstall nuke` takes it out again.
import nuke
nuke.pluginAddPath("./{FOLDER}")
{END}
"""
LEFT_OUT = ("__pycache__", "pixels", "cli", "doors")
"""Parts of our packages that a host does not need."""

DEFAULT_PYTHONS = ("cp39", "cp310", "cp311")


def run(action: str, words: Sequence[str], console: Any) -> int:
    """Run `harmovid plugin ACTION nuke WORDS`; return the exit code.

    Args:
        action: "install" or "uninstall".
        words: the arguments after the host's name.
        console: for text and JSON output.

    Raises:
        InputError, OutputError: it failed; no partial change is left.
    """
    args = _grammar(action).parse_args(list(words))
    folder = os.path.abspath(os.path.expanduser(args.nuke_dir))
    if action == "uninstall":
        was_there = uninstall(folder)
        console.text(f"HarmoVid is {'removed from' if was_there else 'not installed in'} {folder}")
        console.result({"ok": True, "folder": folder, "removed": was_there})
        return 0
    abis = args.abi or [f"{python}-{vendor.abi().partition('-')[2]}" for python in DEFAULT_PYTHONS]
    install(folder, abis, args.wheelhouse)
    console.text(
        f"HarmoVid is installed in {folder}, for {', '.join(abis)}. Start Nuke; look for HarmoVid in its menu."
    )
    console.result({"ok": True, "folder": folder, "abis": abis})
    return 0


def _grammar(action: str) -> argparse.ArgumentParser:
    grammar = Parser(prog=f"harmovid plugin {action} nuke", epilog=table(), formatter_class=_Raw)
    home = os.path.join(os.path.expanduser("~"), ".nuke")
    grammar.add_argument(
        "--nuke-dir", default=home, metavar="DIR", help="Nuke's user folder, or a studio's (%(default)s)"
    )
    if action == "install":
        grammar.add_argument(
            "--wheelhouse", metavar="DIR", help="take pyzmq and msgpack from here; nothing is fetched"
        )
        grammar.add_argument(
            "--abi", action="append", metavar="ABI", help="a Python and platform, as cp311-linux_x86_64"
        )
    return grammar


class _Raw(argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of the table."""


def table() -> str:
    """Return a table of Nuke versions with their Python and how far they are supported, as text."""
    lines = ["Nuke and its Python:"]
    lines += [f"  Nuke {nuke:<10} {python:<6} {meaning}" for nuke, python, meaning in wheels.HOSTS]
    return "\n".join([*lines, "Platforms: " + ", ".join(wheels.PLATFORMS)])


def install(folder: str, abis: Sequence[str], wheelhouse: Optional[str] = None) -> None:
    """Put the plugin into a Nuke folder, replacing an earlier one.

    Args:
        folder: Nuke's user folder, or any folder on NUKE_PATH; made when missing.
        abis: Pythons and platforms for which to include compiled packages.
        wheelhouse: a folder of wheels; without one they are downloaded.

    Raises:
        InputError: a wheel is missing, or a folder of that name exists that is not HarmoVid's.
        OutputError: it cannot be written.
    """
    target = os.path.join(folder, FOLDER)
    if os.path.exists(target) and not os.path.exists(os.path.join(target, MANIFEST)):
        raise InputError(
            f"{target} exists already and is not HarmoVid's.", fix="Move it away, or name another --nuke-dir."
        )
    made = not os.path.isdir(folder)
    try:
        os.makedirs(folder, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".harmovid-", dir=folder) as work:
            fresh = os.path.join(work, FOLDER)
            build(fresh, abis, wheelhouse)
            manifest = {
                "abis": list(abis),
                "made_folder": made or _manifest(target).get("made_folder", False),
            }
            Path(fresh, MANIFEST).write_text(json.dumps(manifest) + "\n", encoding="utf-8")
            if os.path.isdir(target):
                os.rename(target, os.path.join(work, "old"))
            os.rename(fresh, target)
        _write_block(folder)
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be written: {error.strerror}.", fix="Check its permissions."
        ) from error


def build(target: str, abis: Sequence[str], wheelhouse: Optional[str] = None) -> None:
    """Make the plugin's folder: init.py and menu.py, packages, and compiled packages for each Python and platform.

    Raises:
        InputError: a wheel is missing.
    """
    doors = Path(__file__).parent / "doors"
    os.makedirs(target)
    for name in ("init.py", "menu.py"):
        shutil.copyfile(doors / name, os.path.join(target, name))
    for package in ("harmovid", "harmovid_nuke"):
        source = Path(str(import_module(package).__file__)).parent
        shutil.copytree(
            source, os.path.join(target, "python", package), ignore=shutil.ignore_patterns(*LEFT_OUT)
        )
    with tempfile.TemporaryDirectory() as fetched:
        for abi in abis:
            if wheelhouse is None:
                wheels.fetch(abi, fetched)
            found = wheels.choose(wheels.in_folder(wheelhouse or fetched), abi)
            wheels.unpack(found, os.path.join(target, vendor.FOLDER, abi))


def _manifest(target: str) -> Dict[str, Any]:
    try:
        found = json.loads(Path(target, MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write_block(folder: str) -> None:
    """Append our block to init.py, once, after the file was copied."""
    path = Path(folder, "init.py")
    before = path.read_bytes() if path.exists() else b""
    if BEGIN.encode() in before:
        return
    if path.exists():
        Path(folder, BACKUP).write_bytes(before)
    path.write_bytes(before + _block(before))


def _block(before: bytes) -> bytes:
    """Return the block to append to a file: it starts on a new line and has the file's line endings."""
    text = BLOCK.encode()
    if b"\r\n" in before:
        text = text.replace(b"\n", b"\r\n")
    gap = b"" if not before or before.endswith(b"\n") else (b"\r\n" if b"\r\n" in before else b"\n")
    return gap + text


def uninstall(folder: str) -> bool:
    """Remove the plugin from a Nuke folder; return whether it was there.

    Raises:
        OutputError: something cannot be removed.
    """
    target = os.path.join(folder, FOLDER)
    manifest = _manifest(target)
    ours = os.path.exists(os.path.join(target, MANIFEST))  # be it damaged
    try:
        if ours:
            shutil.rmtree(target)
        touched = _remove_block(folder)
        if manifest.get("made_folder"):
            with contextlib.suppress(OSError):  # not empty: it has other content by now
                os.rmdir(folder)
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be cleaned: {error.strerror}.", fix="Close Nuke and try again."
        ) from error
    return ours or touched


def _remove_block(folder: str) -> bool:
    path, backup = Path(folder, "init.py"), Path(folder, BACKUP)
    if not path.exists() or BEGIN.encode() not in path.read_bytes():
        return False
    now = path.read_bytes()
    before = backup.read_bytes() if backup.exists() else b""
    untouched = now == before + _block(before)
    # If it was edited since, only our lines are removed.
    left = before if untouched else b"".join(_lines_outside(now.splitlines(keepends=True)))
    if left or backup.exists():
        path.write_bytes(left)
    else:
        path.unlink()
    backup.unlink(missing_ok=True)
    return True


def _lines_outside(lines: Sequence[bytes]) -> List[bytes]:
    kept, inside = [], False
    for line in lines:
        if line.strip() == BEGIN.encode():
            inside = True
        if not inside:
            kept.append(line)
        if line.strip() == END.encode():
            inside = False
    return kept
