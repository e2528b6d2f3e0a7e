"""Where an engine's inputs come from, as a task says it: the clip itself, a clip on another track, or files.

    {"fg": "clip", "bg": "below", "source_plate": "track:3", "normals": "file:/show/n.####.exr"}

Images can be clips. Mattes, panoramas and vectors come from files only: what Resolve renders went through its colour
management, and numbers that are no colour would come out as others.
"""

from __future__ import annotations

import os
import re
from typing import Any, Dict, Mapping, Tuple

from harmovid_resolve.errors import HostError

__all__ = [
    "BELOW", "CLIP", "FILE", "LAYER", "LAYER_FILE", "LAYER_TRACK", "NONE", "TRACK",
    "chosen", "file_of", "is_known", "kinds_of", "others", "places", "start", "track_of",
]  # fmt: skip

CLIP, BELOW, NONE = "clip", "below", "none"
TRACK, FILE = "track", "file"
LAYER, LAYER_TRACK, LAYER_FILE = "layer.", "layer_track.", "layer_file."
"""Prefixes of a panel's values: where a layer comes from, the number of a track, the name of files."""
MOST_TRACKS = 99
IMAGE, PANORAMA = "image", "panorama"

_TRACK = re.compile(rf"{TRACK}:([1-9]\d?)")
_NUMBERS = re.compile(r"%0?(\d*)d")


def is_known(where: str) -> bool:
    """Return whether a text says where a layer comes from."""
    return where in (CLIP, BELOW) or bool(track_of(where)) or bool(file_of(where))


def track_of(where: str) -> int:
    """Return the number of the track that a layer comes from; 0 for none."""
    match = _TRACK.fullmatch(where)
    return int(match.group(1)) if match else 0


def file_of(where: str) -> str:
    """Return the file, or the pattern with `####`, that a layer comes from; empty for none."""
    kind, _, name = where.partition(":")
    if kind != FILE:
        return ""
    name = name.strip()
    cut = len(name) - len(os.path.basename(name))
    return name[:cut] + _NUMBERS.sub(lambda found: "#" * max(int(found.group(1) or 1), 1), name[cut:])


def places(layer: Mapping[str, Any]) -> Tuple[str, ...]:
    """Return the ways in which a layer can be had, the usual one first."""
    can = (BELOW, TRACK, FILE) if layer.get("kind", IMAGE) == IMAGE else (FILE,)
    return can if layer.get("required") else (NONE, *can)


def start(layer: Mapping[str, Any]) -> str:
    """Return the way that a layer begins with: a required image lies below, what is optional is left out."""
    return places(layer)[0]


def others(engine: Mapping[str, Any]) -> Tuple[Mapping[str, Any], ...]:
    """Return an engine's layers beside the one that is relit."""
    return tuple(each for each in engine.get("layers", ()) if each["name"] != engine.get("target", "plate"))


def chosen(values: Mapping[str, Any], engine: Mapping[str, Any]) -> Dict[str, str]:
    """Return where each layer of an engine comes from, the relit one first; what is not given is left out.

    Raises:
        HostError: files or a track are chosen, but not said.
    """
    found = {str(engine.get("target", "plate")): CLIP}
    for layer in others(engine):
        name = str(layer["name"])
        where = str(values.get(LAYER + name, start(layer)))
        if where == TRACK:
            found[name] = f"{TRACK}:{int(values.get(LAYER_TRACK + name, 1))}"
        elif where == FILE:
            text = str(values.get(LAYER_FILE + name, "")).strip()
            if not text:
                raise HostError(
                    f"no files are named for {layer.get('label') or name}.",
                    fix="Name them on the Inputs page, like /show/name.####.exr.",
                )
            found[name] = f"{FILE}:{text}"
        elif where != NONE:
            found[name] = where
    return found


def kinds_of(engine: Mapping[str, Any]) -> Dict[str, str]:
    """Return what each layer of an engine is, as it describes it."""
    return {str(layer["name"]): str(layer.get("kind", IMAGE)) for layer in engine.get("layers", ())}
