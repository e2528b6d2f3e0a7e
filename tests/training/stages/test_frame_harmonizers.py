"""Stage 1: any per-frame harmonizer, an external program, and IC-Light in a tiny pipeline of the real classes."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from harmovid.errors import InputError
from harmovid_training.stages.frame_harmonizers import CommandHarmonizer, IcLight, harmonize_frames
from safetensors.torch import save_file
from training.stages.tiny_ic_light import tiny_ic_light


def clips(count: int = 3, side: int = 16) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return foreground, background and mask; the mask is the left half."""
    rng = np.random.default_rng(0)
    mask = np.zeros((count, side, side), np.float32)
    mask[:, :, : side // 2] = 1
    pictures = rng.uniform(0.05, 0.9, (2, count, side, side, 3)).astype(np.float32)
    return pictures[0], pictures[1], mask


def test_every_frame_is_harmonized_alone_and_the_background_is_untouched():
    """Eq. 1: a harmonizer that brightens shows inside the mask only, frame by frame."""
    foreground, background, mask = clips()
    seen = []

    def brighten(front: np.ndarray, back: np.ndarray, matte: np.ndarray) -> np.ndarray:
        seen.append(front)
        return front * 2

    made = harmonize_frames(foreground, background, mask, brighten)
    assert np.array_equal(made[:, :, :8], foreground[:, :, :8] * 2)
    assert np.array_equal(made[:, :, 8:], background[:, :, 8:])
    assert [np.array_equal(one, other) for one, other in zip(seen, foreground)] == [True] * 3
    with pytest.raises(InputError, match="frame 0"):
        harmonize_frames(foreground, background, mask, lambda front, back, matte: front[:4])


def test_an_external_harmonizer(tmp_path):
    """A program that gives the background back as its answer is used inside the mask."""
    script = tmp_path / "tool.py"
    script.write_text("import shutil, sys\nshutil.copy(sys.argv[1] + '/00000.exr', sys.argv[2])\n")
    foreground, background, mask = clips(1)
    tool = CommandHarmonizer([sys.executable, str(script), "{background}", "{out}"])
    assert np.array_equal(harmonize_frames(foreground, background, mask, tool), background)


def test_ic_light_runs_through_diffusers(tmp_path):
    """Base and offset are loaded, the U-Net takes twelve channels, the picture depends on foreground and
    background, sides need not be multiples of 8, and an offset of another network is refused."""
    offset, base = tiny_ic_light(tmp_path)
    light = IcLight.from_pretrained(offset, base)
    light._pipeline.set_progress_bar_config(disable=True)
    light._steps = 2
    foreground, background, mask = (clip[0] for clip in clips(1, 32))
    made = light(foreground, background, mask)
    assert made.shape == (32, 32, 3)
    assert np.isfinite(made).all()
    assert np.array_equal(made, light(foreground, background, mask))
    assert not np.array_equal(made, light(foreground, background * 0.2, mask))
    assert not np.array_equal(made, light(foreground * 0.2, background, mask))
    odd = light(foreground[:19, :30], background[:19, :30], mask[:19, :30])
    assert odd.shape == (19, 30, 3)
    assert np.isfinite(odd).all()
    save_file({"other": torch.zeros(1)}, tmp_path / "wrong.safetensors")
    with pytest.raises(InputError, match="iclight_sd15_fbc"):
        IcLight.from_pretrained(tmp_path / "wrong.safetensors", base)
