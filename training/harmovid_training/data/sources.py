"""What the shipped weights were trained on, file by file: origin, author, licence, hash.

    python -m harmovid_training.data check FOLDER      # is FOLDER that material, bit by bit?

`sources.csv` beside this module lists every file; docs/data.md sums it up.
"""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, List, Tuple

LIST = Path(__file__).with_name("sources.csv")
READ_BYTES = 1 << 20


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


def check(folder: Path, sources: Tuple[Source, ...]) -> Iterator[Tuple[Source, str]]:
    """Yield every listed file with what is wrong with the reader's copy: "", "missing" or "differs"."""
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


def licences(sources: Tuple[Source, ...]) -> List[Tuple[str, str, int]]:
    """Return (repository, licence, number of files), most files first."""
    counts: dict[Tuple[str, str], int] = {}
    for source in sources:
        key = (source.repository, source.licence)
        counts[key] = counts.get(key, 0) + 1
    return sorted(((*key, count) for key, count in counts.items()), key=lambda row: (-row[2], row[0]))
