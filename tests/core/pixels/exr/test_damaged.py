"""Damaged files: cut off, with holes, overwritten, of another format, contradictory; all refused with a clear
message."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import OpenEXR
import OpenImageIO
import pytest
from fakes import exr_files
from harmovid.errors import FrameError, FrameMissing, FrameRefused, FrameUnreadable
from harmovid.pixels import exr
from harmovid.pixels.exr import Attribute, PartHeader
from harmovid.pixels.exr.header import header_bytes
from hypothesis import given, settings
from hypothesis import strategies as st

PLATES = {name: exr.write(exr_files.plate(compression=name)) for name in exr.COMPRESSIONS}


@given(data=st.data(), compression=st.sampled_from(exr.COMPRESSIONS))
@settings(max_examples=150, deadline=None)
def test_every_truncation_is_unreadable(data: st.DataObject, compression: str) -> None:
    """A file cut off anywhere, even by its last byte, is unreadable; none of its scan lines is handed out."""
    whole = PLATES[compression]
    cut = data.draw(st.integers(0, len(whole) - 1))

    with pytest.raises(FrameUnreadable):
        exr.read(whole[:cut])


def test_missing_scan_lines_are_unreadable(no_decoding: None) -> None:
    """A hole in the chunk table (a writer that died) is counted and refused before decoding."""
    whole = bytearray(PLATES["zips"])
    at = exr.read_header(bytes(whole)).size_bytes
    whole[at + 8 * 3 : at + 8 * 5] = bytes(16)

    with pytest.raises(FrameUnreadable, match="2 of 24 blocks of pixels are missing"):
        exr.read(bytes(whole))
    with pytest.raises(FrameUnreadable, match="2 of 24 blocks of pixels are missing"):
        exr.read_header(bytes(whole))


def test_truncation_is_seen_without_decoding(no_decoding: None, tmp_path: Path) -> None:
    """A file cut within its pixels is refused from the chunk table alone, by the header reader too."""
    path = tmp_path / "cut.exr"
    path.write_bytes(PLATES["zips"][: len(PLATES["zips"]) // 2])

    with pytest.raises(FrameUnreadable, match="of 24 blocks"):
        exr.read(path)
    with pytest.raises(FrameUnreadable, match="of 24 blocks"):
        exr.read_header(path)


@pytest.mark.parametrize("compression", ["zip", "zips", "pxr24"])
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_a_flipped_bit_never_changes_pixels_that_carry_a_checksum(
    compression: str, data: st.DataObject
) -> None:
    """With zlib's checksum a flipped bit is unreadable, or it sat where it changes no pixel (unused code
    lengths)."""
    ramp = np.arange(40 * 64, dtype=np.float16).reshape(40, 64)
    header = PartHeader.make((0, 0, 64, 40), compression=compression)
    whole = bytearray(exr.write(exr.make_frame(header, {"R": ramp})))
    start = int.from_bytes(whole[exr.read_header(whole).size_bytes :][:8], "little")
    whole[data.draw(st.integers(start, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))

    try:
        found = exr.read(whole).channels["R"]
    except FrameUnreadable:
        found = ramp

    assert np.array_equal(found, ramp)


def test_most_flipped_bits_are_unreadable() -> None:
    """Of a hundred bits flipped in a zip file's pixels, at least nine in ten are found by the format
    itself."""
    whole = PLATES["zip"]
    start = exr.read_header(whole).size_bytes + 16
    found = 0
    for place in np.linspace(start, len(whole) - 1, 100).astype(int):
        damaged = bytearray(whole)
        damaged[place] ^= 0x10
        try:
            exr.read(damaged)
        except FrameUnreadable:
            found += 1

    assert found >= 90


@given(data=st.data(), compression=st.sampled_from(exr.COMPRESSIONS))
@settings(max_examples=300, deadline=None)
def test_any_damage_is_a_frame_error_or_harmless(data: st.DataObject, compression: str) -> None:
    """Bytes overwritten anywhere either leave a frame of the same shape or raise one frame error, nothing
    else."""
    whole = bytearray(PLATES[compression])
    header_end = exr.read_header(bytes(whole)).size_bytes
    for _ in range(data.draw(st.integers(1, 3))):
        end = data.draw(st.sampled_from([header_end, len(whole)]))
        whole[data.draw(st.integers(0, end - 1))] = data.draw(st.integers(0, 255))

    try:
        frame = exr.read(bytes(whole))
    except (FrameUnreadable, FrameRefused):
        return
    height, width = frame.header.shape
    for name, pixels in frame.channels.items():
        channel = frame.header.channels[name]
        assert pixels.shape == (height // channel.y_sampling, width // channel.x_sampling)


@given(st.binary(max_size=400))
@settings(max_examples=100, deadline=None)
def test_noise_is_unreadable(noise: bytes) -> None:
    """Arbitrary bytes, with and without the right beginning, are a frame error."""
    for data in (noise, b"\x76\x2f\x31\x01\x02\0\0\0" + noise, PLATES["zip"][:200] + noise):
        with pytest.raises(FrameError):
            exr.read(data)


def test_an_empty_file_says_so(tmp_path: Path) -> None:
    """Zero bytes are unreadable, and the error says that there are none."""
    (tmp_path / "a.exr").touch()

    for source in (b"", tmp_path / "a.exr"):
        with pytest.raises(FrameUnreadable, match="0 bytes"):
            exr.read(source)
        with pytest.raises(FrameUnreadable, match="0 bytes"):
            exr.read_header(source)


def test_a_missing_file_is_missing(tmp_path: Path) -> None:
    """No file is another error than a bad file, and it names the file without its folder."""
    with pytest.raises(FrameMissing, match=r"no file plate\.1001\.exr"):
        exr.read(tmp_path / "plate.1001.exr")
    with pytest.raises(FrameMissing):
        exr.read_header(tmp_path / "plate.1001.exr")


def test_a_folder_is_unreadable(tmp_path: Path) -> None:
    """A path that cannot be opened as a file is a frame error that names it."""
    with pytest.raises(FrameUnreadable, match=tmp_path.name):
        exr.read(tmp_path)


@pytest.mark.parametrize(("kind", "word"), [("png", "PNG"), ("tif", "TIFF"), ("jpg", "JPEG"), ("dpx", "DPX")])
def test_other_formats_under_the_name_exr_are_named(
    kind: str, word: str, tmp_path: Path, no_decoding: None
) -> None:
    """A picture of another format that was renamed to .exr is unreadable, and the error says what it is."""
    picture = OpenImageIO.ImageBuf(OpenImageIO.ImageSpec(4, 4, 3, "uint8"))
    assert picture.write(str(tmp_path / f"a.{kind}"))
    renamed = (tmp_path / f"a.{kind}").rename(tmp_path / "a.exr")

    with pytest.raises(FrameUnreadable, match=f"not an EXR but a {word}"):
        exr.read(renamed)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"dataWindow": Attribute("box2i", struct.pack("<4i", 0, 0, -2, 5))}, "impossible window"),
        ({"dataWindow": Attribute("box2i", struct.pack("<4i", 0, 0, 2**31 - 1, 5))}, "impossible window"),
        ({"dataWindow": Attribute("box2i", b"123")}, "do not fit"),
        ({"displayWindow": None}, "no displayWindow"),
        ({"channels": Attribute("chlist", b"R\0" + struct.pack("<4i", 9, 0, 1, 1) + b"\0")}, "malformed"),
        ({"channels": Attribute("chlist", b"R\0" + struct.pack("<4i", 1, 0, 0, 1) + b"\0")}, "malformed"),
        ({"channels": Attribute("chlist", b"R\0" + struct.pack("<4i", 1, 0, 5, 1) + b"\0")}, "sampling"),
        ({"channels": Attribute("chlist", b"R\0" + struct.pack("<3i", 1, 0, 5))}, "cut short"),
        ({"channels": Attribute("chlist", b"\xff\0" + struct.pack("<4i", 1, 0, 1, 1) + b"\0")}, "UTF-8"),
        ({"channels": Attribute("chlist", b"\0")}, "no channels"),
        ({"type": Attribute.of("string", "hologram")}, "no valid type"),
        ({"type": Attribute.of("int", 1)}, "not a string"),
        ({"lineOrder": Attribute.of("lineOrder", 3)}, "line order"),
    ],
    ids=lambda v: str(v)[:50],
)
def test_impossible_headers_are_unreadable(change, word: str, no_decoding: None) -> None:
    """Each way a header can contradict the format is a frame error that says which."""
    header = exr_files.plate().header.with_attributes(change)
    try:
        start = header_bytes((header,))
    except FrameUnreadable:
        # A channel list that cannot be parsed cannot be asked for long names either; write it plainly.
        start = header_bytes((exr_files.plate().header,)).replace(
            exr_files.plate().header.attributes["channels"].data, change["channels"].data
        )
        place = start.index(b"chlist\0") + 7
        start = start[:place] + struct.pack("<i", len(change["channels"].data)) + start[place + 4 :]

    with pytest.raises(FrameUnreadable, match=word):
        exr.read(start + bytes(5000))


def test_a_doubled_attribute_is_unreadable() -> None:
    """Two attributes of one name could mean two different pictures to two readers."""
    whole = PLATES["zip"]
    take = b"take\0int\0" + struct.pack("<ii", 4, -7)

    with pytest.raises(FrameUnreadable, match="'take' twice"):
        exr.read(whole.replace(take, take + take))


def test_foreign_attributes_never_reach_the_library() -> None:
    """A key code out of range (or text that is not UTF-8) stops the OpenEXR module, but not our reader."""
    data = PLATES["zip"]

    with pytest.raises(RuntimeError):
        OpenEXR.File(io.BytesIO(data), separate_channels=True)
    assert exr.read(data).header.get("keyCode") == (1, 2, 3, 4, 5, 6, 7)
