"""The classical foreground removal on a rendered scene whose clean plate is known, and the external command."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from harmovid.errors import InputError
from harmovid_training.clips.removal import CommandRemoval, temporal_median
from harmovid_training.toy.scenes import Scene, draw_light


def moving_square() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return clip, mask and clean plate: a square that moves over a static textured wall."""
    rng = np.random.default_rng(0)
    plate = np.repeat(rng.uniform(0.1, 0.6, (1, 24, 32, 3)).astype(np.float32), 13, axis=0)
    mask = np.zeros(plate.shape[:3], np.float32)
    for index in range(13):
        mask[index, 8:14, 2 * index : 2 * index + 6] = 1
    return np.where(mask[..., None] > 0, np.float32(5.0), plate), mask, plate


def test_a_still_wall_comes_back_exactly():
    """Where a place is seen in other frames its median is the wall, to the bit; outside the hole nothing changes."""
    clip, mask, plate = moving_square()
    assert np.array_equal(temporal_median(clip, mask), plate)


def test_a_panning_scene_comes_closer_to_its_plate():
    """On a rendered pan the removed foreground is closer to the clean plate by half and more, in log light."""
    scene, light = Scene(4), draw_light(np.random.default_rng(4))
    clip, mask = scene.render(light, light, 17)
    plate, inside = scene.plate(light, 17), mask > 0.5
    made = temporal_median(clip, mask)
    before, after = (np.abs(np.log2(one[inside]) - np.log2(plate[inside])).mean() for one in (clip, made))
    assert after < 0.5 * before
    assert np.isfinite(made).all()


def test_what_is_never_seen_is_filled_from_around():
    """The hole of a foreground that never moves is filled from its surroundings."""
    clip = np.full((3, 24, 24, 3), 0.2, np.float32)
    mask = np.zeros(clip.shape[:3], np.float32)
    mask[:, 8:16, 8:16] = 1
    clip[mask > 0] = 9.0
    np.testing.assert_allclose(temporal_median(clip, mask), 0.2, rtol=0.01)


SCRIPT = """
import shutil, sys
from pathlib import Path
for path in sorted(Path(sys.argv[1]).glob('*.exr')):
    if len(sys.argv) < 4 or path.stem != sys.argv[3]:
        shutil.copy(path, sys.argv[2])
"""


def test_an_external_command_gets_and_gives_exr_folders(tmp_path):
    """A program that copies its input gives the clip back; its result is used inside the mask only."""
    script = tmp_path / "copy.py"
    script.write_text(SCRIPT)
    clip, mask, _ = moving_square()
    made = CommandRemoval([sys.executable, str(script), "{frames}", "{out}"])(clip, mask)
    assert np.array_equal(made, clip)


def test_commands_that_fail_say_why(tmp_path):
    """A missing program, a failing one, and one that leaves out a frame each have their own error."""
    clip, mask, _ = moving_square()
    script = tmp_path / "copy.py"
    script.write_text(SCRIPT)
    with pytest.raises(InputError, match="is not there"):
        CommandRemoval([str(Path("/nowhere/tool")), "{out}"])
    with pytest.raises(
        InputError, match=r"names a folder that it is not given: 'plate'\. Folders are {frames}"
    ):
        CommandRemoval([sys.executable, "{plate}", "{out}"])
    with pytest.raises(InputError, match="names no folder"):
        CommandRemoval([sys.executable])
    with pytest.raises(InputError, match="failed with"):
        CommandRemoval([sys.executable, "{frames}/nothing.py"])(clip, mask)
    with pytest.raises(InputError, match="did not write frame 00003"):
        CommandRemoval([sys.executable, str(script), "{frames}", "{out}", "00003"])(clip, mask)
