"""The bench's protocols, with deflickers whose errors are known."""

from __future__ import annotations

from typing import Optional

import numpy as np
import pytest
from harmovid_evaluate import sets
from harmovid_evaluate.clips import synthetic_clip

CLIP = synthetic_clip(6, 32).frames


def nothing(frames: np.ndarray, mask: Optional[np.ndarray]) -> np.ndarray:
    """A deflicker that does nothing."""
    return frames


def brighter(frames: np.ndarray, mask: Optional[np.ndarray]) -> np.ndarray:
    """One that lifts everything by a quarter stop."""
    return frames * np.float32(2**0.25)


def flattens(frames: np.ndarray, mask: Optional[np.ndarray]) -> np.ndarray:
    """One that gives every frame the level of the clip: it destroys fades."""
    level = np.log2(frames).mean((1, 2, 3), keepdims=True)
    return (frames * np.exp2(level.mean() - level)).astype(np.float32)


def test_doing_nothing_keeps_fades_steady_clips_and_cuts() -> None:
    """The null deflicker harms nothing: every error is 0, every pixel the same."""
    assert sets.fade_error(nothing, CLIP) == {"mean_stops": 0, "worst_stops": 0}
    assert sets.false_change(nothing, CLIP) == {"stops": 0, "identical": 1}
    assert sets.cut_error(nothing, CLIP, CLIP) == {"worst_stops": 0}


def test_a_lift_is_a_false_change_of_its_size() -> None:
    """A quarter stop on a steady clip reads as a quarter stop."""
    found = sets.false_change(brighter, CLIP)
    assert found["stops"] == pytest.approx(0.25, abs=1e-3)
    assert found["identical"] == 0


def test_who_flattens_the_clip_loses_the_fade_and_mixes_the_shots() -> None:
    """A fade of two stops made flat is wrong by one stop at its ends; shots cut together take each other's level."""
    assert sets.fade_error(flattens, CLIP)["worst_stops"] == pytest.approx(1.0, abs=0.25)
    assert sets.cut_error(flattens, CLIP, CLIP * np.float32(4))["worst_stops"] == pytest.approx(1.0, abs=1e-3)


def test_bands_are_measured_before_and_after() -> None:
    """Untouched bands of 0.25 stops leave their RMS; the same number stands before and after."""
    for numbers in sets.band_profile(nothing, CLIP, 1).values():
        assert numbers["before_stops"] == numbers["after_stops"]
        assert numbers["before_stops"] == pytest.approx(0.25 / np.sqrt(2), rel=0.1)


def test_there_and_back_has_no_jump() -> None:
    """A clip made longer runs back and forth: neighbours stay neighbours."""
    index = sets.there_and_back(np.arange(4.0).reshape(4, 1, 1, 1), 11).ravel()
    assert index.tolist() == [0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2]
