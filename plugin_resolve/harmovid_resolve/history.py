"""The versions under a folder with their records, and a list of finished runs in the output folder.

    versions("/shots/out")              # the records of `contract.RECORD`, the newest first
    note("/shots/out/clip/v003", {...}) # a line in history.jsonl of the output folder

Standard library only: the panel in Resolve's Python reads it, the client process writes it.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any, Dict, List, Mapping

from harmovid_resolve.contract import RECORD, Record
from harmovid_resolve.errors import HostError

__all__ = ["LOG", "lines", "note", "versions"]

LOG = "history.jsonl"
DEEPEST = 3
"""Output folder, clip, version: the depth to which folders are searched for records."""


def versions(folder: str) -> List[Dict[str, Any]]:
    """Return the records of the versions under a folder as plain data, with `folder` added; the newest first.

    Args:
        folder: an output folder, a clip's folder of versions, or a version's own.

    Raises:
        HostError: there is no such folder.
    """
    if not os.path.isdir(folder):
        raise HostError(f"there is no folder {folder}.", fix="Choose the folder that holds the results.")
    found: List[Dict[str, Any]] = []
    for place in _folders(folder):
        record = _record(os.path.join(place, RECORD))
        if record is not None:
            found.append({**record.to_dict(), "folder": place})
    return sorted(found, key=lambda one: (one["started"], one["version"]), reverse=True)


def _folders(top: str) -> List[str]:
    found, level = [os.path.abspath(top)], [os.path.abspath(top)]
    for _ in range(DEEPEST - 1):
        level = [
            each.path for place in level for each in _entries(place) if each.is_dir(follow_symlinks=False)
        ]
        found += level
    return found


def _entries(place: str) -> List[os.DirEntry[str]]:
    try:
        return sorted(os.scandir(place), key=lambda entry: entry.name)
    except OSError:
        return []


def _record(path: str) -> Any:
    """Return the record in a folder, or None if there is none or it cannot be read."""
    try:
        with open(path, encoding="utf-8") as file:
            return Record.from_dict(json.load(file))
    except (OSError, ValueError, HostError, AttributeError):
        return None


def note(version: str, line: Mapping[str, Any]) -> None:
    """Add a line with the time to the list of runs of a version's output folder; if the disk is full, only the line is
    lost.
    """
    text = json.dumps({"time": time.strftime("%Y-%m-%d %H:%M:%S"), **line}) + "\n"
    try:
        # One write call per line, so that lines of two processes never mix.
        descriptor = os.open(os.path.join(version, LOG), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            os.write(descriptor, text.encode("utf-8"))
        finally:
            os.close(descriptor)
    except OSError:
        return


def lines(version: str) -> List[Dict[str, Any]]:
    """Return the list of runs of a version, the oldest first; an incomplete line is left out."""
    try:
        with open(os.path.join(version, LOG), encoding="utf-8") as file:
            texts = file.read().splitlines()
    except OSError:
        return []
    found = []
    for text in texts:
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict):
            found.append(line)
    return found
