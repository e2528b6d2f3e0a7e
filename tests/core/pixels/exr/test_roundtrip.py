"""EXR out and in again: pixels bit for bit, attributes byte for byte, and OpenImageIO agrees with what we
wrote."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pytest
from fakes import exr_files
from harmovid.errors import InputError, OutputError
from harmovid.pixels import exr
from harmovid.pixels.exr import Attribute, ExrFrame, ExrPart, PartHeader
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


@pytest.mark.parametrize(("name", "long"), [("n" * 31, False), ("n" * 32, True)])
def test_long_names_are_announced(name: str, long: bool) -> None:
    """The version field's bit for names of more than 31 bytes is set exactly where there are some."""
    header = PartHeader.make((0, 0, 1, 1), attributes={name: Attribute.of("int", 1)})
    frame = exr.make_frame(header, {"R": np.zeros((1, 1), np.float16)})

    (flags,) = struct.unpack_from("<I", exr.write(frame), 4)

    assert bool(flags & 0x400) == long


def test_stray_attributes_of_another_kind_of_file_do_no_harm() -> None:
    """Tiles on a scan line part, a chunk count and a name on a single part, a level that is text: all are
    carried."""
    stray = {
        "tiles": TILED["tiles"],
        "chunkCount": Attribute.of("int", 2),
        "name": Attribute("string", b"\xff"),
        "dwaCompressionLevel": Attribute.of("string", "high"),
    }
    frame = exr.with_attributes(exr_files.plate(), stray)

    back = exr.read(exr.write(frame))

    assert not back.header.tiled
    assert back.header.attributes == frame.header.attributes
    assert exr_files.same_pixels(frame, back)


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
