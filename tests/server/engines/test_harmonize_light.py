"""Known light: irradiance agrees with an integral over the panorama, and the answer is the ratio of both places'."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from harmovid.errors import OptionError
from harmovid.pixels.apply.tiles import field_stops
from harmovid_server.engines import load
from harmovid_server.engines.base import ProxyFrame, ShotInfo
from harmovid_server.engines.harmonize.light import LightSession, harmonics_of, light_on, visible_light
from harmovid_server.runtimes.base import RuntimeSettings

ROWS, COLUMNS = 64, 128


@pytest.fixture(scope="module")
def engine() -> Any:
    """Return the engine with its shipped weights."""
    (made,) = load(["harmonize"])
    made.activate(RuntimeSettings())
    return made


def directions(turn: float = 0.0) -> np.ndarray:
    """Return where each pixel of a panorama lies: x right, y up, z towards the camera."""
    down = (np.arange(ROWS)[:, None] + 0.5) / ROWS * np.pi
    around = ((np.arange(COLUMNS) + 0.5) / COLUMNS - 0.5) * 2 * np.pi - np.radians(turn)
    x, z = np.sin(down) * np.sin(around), -np.sin(down) * np.cos(around)
    return np.stack([x, np.broadcast_to(np.cos(down), x.shape), z], -1)


def panorama(towards: tuple[float, float, float], tint: tuple[float, float, float] = (1, 1, 1)) -> np.ndarray:
    """Return soft light that mostly comes from one side."""
    side = np.array(towards) / np.linalg.norm(towards)
    level = 0.2 + np.exp(2 * (directions() @ side - 1))
    return (level[..., None] * np.array(tint)).astype(np.float32)


def ball() -> tuple[np.ndarray, np.ndarray]:
    """Return the normals `(48, 48, 3)` of a ball that a camera sees, and its matte."""
    across = (np.arange(48) + 0.5) / 24 - 1
    x, y = np.meshgrid(across, -across)
    inside = x * x + y * y < 0.9
    z = np.sqrt(np.clip(1 - x * x - y * y, 0, 1))
    return np.where(inside[..., None], np.stack([x, y, z], -1), 0).astype(np.float32), inside.astype(
        np.float32
    )


def integral(light: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Return the light on a surface over pi, summed pixel by pixel."""
    down = (np.arange(ROWS) + 0.5) / ROWS * np.pi
    solid = np.sin(down)[:, None, None] * (np.pi / ROWS) * (2 * np.pi / COLUMNS)
    facing = np.clip(directions() @ normal, 0, None)[..., None]
    total: np.ndarray = (light * facing * solid).sum((0, 1)) / np.pi
    return total


def answered(session: LightSession, **images: np.ndarray) -> tuple[Any, np.ndarray]:
    """Return the answer to a grey ball and its stops on the ball's pixels."""
    grey, matte = np.full((48, 48, 3), 0.18, np.float32), ball()[1]
    frame = ProxyFrame(1, {"fg": grey, "bg": grey, **images}, {"matte": matte}, (0, 0, 480, 480))
    (answer,) = session.push(frame)
    full = np.full((480, 480, 3), 0.18, np.float32)
    return answer, field_stops(full, answer.field, origin=(0, 0))[5::10, 5::10]


def start(engine: Any, *layers: str, **options: Any) -> Any:
    """Return a session of the engine with these layers beside foreground and plate."""
    return engine.start(ShotInfo((1,), engine.info.check_options(options), ("fg", "bg", *layers)))


@pytest.mark.parametrize("normal", [(0, 0, 1), (1, 0, 0), (0, 1, 0), (-0.6, -0.48, 0.64)])
def test_light_on_a_surface_is_the_integral(normal: tuple[float, float, float]) -> None:
    """Nine harmonics give what the sum over all directions gives, within four per cent of the brightest side."""
    light = panorama((1, 0.5, 0.5), (1.0, 0.8, 0.5))
    wanted, brightest = (
        integral(light, np.array(normal, float)),
        integral(light, np.array([0.82, 0.41, 0.41])),
    )
    found = light_on(np.array(normal, float), harmonics_of(light))
    assert np.abs(found - wanted).max() < 0.04 * brightest.max()


