"""Motion that flicker does not disturb, and samples of two frames that show the same thing."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from harmovid_server.engines.base import ProxyFrame
from harmovid_server.engines.deflicker.features import FrameFeatures, extract_features
from harmovid_server.engines.deflicker.motion import (
    Flow,
    at_rest,
    follow,
    follow_far,
    match,
    shifted,
    thinned,
)

HEIGHT, WIDTH = 120, 160


def world(seed: int = 0) -> np.ndarray:
    """Return a wide soft texture in log2, `(H, 2 W, 3)`."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 1, (HEIGHT, 2 * WIDTH, 3)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), 3) + 2 * cv2.GaussianBlur(noise, (0, 0), 9)
    return np.asarray(soft / soft.std())


def view(start: int, gain_stops: float = 0.0, seed: int = 0) -> FrameFeatures:
    """Return the features of a frame that begins at column `start` of the texture."""
    image = (0.18 * np.exp2(world(seed)[:, start : start + WIDTH] + gain_stops)).astype(np.float32)
    coverage = {"coverage": np.ones((HEIGHT, WIDTH), np.float32)}
    return extract_features(ProxyFrame(1, {"plate": image}, coverage, (0, 0, WIDTH, HEIGHT)))


@pytest.mark.parametrize("gain_stops", [0.0, 0.7, -0.7])
def test_a_pan_is_followed_whatever_the_light(gain_stops: float) -> None:
    """Six pixels to the right are found within half a pixel, with and without a change of exposure."""
    found = follow(view(6, gain_stops), view(0))
    inside = found.forth[20:-20, 20:-20, 0]

    assert np.median(inside) == pytest.approx(6.0, abs=0.5)
    assert np.abs(found.forth[20:-20, 20:-20, 1]).mean() < 0.5
    assert not found.is_cut


def test_motion_does_not_depend_on_what_was_seen_before() -> None:
    """Tiny pictures before change nothing: OpenCV's search lowers its finest level for them, and would keep it."""
    before = follow(view(6), view(0))
    tiny = (0.18 * np.exp2(world()[:24, :32])).astype(np.float32)
    coverage = {"coverage": np.ones(tiny.shape[:2], np.float32)}
    small = extract_features(ProxyFrame(1, {"plate": tiny}, coverage, (0, 0, 32, 24)))
    follow(small, small)
    after = follow(view(6), view(0))

    np.testing.assert_array_equal(after.forth, before.forth)
    np.testing.assert_array_equal(after.back, before.back)


def test_another_picture_is_a_cut() -> None:
    """The likeness of two textures is almost 0, that of a picture with itself 1."""
    assert follow(view(0), view(0, seed=5)).is_cut
    assert follow(view(0), view(0)).likeness > 0.99


def test_flows_follow_each_other() -> None:
    """Twice four pixels are eight, forth and back; that guess finds the far frame."""
    flow = at_rest(view(0)).coarse()
    flow = Flow(flow.forth + np.float32([4, 0]), flow.back - np.float32([4, 0]))
    twice = flow.then(flow)

    np.testing.assert_allclose(
        twice.forth[5:-5, 5:-5], np.broadcast_to([8, 0], twice.forth[5:-5, 5:-5].shape)
    )
    np.testing.assert_allclose(twice.back[5:-5, 5:-5], np.broadcast_to([-8, 0], twice.back[5:-5, 5:-5].shape))
    far = follow_far(view(8), view(0), twice)
    assert np.median(far.forth[20:-20, 20:-20, 0]) == pytest.approx(8.0, abs=0.5)


def test_a_small_region_is_followed_among_others() -> None:
    """What is around a small region, brighter and moving the other way, does not draw its motion."""
    mask = np.zeros((HEIGHT, WIDTH), np.float32)
    mask[40:80, 60:100] = 1

    def within(inside: int, outside: int) -> FrameFeatures:
        picture = np.where(
            mask[..., None] > 0, world()[:, inside:][:, :WIDTH], world(5)[:, outside:][:, :WIDTH] + 2
        )
        image = (0.18 * np.exp2(picture)).astype(np.float32)
        mattes = {"coverage": np.ones((HEIGHT, WIDTH), np.float32), "mask": mask}
        return extract_features(ProxyFrame(1, {"plate": image}, mattes, (0, 0, WIDTH, HEIGHT)))

    found = follow_far(within(3, 0), within(0, 12)).forth
    assert np.median(found[42:78, 66:98, 0]) == pytest.approx(3, abs=0.3)
    assert np.abs(found[42:78, 66:98, 0] - 3).mean() < 0.5


def test_samples_of_a_pan_show_the_same_thing() -> None:
    """Matched colours differ by the change of light alone; places differ by the motion; most of it is trusted."""
    later, earlier = view(6, 0.5), view(0)
    samples = match(later, earlier, follow(later, earlier))

    difference = samples.later - samples.earlier
    assert np.average(difference, axis=0, weights=samples.weight) == pytest.approx([0.5] * 3, abs=0.01)
    assert np.median(np.abs(difference - 0.5)) < 0.03
    moved = (samples.earlier_at - samples.later_at) * (WIDTH, HEIGHT)
    assert np.median(moved, axis=0) == pytest.approx([6, 0], abs=0.5)
    assert 0.7 < samples.trust <= 1


def test_what_cannot_be_matched_has_no_weight() -> None:
    """Of two different pictures far less is trusted than of a pan."""
    later, other = view(0), view(0, seed=5)
    assert match(later, other, follow_far(later, other)).trust < 0.4


def test_samples_are_thinned_evenly_and_shifted() -> None:
    """A tenth of the samples spans the same places; stops come off both frames."""
    samples = match(view(0), view(0), at_rest(view(0)))
    few = thinned(samples, len(samples.weight) // 10)

    assert len(few.weight) == pytest.approx(len(samples.weight) / 10, rel=0.15)
    np.testing.assert_array_equal(
        few.later, samples.later[:: len(samples.weight) // len(few.weight)][: len(few.weight)]
    )
    np.testing.assert_allclose(shifted(samples, 1.5).later, samples.later - 1.5)
    np.testing.assert_allclose(shifted(samples, 1.5).earlier, samples.earlier - 1.5)
