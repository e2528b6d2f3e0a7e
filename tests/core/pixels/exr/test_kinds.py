"""Kinds of EXR: tiled, mip-mapped, subsampled, of several parts, from the bottom up; all come back bit for
bit."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import OpenEXR
import pytest
from fakes import exr_files
from harmovid.errors import FrameUnreadable
from harmovid.pixels import exr
from harmovid.pixels.exr import Attribute, ExrFrame, PartHeader
from harmovid.pixels.exr.chunks import chunk_count
from harmovid.pixels.exr.header import header_bytes
from hypothesis import strategies as st

TILED = {"type": Attribute.of("string", "tiledimage"), "tiles": Attribute.of("tiledesc", (16, 8, 0))}

names = st.text("abcRGBAZ._-é", min_size=1, max_size=40).filter(lambda n: n not in ("RY", "BY"))
channel_sets = st.dictionaries(
    names, st.sampled_from([np.float16, np.float32, np.uint32]), min_size=1, max_size=5
)


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

    sizes = _levels(51, 37, mode)
    assert chunk_count(frame.header) == sum(-(-w // 16) * -(-h // 16) for _, _, w, h in sizes)
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


@pytest.mark.parametrize("tiled", [False, True])
def test_a_cut_multi_part_file_is_seen_from_its_header(tiled: bool) -> None:
    """The last block of a file of several parts is looked for where its part's kind of block has its size."""
    frame = _stereo()
    if tiled:
        frame = exr.with_attributes(frame, TILED, part=2)
    whole = exr.write(frame)

    assert exr_files.same_pixels(exr.read(whole), frame)
    with pytest.raises(FrameUnreadable, match="last block"):
        exr.read_header(whole[:-1])
