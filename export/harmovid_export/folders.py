"""Bundle folders on disk: what may be replaced, and how.

check_replaceable(folder)        # before the work
part = beside(folder)            # a hidden folder to work in, which servers do not look at
put(part, folder)                # after it: the finished folder takes the place of the old bundle
"""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path

from harmovid.bundle import MANIFEST
from harmovid.errors import BundleError


def check_replaceable(folder: Path) -> None:
    """Raise `BundleError` if something is at `folder` that is not a bundle: it must not be deleted."""
    if not os.path.lexists(folder) or (folder / MANIFEST).is_file():
        return
    if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
        return
    raise BundleError(
        f"{folder} exists and is no bundle, so it is not replaced.", fix="Name another folder, or remove it."
    )


def beside(folder: Path) -> Path:
    """Make a hidden empty folder beside `folder` and return it; raise `BundleError` if it cannot be made."""
    made = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    try:
        made.mkdir(parents=True)
    except OSError as error:
        raise BundleError(
            f"{folder.parent} is no folder that can be written: {error.strerror}.",
            fix="Name another with -o.",
        ) from error
    return made


def check_free(folder: Path, size: int) -> None:
    """Raise `BundleError` if the disk of `folder` has less than `size` bytes free."""
    free = shutil.disk_usage(folder).free
    if size > free:
        raise BundleError(
            f"{folder} has {free / 2**20:.0f} MB free, {size / 2**20:.0f} MB are needed.",
            fix="Free some space, or name a folder on another disk.",
        )


def put(part: Path, folder: Path) -> None:
    """Give the finished folder `part` the name `folder`; a bundle of that name is removed afterwards.

    Raises:
        BundleError: something that is not a bundle has that name. OSError: it cannot be renamed; the old one is back.
    """
    check_replaceable(folder)
    if not os.path.lexists(folder):
        part.replace(folder)
        return
    aside = beside(folder)
    try:
        old = folder.replace(aside / folder.name)
        try:
            part.replace(folder)
        except OSError:
            old.replace(folder)
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
