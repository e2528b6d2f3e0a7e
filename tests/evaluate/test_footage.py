"""Clips for the evaluation: folders and indexes are read with all roles; LUT files are applied correctly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from evaluate.little import COUNT, LINES, write_clips, write_indexed
from harmovid.errors import InputError
from harmovid_evaluate.clips import synthetic_clip
from harmovid_evaluate.cubes import apply_cube, digest, read_cube, read_cubes
from harmovid_evaluate.footage import find_footage


def cube_text(function, size: int = 5) -> str:
    """Return a .cube whose entry is a function of its place (red runs fastest)."""
    axis = np.linspace(0, 1, size)
    rows = [function(np.array((r, g, b))) for b in axis for g in axis for r in axis]
    body = "\n".join(" ".join(f"{value:.7f}" for value in row) for row in rows)
    return f'TITLE "made"\n# a comment\nLUT_3D_SIZE {size}\nDOMAIN_MIN 0 0 0\nDOMAIN_MAX 1 1 1\n{body}\n'


def test_a_folder_of_exr_clips_is_found_with_soft_masks(tmp_path: Path) -> None:
    """Frames come as light, mattes keep their soft edge, one clip alone is itself, and sizes follow `lines`."""
    root = write_clips(tmp_path)
    found = find_footage(root, LINES // 2, 3)
    assert [each.name for each in found] == ["disc", "other"]
    clip = found[0].load().clip
    assert clip.frames.shape == (3, LINES // 2, round(84 / 2), 3)
    assert clip.masks is not None
    assert ((clip.masks > 0.1) & (clip.masks < 0.9)).any()
    assert [each.name for each in find_footage(root / "other", LINES, 3)] == ["other"]


def test_an_index_brings_plate_and_composite(tmp_path: Path) -> None:
    """Roles of the index are there at one size; the folder with the index does as well as the file."""
    write_indexed(tmp_path)
    (found,) = find_footage(tmp_path, LINES, COUNT)
    material = found.load()
    clip = synthetic_clip(COUNT, LINES)
    assert found.relit
    assert material.composite is not None
    assert material.plate is not None
    np.testing.assert_allclose(material.clip.frames, clip.frames, rtol=1e-3)
    assert material.plate.shape == material.composite.shape == clip.frames.shape


def test_other_files_have_another_digest(tmp_path: Path) -> None:
    """A frame that is replaced changes the clip's digest and no other's."""
    root = write_clips(tmp_path)
    before = [each.digest for each in find_footage(root, LINES, COUNT)]
    path = root / "disc" / "frames" / "00001.exr"
    path.write_bytes(path.read_bytes() + b"0")
    after = [each.digest for each in find_footage(root, LINES, COUNT)]
    assert before[0] != after[0]
    assert before[1] == after[1]


def test_nothing_there_says_what_to_give(tmp_path: Path) -> None:
    """An empty folder and a missing one are refused with the layout that is wanted."""
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(InputError, match="frames/ and masks/"):
            find_footage(path, LINES, COUNT)


def test_a_cube_is_read_in_its_order_and_applied_in_display_space(tmp_path: Path) -> None:
    """The identity changes nothing in 0..1; one that swaps red and blue swaps them; values above 1 are clipped."""
    (tmp_path / "one.cube").write_text(cube_text(lambda rgb: rgb))
    (tmp_path / "two.cube").write_text(cube_text(lambda rgb: rgb[::-1]))
    one, two = read_cubes(tmp_path)
    light = np.random.default_rng(0).uniform(0, 1, (4, 6, 3)).astype(np.float32)
    np.testing.assert_allclose(apply_cube(light, one.table), light, atol=2e-4)
    np.testing.assert_allclose(apply_cube(light, two.table), light[..., ::-1], atol=2e-4)
    assert apply_cube(np.full((1, 1, 3), 7.0, np.float32), one.table).max() == pytest.approx(1, abs=1e-4)
    assert digest([one]) != digest([two])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("LUT_3D_SIZE 2\n0 0 0\n", "no 3D LUT"),
        ("LUT_1D_SIZE 2\n0 0 0\n1 1 1\n", "no 3D LUT"),
        (cube_text(lambda rgb: rgb, 2).replace("DOMAIN_MAX 1 1 1", "DOMAIN_MAX 4 4 4"), "domain"),
        ("LUT_3D_SIZE 2\n" + "0 0 -\n" * 8, "three numbers"),
    ],
)
def test_a_broken_cube_is_named(tmp_path: Path, text: str, says: str) -> None:
    """A file that is no 3D LUT over 0 to 1 is refused with its name."""
    (tmp_path / "bad.cube").write_text(text)
    with pytest.raises(InputError, match=r"bad\.cube") as caught:
        read_cube(tmp_path / "bad.cube")
    assert says in str(caught.value)
