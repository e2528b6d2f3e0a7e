"""Valid files that are not taken: deep, luminance and chroma, from the future, or beyond the limits."""

from __future__ import annotations

import io
import resource
import struct

import numpy as np
import OpenEXR
import pytest
from fakes import exr_files
from harmovid.errors import FrameRefused, FrameUnreadable
from harmovid.pixels import exr
from harmovid.pixels.exr import Attribute, Limits
from harmovid.pixels.exr.header import header_bytes

DEEP = exr_files.deep()
CHROMA = (
    exr_files.luminance_chroma(),
    exr_files.by_module({}, {"left.RY": np.zeros((2, 2), np.float16)}),
)
PLATES = {name: exr.write(exr_files.plate(compression=name)) for name in exr.COMPRESSIONS}


def test_deep_files_are_refused(no_decoding: None) -> None:
    """A deep file is refused from its header, with what to do about it."""
    with pytest.raises(FrameRefused, match=r"deep pixels.*Flatten"):
        exr.read(DEEP)
    with pytest.raises(FrameRefused, match="deep pixels"):
        exr.read_header(DEEP)


def test_a_deep_flag_alone_is_refused(no_decoding: None) -> None:
    """A file whose version field says deep is refused whatever its type attribute says."""
    data = bytearray(PLATES["zip"])
    data[5] |= 0x08

    with pytest.raises(FrameRefused, match="deep"):
        exr.read(bytes(data))


def test_a_deep_part_hidden_in_a_flat_file_is_refused(no_decoding: None) -> None:
    """The type attribute is judged as well as the version field: patching the flag away does not help."""
    data = bytearray(DEEP)
    (flags,) = struct.unpack_from("<I", data, 4)
    struct.pack_into("<I", data, 4, flags & ~0x800)

    with pytest.raises(FrameRefused, match="deep"):
        exr.read(bytes(data))


def test_luminance_chroma_is_refused(no_decoding: None) -> None:
    """A luminance/chroma file is refused from its header, also where the chroma is within a layer."""
    for data in CHROMA:
        with pytest.raises(FrameRefused, match="luminance and chroma"):
            exr.read(data)


@pytest.mark.parametrize(
    ("window", "channels", "what"),
    [
        ((0, 0, 65535, 65535), 4, "65536 x 65536"),
        ((0, 0, 1048575, 3), 4, "1048576 x 4"),
        ((-(2**29), 0, 2**29, 0), 1, "1073741825 x 1"),
        ((0, 0, 63, 63), 2000, "2000 channels"),
        ((0, 0, 11584, 11584), 900, "decodes to"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_claims_beyond_the_limits_cost_nothing(window, channels: int, what: str, no_decoding: None) -> None:
    """A small file that claims a huge picture is refused by its claim: no decoder starts, no memory is taken."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    for reader in (exr.read, exr.read_header):
        with pytest.raises(FrameRefused, match=what):
            reader(exr_files.claim(window, channels=channels))

    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 * 1024


def test_claims_within_the_limits_are_incomplete(no_decoding: None) -> None:
    """A claim just within the limits with nothing behind it is unreadable: the chunk table is not even
    there."""
    with pytest.raises(FrameUnreadable, match="ends before its pixels"):
        exr.read(exr_files.claim((0, 0, 8191, 8191)))


@pytest.mark.parametrize(
    ("limits", "what"),
    [
        (Limits(max_pixels=24 * 32 - 1), "data window is 32 x 24"),
        (Limits(max_side_px=31), "data window is 32 x 24"),
        (Limits(max_channels=5), "6 channels"),
        (Limits(max_decoded_bytes=24 * 32 * 16 - 1), "decodes to"),
        (Limits(max_header_bytes=300), "header is larger"),
    ],
    ids=lambda v: str(v)[:40],
)
def test_limits_are_exact(limits: Limits, what: str, no_decoding: None) -> None:
    """Each limit refuses what is one beyond it, before a decoder is started."""
    with pytest.raises(FrameRefused, match=what):
        exr.read(PLATES["zip"], limits)


def test_what_fits_the_limits_is_read() -> None:
    """A frame exactly at every limit is read."""
    size = exr.read_header(PLATES["zip"]).size_bytes
    limits = Limits(24 * 32, 32, 6, 1, 24 * 32 * (4 * 2 + 2 * 4), 0, size)

    assert exr_files.same_pixels(exr.read(PLATES["zip"], limits), exr_files.plate())


def test_huge_tiles_are_refused(no_decoding: None) -> None:
    """A small picture that claims tiles of gigabytes is refused: the decoder would make room for a whole
    one."""
    tiled = {
        "type": Attribute.of("string", "tiledimage"),
        "tiles": Attribute.of("tiledesc", (16, 6_750_232, 0)),
    }
    data = header_bytes((exr_files.plate().header.with_attributes(tiled),)) + bytes(5000)

    with pytest.raises(FrameRefused, match="tiles are 16 x 6750232"):
        exr.read(data)


def test_parts_are_limited() -> None:
    """A file of more parts than allowed is refused while its headers are read."""
    part = OpenEXR.Part
    parts = [
        part({"name": f"p{i}", "type": OpenEXR.scanlineimage}, {"R": np.zeros((1, 1), "f")}) for i in range(5)
    ]
    stream = io.BytesIO()
    OpenEXR.File(parts).write(stream)

    assert len(exr.read(stream.getvalue(), Limits(max_parts=5)).parts) == 5
    with pytest.raises(FrameRefused, match="more than 4 parts"):
        exr.read(stream.getvalue(), Limits(max_parts=4))


def test_a_format_from_the_future_is_refused() -> None:
    """An unknown version, flag or compression is refused as unknown, not called damaged."""
    whole = PLATES["zip"]
    version = whole[:4] + b"\x03" + whole[5:]
    flag = whole[:4] + struct.pack("<I", 0x4002) + whole[8:]
    place = whole.index(b"compression\0compression\0") + 24 + 4
    compression = whole[:place] + b"\x63" + whole[place + 1 :]

    for data, word in ((version, "version field"), (flag, "version field"), (compression, "number 99")):
        with pytest.raises(FrameRefused, match=word):
            exr.read(data)
