"""A complete EXR writer in a few lines of standard library: one part, scanlines, half floats, no compression.

For tests of everything that carries EXR files without looking into them; the layout is that of
https://openexr.com/en/latest/OpenEXRFileLayout.html.
"""

from __future__ import annotations

import struct
from typing import List, Sequence

HALF = 1


def _attribute(name: str, kind: str, value: bytes) -> bytes:
    return name.encode() + b"\0" + kind.encode() + b"\0" + struct.pack("<i", len(value)) + value


def tiny_exr(
    width: int = 8, height: int = 4, value: float = 0.18, channels: Sequence[str] = ("A", "B", "G", "R")
) -> bytes:
    """Return an EXR of `width` x `height` whose samples are all `value`; channels in alphabetical order."""
    box = struct.pack("<4i", 0, 0, width - 1, height - 1)
    listed = b"".join(name.encode() + b"\0" + struct.pack("<iB3xii", HALF, 0, 1, 1) for name in channels)
    header = b"\x76\x2f\x31\x01" + struct.pack("<I", 2)
    header += _attribute("channels", "chlist", listed + b"\0")
    header += _attribute("compression", "compression", b"\0")
    header += _attribute("dataWindow", "box2i", box) + _attribute("displayWindow", "box2i", box)
    header += _attribute("lineOrder", "lineOrder", b"\0")
    header += _attribute("pixelAspectRatio", "float", struct.pack("<f", 1.0))
    header += _attribute("screenWindowCenter", "v2f", struct.pack("<2f", 0.0, 0.0))
    header += _attribute("screenWindowWidth", "float", struct.pack("<f", 1.0)) + b"\0"
    line = struct.pack("<e", value) * (width * len(channels))
    lines: List[bytes] = [struct.pack("<ii", y, len(line)) + line for y in range(height)]
    first = len(header) + 8 * height
    offsets = b"".join(struct.pack("<Q", first + y * len(lines[0])) for y in range(height))
    return header + offsets + b"".join(lines)
