"""Footage to an index: which entries are clips, where their mattes are, and that masks are made once."""

from __future__ import annotations

import imageio_ffmpeg
import numpy as np
import pytest
from harmovid.errors import InputError
from harmovid.pixels.colour.model_space import exposure_anchor
from harmovid_training.clips.build import displayed, found_clips, indexed, main
from harmovid_training.clips.index import read_index
from harmovid_training.clips.read import read_frames, write_exr
from harmovid_training.masks.providers import Grounded


def frames(folder, count: int = 3, level: float = 0.2) -> None:
    """Write EXR frames."""
    folder.mkdir(parents=True)
    for index in range(count):
        write_exr(folder / f"{index:04d}.exr", np.full((16, 24, 3), level + 0.1 * index, np.float32))


@pytest.fixture
def footage(tmp_path):
    """Return a folder with a pair of folders, a plain folder with mattes in it, a video, and something else."""
    frames(tmp_path / "both" / "real")
    frames(tmp_path / "both" / "mask")
    frames(tmp_path / "plain")
    frames(tmp_path / "plain" / "mask")
    writer = imageio_ffmpeg.write_frames(str(tmp_path / "film.mp4"), (64, 48))
    writer.send(None)
    for _ in range(3):
        writer.send(np.zeros((48, 64, 3), np.uint8))
    writer.close()
    frames(tmp_path / "film.mask")
    (tmp_path / "notes.txt").write_text("no clip")
    (tmp_path / "empty").mkdir()
    return tmp_path


def test_clips_are_found_with_their_mattes(footage, capsys):
    """Three kinds of entries become lines of an index, the same with any number of workers; an empty folder is
    an error."""
    assert [(name, mask is not None) for name, _, mask in found_clips(footage)] == [
        ("both", True), ("film", True), ("plain", True),
    ]  # fmt: skip
    common = ["--licence", "CC0", "--shortest", "3"]
    assert main([str(footage), "--out", str(footage / "clips.jsonl"), *common]) == 0
    index = read_index(footage / "clips.jsonl")
    assert main([str(footage), "--out", str(footage / "alone.jsonl"), *common, "--workers", "1"]) == 0
    assert read_index(footage / "alone.jsonl").hash == index.hash
    assert [(clip.id, clip.frames, clip.licence) for clip in index.clips] == [
        ("both", 3, "CC0"), ("film", 3, "CC0"), ("plain", 3, "CC0"),
    ]  # fmt: skip
    assert read_frames(index.clips[2].sources["mask"], 0, 3).shape == (3, 16, 24)
    assert main([str(footage / "empty"), "--out", str(footage / "none.jsonl")]) == 1
    assert "holds no clips" in capsys.readouterr().err
    assert main([str(footage), "--out", str(footage / "long.jsonl")]) == 1
    assert "film has 3 of 81 frames" in (footage / "rejected.jsonl").read_text()


def test_masks_are_found_once(tmp_path):
    """A mask provider gets display pictures; its masks are written as EXRs, which a second run reads."""
    frames(tmp_path / "clip")
    asked = []

    def corner(frame: np.ndarray) -> np.ndarray:
        asked.append(frame)
        return np.float32([2, 2, 10, 8])

    def follow(shown: np.ndarray, index: int, box: np.ndarray) -> np.ndarray:
        masks = np.zeros(shown.shape[:3], np.float32)
        masks[:, int(box[1]) : int(box[3]), int(box[0]) : int(box[2])] = 1
        return masks

    row = "clip", tmp_path / "clip", None, tmp_path / "masks"
    with pytest.raises(InputError, match="clip has no mask"):
        indexed(*row, None, "")
    clip = indexed(*row, Grounded(corner, follow), "")
    assert read_frames(clip.sources["mask"], 0, 3).sum() == 3 * 8 * 6
    assert asked[0].dtype == np.uint8
    assert indexed(*row, None, "") == clip
    assert len(asked) == 1
    with pytest.raises(InputError, match="other: the detector found nothing"):
        indexed(
            "other", tmp_path / "clip", None, tmp_path / "masks", Grounded(lambda frame: None, follow), ""
        )
    assert not (tmp_path / "masks" / "other").exists()


def test_frames_are_exposed_for_the_detector():
    """Pictures for the detector do not depend on exposure: a clip ten stops darker gives the same ones."""
    clip = np.exp2(np.random.default_rng(0).normal(-3, 1, (2, 8, 8, 3))).astype(np.float32)
    first, second = (displayed(one, exposure_anchor(one)).astype(int) for one in (clip, clip / 1024))
    assert np.abs(first - second).max() <= 1
    assert 90 < np.median(first) < 150
