"""SSIM against another implementation, and the warped error of motion that is known."""

from __future__ import annotations

import numpy as np
import pytest
from harmovid_training.metrics import quality
from harmovid_training.metrics.degrade import LUMA
from harmovid_training.metrics.structure import Motion, ssim


def window() -> np.ndarray:
    """Return the 11 x 11 Gaussian window of the SSIM paper, written out."""
    offsets = np.arange(-5, 6)
    row = np.exp(-0.5 * (offsets / 1.5) ** 2)
    square = np.outer(row, row)
    return square / square.sum()


def ssim_by_hand(a: np.ndarray, b: np.ndarray) -> float:
    """Return the mean SSIM of two planes, pixel by pixel from the paper's formula."""
    a, b = (np.pad(plane.astype(np.float64), 5, mode="reflect") for plane in (a, b))
    values = []
    for y in range(a.shape[0] - 10):
        for x in range(a.shape[1] - 10):
            p, q = a[y : y + 11, x : x + 11], b[y : y + 11, x : x + 11]
            mp, mq = (p * window()).sum(), (q * window()).sum()
            vp, vq = (window() * (p - mp) ** 2).sum(), (window() * (q - mq) ** 2).sum()
            pq = (window() * (p - mp) * (q - mq)).sum()
            top = (2 * mp * mq + 0.01**2) * (2 * pq + 0.03**2)
            values.append(top / ((mp**2 + mq**2 + 0.01**2) * (vp + vq + 0.03**2)))
    return float(np.mean(values))


def textured(count: int, shift: int) -> np.ndarray:
    """Return the view `(count, 64, 96, 3)` of a smooth texture that moves `shift` pixels a frame."""
    rows, columns = np.mgrid[0:64, 0:300].astype(np.float32)
    wide = 0.2 + 0.1 * np.sin(rows / 5) * np.sin(columns / 7) + 0.05 * np.sin(columns / 3 + rows / 4)
    return np.stack(
        [wide[:, shift * t : shift * t + 96, None] * np.float32((1.2, 1, 0.8)) for t in range(count)]
    )


def test_ssim_is_the_papers_formula() -> None:
    """On noise and a blurred, darkened copy the value agrees with the formula written out pixel by pixel."""
    truth = np.random.default_rng(2).uniform(0, 0.7, (1, 20, 24, 3)).astype(np.float32)
    other = (0.6 * truth + 0.4 * np.roll(truth, 1, 2)) * np.float32(0.8)
    assert ssim(other, truth) == pytest.approx(ssim_by_hand(other[0] @ LUMA, truth[0] @ LUMA), abs=1e-5)


def test_ssim_of_the_same_is_one_and_masks_hold() -> None:
    """Equal clips score 1; damage outside the mask, beyond the window's reach, does not count."""
    truth = textured(2, 0)
    broken = truth.copy()
    broken[:, :20] = 0
    mask = np.zeros(truth.shape[:3], np.float32)
    mask[:, 30:] = 1
    assert ssim(truth, truth) == pytest.approx(1.0)
    assert ssim(broken, truth, mask) == pytest.approx(1.0)
    assert ssim(broken, truth) < 0.9


def test_warped_error_follows_the_motion() -> None:
    """A pan alone leaves next to nothing; flicker by a known step leaves that step."""
    truth = textured(4, 3)
    motion = Motion(truth)
    assert motion.warped_error(truth) < 0.01
    flickering = truth.copy()
    flickering[1::2] += 0.05
    assert motion.warped_error(flickering) == pytest.approx(0.05, rel=0.1)


def test_unview_undoes_view() -> None:
    """Light from black to far above 1 comes back; what is shown as 1 is finite."""
    light = np.float32([0, 0.001, 0.18, 0.8, 1.5, 20.0])
    assert quality.unview(quality.view(light)) == pytest.approx(light, rel=2e-3, abs=1e-6)
    assert np.isfinite(quality.unview(np.ones(1, np.float32))).all()
