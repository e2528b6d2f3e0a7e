"""Mattes: which channel of a file is the matte, by name, and by content if names do not decide.

    found = find_matte(frame.headers)              # or find_matte(frame.headers, "G")
    plane, name = matte_plane(frame, found)        # (H, W) as stored, and the channel that it is
    solid(plane)                                   # "white", "black" or None

By name a matte is A, else Y, else a file's only channel, else a layer's only alpha, else R. Many programs draw a
matte in R, G and B and fill A with 1 (or 0): if alpha is the same everywhere and the colours beside it look
like a matte, R is taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple

import numpy as np

from harmovid.errors import FrameRefused
from harmovid.pixels.exr.choice import beauty_prefix, colour_layers
from harmovid.pixels.exr.frame import ExrFrame, Pixels
from harmovid.pixels.exr.header import PartHeader
from harmovid.pixels.exr.parse import ExrHeader

WHITE, BLACK = "white", "black"

DRAWN_TOLERANCE = 0.02
"""How far R, G and B of a drawn matte may differ from each other, or from 0 and 1, because of lossy compression."""

DRAWN_SHARE = 0.9
"""If at least this share of pixels is 0 or 1 in all channels, the colours are mattes (one in each channel)."""

_ROWS = 64
_ALPHA = 3


@dataclass(frozen=True)
class Matte:
    """The location of a file's matte.

    Attributes:
        part: index of the part.
        channel: full name of the channel.
        drawn: channels R, G, B beside an alpha; R is the matte if the alpha is the same everywhere. Empty if the user
            has named the channel, or there are none.
    """

    part: int
    channel: str
    drawn: Tuple[str, ...] = ()


def find_matte(header: ExrHeader, channel: str = "") -> Matte:
    """Find a file's matte.

    Args:
        header: of the whole file.
        channel: its full name ("G", "roto.alpha"), or part and name ("masks.G"), or a layer or part that has one
            alpha or one channel; empty uses the rule of this module.

    Raises:
        FrameRefused: there is none, or it is subsampled or of unsigned integers.
    """
    found = _named(header, channel) if channel else _usual(header)
    if found is None:
        names = ", ".join(name for part in header.parts for name in part.channels)
        raise FrameRefused(
            f"The file has no channel {channel!r}; it has {names}." if channel
            else f"No channel of {names} is known as a matte.",
            fix="Name one of its channels (--mask-channel).",
        )  # fmt: skip
    check_full(header.parts[found.part], found.channel)
    return found


def check_full(part: PartHeader, name: str) -> None:
    """Raise `FrameRefused` if a channel is subsampled or of unsigned integers."""
    if not is_full(part, name):
        raise FrameRefused(
            f"its channel {name} is subsampled or holds whole numbers.", fix="Write it as half or float."
        )


def is_full(part: PartHeader, name: str) -> bool:
    """Return whether a channel has a value of half or float for every pixel."""
    channel = part.channels[name]
    return (channel.x_sampling, channel.y_sampling) == (1, 1) and np.dtype(channel.dtype) != np.uint32


def _named(header: ExrHeader, wanted: str) -> Optional[Matte]:
    """Return the channel of that name: first exactly, then ignoring case, then as a part, layer or view."""
    order = [header.main, *(i for i in range(len(header.parts)) if i != header.main)]
    for form in (str, str.lower):
        for index in order:
            part = header.parts[index]
            for name in part.channels:
                if form(wanted) in (form(name), form(f"{part.name}.{name}")):
                    return Matte(index, name)
    for index in order:
        part = header.parts[index]
        inside = [name for name in part.channels if name.rpartition(".")[0].lower() == wanted.lower()]
        if wanted.lower() in (part.name.lower(), part.view.lower()):
            inside = list(part.channels)
        alpha = [name for name in inside if name.rpartition(".")[2].lower() in ("a", "alpha")]
        if len(alpha) == 1 or len(inside) == 1:
            return Matte(index, (alpha or inside)[0])
    return None


def _usual(header: ExrHeader) -> Optional[Matte]:
    """Return the matte of a file by the rule of this module."""
    order = [header.main, *(i for i in range(len(header.parts)) if i != header.main)]
    for index in order:
        found = _usual_in(header.parts[index])
        if found:
            return Matte(index, found, _drawn(header.parts[index], found))
    return None


def _usual_in(part: PartHeader) -> str:
    names = list(part.channels)
    for name in ("A", "Y"):
        if name in names:
            return name
    if len(names) == 1:
        return names[0]
    alphas = [roles[_ALPHA] for roles in colour_layers(part).values() if _ALPHA in roles]
    if len(alphas) == 1:
        return alphas[0]
    plain = colour_layers(part).get(beauty_prefix(part) or "", {})
    return plain.get(0, "")


def _drawn(part: PartHeader, alpha: str) -> Tuple[str, ...]:
    """Return the colour channels beside an alpha in which the matte may have been drawn instead."""
    for prefix, roles in colour_layers(part).items():
        if roles.get(_ALPHA) == alpha:
            beside = tuple(roles[role] for role in range(_ALPHA) if role in roles)
            if not beside and not prefix and "Y" in part.channels:
                beside = ("Y",)
            return beside if all(is_full(part, name) for name in beside) else ()
    return ()


def matte_plane(frame: ExrFrame, found: Matte) -> Tuple[Pixels, str]:
    """Return a matte's plane `(H, W)` as stored, not copied, and the name of the channel that was taken."""
    channels = frame.parts[found.part].channels
    plane = channels[found.channel]
    if found.drawn and solid(plane) and _looks_drawn([channels[name] for name in found.drawn]):
        return channels[found.drawn[0]], found.drawn[0]
    return plane, found.channel


