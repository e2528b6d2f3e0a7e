"""Packing and unpacking of a bundle: a tar with exactly the files that the manifest names.

    path = pack(Path("models/harmovid"), Path("."))          # harmovid-1.tar, the same bytes each time
    folder = unpack(path, Path("/srv/models"))               # /srv/models/harmovid, verified

Both directions check every hash. It needs the standard library only.
"""

from __future__ import annotations

import os
import re
import shutil
import tarfile
from pathlib import Path
from typing import List

from harmovid import bundle
from harmovid.bundle import MANIFEST, Manifest
from harmovid.errors import BundleError
from harmovid.storage.atomic import replacing

from harmovid_export.folders import beside, check_free, put

_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
_COPY = "Copy the file again, whole, or pack the bundle again."


def files_of(manifest: Manifest) -> List[str]:
    """Return the names of all files of a bundle, its manifest first."""
    return list(dict.fromkeys([MANIFEST, manifest.card, *(name for name, _ in manifest.files())]))


def pack(folder: Path, out: Path) -> Path:
    """Write `NAME-VERSION.tar` into the folder `out`, which is made if it is not there, and return its path.

    Links in the bundle are packed as the files that they lead to.

    Raises:
        BundleError: the bundle is incomplete, a name in it cannot be that of a file everywhere, or the tar cannot be
            written.
    """
    manifest = bundle.verify(folder)
    title = f"{manifest.name}-{manifest.version}"
    for name in (title, manifest.name, *files_of(manifest)):
        if not _SAFE.match(name):
            raise BundleError(
                f"{name!r} cannot be a file's name on every system.",
                fix="Use letters, digits, '.', '_' and '-' in manifest.json and for its files.",
            )
    path = out / f"{title}.tar"
    try:
        out.mkdir(parents=True, exist_ok=True)
        with (
            replacing(path) as part,
            tarfile.open(part, "w", format=tarfile.PAX_FORMAT, dereference=True) as tar,
        ):
            for name in files_of(manifest):
                tar.add(folder / name, f"{manifest.name}/{name}", filter=_plain)
    except OSError as error:
        raise BundleError(
            f"{path} cannot be written: {error.strerror or error}.", fix="Name another folder with -o."
        ) from error
    return path


def unpack(path: Path, out: Path) -> Path:
    """Unpack a bundle into a folder in `out` and return it; an existing bundle of the same name is replaced.

    Raises:
        BundleError: the file is not a packed bundle, has paths outside its folder, links, or more data than it can
            hold; the bundle is incomplete; a folder of its name is no bundle; or `out` cannot be written.
    """
    part = beside(out / path.name)
    try:
        _extract(path, part)
        manifest = _verified(path, part)
        folder = out / manifest.name
        put(part, folder)
        return folder
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _verified(path: Path, part: Path) -> Manifest:
    """Return the manifest of what was unpacked; errors name the packed file instead of the temporary folder."""
    try:
        manifest = bundle.verify(part)
    except BundleError as error:
        text = error.message.replace(f"{part}{os.sep}", "")
        raise BundleError(f"{path} is no whole bundle: {text}", fix=_COPY) from error
    extra = sorted({one.name for one in part.iterdir()} - set(files_of(manifest)))
    if extra:
        raise BundleError(
            f"{path} holds {extra[0]}, which its manifest does not name.", fix="Pack the bundle again."
        )
    if not _SAFE.match(manifest.name):
        raise BundleError(
            f"{path}: {manifest.name!r} cannot be a folder's name.", fix="Pack the bundle again."
        )
    return manifest


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Return a member without the attributes that differ from machine to machine."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime, member.mode = 0, 0o644
    return member


def _extract(path: Path, folder: Path) -> None:
    """Write all files of a packed bundle into a folder, after checking its whole table of contents."""
    if not path.is_file():
        raise BundleError(f"{path} is no file.", fix="Name the file that `harmovid bundle pack` wrote.")
    try:
        with tarfile.open(path, "r:") as tar:
            members = tar.getmembers()
            _check_members(path, members)
            check_free(folder, sum(member.size for member in members))
            for member in members:
                source = tar.extractfile(member)
                if source is None:
                    raise BundleError(f"{path}: {member.name} cannot be read.", fix=_COPY)
                with source, open(folder / member.name.split("/")[1], "wb") as target:
                    shutil.copyfileobj(source, target)
    except (tarfile.TarError, EOFError) as error:
        raise BundleError(f"{path} is no packed bundle: {error}.", fix=_COPY) from error
    except OSError as error:
        raise BundleError(f"{path} cannot be unpacked: {error.strerror or error}.", fix=_COPY) from error


def _check_members(path: Path, members: List[tarfile.TarInfo]) -> None:
    """Raise `BundleError` unless all members are plain files in one folder, each once, that fit into the file."""
    seen = set()
    for member in members:
        parts = member.name.split("/")
        plain = len(parts) == 2 and all(_SAFE.match(part) for part in parts)
        if not plain or not member.isreg() or member.issparse() or member.name in seen:
            what = " twice" if member.name in seen else ", which no bundle has"
            raise BundleError(f"{path} holds {member.name!r}{what}.", fix="Pack the bundle again.")
        seen.add(member.name)
    if len({member.name.split("/")[0] for member in members}) != 1:
        raise BundleError(f"{path} does not hold one folder.", fix="Pack the bundle again.")
    if sum(member.size for member in members) > path.stat().st_size:
        raise BundleError(f"{path} claims to hold more than it does.", fix=_COPY)
