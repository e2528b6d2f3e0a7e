"""Packing and unpacking of a bundle: a tar with exactly the files that the manifest names.

    path = pack(Path("models/harmovid"), Path("."))          # harmovid-1.tar, the same bytes each time
    folder = unpack(path, Path("/srv/models"))               # /srv/models/harmovid, verified

Both directions check every hash. It needs the standard library only.
"""

from __future__ import annotations

import re
import shutil
import tarfile
from pathlib import Path
from typing import List

from harmovid import bundle
from harmovid.bundle import MANIFEST, Manifest
from harmovid.errors import BundleError
from harmovid.storage.atomic import replacing

_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")


def files_of(manifest: Manifest) -> List[str]:
    """Return the names of all files of a bundle, its manifest first."""
    return list(dict.fromkeys([MANIFEST, manifest.card, *(name for name, _ in manifest.files())]))


def pack(folder: Path, out: Path) -> Path:
    """Write `NAME-VERSION.tar` into the folder `out` and return its path.

    Raises:
        BundleError: the bundle is incomplete, or its name or version cannot be part of a file name.
    """
    manifest = bundle.verify(folder)
    title = f"{manifest.name}-{manifest.version}"
    if not _SAFE.match(title):
        raise BundleError(
            f"{title!r} cannot be a file's name.", fix="Change name or version in manifest.json."
        )
    path = out / f"{title}.tar"
    with replacing(path) as part, tarfile.open(part, "w", format=tarfile.PAX_FORMAT) as tar:
        for name in files_of(manifest):
            tar.add(folder / name, f"{manifest.name}/{name}", filter=_plain)
    return path


def unpack(path: Path, out: Path) -> Path:
    """Unpack a bundle into a folder in `out` and return it; an existing one of the same name is replaced.

    Raises:
        BundleError: the file is not a packed bundle, has paths outside its folder, or is incomplete.
    """
    part = out / f".{path.name}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        try:
            with tarfile.open(path, "r:") as tar:
                for member in tar:
                    _extract(tar, member, part)
        except (tarfile.TarError, OSError, EOFError) as error:
            raise BundleError(f"{path} is no packed bundle: {error}.", fix="Copy it again, whole.") from error
        manifest = bundle.verify(part)
        extra = sorted({one.name for one in part.iterdir()} - set(files_of(manifest)))
        if extra:
            raise BundleError(
                f"{path} holds {extra[0]}, which its manifest does not name.", fix="Pack it again."
            )
        if not _SAFE.match(manifest.name):
            raise BundleError(f"{path}: {manifest.name!r} cannot be a folder's name.", fix="Pack it again.")
        folder = out / manifest.name
        shutil.rmtree(folder, ignore_errors=True)
        part.replace(folder)
        return folder
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Return a member without the attributes that differ from machine to machine."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime, member.mode = 0, 0o644
    return member


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    parts = member.name.split("/")
    if len(parts) != 2 or not all(_SAFE.match(part) for part in parts) or not member.isfile():
        raise BundleError(
            f"a packed bundle holds {member.name!r}, which no bundle has.", fix="Pack it again."
        )
    source = tar.extractfile(member)
    if source is None:
        raise BundleError(f"{member.name} cannot be read.", fix="Copy the file again, whole.")
    with source, open(folder / parts[1], "wb") as target:
        shutil.copyfileobj(source, target)
