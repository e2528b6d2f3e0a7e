"""Files that must not be taken: damaged ones are unreadable, valid ones of the wrong kind are refused, both
in words."""

from __future__ import annotations

import io
import resource
import struct
import time
from pathlib import Path

import numpy as np
import OpenEXR
import OpenImageIO
import pytest
from fakes import exr_files
from harmovid.errors import FrameError, FrameMissing, FrameRefused, FrameUnreadable
from harmovid.pixels import exr, exr_read
from harmovid.pixels.exr import Attribute, Limits, PartHeader
from harmovid.pixels.exr_header import header_bytes
from hypothesis import given, settings
from hypothesis import strategies as st

DEEP = exr_files.deep()
CHROMA = (
    exr_files.luminance_chroma(),
    exr_files.by_module({}, {"left.RY": np.zeros((2, 2), np.float16)}),
)
PLATES = {name: exr.write(exr_files.plate(compression=name)) for name in exr.COMPRESSIONS}


@pytest.fixture
def no_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail the test if a pixel decoder is started."""

    def started(*_: object, **__: object) -> None:
        raise AssertionError("a decoder was started")

    monkeypatch.setattr(exr_read.OpenEXR, "File", started)


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
    assert all(pixels.shape == frame.header.shape for pixels in frame.channels.values())


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


def test_deep_files_are_refused(no_decoding: None) -> None:
    """A deep file is refused from its header, with what to do about it."""
    with pytest.raises(FrameRefused, match=r"deep pixels.*Flatten"):
        exr.read(DEEP)
    with pytest.raises(FrameRefused, match="deep pixels"):
        exr.read_header(DEEP)


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
    """A small file that claims a huge picture is refused by its claim at once, without memory for it."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()

    for reader in (exr.read, exr.read_header):
        with pytest.raises(FrameRefused, match=what):
            reader(exr_files.claim(window, channels=channels))

    assert time.perf_counter() - start < 1.0
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
