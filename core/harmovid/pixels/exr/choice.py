"""Which part and which channels of a file are its picture, decided by names alone.

    roles = colour_layers(part)                # {"": {0: "R", 1: "G", 2: "B", 3: "A"}, "diffuse": {...}}
    index = main_part(parts)                   # the part that holds the beauty

Uses the name and view of a part and the names of its channels; reads no pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import AbstractSet, Dict, Optional, Sequence, Tuple

from harmovid.pixels.exr.header import PartHeader

BEAUTY_NAMES = frozenset({"", "rgba", "rgb", "beauty", "c", "ci", "combined", "finalimage", "main"})
"""Names that programs give to the part with the picture, in lower case: Nuke and Arnold `rgba`, Houdini `C`, RenderMan
`Ci`, Blender `Combined`, Unreal `FinalImage`, others `beauty`."""

SPOKEN_VIEWS = frozenset({"left", "right"})
"""Names that count as views even if no attribute says so."""

PICTURE_ROLES = (0, 1, 2)
"""Red, green and blue."""

NORMALS_NAMES = frozenset({"n", "normal", "normals"})
"""Names that programs give to a layer of normals, in lower case."""

_ROLES = {"r": 0, "red": 0, "g": 1, "green": 1, "b": 2, "blue": 2, "a": 3, "alpha": 3}


def colour_layers(part: PartHeader) -> Dict[str, Dict[int, str]]:
    """Return for each layer prefix the channel names by role: 0 red, 1 green, 2 blue, 3 alpha; not to be changed."""
    return _colour_layers(tuple(part.channels))


@lru_cache(maxsize=64)  # all frames of a shot have the same channels
def _colour_layers(names: Tuple[str, ...]) -> Dict[str, Dict[int, str]]:
    found: Dict[str, Dict[int, str]] = {}
    for name in names:
        prefix, _, last = name.rpartition(".")
        role = _ROLES.get(last.lower())
        if role is not None:
            roles = found.setdefault(prefix, {})
            # "R" goes before "red" and "r" if a part has several: it is the standard name.
            if role not in roles or last == "RGBA"[role]:
                roles[role] = name
    return found


def vector_layers(part: PartHeader) -> Dict[str, Tuple[str, str, str]]:
    """Return for each layer prefix with channels x, y and z, of either case, their names."""
    found: Dict[str, Dict[str, str]] = {}
    for name in part.channels:
        prefix, dot, last = name.rpartition(".")
        if dot and last.lower() in ("x", "y", "z"):
            found.setdefault(prefix, {})[last.lower()] = name
    return {prefix: (axes["x"], axes["y"], axes["z"]) for prefix, axes in found.items() if len(axes) == 3}


def is_picture(roles: Dict[int, str]) -> bool:
    """Return whether a layer has red, green and blue."""
    return all(role in roles for role in PICTURE_ROLES)


def beauty_prefix(part: PartHeader) -> Optional[str]:
    """Return the prefix of the picture's channels in one part, or None if it has no picture.

    The channels R, G, B without a prefix; if there are none, a layer named like the beauty or like the part itself.
    """
    layers = colour_layers(part)
    own = (part.name.lower(), _bare(part))
    for prefix, roles in layers.items():
        if prefix == "" and is_picture(roles):
            return prefix
    for prefix, roles in layers.items():
        if is_picture(roles) and (prefix.lower() in BEAUTY_NAMES or prefix.lower() in own):
            return prefix
    return None


def default_view(parts: Sequence[PartHeader]) -> str:
    """Return the first name of the file's `multiView`, else the view of its first part that has one, else ""."""
    for part in parts:
        names = view_names(part)
        if names:
            return names[0]
    return next((part.view for part in parts if part.view), "")


def view_names(part: PartHeader) -> Tuple[str, ...]:
    """Return the names in a part's `multiView`, the default view first; empty if it has none."""
    value = part.get("multiView", ())
    return value if isinstance(value, tuple) else ()


def _bare(part: PartHeader) -> str:
    """Return a part's name in lower case without the view at its end: "rgba" of "rgba.left"."""
    name = part.name.lower()
    for view in {part.view.lower(), *SPOKEN_VIEWS}:
        if view and name == view:
            return ""
        if view and name.endswith((f".{view}", f"_{view}", f"-{view}")):
            return name[: -len(view) - 1]
    return name


def is_named_beauty(part: PartHeader) -> bool:
    """Return whether a part's name, without a view at its end, says that it holds the picture."""
    return _bare(part) in BEAUTY_NAMES


def main_part(parts: Tuple[PartHeader, ...]) -> int:
    """Return the index of the part that holds the picture; 0 if no part has one.

    Of the parts with a picture: one named like the beauty (`rgba`, no name at all, and the like) before any
    other, the default view before other views, and then the first in the file.
    """
    view = default_view(parts)
    pictures = [index for index, part in enumerate(parts) if beauty_prefix(part) is not None]
    return min(
        pictures,
        key=lambda index: (not is_named_beauty(parts[index]), parts[index].view not in ("", view), index),
        default=0,
    )


@dataclass(frozen=True)
class View:
    """The picture of one other view.

    Attributes:
        name: the view's.
        part, prefix: where its channels are.
        alike: whether it is the same picture as the chosen one, from another camera.
    """

    name: str
    part: int
    prefix: str
    alike: bool


def other_views(parts: Sequence[PartHeader], part: int, prefix: str) -> Tuple[View, ...]:
    """Return one picture for each view of a file except the one in `prefix` of `part`.

    Views are found by `multiView`, by a part's `view`, or by the words "left" and "right" in a name. If a view has
    several pictures, the one with the same name as the chosen picture is returned, else the first.
    """
    default = default_view(parts)
    known = {name for each in parts for name in view_names(each)} | SPOKEN_VIEWS
    chosen = _view_of(parts[part], prefix, known) or default
    wanted = _bare(parts[part]), _base(prefix, chosen)
    found: Dict[str, View] = {}
    for index, header in enumerate(parts):
        for each, roles in colour_layers(header).items():
            view = _view_of(header, each, known) or default
            alike = (_bare(header), _base(each, view)) == wanted
            if is_picture(roles) and view not in ("", chosen) and (alike or view not in found):
                found[view] = View(view, index, each, alike)
    return tuple(found.values())


def _base(prefix: str, view: str) -> str:
    """Return a layer's name without its view: "diffuse" of "diffuse.right", "" of "right"."""
    return ".".join(word for word in prefix.split(".") if word != view)


def _view_of(header: PartHeader, prefix: str, known: AbstractSet[str]) -> str:
    """Return the view that a layer belongs to, by its part, its prefix or the part's name; "" for none."""
    words = [*header.name.replace("_", ".").split("."), *prefix.split(".")]
    return header.view or next((word for word in reversed(words) if word in known), "")