def test_light_twice_as_bright_is_one_stop(engine: Any) -> None:
    """The same panorama, only brighter and warmer, gives the same stops everywhere, with normals and without."""
    light, tint = panorama((1, 1, 1)), np.array([2.0, 1.0, 0.5], np.float32)
    for normals in ({}, {"normals": ball()[0]}):
        session = start(engine, "light_to", "light_from", *normals)
        answer, stops = answered(session, light_to=light * tint, light_from=light, **normals)
        np.testing.assert_allclose(stops, np.broadcast_to([1.0, 0.0, -1.0], stops.shape), atol=1e-4)
        assert answer.report["decision"] == "harmonized"


def test_light_from_the_other_side_moves_the_shading(engine: Any) -> None:
    """From a lamp at the left to one at the right, the ball's right brightens by the ratio of the two integrals."""
    left, right, normals = panorama((-1, 0, 0.5)), panorama((1, 0, 0.5)), ball()[0]
    session = start(engine, "light_to", "light_from", "normals")
    _, stops = answered(session, light_to=right, light_from=left, normals=normals)
    for row, column in ((24, 40), (24, 8), (10, 24)):
        normal = normals[row, column].astype(float)
        wanted = np.log2(integral(right, normal) / integral(left, normal))
        np.testing.assert_allclose(stops[row, column], wanted, atol=0.12)
    turned = start(engine, "light_to", "light_from", "normals", light_to_turn=180.0)
    assert (
        answered(turned, light_to=right, light_from=left, normals=normals)[1][24, 40].mean()
        < stops[24, 40].mean()
    )


def test_amounts_and_missing_normals(engine: Any) -> None:
    """Without direction, or without normals, the whole foreground gets one gain; without exposure its mean is kept."""
    lights = {"light_to": panorama((1, 0, 0.5), (3, 2, 1)), "light_from": panorama((-1, 0, 0.5))}
    flat, one = start(engine, *lights, "normals", direction=0.0), start(engine, *lights)
    stops = answered(flat, **lights, normals=ball()[0])[1]
    assert np.ptp(stops.reshape(-1, 3), axis=0).max() < 1e-6
    wanted = np.log2(
        visible_light(harmonics_of(lights["light_to"])) / visible_light(harmonics_of(lights["light_from"]))
    )
    np.testing.assert_allclose(answered(one, **lights)[1][0, 0], wanted, atol=1e-4)
    level = answered(start(engine, *lights, exposure=0.0), **lights)[1]
    assert abs(float(level.mean())) < 1e-4


def test_one_panorama_alone_is_refused(engine: Any) -> None:
    """With one panorama, with normals or without, the error names what is missing; a black panorama changes nothing."""
    for layers in (("light_to",), ("light_from",), ("light_to", "normals")):
        with pytest.raises(OptionError, match="is not given"):
            start(engine, *layers)
    light = panorama((0, 1, 0))
    answer, _ = answered(start(engine, "light_to", "light_from"), light_to=light * 0, light_from=light)
    assert answer.field.is_null
    assert "black" in answer.report["reason"]


def test_what_has_no_effect_with_known_light_is_in_the_report(engine: Any) -> None:
    """Options and inputs of the network alone are named, frame by frame; without any there is nothing to say."""
    light = panorama((1, 1, 1))
    given = {"light_to": light, "light_from": light}
    answer, _ = answered(start(engine, *given, "measure_mask", contrast=0.5, reference_frame=1), **given)
    assert answer.report["notes"] == [
        "contrast, reference_frame, measure_mask: no effect where the light is known"
    ]
    assert "notes" not in answered(start(engine, *given, exposure=0.5), **given)[0].report
