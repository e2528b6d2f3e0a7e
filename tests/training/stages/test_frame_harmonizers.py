"""Stage 1: any per-frame harmonizer, and an external program."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from harmovid.errors import InputError
from harmovid_training.stages.frame_harmonizers import CommandHarmonizer, harmonize_frames


def clips(count: int = 3, side: int = 16) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return foreground, background and mask; the mask is the left half."""
    rng = np.random.default_rng(0)
    mask = np.zeros((count, side, side), np.float32)
    mask[:, :, : side // 2] = 1
    pictures = rng.uniform(0.05, 0.9, (2, count, side, side, 3)).astype(np.float32)
    return pictures[0], pictures[1], mask


def test_every_frame_is_harmonized_alone_and_the_background_is_untouched():
    """Eq. 1: a harmonizer that brightens shows inside the mask only; it is given as many frames as are asked for."""
    foreground, background, mask = clips()
    seen = []

    def brighten(front: np.ndarray, back: np.ndarray, matte: np.ndarray) -> np.ndarray:
        seen.append(len(front))
        return front * 2

    made = harmonize_frames(foreground, background, mask, brighten, batch=2)
    assert np.array_equal(made[:, :, :8], foreground[:, :, :8] * 2)
    assert np.array_equal(made[:, :, 8:], background[:, :, 8:])
    assert seen == [2, 1]
    assert np.array_equal(harmonize_frames(foreground, background, mask, brighten), made)
    with pytest.raises(InputError, match=r"made \(3, 4"):
        harmonize_frames(foreground, background, mask, lambda front, back, matte: front[:, :4])
    broken = foreground.copy()
    broken[2, 0, 0, 0] = np.nan
    with pytest.raises(InputError, match="frame 2 holds"):
        harmonize_frames(foreground, background, mask, lambda *_: broken)


def test_an_external_harmonizer_starts_once_per_clip(tmp_path):
    """The result of an external program is used inside the mask only; it is started once for all frames."""
    script = tmp_path / "tool.py"
    script.write_text(
        "import shutil, sys\nfrom pathlib import Path\n"
        "for file in Path(sys.argv[1]).iterdir():\n    shutil.copy(file, sys.argv[2])\n"
        f"with open({str(tmp_path / 'starts')!r}, 'a') as file:\n    file.write('x')\n"
    )
    foreground, background, mask = clips(3)
    tool = CommandHarmonizer([sys.executable, str(script), "{background}", "{out}"])
    assert np.array_equal(harmonize_frames(foreground, background, mask, tool), background)
    assert (tmp_path / "starts").read_text() == "x"
