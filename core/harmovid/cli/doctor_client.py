"""The checks of `harmovid doctor` for every installation: Python, packages, settings, keys, the server in use."""

from __future__ import annotations

import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Iterator, List

from harmovid import __version__, settings
from harmovid.doctor import FAIL, OK, WARN, Check, Finding, package, writable
from harmovid.errors import HarmoVidError
from harmovid.settings import Settings

# The oldest Python that the light client supports (pyproject.toml, requires-python).
MIN_PYTHON = (3, 9)


def python(_: Settings) -> Iterator[Finding]:
    """Yield the interpreter, the platform, and our own version."""
    yield Finding("harmovid", OK, f"{__version__} in {Path(__file__).resolve().parent.parent}")
    version = platform.python_version()
    detail = f"{version} at {sys.executable}, {platform.system()} {platform.machine()}"
    if sys.version_info < MIN_PYTHON:
        yield Finding("python", FAIL, detail, f"Use Python {MIN_PYTHON[0]}.{MIN_PYTHON[1]} or newer.")
    else:
        yield Finding("python", OK, detail)


def client_packages(_: Settings) -> Iterator[Finding]:
    """Yield the light client's packages, and whether ZeroMQ can encrypt."""
    fix = f"{sys.executable} -m pip install --upgrade harmovid"
    for distribution, module in (("pyzmq", "zmq"), ("msgpack", "msgpack"), ("tqdm", "tqdm")):
        yield package(distribution, module, fix)
    import zmq

    if zmq.has("curve"):
        yield Finding("encryption", OK, f"CURVE, libzmq {zmq.zmq_version()}")
    else:
        yield Finding(
            "encryption", WARN, f"libzmq {zmq.zmq_version()} is built without CURVE",
            "Only servers on this machine can be used; install pyzmq from its wheel.",
        )  # fmt: skip


def client_settings(found: Settings) -> Iterator[Finding]:
    """Yield the settings in force and where they are kept."""
    path = settings.config_file()
    where = str(path) if path.exists() else f"no {path}: defaults are used"
    yield Finding(
        "settings", OK, f"{where}; server {found.server or 'none (a private one is started per job)'}"
    )
    for folder, name in found.roots:
        if folder.is_dir():
            yield Finding("shared storage", OK, f"{folder} is the server's root {name}")
        else:
            yield Finding(
                "shared storage", WARN, f"{folder} is not mounted here", "Mount it, or remove its mapping."
            )


def writing(_: Settings) -> Iterator[Finding]:
    """Yield whether files can be written to the working folder and the temporary folder."""
    for name, folder in (("working folder", Path.cwd()), ("temporary folder", Path(tempfile.gettempdir()))):
        yield writable(name, folder, missing=FAIL)


def own_keys(found: Settings) -> Iterator[Finding]:
    """Yield the key in force and every pair in the user's key folder, file modes included."""
    from harmovid import keys

    paths = set(settings.keys_folder().glob("*" + settings.SECRET))
    if found.key:
        paths.add(settings.secret_file(found.key))
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


def server_answer(found: Settings) -> Iterator[Finding]:
    """Yield whether the configured server answers, how fast, and with which engines."""
    if not found.server:
        return
    from harmovid.client import connect

    begun = time.monotonic()
    try:
        with connect(found) as client:
            names: List[str] = [engine.name for engine in client.engines()]
    except HarmoVidError as error:
        yield Finding("server", FAIL, f"{found.server}: {error.message}", error.fix)
        return
    spent_ms = (time.monotonic() - begun) * 1000
    yield Finding(
        "server", OK, f"{found.server} answers in {spent_ms:.0f} ms, engines {', '.join(names) or 'none'}"
    )


CHECKS: List[Check] = [python, client_packages, client_settings, writing, own_keys, server_answer]
