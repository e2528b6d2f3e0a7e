"""The first eight bytes of an EXR, read with nothing but the standard library.

Enough to tell a renamed PNG, an empty file and a deep EXR from a picture that a server will take, for clients
that have no pixel libraries. Source: OpenEXR, "Technical Introduction", magic number and version field.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from harmovid.errors import FrameMissing, FrameRefused, FrameUnreadable

MAGIC = 20000630
# Version field: the low byte is the version, then one bit per feature.
TILED_BIT, LONG_NAMES_BIT, DEEP_BIT, MULTIPART_BIT = 0x200, 0x400, 0x800, 0x1000

# What people rename to .exr, by its first bytes.
_OTHERS = (
    (b"\x89PNG", "a PNG"),
    (b"\xff\xd8\xff", "a JPEG"),
    (b"II*\x00", "a TIFF"),
    (b"MM\x00*", "a TIFF"),
    (b"SDPX", "a DPX"),
    (b"XPDS", "a DPX"),
    (b"#?RADIANCE", "a Radiance HDR"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself"),
)


@dataclass(frozen=True)
class Peek:
    """What the first bytes say of an EXR file; `size` is the file's size in bytes."""

    size: int
    tiled: bool
    multipart: bool


def peek(path: Path, frame: int, layer: str) -> Peek:
    """Return what the head of the file says.

    Args:
        path: the file of `frame` of `layer`; both only serve to name it in errors.

    Raises:
        FrameMissing: there is no such file.
        FrameUnreadable: it is empty, cannot be read, or is not an EXR.
        FrameRefused: it is a deep EXR.
    """
    try:
        with open(path, "rb") as stream:
            head = stream.read(32)
            size = stream.seek(0, 2)
    except FileNotFoundError:
        raise FrameMissing(f"{path} does not exist.", frame=frame, layer=layer) from None
    except OSError as error:
        raise FrameUnreadable(
            f"{path} cannot be read: {error.strerror}.",
            fix="Check its permissions.",
            frame=frame,
            layer=layer,
        ) from error
    if size == 0:
        raise FrameUnreadable(f"{path} is empty.", fix="Render the frame again.", frame=frame, layer=layer)
    if len(head) < 8 or struct.unpack("<I", head[:4])[0] != MAGIC:
        kind = next((name for first, name in _OTHERS if head.startswith(first)), "no EXR")
        raise FrameUnreadable(
            f"{path} is {kind}.", fix="Convert the frames to scene-linear EXR.", frame=frame, layer=layer
        )
    version = struct.unpack("<I", head[4:8])[0]
    if version & DEEP_BIT:
        raise FrameRefused(
            f"{path} is a deep EXR.", fix="Flatten it first (DeepToImage).", frame=frame, layer=layer
        )
    return Peek(size=size, tiled=bool(version & TILED_BIT), multipart=bool(version & MULTIPART_BIT))
