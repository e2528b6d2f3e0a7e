"""Prepare and check the harmonizer's training data.

python -m harmovid_training.data check FOLDER        # hashes of your copy against the list
python -m harmovid_training.data cache FOLDER OUT    # make OUT/scenes.npz and OUT/subjects.npz, minutes
python -m harmovid_training.data list FOLDER         # write the list again from FOLDER/SOURCES.csv
python -m harmovid_training.data credits             # authors whose licence requires attribution, for the model card
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import List, Optional

from harmovid.errors import HarmoVidError

from harmovid_training.data import cache, figures
from harmovid_training.data.sources import LIST, check, credits_of, listed, made, save_list

SCENES, SUBJECTS = "scenes.npz", "subjects.npz"


def main(words: Optional[List[str]] = None) -> int:
    """Run one command; return the exit status: 0, or 1 where something is wrong with the material."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    checking = commands.add_parser("check", help="compare a folder with the list of what was trained on")
    checking.add_argument("folder", type=Path, help="holds hdri/, photos/ and models/")
    checking.set_defaults(run=lambda given: _check(given.folder))
    listing = commands.add_parser("list", help="make that list anew")
    listing.add_argument("folder", type=Path, help="holds SOURCES.csv and what it names")
    listing.add_argument("--to", type=Path, default=LIST, help="the list to write")
    listing.set_defaults(run=lambda given: _list(given.folder, given.to))
    crediting = commands.add_parser("credits", help="authors who want to be named, by licence")
    crediting.set_defaults(run=lambda _: _credits())
    caching = commands.add_parser("cache", help="make the small pictures that training draws from")
    caching.add_argument("folder", type=Path, help="holds hdri/, photos/ and models/")
    caching.add_argument("out", type=Path)
    caching.add_argument("--workers", type=int, default=1, help="processes that share the work")
    caching.set_defaults(run=lambda given: _cache(given.folder, given.out, given.workers))
    given = parser.parse_args(words)
    try:
        return int(given.run(given))
    except HarmoVidError as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _credits() -> int:
    for line in credits_of(listed()):
        sys.stdout.write(f"- {line}\n")
    return 0


def _list(folder: Path, path: Path) -> int:
    sources = made(folder)
    save_list(sources, path)
    sys.stdout.write(f"{len(sources)} files listed in {path}.\n")
    return 0


def _check(folder: Path) -> int:
    wrong = [(source, fault) for source, fault in check(folder, listed()) if fault]
    for source, fault in wrong:
        sys.stdout.write(f"{fault:8s} {source.file}  ({source.repository}, {source.licence})\n")
    total = len(listed())
    sys.stdout.write(f"{total - len(wrong)} of {total} files are the ones trained on.\n")
    return 1 if wrong else 0


def _cache(folder: Path, out: Path, workers: int) -> int:
    """Make both files; one that is there already is kept. All folders are looked at before the work starts."""
    cache.pictures_in(folder)
    figures.models_in(folder / "models")
    out.mkdir(parents=True, exist_ok=True)
    if _missing(out / SUBJECTS):
        figures.save_subjects(out / SUBJECTS, figures.build_subjects(folder / "models"))
    if _missing(out / SCENES):
        cache.save(out / SCENES, cache.build_scenes(folder, workers=workers))
    return 0


def _missing(path: Path) -> bool:
    if path.is_file():
        sys.stdout.write(f"{path} is kept. Delete it to have it made again.\n")
    return not path.is_file()


if __name__ == "__main__":
    sys.exit(main())
