"""Normals without panoramas: the foreground's shading is measured and moved part of the way to usual light."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fakes.sessions import run, run_restored
from harmovid.pixels.apply.tiles import field_stops
from harmovid_server.engines import load
from harmovid_server.engines.base import Answer, ProxyFrame, ShotInfo
from harmovid_server.engines.harmonize import VARIANTS
from harmovid_server.engines.harmonize.shading import SHARES, USUAL, measure_shading
from harmovid_server.runtimes.base import RuntimeSettings

NUMBERS = tuple(range(1001, 1041))
SIZE, MIDDLE, RADIUS = (96, 128), (48, 64), 36


@pytest.fixture(scope="module")
def engine() -> Any:
    """Return the engine with its shipped weights."""
    (made,) = load(["harmonize"])
    made.activate(RuntimeSettings())
    return made


def ball(number: int = 1001, across: float = 0.0, ahead: float = 0.0, paint: bool = False) -> ProxyFrame:
    """Return a grey ball over a textured plate; its light grows by `across` stops per unit of x, `ahead` per unit of z.

    With `paint` it has spots of other reflectance, the same on both sides.
    """
    y, x = np.indices(SIZE)
    x, y = (x + 0.5 - MIDDLE[1]) / RADIUS, (MIDDLE[0] - y - 0.5) / RADIUS
    inside = x * x + y * y < 1
    z = np.sqrt(np.clip(1 - x * x - y * y, 0, 1))
    normals = np.where(inside[..., None], np.stack([x, y, z], -1), 0).astype(np.float32)
    half = np.random.default_rng(4).normal(0, 1, (12, 8))
    spots = np.kron(np.concatenate([half, half[:, ::-1]], axis=1), np.ones((8, 8))) if paint else 0.0
    stops = across * x + ahead * z + spots
    subject = np.repeat(0.18 * np.exp2(stops)[..., None], 3, axis=2).astype(np.float32)
    noise = np.random.default_rng(number).normal(0, 0.6, (*SIZE, 1))
    plate = (0.18 * np.exp2(noise) * [1.2, 1.0, 0.8]).astype(np.float32)
    images = {"fg": subject, "bg": plate, "normals": normals}
    return ProxyFrame(number, images, {"matte": inside.astype(np.float32)}, (0, 0, SIZE[1], SIZE[0]))


def start(engine: Any, **options: Any) -> Any:
    """Return a session with normals."""
    layers = ("fg", "bg", "matte", "normals")
    return engine.start(ShotInfo(NUMBERS, engine.info.check_options(options), layers))


def side(answer: Answer) -> float:
    """Return by how many stops the ball's right side gets brighter than its left, on a grey ball of one level."""
    grey = np.full((*SIZE, 3), 0.18, np.float32)
    stops = field_stops(grey, answer.field, origin=(0, 0)).mean(axis=2)
    row, (left, right) = stops[MIDDLE[0]], (MIDDLE[1] - RADIUS // 2, MIDDLE[1] + RADIUS // 2)
    return float(row[right] - row[left])


@pytest.mark.parametrize("paint", [False, True])
def test_shading_is_measured(paint: bool) -> None:
    """A ball's slopes are found on the safe side, never too large: four fifths of x, less of z, whose range is small;
    half of x where paint varies by a stop."""
    x, z = measure_shading(ball(across=-1.2, ahead=0.8, paint=paint)).slopes

    assert -1.2 <= x <= -1.2 * (0.5 if paint else 0.8)
    assert 0 < z <= 0.8


def test_sides_follow_the_normals() -> None:
    """The map is half the proxy's size; it is positive to the right of the ball's middle and ends beyond its edge."""
    shading = measure_shading(ball())

    assert shading.sides.shape == (48, 64, 2)
    assert shading.sides[24, 40, 0] > 0.3 > -0.3 > shading.sides[24, 24, 0]
    assert not shading.sides[:, :2].any()


def test_light_from_one_side_is_evened_out(engine: Any) -> None:
    """Half of a key light from the left is taken back by default, less if cautious, more if bold, none without
    direction."""

    def shown(**options: Any) -> float:
        with_key, without = (
            run(start(engine, **options), [ball(across=across)])[0] for across in (-1.2, 0.0)
        )
        # The network's own grid may differ between the two composites a little.
        return side(with_key) - side(without)

    found = [shown(variant=variant) for variant in VARIANTS]
    assert found == sorted(found)
    assert 0.35 < found[1] < 0.9
    assert abs(shown(direction=0.0)) < 1e-6


def test_the_report_names_the_change(engine: Any) -> None:
    """`shading_stops` is the change per unit of x and of z."""
    answer = run(start(engine), [ball(across=1.0)])[0]

    wanted = (USUAL - measure_shading(ball(across=1.0)).slopes) * SHARES["expected"]
    assert answer.report["shading_stops"] == pytest.approx(list(wanted), abs=2e-3)


def test_no_normals_no_change(engine: Any) -> None:
    """Normals that are 0 everywhere give the answer without normals."""
    shown = ball(across=1.0)
    shown.images["normals"][:] = 0
    answer = run(start(engine), [shown])[0]
    plain = engine.start(ShotInfo(NUMBERS, engine.info.check_options({}), ("fg", "bg", "matte")))
    del shown.images["normals"]

    assert answer.field.to_bytes() == run(plain, [shown])[0].field.to_bytes()
    assert "shading_stops" not in answer.report


def test_a_restored_session_answers_the_same_bits(engine: Any) -> None:
    """Saved and restored while frames wait, and later, a session gives the same answers."""
    frames = [ball(number, across=0.5 + i / 40) for i, number in enumerate(NUMBERS[:20])]
    whole = run(start(engine), frames)
    for cut in (4, 19):
        answers = run_restored(lambda: start(engine), frames, cut)
        assert [a.field.to_bytes() for a in answers] == [a.field.to_bytes() for a in whole]


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 5)])
def test_tiny_frames_have_no_shading(size: tuple[int, int]) -> None:
    """A subject of a few pixels is not measured; its map has half the proxy's size, rounded up."""
    picture = np.full((*size, 3), 0.5, np.float32)
    images = {"fg": picture, "bg": picture, "normals": picture}
    shading = measure_shading(ProxyFrame(1, images, {"matte": np.ones(size, np.float32)}, (0, 0, 9, 9)))

    assert shading.weight == 0.0
    assert shading.sides.shape == (-(-size[0] // 2), -(-size[1] // 2), 2)
