"""The results of `harmovid doctor` checks, and checks that several packages use.

A package adds its own checks through the entry point group `harmovid.doctor`, whose value is a list of them:

    def licence(settings: Settings) -> Iterator[Finding]:
        yield Finding("licence", OK, "found")

    CHECKS = [licence]
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import Callable, Iterable

from harmovid.settings import Settings

OK, WARN, FAIL = "ok", "warn", "fail"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report. `fix` is what to do; empty if nothing is wrong."""

    check: str
    status: str
    detail: str
    fix: str = ""


Check = Callable[[Settings], Iterable[Finding]]


def version_of(distribution: str) -> str:
    """Return an installed distribution's version, or "" if it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def package(distribution: str, module: str, fix: str, missing: str = FAIL) -> Finding:
    """Return whether `distribution` is installed and its `module` can be imported, by importing it.

    Args:
        distribution: its name in a package index.
        module: what it is imported as.
        fix: what to do if it is not.
        missing: the status if it is not installed.
    """
    version = version_of(distribution)
    if not version:
        return Finding(distribution, missing, "not installed", fix)
    try:
        import_module(module)
    except ImportError as error:
        return Finding(distribution, FAIL, f"{version}, but it cannot be imported: {error}", fix)
    return Finding(distribution, OK, version)


def writable(check: str, folder: Path, missing: str = OK) -> Finding:
    """Return whether files can be written in `folder`, by really writing one.

    If the folder does not exist yet, its nearest existing parent is tried, and the status is `missing`.
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
    """Return the user's name for messages, or the user id if the name is unknown (containers)."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return str(getattr(os, "getuid", lambda: "you")())
