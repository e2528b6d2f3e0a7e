"""Backgrounds: prompts without repetition, camera moves through a panorama, and a tiny text-to-video pipeline."""

from __future__ import annotations

import numpy as np
import pytest
from harmovid.errors import InputError
from harmovid_training.clips.backgrounds import (
    LIGHTS,
    PLACES,
    PanoramaBackgrounds,
    TextBackgrounds,
    lighting_prompt,
)
from harmovid_training.clips.read import write_exr
from training.inference.tiny import tiny_text_to_video


def test_all_prompts_come_before_one_comes_again():
    """A cycle of seeds gives every pair of place and light once; the next cycle again, in another order."""
    count = len(PLACES) * len(LIGHTS)
    first = [lighting_prompt(seed) for seed in range(count)]
    second = [lighting_prompt(seed) for seed in range(count, 2 * count)]
    assert len(set(first)) == count
    assert sorted(first) == sorted(second)
    assert first != second


def test_a_camera_moves_slowly_through_a_panorama(tmp_path):
    """A clip is linear, of the size asked for, the same for the same seed, and changes little from frame to frame."""
    rows, columns = np.mgrid[0:64, 0:128].astype(np.float32)
    panorama = np.stack([np.sin(columns / 7) + 1.1, np.cos(rows / 5) + 1.1, np.full_like(rows, 30.0)], -1)
    write_exr(tmp_path / "sky.exr", panorama)
    provider = PanoramaBackgrounds(tmp_path)
    clip = provider(3, 9, (24, 32))
    assert clip.shape == (9, 24, 32, 3)
    assert np.array_equal(clip, provider(3, 9, (24, 32)))
    assert clip[..., 2].max() == pytest.approx(30, rel=1e-3)
    step = np.abs(np.diff(clip[..., :2], axis=0)).mean()
    assert 0 < step < 0.2 * clip[..., :2].std()
    assert np.abs(clip[0] - clip[-1]).mean() > step
    with pytest.raises(InputError, match="no panorama"):
        PanoramaBackgrounds(tmp_path / "nothing")


class Film:
    """Has the call of diffusers' text-to-video pipelines: returns grey frames and records its arguments."""

    def __init__(self, most: int = 1000) -> None:
        self.asked: dict[str, object] = {}
        self._most = most

    def __call__(self, **asked: object):
        """Return one display clip of 0.5."""
        self.asked = asked
        count = min(int(str(asked["num_frames"])), self._most)
        size = (count, int(str(asked["height"])), int(str(asked["width"])), 3)
        return type("Made", (), {"frames": [np.full(size, 0.5, np.float32)]})()


@pytest.fixture(scope="module")
def text_to_video(tmp_path_factory) -> str:
    """Return a folder with a tiny random CogVideoX text-to-video pipeline, all its parts of the real classes."""
    folder = tmp_path_factory.mktemp("t2v")
    tiny_text_to_video().save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize(("frames", "size"), [(11, (16, 24)), (9, (20, 30))])
def test_any_length_and_size_comes_from_a_real_pipeline(text_to_video, frames, size):
    """Lengths and sizes that the model cannot make are cut from larger ones; the clip depends on the seed alone."""
    provider = TextBackgrounds.from_pretrained(text_to_video)
    provider._steps = 1
    provider._pipeline.set_progress_bar_config(disable=True)
    clip = provider(5, frames, size)
    assert clip.shape == (frames, *size, 3)
    assert np.isfinite(clip).all()
    assert np.array_equal(clip, provider(5, frames, size))
    assert not np.array_equal(clip, provider(6, frames, size))


def test_a_model_that_makes_too_few_frames_is_refused():
    """A background shorter than its foreground is an error with both lengths."""
    short = Film(most=9)
    with pytest.raises(InputError, match="9 of 11 frames"):
        TextBackgrounds(short)(0, 11, (16, 16))


def test_text_to_video_is_prompted_with_the_table_and_taken_as_srgb():
    """The pipeline gets the seed's prompt and size; display 0.5 becomes 0.214 of light (IEC 61966-2-1)."""
    film = Film()
    clip = TextBackgrounds(film, steps=3)(5, 9, (16, 24))
    assert film.asked["prompt"] == lighting_prompt(5)
    assert film.asked["num_inference_steps"] == 3
    assert clip.shape == (9, 16, 24, 3)
    np.testing.assert_allclose(clip, 0.2140, atol=1e-4)
