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


def test_all_prompts_come_before_one_comes_again():
    """A turn of seeds gives every pair of place and light once; the next turn again, in another order."""
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
    """The call of a text-to-video pipeline of diffusers: grey frames, and what it was asked."""

    def __init__(self) -> None:
        self.asked: dict[str, object] = {}

    def __call__(self, **asked: object):
        """Return one display clip of 0.5."""
        self.asked = asked
        size = (int(str(asked["num_frames"])), int(str(asked["height"])), int(str(asked["width"])), 3)
        return type("Made", (), {"frames": [np.full(size, 0.5, np.float32)]})()


def test_text_to_video_is_prompted_with_the_table_and_taken_as_srgb():
    """The pipeline gets the seed's prompt and size; display 0.5 becomes 0.214 of light (IEC 61966-2-1)."""
    film = Film()
    clip = TextBackgrounds(film, steps=3)(5, 9, (16, 24))
    assert film.asked["prompt"] == lighting_prompt(5)
    assert film.asked["num_inference_steps"] == 3
    assert clip.shape == (9, 16, 24, 3)
    np.testing.assert_allclose(clip, 0.2140, atol=1e-4)
