"""What a check of `harmovid doctor` says, and the checks that several packages need.

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
    """One line of the doctor's report. `fix` is what to do; empty where all is well."""

    check: str
    status: str
    detail: str
    fix: str = ""


Check = Callable[[Settings], Iterable[Finding]]


def version_of(distribution: str) -> str:
    """Return an installed distribution's version, empty where it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def package(distribution: str, module: str, fix: str, missing: str = FAIL) -> Finding:
    """Return whether `distribution` is installed and its `module` can really be imported.

    Args:
        distribution: its name in a package index.
        module: what it is imported as.
        fix: what to do where it is not.
        missing: the status where it is not installed.
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

    A folder that does not exist yet is tried at its nearest parent that does, and has the status `missing`.
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
