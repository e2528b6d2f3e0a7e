"""The training data of the shipped weights, file by file: origin, author, licence, hash.

    python -m harmovid_training.data check FOLDER      # compare FOLDER with the list, by hash
    python -m harmovid_training.data list FOLDER       # write the list again from FOLDER/SOURCES.csv

`sources.csv` beside this module lists every file; docs/data.md sums it up.
"""

from __future__ import annotations

import csv
import hashlib
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Dict, Iterator, List, Set, Tuple

from harmovid.errors import InputError
from harmovid.storage.atomic import replacing

LIST = Path(__file__).with_name("sources.csv")
READ_BYTES = 1 << 20
FLICKR = "Flickr photo "
ORIGINS = "SOURCES.csv"
"""Name of a folder's own list: file, repo, commit-or-blob, path, licence, author, evidence, processing."""
MASK_ORIGINS = {
    ".mask.png": (re.compile(r"\bmask: .*?(COCO|Open Images).*?(CC BY 4\.0)"), "annotated"),
    ".automask.png": (re.compile(r"\bautomask: predicted here by (.*?) \((Apache-2\.0)"), "predicted"),
}
"""Endings of subject masks; where the origin of each kind stands in a photo's `processing`; and how it was made."""


@dataclass(frozen=True)
class Source:
    """One file: its place in the folder, sha256, where it came from (repository, commit or
    blob, path), author and licence."""

    file: str
    sha256: str
    repository: str
    commit: str
    path: str
    author: str
    licence: str


def listed(path: Path = LIST) -> Tuple[Source, ...]:
    """Return all files that the weights were trained on, in the list's order."""
    with path.open(newline="", encoding="utf-8") as stream:
        return tuple(Source(**row) for row in csv.DictReader(stream))


def made(folder: Path) -> Tuple[Source, ...]:
    """Return a new list from the `SOURCES.csv` of `folder`, with current hashes and each photo's masks after it.

    Folders that `SOURCES.csv` does not cover (models/) are taken from the existing list.

    Raises:
        InputError: the folder has no such file, or lacks a file that is named there.
    """
    origins = folder / ORIGINS
    if not origins.is_file():
        raise InputError(f"{origins} is not there.", fix="Name a folder that lists its sources.")
    found: List[Source] = []
    with origins.open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            if not (folder / row["file"]).is_file():
                raise InputError(f"{folder / row['file']} is not there.", fix=f"Take it out of {origins}.")
            found.append(Source(
                row["file"], digest(folder / row["file"]), row["repo"], row["commit-or-blob"], row["path"],
                row["author"], row["licence"],
            ))  # fmt: skip
            found += _masks(folder, row)
    spoken = {source.file.split("/")[0] for source in found}
    return (*found, *(source for source in listed() if source.file.split("/")[0] not in spoken))


def _masks(folder: Path, row: Dict[str, str]) -> Iterator[Source]:
    """Yield the masks of a photo with the origin that its row states."""
    for ending, (pattern, how) in MASK_ORIGINS.items():
        file = str(Path(row["file"]).with_suffix(ending))
        stated = pattern.search(row["processing"])
        if stated and (folder / file).is_file():
            yield Source(file, digest(folder / file), row["repo"], "", how, stated[1], stated[2])


def save_list(sources: Tuple[Source, ...], path: Path = LIST) -> None:
    """Write the list atomically."""
    with replacing(path) as partial, open(partial, "w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, [field.name for field in fields(Source)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(source) for source in sources)


def check(folder: Path, sources: Tuple[Source, ...]) -> Iterator[Tuple[Source, str]]:
    """Yield every listed file with the state of the copy in `folder`: "" (right), "missing" or "differs"."""
    for source in sources:
        place = folder / source.file
        if not place.is_file():
            yield source, "missing"
        else:
            yield source, "" if digest(place) == source.sha256 else "differs"


def digest(path: Path) -> str:
    """Return the sha256 of a file, hexadecimal."""
    total = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(READ_BYTES):
            total.update(block)
    return total.hexdigest()


def credits_of(sources: Tuple[Source, ...]) -> Iterator[str]:
    """Yield one line per licence that requires attribution: the licence, then all authors.

    Photos whose author is only known by the photo's number on Flickr are named by it.
    """
    named: Dict[str, Set[str]] = {}
    for source in sources:
        if "BY" in source.licence:
            named.setdefault(source.licence.replace("CC-BY", "CC BY").replace("BY-", "BY "), set()).add(
                source.author
            )
    for licence in sorted(named):
        numbers = sorted(name[len(FLICKR) :] for name in named[licence] if name.startswith(FLICKR))
        names = sorted(name for name in named[licence] if not name.startswith(FLICKR))
        photos = [f"the photos {', '.join(numbers)} on Flickr"] if numbers else []
        yield f"{licence}: " + "; ".join([*names, *photos]) + "."


def licences(sources: Tuple[Source, ...]) -> List[Tuple[str, str, int]]:
    """Return (repository, licence, number of files), most files first."""
    counts: dict[Tuple[str, str], int] = {}
    for source in sources:
        key = (source.repository, source.licence)
        counts[key] = counts.get(key, 0) + 1
    return sorted(((*key, count) for key, count in counts.items()), key=lambda row: (-row[2], row[0]))
