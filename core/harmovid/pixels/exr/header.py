"""EXR headers: parsed from bytes before any pixel is read, kept exactly, and written again.

The OpenEXR library reads and writes pixels, but this module handles headers: the library's Python module cannot keep
every attribute (it reduces rationals, stops at text that is not UTF-8 or at a rational over zero, refuses unknown
types), and the claims of an untrusted file must be checked before a decoder sees it.

Layout and names follow "OpenEXR File Layout" (openexr.com, read 2026-11). Windows here are boxes
`(x0, y0, x1, y1)` in pixels with x1 and y1 exclusive, y pointing down; the file's own boxes are inclusive.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Dict, Mapping, Optional, Tuple, Union

import numpy as np
import numpy.typing as npt

from harmovid.errors import FrameUnreadable, InputError
from harmovid.pixels.exr.values import Attribute
from harmovid.storage.kinds import EXR_DEEP_FLAG, EXR_MAGIC

Box = Tuple[int, int, int, int]
Buffer = Union[bytes, bytearray, memoryview]

MAGIC = EXR_MAGIC
FLAG_TILED = 0x200
FLAG_LONG_NAMES = 0x400
FLAG_DEEP = EXR_DEEP_FLAG
FLAG_MULTIPART = 0x1000
FORMAT_VERSION = 2
SHORT_NAME_BYTES = 31
LONG_NAME_BYTES = 255

COMPRESSIONS = (
    "none", "rle", "zips", "zip", "piz", "pxr24", "b44", "b44a", "dwaa", "dwab",
    "htj2k256", "htj2k32", "lj2k", "zstd",
)  # fmt: skip
"""Names by the number in the file (OpenEXR 3.5, ImfCompression.h)."""

LOSSY = frozenset({"b44", "b44a", "dwaa", "dwab", "lj2k"})
"""Compressions that change half pixels on every write (pxr24 changes 32-bit float only)."""

STRUCTURE = {
    "channels": "chlist",
    "compression": "compression",
    "dataWindow": "box2i",
    "displayWindow": "box2i",
    "lineOrder": "lineOrder",
    "pixelAspectRatio": "float",
    "screenWindowCenter": "v2f",
    "screenWindowWidth": "float",
}
"""Attributes that every header must have, with their types (same document, "Header")."""

PIXEL_TYPES: Tuple[npt.DTypeLike, ...] = (np.uint32, np.float16, np.float32)
"""Pixel types by the number in the file: uint, half, float."""


@dataclass(frozen=True)
class Channel:
    """One channel in the header's list.

    Attributes:
        name: full name, "R" or "diffuse.R".
        dtype: float16, float32 or uint32.
        x_sampling, y_sampling: 1, or n where only every n-th column or row of the data window is stored.
        linear: the flag pLinear, which the lossy B44 and DWA compressions use.
    """

    name: str
    dtype: npt.DTypeLike
    x_sampling: int = 1
    y_sampling: int = 1
    linear: bool = False


@dataclass(frozen=True)
class PartHeader:
    """The header of one part: every attribute exactly as in the file, in the file's order."""

    attributes: Mapping[str, Attribute] = field(default_factory=dict)

    @cached_property
    def channels(self) -> Mapping[str, Channel]:
        """Channels by name, in the file's order (sorted by name)."""
        return parse_channels(self.attributes["channels"].data)

    @cached_property
    def data_window(self) -> Box:
        """The area for which pixels are stored; it may differ from the display window."""
        return _exclusive(self.attributes["dataWindow"].value)

    @cached_property
    def display_window(self) -> Box:
        """The picture's format."""
        return _exclusive(self.attributes["displayWindow"].value)

    @cached_property
    def compression(self) -> str:
        """A name of `COMPRESSIONS`."""
        return COMPRESSIONS[self.attributes["compression"].value]

    @property
    def lossy(self) -> bool:
        """Whether writing with this compression changes pixels that were not edited."""
        return self.compression in LOSSY

    @property
    def pixel_aspect(self) -> float:
        """Width of a pixel divided by its height."""
        return float(self.attributes["pixelAspectRatio"].value)

    @property
    def tiled(self) -> bool:
        """Whether pixels are stored in tiles."""
        return "tiles" in self.attributes and self.get("type", "tiledimage") == "tiledimage"

    @property
    def name(self) -> str:
        """The part's name; empty if it has none."""
        return str(self.get("name", ""))

    @property
    def view(self) -> str:
        """The view that the part belongs to ("left"); empty if it states none."""
        value = self.get("view", "")
        return value if isinstance(value, str) else ""

    @property
    def chromaticities(self) -> Optional[Tuple[float, ...]]:
        """(red x, y, green x, y, blue x, y, white x, y) as stored, or None: the OpenEXR default is Rec.
        ITU-R BT.709."""
        found = self.attributes.get("chromaticities")
        return found.value if found is not None and found.type == "chromaticities" else None

    @property
    def shape(self) -> Tuple[int, int]:
        """(height, width) of the data window."""
        x0, y0, x1, y1 = self.data_window
        return y1 - y0, x1 - x0

    def get(self, name: str, default: Any = None) -> Any:
        """Return the Python value of an attribute (see `values`), or `default` if there is none."""
        found = self.attributes.get(name)
        return default if found is None else found.value

    def with_attributes(self, changes: Mapping[str, Optional[Attribute]]) -> PartHeader:
        """Return a header with some attributes set, or removed if the new value is None."""
        merged: Dict[str, Optional[Attribute]] = {**self.attributes, **changes}
        return replace(self, attributes={name: a for name, a in merged.items() if a is not None})

    @classmethod
    def make(
        cls,
        data_window: Box,
        display_window: Optional[Box] = None,
        compression: str = "zip",
        pixel_aspect: float = 1.0,
        attributes: Optional[Mapping[str, Attribute]] = None,
    ) -> PartHeader:
        """Build a scan line header with no channels yet (`exr.make_frame` adds them).

        Raises:
            InputError: no such compression.
        """
        if compression not in COMPRESSIONS:
            raise InputError(
                f"There is no EXR compression {compression!r}.", fix=f"Known: {', '.join(COMPRESSIONS)}."
            )
        structure = {
            "channels": Attribute("chlist", b"\0"),
            "compression": Attribute.of("compression", COMPRESSIONS.index(compression)),
            "dataWindow": box_attribute(data_window),
            "displayWindow": box_attribute(display_window or data_window),
            "lineOrder": Attribute.of("lineOrder", 0),
            "pixelAspectRatio": Attribute.of("float", pixel_aspect),
            "screenWindowCenter": Attribute.of("v2f", (0.0, 0.0)),
            "screenWindowWidth": Attribute.of("float", 1.0),
            "type": Attribute.of("string", "scanlineimage"),
        }
        return cls({**structure, **(attributes or {})})