def solid(plane: Pixels) -> Optional[str]:
    """Return "white" if all values are 1 or more, "black" if all are 0 or less, else None."""
    if not plane.size:
        return None
    first = float(plane[0, 0])
    if first >= 1:
        whole, said = _all_white, WHITE
    elif first <= 0:
        whole, said = _all_black, BLACK
    else:
        return None
    # In bands of rows: for most mattes the first band decides.
    return said if all(whole(plane[row : row + _ROWS]) for row in range(0, len(plane), _ROWS)) else None


def _all_white(rows: Pixels) -> bool:
    if rows.dtype != np.float16:
        return bool((rows >= 1).all())
    # The bits of positive halves increase with the value; numpy compares integers many times faster than halves.
    bits = np.ascontiguousarray(rows).view(np.uint16)
    return bool(((bits >= 0x3C00) & (bits <= 0x7C00)).all())


def _all_black(rows: Pixels) -> bool:
    if rows.dtype != np.float16:
        return bool((rows <= 0).all())
    bits = np.ascontiguousarray(rows).view(np.uint16)
    return bool(((bits == 0) | ((bits >= 0x8000) & (bits <= 0xFC00))).all())


def _looks_drawn(planes: Sequence[Pixels]) -> bool:
    """Return whether colours look like a drawn matte: grey everywhere, or nearly all values 0 or 1."""
    crisp: List[int] = []
    grey = True
    for row in range(0, len(planes[0]), _ROWS):
        colours = np.stack([plane[row : row + _ROWS] for plane in planes], axis=-1).astype(np.float32)
        with np.errstate(invalid="ignore"):
            spread = colours.max(axis=-1) - colours.min(axis=-1)
            ends = np.minimum(abs(colours), abs(colours - 1)).max(axis=-1) <= DRAWN_TOLERANCE
        grey = grey and bool((spread <= DRAWN_TOLERANCE).all())
        crisp.append(int(np.count_nonzero(ends)))
    return grey or sum(crisp) >= DRAWN_SHARE * planes[0].size
