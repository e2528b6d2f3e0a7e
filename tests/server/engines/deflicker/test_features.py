"""The features of a frame: its light, and a picture that does not depend on flicker."""

from __future__ import annotations

import numpy as np
import pytest
from harmovid_server.engines.base import ProxyFrame
from harmovid_server.engines.deflicker.features import (
    HIGH_STOPS,
    LOW_STOPS,
    QUANTILES,
    FrameFeatures,
    extract_features,
    quantiles,
)

HEIGHT, WIDTH = 48, 64


def picture(seed: int = 0) -> np.ndarray:
    """Return a scene-linear picture `(H, W, 3)` of three stops around 0.18, soft."""
    rng = np.random.default_rng(seed)
    coarse = np.kron(rng.uniform(-1.5, 1.5, (HEIGHT // 8, WIDTH // 8, 3)), np.ones((8, 8, 1)))
    return (0.18 * np.exp2(coarse)).astype(np.float32)


def features(image: np.ndarray, **mattes: np.ndarray) -> FrameFeatures:
    """Return the features of a whole frame."""
    given = {"coverage": np.ones(image.shape[:2], np.float32), **mattes}
    return extract_features(ProxyFrame(1001, {"plate": image}, given, (0, 0, WIDTH, HEIGHT)))


def test_a_change_of_exposure_is_seen_in_the_light_alone() -> None:
    """A stop more raises logs and level by one; the picture that motion is found in hardly changes."""
    one, other = features(picture()), features(2 * picture())

    np.testing.assert_allclose(other.logs - one.logs, 1.0, atol=1e-5)
    assert other.level - one.level == pytest.approx(1.0, abs=1e-5)
    assert np.abs(other.plain.astype(int) - one.plain).max() <= 1
    assert (one.is_dark, one.is_flat) == (False, False)


def test_lamps_and_black_are_clipped_around_the_frames_own_level() -> None:
    """The range is relative: the same picture a thousand times brighter is clipped at the same places."""
    image = picture()
    image[0, 0], image[0, 1], image[0, 2] = 1e4, 0.0, -0.1
    for scale in (1.0, 1000.0, 0.001):
        found = features((scale * image).astype(np.float32))
        assert found.logs.max() == pytest.approx(found.level + HIGH_STOPS, abs=1e-4)
        assert found.logs.min() == pytest.approx(found.level + LOW_STOPS, abs=1e-4)


def test_the_measure_mask_says_where_light_is_measured() -> None:
    """The level is that of what the mask holds; where both masks are given, the measuring one counts."""
    image = picture()
    image[:, : WIDTH // 2] *= 8
    left = np.zeros((HEIGHT, WIDTH), np.float32)
    left[:, : WIDTH // 2] = 1

    assert features(image, measure_mask=left).level - features(image, mask=1 - left).level > 2
    both = features(image, measure_mask=left, mask=1 - left)
    np.testing.assert_array_equal(both.weight, left)


@pytest.mark.parametrize(("value", "dark"), [(0.0, True), (-0.2, True), (0.18, False), (4.0, False)])
def test_frames_without_a_picture_are_known(value: float, dark: bool) -> None:
    """Black is dark; one single colour is flat."""
    found = features(np.full((HEIGHT, WIDTH, 3), value, np.float32))
    assert (found.is_dark, found.is_flat) == (dark, True)


def test_quantiles_need_enough_pixels() -> None:
    """They rise, one column per channel; a handful of pixels has none."""
    found = quantiles(features(picture()))
    assert found is not None
    assert found.shape == (len(QUANTILES), 3)
    assert (np.diff(found, axis=0) >= 0).all()

    few = np.zeros((HEIGHT, WIDTH), np.float32)
    few[:4, :4] = 1
    assert quantiles(features(picture(), measure_mask=few)) is None
