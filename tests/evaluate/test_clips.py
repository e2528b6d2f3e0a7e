"""Clips from folders, films and synthetic ones: they are read as they were written."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from harmovid_evaluate import clips


def write_clip(folder: Path, count: int = 5) -> None:
    """Write stills of rising grey and masks of the left half, 16 x 12 pixels."""
    for name in ("frames", "masks"):
        (folder / name).mkdir(parents=True)
    for t in range(count):
        cv2.imwrite(str(folder / "frames" / f"{t:05d}.png"), np.full((12, 16, 3), 100 + t, np.uint8))
        mask = np.zeros((12, 16), np.uint8)
        mask[:, :8] = 255
        cv2.imwrite(str(folder / "masks" / f"{t:05d}.png"), mask)


def test_stills_and_masks_of_a_folder(tmp_path: Path) -> None:
    """The first frames come in order, as light of their codes, with their masks, at the wished size."""
    write_clip(tmp_path / "a")
    clip = clips.load_clip(tmp_path / "a", lines=6, count=3)
    assert clip.frames.shape == (3, 6, 8, 3)
    expected = ((np.arange(100, 103) / 255 + 0.055) / 1.055) ** 2.4
    assert clip.frames.mean((1, 2, 3)) == pytest.approx(expected, rel=1e-5)
    assert clip.masks is not None
    assert clip.masks[:, :, :4].min() == 1
    assert clip.masks[:, :, 4:].max() == 0


def test_folders_that_hold_a_clip_are_found(tmp_path: Path) -> None:
    """Other folders are ignored; loading one says what is missing."""
    write_clip(tmp_path / "b")
    (tmp_path / "notes").mkdir()
    assert clips.clip_folders(tmp_path) == [tmp_path / "b"]
    with pytest.raises(FileNotFoundError, match="frames/"):
        clips.load_clip(tmp_path / "notes", 6, 3)


def test_a_missing_mask_is_reported(tmp_path: Path) -> None:
    """A clip whose masks are fewer than its frames is refused with both numbers."""
    write_clip(tmp_path / "c")
    (tmp_path / "c" / "masks" / "00004.png").unlink()
    with pytest.raises(ValueError, match="5 frames and 4 masks"):
        clips.load_clip(tmp_path / "c", 6, 5)


def test_a_broken_still_is_named(tmp_path: Path) -> None:
    """A file that is no picture is named in the error."""
    write_clip(tmp_path / "d")
    (tmp_path / "d" / "frames" / "00001.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"00001\.png"):
        clips.load_clip(tmp_path / "d", 6, 5)


def test_a_film_is_read_from_a_folder(tmp_path: Path) -> None:
    """A folder with frames/ is a film without masks, and is found as one."""
    write_clip(tmp_path / "e")
    assert clips.film_paths(tmp_path) == [tmp_path / "e"]
    assert clips.load_film(tmp_path / "e", 12, 9).frames.shape == (5, 12, 16, 3)


def test_the_made_clip_moves_and_is_the_same_each_time() -> None:
    """The synthetic clip pans by two pixels a frame behind its disc, and needs no files."""
    clip = clips.synthetic_clip(8, 48)
    assert clip.masks is not None
    outside = (clip.masks[0] == 0)[:, :-2] & (clip.masks[1] == 0)[:, :-2] & (clip.masks[0] == 0)[:, 2:]
    np.testing.assert_array_equal(clip.frames[1][:, :-2][outside], clip.frames[0][:, 2:][outside])
    np.testing.assert_array_equal(clip.frames, clips.synthetic_clip(8, 48).frames)
    assert clip.frames.min() > 0


@pytest.mark.real
def test_the_clip_with_an_alpha_plane_is_read(real_data: Path) -> None:
    """The keyed dancer has soft alpha from 0 to 1, and is marked as having no background."""
    clip = clips.load_clip(real_data / "clips" / "alpha_dancer", 180, 3)
    assert clip.cut_out
    assert clip.masks is not None
    assert clip.frames.shape == (3, 180, 320, 3)
    assert (clip.masks.min(), clip.masks.max()) == (0, 1)
    assert ((clip.masks > 0.1) & (clip.masks < 0.9)).any()
