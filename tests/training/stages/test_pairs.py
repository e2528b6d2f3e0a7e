"""Equations 4 to 6 and the two training paths: what is composited with which mask, and what is the target."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from harmovid.errors import InputError
from harmovid_training.models.space import encode
from harmovid_training.stages import pairs
from harmovid_training.stages.grids import grid
from harmovid_training.stages.pairs import Shot, composite


def shot() -> Shot:
    """Return a shot whose clips have different constant levels, so that a test can distinguish them."""
    levels = {"real": 0.1, "background": 0.2, "synthetic": 0.3, "plate": 0.4, "steady": 0.5}
    mask = np.zeros((9, 16, 16), np.float32)
    mask[:, :, :8] = 1
    alpha = np.clip(np.linspace(1.5, -0.5, 16, dtype=np.float32), 0, 1) * np.ones_like(mask)
    clips = {name: np.full((9, 16, 16, 3), level, np.float32) for name, level in levels.items()}
    return Shot(mask=mask, alpha=alpha.astype(np.float32), **clips)


def code(level: float, anchor: float) -> float:
    """Return the VAE value of a linear level."""
    return float(encode(np.full((1, 1, 1, 3), level, np.float32), anchor)[0, 0, 0, 0])


def test_eq_4_composites_in_linear_light():
    """C(F, B, M) = M F + (1 - M) B, in light; clips that do not fit are refused."""
    one = shot()
    made = composite(one.real, one.background, one.alpha)
    np.testing.assert_allclose(made[..., 0], 0.1 * one.alpha + 0.2 * (1 - one.alpha), atol=1e-7)
    with pytest.raises(InputError, match="do not go over"):
        composite(one.real, one.background[:4], one.mask)


def test_stage_2_puts_the_synthetic_foreground_over_the_real_background():
    """Composite: synthetic inside the binary mask, real outside; the mask is binary; the target is the real clip."""
    made = pairs.deflicker_sample(shot())
    assert set(made.pictures) == {"composite"}
    assert made.pictures["composite"][0, 0, 0, 0] == pytest.approx(code(0.3, made.anchor), abs=1e-5)
    assert made.pictures["composite"][0, 0, 15, 0] == pytest.approx(code(0.1, made.anchor), abs=1e-5)
    assert np.array_equal(made.mask, shot().mask)
    assert made.target[0, 0, 0, 0] == pytest.approx(code(0.1, made.anchor), abs=1e-5)


def test_real_to_synthetic_uses_the_binary_mask():
    """Real foreground over the new background, binary mask, towards the steady synthetic clip."""
    made = pairs.real_to_synthetic(shot())
    assert made.pictures["composite"][0, 0, 0, 0] == pytest.approx(code(0.1, made.anchor), abs=1e-5)
    assert made.pictures["composite"][0, 0, 15, 0] == pytest.approx(code(0.2, made.anchor), abs=1e-5)
    assert made.pictures["background"][0, 0, 0, 0] == pytest.approx(code(0.2, made.anchor), abs=1e-5)
    assert np.array_equal(made.mask, shot().mask)
    assert made.target[0, 0, 0, 0] == pytest.approx(code(0.5, made.anchor), abs=1e-5)


def test_synthetic_to_real_uses_the_pseudo_alpha_for_composite_and_conditioning():
    """Steady synthetic foreground over the plate through the pseudo alpha, which is also the mask; target real."""
    made = pairs.synthetic_to_real(shot())
    assert np.array_equal(made.mask, shot().alpha)
    half = int(np.argmin(np.abs(shot().alpha[0, 0] - 0.5)))
    share = float(shot().alpha[0, 0, half])
    expected = code(0.5 * share + 0.4 * (1 - share), made.anchor)
    assert made.pictures["composite"][0, 0, half, 0] == pytest.approx(expected, abs=1e-4)
    assert made.pictures["background"][0, 0, 0, 0] == pytest.approx(code(0.4, made.anchor), abs=1e-5)
    assert made.target[0, 0, 15, 0] == pytest.approx(code(0.1, made.anchor), abs=1e-5)


def test_the_dual_path_draws_both_evenly_and_needs_stage_2():
    """Half of the samples are of each path; without the steady clip stage 3 is refused."""
    drawn = [pairs.dual_path(shot(), np.random.default_rng(seed)) for seed in range(200)]
    soft = sum(bool(((one.mask > 0) & (one.mask < 1)).any()) for one in drawn)
    assert 70 < soft < 130
    with pytest.raises(InputError, match="Run the deflicker network first"):
        pairs.real_to_synthetic(replace(shot(), steady=None))


def test_validation_grid():
    """A grid has a row per clip and five frames per row, mid grey shown as sRGB mid grey."""
    clip = encode(np.full((9, 16, 16, 3), 0.18, np.float32), 0.18)
    made = grid([clip, clip])
    assert made.shape == (2 * 18, 5 * 18, 3)
    assert made[0, 0, 0] == pytest.approx(118, abs=1)
