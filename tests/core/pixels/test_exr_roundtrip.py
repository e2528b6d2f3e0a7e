"""EXR out and in again: pixels bit for bit, attributes byte for byte, and OpenImageIO agrees with what we
wrote."""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path

import numpy as np
import OpenEXR
import pytest
from fakes import exr_files
from harmovid.errors import InputError, OutputError
from harmovid.pixels import exr
from harmovid.pixels.exr import Attribute, ExrFrame, ExrPart, PartHeader
from harmovid.pixels.exr_header import header_bytes
from hypothesis import given, settings
from hypothesis import strategies as st

TILED = {"type": Attribute.of("string", "tiledimage"), "tiles": Attribute.of("tiledesc", (16, 8, 0))}

names = st.text("abcRGBAZ._-é", min_size=1, max_size=40).filter(lambda n: n not in ("RY", "BY"))
channel_sets = st.dictionaries(
    names, st.sampled_from([np.float16, np.float32, np.uint32]), min_size=1, max_size=5
)


@given(
    seed=st.integers(0, 2**31),
    channels=channel_sets,
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    corner=st.tuples(st.integers(-(10**6), 10**6), st.integers(-(10**6), 10**6)),
    compression=st.sampled_from(["none", "rle", "zips", "zip", "piz", "zstd", "htj2k32"]),
    tiled=st.booleans(),
)
@settings(max_examples=120, deadline=None)
def test_any_frame_comes_back_bit_for_bit(*, seed, channels, size, corner, compression, tiled) -> None:
    """Any channels, names, types, bit patterns, windows and lossless compressions survive writing and
    reading."""
    channels = {n: d for n, d in channels.items() if n.rpartition(".")[2] not in ("RY", "BY")} or {
        "R": np.float16
    }
    rng = np.random.default_rng(seed)
    (height, width), (x, y) = size, corner
    header = PartHeader.make(
        (x, y, x + width, y + height), (0, 0, 7, 5), compression, 1.5, TILED if tiled else None
    )
    frame = exr.make_frame(header, {n: exr_files.pixels(rng, d, size) for n, d in channels.items()})

    back = exr.read(exr.write(frame))

    assert exr_files.same_pixels(frame, back)
    assert back.header.attributes == frame.header.attributes
    assert (back.data_window, back.display_window) == ((x, y, x + width, y + height), (0, 0, 7, 5))


@pytest.mark.parametrize("compression", exr_files.LOSSLESS)
def test_everything_of_a_plate_survives(compression: str) -> None:
    """Every attribute type comes back with the same bytes in the same order, whatever the compression."""
    frame = exr_files.plate(compression=compression)

    back = exr.read(exr.write(frame))

    assert list(back.header.attributes.items()) == list(frame.header.attributes.items())
    assert back.header.compression == compression
    assert back.pixel_aspect == 2.0
    assert exr_files.same_pixels(frame, back)


@pytest.mark.parametrize("compression", ["pxr24", "b44", "b44a", "dwaa", "dwab", "lj2k"])
def test_lossy_compressions_are_kept_and_named(compression: str) -> None:
    """A lossy file stays readable in its compression, and the header says whether half pixels change."""
    frame = exr_files.plate(compression=compression)

    back = exr.read(exr.write(frame))

    assert back.header.compression == compression
    assert back.header.lossy == (compression != "pxr24")
    assert back.channels["id"].tobytes() == frame.channels["id"].tobytes()
    change = back.channels["R"].astype(float) - frame.channels["R"].astype(float)
    assert np.abs(change).mean() < 0.05


def test_dwa_level_of_the_file_is_used() -> None:
    """A file that states a coarser DWA level is written with it: the library sees that attribute too."""
    plain = exr_files.plate(1, 200, 200, "dwaa")
    coarse = exr.with_attributes(plain, {"dwaCompressionLevel": Attribute.of("float", 2000.0)})

    assert len(exr.write(coarse)) < 0.9 * len(exr.write(plain))


