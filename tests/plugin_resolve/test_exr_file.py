"""Header and chunk table show whether an EXR file is complete, for every compression, without decoding."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import OpenEXR
import pytest
from harmovid_resolve import exr_file

KINDS = {
    "none": OpenEXR.NO_COMPRESSION, "rle": OpenEXR.RLE_COMPRESSION, "zips": OpenEXR.ZIPS_COMPRESSION,
    "zip": OpenEXR.ZIP_COMPRESSION, "piz": OpenEXR.PIZ_COMPRESSION, "pxr24": OpenEXR.PXR24_COMPRESSION,
    "b44": OpenEXR.B44_COMPRESSION, "b44a": OpenEXR.B44A_COMPRESSION, "dwaa": OpenEXR.DWAA_COMPRESSION,
    "dwab": OpenEXR.DWAB_COMPRESSION,
}  # fmt: skip


CHUNKS = 19
"""Of 300 lines, by 16."""


def write(path: Path, compression: int, kind: type = np.float16) -> None:
    """Write a file of 50 x 300 pixels."""
    pixels = np.random.default_rng(1).random((300, 50)).astype(kind)
    header = {"compression": compression, "type": OpenEXR.scanlineimage}
    with OpenEXR.File(header, dict.fromkeys("RGB", pixels)) as file:
        file.write(str(path))


@pytest.mark.parametrize("name", KINDS)
def test_a_whole_file_has_no_problem_and_a_cut_one_has(name: str, tmp_path: Path) -> None:
    """Cut at the last byte, in the pixels, in the table and in the header it is not whole any more."""
    path = tmp_path / "a.exr"
    write(path, KINDS[name])
    whole = path.read_bytes()
    assert exr_file.problem(str(path)) == ""
    for length in (len(whole) - 1, len(whole) // 2, 400, 100, 9, 4):
        path.write_bytes(whole[:length])
        assert "cut off" in exr_file.problem(str(path)), length


def test_other_files_are_named(tmp_path: Path) -> None:
    """A file that is missing, empty, not an EXR, or has chunks that were never written is reported as such."""
    path = tmp_path / "a.exr"
    assert exr_file.problem(str(path)) == "is not there"
    path.write_bytes(b"")
    assert exr_file.problem(str(path)) == "is empty"
    path.write_bytes(b"\x89PNG" + bytes(100))
    assert exr_file.problem(str(path)) == "is no EXR file"
    write(path, KINDS["zip"])
    whole = bytearray(path.read_bytes())
    table = next(
        at for at in range(len(whole)) if whole[at : at + 8] == (at + 8 * CHUNKS).to_bytes(8, "little")
    )
    whole[table + 8 : table + 16] = bytes(8)
    path.write_bytes(whole)
    assert "never written" in exr_file.problem(str(path))


def test_a_tiled_file_is_looked_at_as_far_as_it_goes(tmp_path: Path) -> None:
    """Of a tiled file the header is read; it is whole unless it ends there."""
    path = tmp_path / "a.exr"
    header = {
        "compression": OpenEXR.ZIP_COMPRESSION,
        "type": OpenEXR.tiledimage,
        "tiles": OpenEXR.TileDescription(),
    }
    with OpenEXR.File(header, {"Y": np.zeros((70, 70), np.float16)}) as file:
        file.write(str(path))
    assert exr_file.problem(str(path)) == ""
    os.truncate(path, 200)
    assert "cut off" in exr_file.problem(str(path))
