"""Posed figures: limbs move and keep their length, other parts stay in place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from harmovid_training.data.meshes import Mesh, read_obj
from harmovid_training.data.pose import ARM, ELBOW, HIP, KNEE, SHOULDER, Motion, Pose, posed, posed_together

TALL, FEET = 16.0, -8.0
REST = Pose()


def at(*shares: float) -> npt.NDArray[np.float32]:
    """Return one point `(1, 3)` of a figure, given in shares of its height above its feet."""
    return np.array([shares], np.float32) * np.float32(TALL) + np.float32([0, FEET, 0])


def on_arm(along: float, side: float = 1.0) -> npt.NDArray[np.float32]:
    """Return the point of an arm `along` it from the shoulder."""
    return at(side * (SHOULDER[0] + along * ARM[0]), SHOULDER[1] + along * ARM[1], 0.0)


def moved(points: npt.NDArray[np.float32], pose: Pose) -> npt.NDArray[np.float32]:
    """Return where points go in a pose."""
    return posed(points, np.tile(np.float32([0, 0, 1]), (len(points), 1)), FEET, TALL, pose)[0]


def test_without_angles_nothing_moves() -> None:
    """The pose of all zeros leaves points where they are, within float rounding."""
    points = np.random.default_rng(1).uniform(-6, 6, (200, 3)).astype(np.float32)

    np.testing.assert_allclose(moved(points, REST), points, atol=1e-5)


def test_head_and_trunk_stay() -> None:
    """Extreme arm and leg angles do not move head, chest, belly and armpit."""
    points = np.concatenate([at(0, 0.95, 0.02), at(0.05, 0.7, 0.05), at(0, 0.6, -0.05), at(0.1, 0.7, 0)])
    wild = Pose(down=(0.4, 0.5), swing=(1.0, -1.0), elbow=(1.5, 1.0), stride=(0.5, -0.5), knee=(0.5, 0.2))

    np.testing.assert_allclose(moved(points, wild), points, atol=0.02 * TALL)


@pytest.mark.parametrize("side", [0, 1])
def test_limbs_go_where_they_are_sent(side: int) -> None:
    """Each angle moves its own limb in the right direction, and no other."""
    sign = 1.0 - 2 * side
    hand, foot = on_arm(0.26, sign), at(sign * HIP[0], 0.02, 0.0)

    def only(name: str, angle: float) -> Pose:
        both = [0.0, 0.0]
        both[side] = angle
        return Pose(**{name: (both[0], both[1])})

    assert moved(hand, only("down", 0.4))[0, 1] < hand[0, 1] - 0.02 * TALL
    assert abs(moved(hand, only("down", 0.4))[0, 0]) < abs(hand[0, 0])
    assert moved(hand, only("swing", 0.5))[0, 2] > 0.05 * TALL
    assert moved(hand, only("elbow", 1.0))[0, 2] > 0.05 * TALL
    assert moved(foot, only("stride", 0.4))[0, 2] > 0.1 * TALL
    assert moved(foot, only("knee", 0.4))[0, 2] < -0.05 * TALL
    for name in ("down", "swing", "elbow", "stride", "knee"):
        other = np.concatenate([on_arm(0.26, -sign), at(-sign * HIP[0], 0.02, 0.0)])
        np.testing.assert_allclose(moved(other, only(name, 0.5)), other, atol=1e-4)


def test_bones_keep_their_length() -> None:
    """Between the joints an arm and a leg are as long in any pose as at rest, within a hundredth."""
    pose = Motion.draw(np.random.default_rng(4)).at(0.3)
    for ends in (
        [on_arm(ELBOW + 0.04), on_arm(0.26)], [on_arm(0.05), on_arm(ELBOW - 0.04)],
        [at(HIP[0], KNEE - 0.04, 0), at(HIP[0], 0.02, 0)], [at(HIP[0], 0.4, 0), at(HIP[0], KNEE + 0.04, 0)],
    ):  # fmt: skip
        a, b = np.concatenate(ends), moved(np.concatenate(ends), pose)
        assert np.linalg.norm(b[0] - b[1]) == pytest.approx(np.linalg.norm(a[0] - a[1]), rel=0.01)


def test_motions_are_seeded_and_move() -> None:
    """The same seed gives the same motion, and poses differ in the course of a clip."""
    first, again = (Motion.draw(np.random.default_rng(2)) for _ in range(2))

    assert first == again
    assert first.at(0.0) != first.at(0.4)


@pytest.mark.real
def test_the_real_figure_bends_with_its_clothes(real_data: Path) -> None:
    """Cloth that lies on the body at rest lies on it in a pose: nine in ten points within a fiftieth of the height."""
    folder = real_data / "models" / "makehuman"
    body, suit = (read_obj(folder / f"male_{name}.obj") for name in ("generic", "casualsuit01"))
    shapes = [(one.points, one.normals) for one in (body, suit)]
    walking = Pose(down=(0.4, 0.4), swing=(0.3, -0.3), elbow=(0.4, 0.4), stride=(0.4, -0.4), knee=(0.3, 0.2))
    posed_body, posed_suit = posed_together(shapes, walking)

    def gaps(skin: npt.NDArray[np.float32], cloth: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        chosen = cloth[::40]
        return np.sqrt(((chosen[:, None] - skin[None, ::2]) ** 2).sum(-1)).min(1)

    tall = float(np.ptp(body.points[:, 1]))
    grown = gaps(posed_body[0], posed_suit[0]) - gaps(body.points, suit.points)
    assert isinstance(body, Mesh)
    assert np.quantile(grown, 0.9) < 0.02 * tall