def test_openimageio_reads_the_same(tmp_path: Path) -> None:
    """An independent reader finds the windows, attributes, types and bits that we wrote."""
    frame = exr_files.plate()
    exr.write(frame, tmp_path / "a.exr")

    spec, found = exr_files.oiio_read(tmp_path / "a.exr")

    assert (spec.x, spec.y, spec.width, spec.height) == (-3, -2, 32, 24)
    assert (spec.full_x, spec.full_y, spec.full_width, spec.full_height) == (0, 0, 32, 24)
    assert spec.getattribute("compression") == "zip"
    assert spec.getattribute("nuke/node_hash") == "9f3c1a0b"
    assert spec.getattribute("PixelAspectRatio") == 2.0
    assert spec.getattribute("FramesPerSecond") == (48000, 2002)
    assert set(found) == set(frame.channels)
    for name, pixels in frame.channels.items():
        assert found[name].dtype == pixels.dtype
        assert found[name].tobytes() == pixels.tobytes()


def test_another_writers_file_reads_the_same() -> None:
    """Pixels of a file written by the OpenEXR module alone are read bit for bit, each in its own type."""
    rng = np.random.default_rng(3)
    channels = {
        "R": exr_files.pixels(rng, np.float16, (9, 5)),
        "id": exr_files.pixels(rng, np.uint32, (9, 5)),
    }

    frame = exr.read(exr_files.by_module(exr_files.module_attributes(), dict(channels)))

    for name, pixels in channels.items():
        assert frame.channels[name].dtype == pixels.dtype
        assert frame.channels[name].tobytes() == pixels.tobytes()


def test_pixels_are_read_as_arrays_of_their_own() -> None:
    """Channels are writable, contiguous, and not views of one another or of the file's bytes."""
    data = exr.write(exr_files.plate())
    frame = exr.read(data)

    for pixels in frame.channels.values():
        pixels[:] = 0

    assert all(p.flags.c_contiguous for p in frame.channels.values())
    assert exr_files.same_pixels(exr.read(data), exr_files.plate())


@pytest.mark.parametrize("order", [0, 1])
def test_line_order_is_kept(order: int) -> None:
    """Files written from the bottom up stay so, and their pixels do not turn over."""
    frame = exr.with_attributes(exr_files.plate(), {"lineOrder": Attribute.of("lineOrder", order)})

    back = exr.read(exr.write(frame))

    assert back.header.get("lineOrder") == order
    assert exr_files.same_pixels(frame, back)


def test_tiles_are_kept() -> None:
    """A tiled file with tiles that do not divide its size stays tiled, in any line order."""
    frame = exr.with_attributes(exr_files.plate(), {**TILED, "lineOrder": Attribute.of("lineOrder", 2)})

    back = exr.read(exr.write(frame))

    assert back.header.tiled
    assert back.header.get("tiles") == (16, 8, 0)
    assert exr_files.same_pixels(frame, back)


@pytest.mark.parametrize("mode", [1, 2, 17, 18], ids=["mip down", "rip down", "mip up", "rip up"])
def test_mip_maps_keep_the_full_size(mode: int, tmp_path: Path) -> None:
    """A mip- or rip-mapped file is read at full size, whatever its rounding, and written with one level."""
    path = tmp_path / "mip.exr"
    rng = np.random.default_rng(1)
    pixels = exr_files.pixels(rng, np.float16, (37, 51))
    path.write_bytes(_mip_mapped(pixels, mode))

    frame = exr.read(path)
    back = exr.read(exr.write(frame))

    assert frame.channels["R"].tobytes() == pixels.tobytes()
    assert back.header.get("tiles") == (16, 16, 0)
    assert back.channels["R"].tobytes() == pixels.tobytes()


