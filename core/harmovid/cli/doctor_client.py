"""The doctor's checks of what every installation has: Python, packages, settings, keys, its server."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from importlib import import_module, metadata
from pathlib import Path
from typing import Iterator, List

from harmovid import __version__, settings
from harmovid.cli.finding import FAIL, OK, WARN, Check, Finding
from harmovid.errors import HarmoVidError

# The oldest Python that the light client supports (pyproject.toml, requires-python).
MIN_PYTHON = (3, 9)


def version_of(distribution: str) -> str:
    """Return an installed distribution's version, empty where it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def package(distribution: str, module: str, mend: str, missing: str = FAIL) -> Finding:
    """Return whether `distribution` is installed and its `module` can really be imported."""
    version = version_of(distribution)
    if not version:
        return Finding(distribution, missing, "not installed", mend)
    try:
        import_module(module)
    except ImportError as error:
        return Finding(distribution, FAIL, f"{version}, but it cannot be imported: {error}", mend)
    return Finding(distribution, OK, version)


def python(_: argparse.Namespace) -> Iterator[Finding]:
    """Yield the interpreter, the platform, and our own version."""
    yield Finding("harmovid", OK, f"{__version__} in {Path(__file__).resolve().parent.parent}")
    version = platform.python_version()
    detail = f"{version} at {sys.executable}, {platform.system()} {platform.machine()}"
    if sys.version_info < MIN_PYTHON:
        yield Finding("python", FAIL, detail, f"Use Python {MIN_PYTHON[0]}.{MIN_PYTHON[1]} or newer.")
    else:
        yield Finding("python", OK, detail)


def client_packages(_: argparse.Namespace) -> Iterator[Finding]:
    """Yield the light client's packages, and whether ZeroMQ can encrypt."""
    mend = f"{sys.executable} -m pip install --upgrade harmovid"
    for distribution, module in (("pyzmq", "zmq"), ("msgpack", "msgpack"), ("tqdm", "tqdm")):
        yield package(distribution, module, mend)
    import zmq

    if zmq.has("curve"):
        yield Finding("encryption", OK, f"CURVE, libzmq {zmq.zmq_version()}")
    else:
        yield Finding(
            "encryption", WARN, f"libzmq {zmq.zmq_version()} is built without CURVE",
            "Only servers on this machine can be used; install pyzmq from its wheel.",
        )  # fmt: skip


def client_settings(args: argparse.Namespace) -> Iterator[Finding]:
    """Yield the settings in force and where they are kept."""
    path = settings.config_file()
    try:
        found = settings.load(args.server, args.key)
    except HarmoVidError as error:
        yield Finding("settings", FAIL, error.message, error.fix)
        return
    where = str(path) if path.exists() else f"no {path}, defaults hold"
    yield Finding(
        "settings", OK, f"{where}; server {found.server or 'none (a private one is started per job)'}"
    )
    for folder, name in found.roots:
        if folder.is_dir():
            yield Finding("shared storage", OK, f"{folder} is the server's root {name}")
        else:
            yield Finding(
                "shared storage", WARN, f"{folder} is not mounted here", "Mount it, or drop its mapping."
            )


def writing(_: argparse.Namespace) -> Iterator[Finding]:
    """Yield whether the working folder and the temporary folder can be written."""
    for name, folder in (("working folder", Path.cwd()), ("temporary folder", Path(tempfile.gettempdir()))):
        yield writable(name, folder, missing=FAIL)


def writable(check: str, folder: Path, missing: str = OK) -> Finding:
    """Return whether files can be written in `folder`, by really writing one.

    A folder that does not exist yet is tried at its nearest parent that does, and graded `missing`.
    """
    present = folder
    while not present.exists() and present != present.parent:
        present = present.parent
    try:
        with tempfile.NamedTemporaryFile(dir=present, prefix=".harmovid-doctor-"):
            pass
    except OSError as error:
        return Finding(
            check, FAIL, f"{folder}: {error.strerror}", f"Give {user_name()} write permission on {present}."
        )
    if present != folder:
        return Finding(check, missing, f"{folder} does not exist yet; {present} is writable")
    return Finding(check, OK, f"{folder} is writable")


def user_name() -> str:
    """Return who runs this, for messages; the number where the name is unknown (containers)."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return str(getattr(os, "getuid", lambda: "you")())


def own_keys(args: argparse.Namespace) -> Iterator[Finding]:
    """Yield the key in force and every pair in the user's key folder, file modes included."""
    from harmovid import keys
    from harmovid.cli import keys_command

    found = settings.load(args.server, args.key)
    paths = set((settings.config_folder() / "keys").glob("*" + keys_command.SECRET))
    if found.key:
        paths.add(keys_command.secret_file(found.key))
    for path in sorted(paths):
        try:
            pair = keys.load_secret(path)
        except HarmoVidError as error:
            yield Finding("key", FAIL, error.message, error.fix)
            continue
        trusts = "" if pair.server else ", trusts no server yet"
        yield Finding("key", OK, f"{path}{trusts}")
    if not paths:
        yield Finding("key", OK, "none: fine for a private server and for one on this machine without keys")


def server_answer(args: argparse.Namespace) -> Iterator[Finding]:
    """Yield whether the configured server answers, how fast, and with which engines."""
    found = settings.load(args.server, args.key)
    if not found.server:
        return
    from harmovid import connect

    begun = time.monotonic()
    try:
        with connect.client(found) as client:
            names: List[str] = [engine.name for engine in client.engines()]
    except HarmoVidError as error:
        yield Finding("server", FAIL, f"{found.server}: {error.message}", error.fix)
        return
    spent_ms = (time.monotonic() - begun) * 1000
    yield Finding(
        "server", OK, f"{found.server} answers in {spent_ms:.0f} ms, engines {', '.join(names) or 'none'}"
    )


CHECKS: List[Check] = [python, client_packages, client_settings, writing, own_keys, server_answer]
