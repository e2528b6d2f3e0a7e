"""The type of a file from its first bytes: EXR, or another type that was renamed."""

from __future__ import annotations

EXR_MAGIC = b"\x76\x2f\x31\x01"
"""The first 4 bytes of an EXR file; version and flags follow as int32, little-endian (OpenEXR file layout)."""

EXR_DEEP_FLAG = 0x800

HEAD_BYTES = 32
"""Number of bytes needed to tell the types below apart."""

_OTHERS = (
    (b"\x89PNG", "a PNG"),
    (b"\xff\xd8\xff", "a JPEG"),
    (b"II*\0", "a TIFF"),
    (b"MM\0*", "a TIFF"),
    (b"SDPX", "a DPX"),
    (b"XPDS", "a DPX"),
    (b"BM", "a BMP"),
    (b"#?RADIAN", "a Radiance HDR"),
    (b"\x1a\x45\xdf\xa3", "a film"),
    (b"\x06\x0e\x2b\x34", "a film"),
    (b"RIFF", "a film"),
    (b"\0\0\0\0", "filled with zeros"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself"),
)


def other_kind(head: bytes) -> str:
    """Return the type of a file that is not an EXR by its first `HEAD_BYTES` bytes, e.g. "a PNG"."""
    if head[4:8] == b"ftyp":  # QuickTime and MP4 begin with a length
        return "a film"
    return next((name for magic, name in _OTHERS if head.startswith(magic)), "a file of no known type")