def _mip_mapped(pixels: np.ndarray, mode: int) -> bytes:
    """Build an uncompressed multi-level tiled file by hand from the file layout: no Python module writes
    one."""
    height, width = pixels.shape
    header = PartHeader.make((0, 0, width, height), compression="none").with_attributes(
        {"type": TILED["type"], "tiles": Attribute.of("tiledesc", (16, 16, mode))}
    )
    head = exr.make_frame(header, {"R": pixels}).header
    start = header_bytes((head,))
    chunks = []
    for lx, ly, w, h in _levels(width, height, mode):
        level = np.zeros((h, w), np.float16)
        if (lx, ly) == (0, 0):
            level = pixels
        for ty in range(-(-h // 16)):
            for tx in range(-(-w // 16)):
                tile = level[ty * 16 : ty * 16 + 16, tx * 16 : tx * 16 + 16].tobytes()
                chunks.append(struct.pack("<5i", tx, ty, lx, ly, len(tile)) + tile)
    table = len(start) + 8 * len(chunks)
    offsets = np.cumsum([table] + [len(c) for c in chunks[:-1]])
    return start + offsets.astype("<u8").tobytes() + b"".join(chunks)


def _levels(width: int, height: int, mode: int) -> list:
    """Levels as (x level, y level, width, height) in table order, by halving as "Tiled File" of the layout
    says."""

    def sides(size: int) -> list:
        found = [size]
        while found[-1] > 1:
            found.append((found[-1] + (mode >> 4)) // 2)
        return found

    columns, rows = sides(width), sides(height)
    if mode & 15 == 2:
        return [(x, y, w, h) for y, h in enumerate(rows) for x, w in enumerate(columns)]
    count = max(len(columns), len(rows))
    columns += [1] * (count - len(columns))
    rows += [1] * (count - len(rows))
    return [(i, i, w, h) for i, (w, h) in enumerate(zip(columns, rows))]


def test_subsampled_channels_survive() -> None:
    """A channel stored at half width and third height comes back at that size with its bits, and full ones
    too."""
    rng = np.random.default_rng(5)
    full = exr_files.pixels(rng, np.float16, (6, 8))
    packed = exr_files.pixels(rng, np.float32, (2, 4))
    padded = np.zeros((6, 8), np.float32)
    padded.reshape(-1)[: packed.size] = packed.reshape(-1)
    window = ((-4, -3), (3, 2))
    data = exr_files.by_module(
        {"dataWindow": window, "displayWindow": window},
        {"R": full, "half.X": OpenEXR.Channel("half.X", padded, 2, 3)},
    )

    frame = exr.read(data)
    back = exr.read(exr.write(frame))

    assert frame.channels["half.X"].shape == (2, 4)
    assert frame.channels["half.X"].tobytes() == packed.tobytes()
    assert frame.channels["R"].tobytes() == full.tobytes()
    assert exr_files.same_pixels(frame, back)


def _stereo(shared: bool = True) -> ExrFrame:
    """Two views in three parts, as Nuke writes them: rgba left and right, and depth; sizes and types
    differ."""
    rng = np.random.default_rng(7)
    parts = []
    for name, view, size, channels, compression in (
        ("depth", "left", (8, 9), {"Z": np.float32}, "zips"),
        ("rgba.left", "left", (7, 5), dict.fromkeys("RGBA", np.float16), "zip"),
        ("rgba.right", "right", (7, 5), dict.fromkeys("RGBA", np.float16), "piz"),
    ):
        attributes = {
            "name": Attribute.of("string", name),
            "view": Attribute.of("string", view),
            "timeCode": Attribute.of("timecode", (0x01020304, 0 if shared else len(parts))),
        }
        header = PartHeader.make(
            (1, 2, 1 + size[1], 2 + size[0]), (0, 0, 16, 16), compression, 1.0, attributes
        )
        parts += exr.make_frame(
            header, {c: exr_files.pixels(rng, d, size) for c, d in channels.items()}
        ).parts
    return ExrFrame(tuple(parts), exr.main_part(tuple(p.header for p in parts)))


@pytest.mark.parametrize("shared", [True, False], ids=["one timecode", "a timecode per part"])
def test_multi_part_files_survive(shared: bool) -> None:
    """Parts of different sizes, types and compressions keep all of it, and the first with R, G, B is the
    main one."""
    frame = _stereo(shared)

    back = exr.read(exr.write(frame))

    assert back.main == 1
    assert [part.header.name for part in back.parts] == ["depth", "rgba.left", "rgba.right"]
    assert [part.header.compression for part in back.parts] == ["zips", "zip", "piz"]
    assert exr_files.same_pixels(frame, back)
    for ours, theirs in zip(frame.parts, back.parts):
        chunks = {"chunkCount": theirs.header.attributes["chunkCount"]}
        assert theirs.header.attributes == {**ours.header.attributes, **chunks}


def test_openexr_itself_reads_our_multi_part_file() -> None:
    """The OpenEXR module opens our multi-part file unaided and finds the same pixels in every part."""
    frame = _stereo()

    found = OpenEXR.File(io.BytesIO(exr.write(frame)), separate_channels=True).parts

    assert [part.name() for part in found] == ["depth", "rgba.left", "rgba.right"]
    for ours, theirs in zip(frame.parts, found):
        for name, pixels in ours.channels.items():
            assert theirs.channels[name].pixels.tobytes() == pixels.tobytes()


def test_writing_twice_gives_the_same_bytes() -> None:
    """Writing is deterministic, and reading and writing once more changes nothing."""
    data = exr.write(exr_files.plate())

    assert exr.write(exr_files.plate()) == data
    assert exr.write(exr.read(data)) == data


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, str, Path])
def test_any_source_reads_the_same(kind, tmp_path: Path) -> None:
    """Bytes, views and paths are all read, headers alone too, and the source is not changed."""
    data = exr.write(exr_files.plate())
    path = tmp_path / "a.exr"
    path.write_bytes(data)
    source = kind(path) if kind in (str, Path) else kind(data)

    assert exr.read_header(source).main_header.attributes == exr_files.plate().header.attributes
    assert exr_files.same_pixels(exr.read(source), exr_files.plate())
    assert path.read_bytes() == data
    assert kind in (str, Path) or bytes(source) == data


def test_large_headers_are_read_from_files(tmp_path: Path) -> None:
    """A preview that does not fit into the first read of a header is no obstacle."""
    preview = Attribute("preview", np.array([200, 200], "<u4").tobytes() + bytes(160_000))
    exr.write(exr.with_attributes(exr_files.plate(), {"preview": preview}), tmp_path / "a.exr")

    assert exr.read_header(tmp_path / "a.exr").main_header.attributes["preview"] == preview


def test_threads_change_nothing() -> None:
    """Decoding and encoding with helper threads gives the same bytes and pixels."""
    frame = exr_files.plate(2, 300, 200)
    data = exr.write(frame)

    assert exr.write(frame, threads=2) == data
    assert exr_files.same_pixels(exr.read(data, threads=2), frame)


def test_strided_pixels_are_written_as_they_look() -> None:
    """An array that is a view (a channel of an interleaved picture) is written as what it shows."""
    rgb = np.arange(5 * 4 * 3, dtype=np.float32).reshape(5, 4, 3)
    header = PartHeader.make((0, 0, 4, 5))

    frame = exr.make_frame(header, {"R": rgb[..., 0], "G": rgb[::-1, ::-1, 1], "B": rgb[..., 2]})
    back = exr.read(exr.write(frame))

    assert np.array_equal(back.channels["R"], rgb[..., 0])
    assert np.array_equal(back.channels["G"], rgb[::-1, ::-1, 1])


def test_a_file_without_type_gets_one() -> None:
    """The only attribute that writing adds: the type that a single scan line part without one has anyway."""
    frame = exr.with_attributes(exr_files.plate(), {"type": None})

    back = exr.read(exr.write(frame))

    assert set(back.header.attributes) - set(frame.header.attributes) == {"type"}
    assert exr_files.same_pixels(frame, back)


def test_header_and_pixels_must_agree() -> None:
    """A frame whose arrays do not fit its header is refused before anything is written."""
    part = exr_files.plate().parts[0]
    short = {**part.channels, "R": part.channels["R"][1:]}
    missing = {name: p for name, p in part.channels.items() if name != "R"}
    wrong = {**part.channels, "R": part.channels["R"].astype(np.float32)}

    for channels in (short, missing, wrong):
        with pytest.raises(InputError, match=r"Channel|channels"):
            exr.write(ExrFrame((ExrPart(part.header, channels),)))


def test_saving_leaves_nothing_behind(tmp_path: Path) -> None:
    """A file that is saved replaces the old one in one step; one that cannot be saved leaves the folder as
    it was."""
    target = tmp_path / "a.exr"
    exr.write(exr_files.plate(1), target)
    data = exr.write(exr_files.plate(2), target)

    with pytest.raises(OutputError, match=r"b\.exr"):
        exr.write(exr_files.plate(), tmp_path / "none" / "b.exr")

    assert target.read_bytes() == data
    assert os.listdir(tmp_path) == ["a.exr"]
