"""The folders of results: one per clip, in it one per version, with a record beside the results.

<folder>/<clip>/v003/harmovid.json           the record: the task, the request and the state
<folder>/<clip>/v003/in/plate.1001.exr       frames that Resolve rendered; removed at the end
<folder>/<clip>/v003/<clip>_v003.1001.exr    the results
"""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import replace
from typing import Any, Iterable, List

from harmovid_resolve import exr_file
from harmovid_resolve.contract import RECORD, Record
from harmovid_resolve.errors import HostError
from harmovid_resolve.source import path_of

__all__ = ["drop_inputs", "input_folder", "load", "missing", "new_version", "result", "safe_name", "save"]

INPUTS = "in"
LONGEST_NAME = 80
MOST_VERSIONS = 9999

_NOT_SAFE = re.compile(r"[^\w.-]+")
_NUMBERED = re.compile(r"\.?\[\d+-\d+\]|\.\w{2,4}$")


def safe_name(name: str) -> str:
    """Return a clip's name as a file name: without extension and numbers, and without characters that an operating
    system refuses.
    """
    plain = _NUMBERED.sub("", name)
    return _NOT_SAFE.sub("_", plain).strip("._")[:LONGEST_NAME] or "clip"


def new_version(folder: str, clip: str, wanted: str) -> str:
    """Make the folder of a new version and return it. Simultaneous calls get different folders.

    Args:
        folder: the output folder that the user named.
        clip: the clip's name.
        wanted: the version's name; empty: the next of v001, v002, ...

    Raises:
        HostError: it cannot be made, or a version of that name exists.
    """
    place = os.path.join(os.path.abspath(folder), safe_name(clip))
    names: Iterable[str] = (
        [safe_name(wanted)] if wanted else (f"v{number:03d}" for number in range(1, MOST_VERSIONS))
    )
    try:
        os.makedirs(place, exist_ok=True)
        for name in names:
            made = os.path.join(place, name)
            try:
                os.mkdir(made)
            except FileExistsError:
                continue
            return made
    except OSError as error:
        raise HostError(
            f"no folder can be made in {place}: {error.strerror}.", fix="Choose another output folder."
        ) from error
    raise HostError(f"{clip} has a version {wanted} already.", fix="Choose another name for the version.")


def result(version: str, clip: str) -> str:
    """Return the pattern of the results in a version's folder."""
    return os.path.join(version, f"{safe_name(clip)}_{os.path.basename(version)}.####.exr")


def input_folder(version: str) -> str:
    """Return the folder of rendered frames in a version's folder."""
    return os.path.join(version, INPUTS)


def drop_inputs(version: str) -> None:
    """Remove the rendered frames of a version; errors are ignored."""
    shutil.rmtree(input_folder(version), ignore_errors=True)


def missing(pattern: str, first: int, last: int) -> List[int]:
    """Return the frames of a range without a complete result."""
    return [number for number in range(first, last + 1) if exr_file.problem(path_of(pattern, number))]


def save(version: str, record: Record, **changes: Any) -> Record:
    """Return a record with changes, written atomically into its version's folder.

    Raises:
        HostError: it cannot be written.
    """
    changed = replace(record, **changes)
    path = os.path.join(version, RECORD)
    try:
        with open(path + ".tmp", "w", encoding="utf-8") as file:
            json.dump(changed.to_dict(), file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(path + ".tmp", path)
    except OSError as error:
        raise HostError(
            f"{path} cannot be written: {error.strerror}.", fix="Free room on the disk."
        ) from error
    return changed


def load(version: str) -> Record:
    """Return the record in a version's folder.

    Raises:
        HostError: there is none, or it cannot be read.
    """
    path = os.path.join(version, RECORD)
    try:
        with open(path, encoding="utf-8") as file:
            return Record.from_dict(json.load(file))
    except (OSError, ValueError) as error:
        raise HostError(f"{path} cannot be read: {error}.", fix="Choose a version's folder.") from error