def box_attribute(box: Box) -> Attribute:
    """Return an exclusive box `(x0, y0, x1, y1)` as the file's inclusive box2i."""
    x0, y0, x1, y1 = box
    return Attribute.of("box2i", (x0, y0, x1 - 1, y1 - 1))


def _exclusive(inclusive: Tuple[int, int, int, int]) -> Box:
    x0, y0, x1, y1 = inclusive
    return x0, y0, x1 + 1, y1 + 1


def parse_channels(data: bytes) -> Dict[str, Channel]:
    """Read a `chlist` attribute.

    Raises:
        FrameUnreadable: truncated, a name that is empty, duplicate or not UTF-8, an unknown pixel type, or a
            sampling below 1.
    """
    channels: Dict[str, Channel] = {}
    at = 0
    while data[at : at + 1] not in (b"\0", b""):
        name, at = read_name(data, at)
        if at + 16 > len(data):
            raise FrameUnreadable("The EXR header's channel list is cut short.")
        kind, linear, xs, ys = struct.unpack_from("<iB3x2i", data, at)
        at += 16
        if name in channels or not 0 <= kind < len(PIXEL_TYPES) or xs < 1 or ys < 1:
            raise FrameUnreadable(f"The EXR header's channel {name!r} is doubled or malformed.")
        channels[name] = Channel(name, PIXEL_TYPES[kind], xs, ys, bool(linear))
    return channels


def channels_attribute(channels: Mapping[str, Channel]) -> Attribute:
    """Return channels as a `chlist` attribute, sorted by name as the format requires."""
    rows = []
    for name in sorted(channels, key=lambda text: text.encode()):
        channel = channels[name]
        kind = [np.dtype(known) for known in PIXEL_TYPES].index(np.dtype(channel.dtype))
        row = struct.pack("<iB3x2i", kind, channel.linear, channel.x_sampling, channel.y_sampling)
        rows.append(name.encode() + b"\0" + row)
    return Attribute("chlist", b"".join(rows) + b"\0")


def read_name(data: Buffer, at: int) -> Tuple[str, int]:
    """Read a null-terminated name of 1 to 255 bytes at `at`; return it and the offset after it.

    Raises:
        FrameUnreadable: no end within 255 bytes, empty, or not UTF-8.
    """
    window = bytes(data[at : at + LONG_NAME_BYTES + 1])
    end = window.find(b"\0")
    if end <= 0:
        raise FrameUnreadable("A name in the EXR header is empty, too long or cut short.")
    try:
        return window[:end].decode("utf-8"), at + end + 1
    except UnicodeDecodeError as error:
        raise FrameUnreadable(f"A name in the EXR header is not UTF-8: {window[:end]!r}.") from error


def header_bytes(headers: Tuple[PartHeader, ...]) -> bytes:
    """Return the start of a file: magic number, version field and headers."""
    multipart = len(headers) > 1
    names = [name for header in headers for name in (*header.attributes, *header.channels)]
    types = [attribute.type for header in headers for attribute in header.attributes.values()]
    flags = FORMAT_VERSION
    flags |= FLAG_MULTIPART if multipart else 0
    flags |= FLAG_TILED if not multipart and headers[0].tiled else 0
    flags |= FLAG_LONG_NAMES if any(len(n.encode()) > SHORT_NAME_BYTES for n in (*names, *types)) else 0
    pieces = [MAGIC, struct.pack("<I", flags)]
    for header in headers:
        for name, attribute in header.attributes.items():
            start = name.encode() + b"\0" + attribute.type.encode() + b"\0"
            pieces.append(start + struct.pack("<i", len(attribute.data)) + attribute.data)
        pieces.append(b"\0")
    return b"".join(pieces) + (b"\0" if multipart else b"")
