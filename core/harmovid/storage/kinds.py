"""What kind of file its first bytes say it is: EXR or something else that has been renamed."""

from __future__ import annotations

EXR_MAGIC = b"\x76\x2f\x31\x01"
"""OpenEXR file layout: the first 4 bytes; version and flags follow as int32 little-endian."""

EXR_DEEP_FLAG = 0x800

HEAD_BYTES = 32
"""As many bytes as the kinds below are told apart by."""

_OTHERS = (
    (b"\x89PNG", "a PNG"),
    (b"\xff\xd8\xff", "a JPEG"),
    (b"II*\0", "a TIFF"),
    (b"MM\0*", "a TIFF"),
    (b"SDPX", "a DPX"),
    (b"XPDS", "a DPX"),
    (b"BM", "a BMP"),
    (b"#?RADIAN", "a Radiance HDR"),
    (b"\0\0\0\0", "filled with zeros"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself"),
)


def other_kind(head: bytes) -> str:
    """Return what a file that is no EXR is, from its first `HEAD_BYTES` bytes: "a PNG", or that nobody knows."""
    return next((name for magic, name in _OTHERS if head.startswith(magic)), "no image file we know")
