"""Light from panoramas: one of the place where the foreground was shot, and one of the place that it goes to.

The light that falls on a matt surface follows from a panorama in closed form: nine spherical harmonics and the
surface's normal (Ramamoorthi and Hanrahan, "An Efficient Representation for Irradiance Environment Maps", SIGGRAPH
2001). The ratio of both lights is the field, for every normal; without normals it is the ratio of their means over the
sides that the camera sees. No network is used. Specular reflection, cast shadows and light between surfaces are
ignored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, List, Mapping, Optional, Sequence, Tuple

import cv2
import numpy as np
import numpy.typing as npt
from harmovid.pixels.field import NULL, Curve, GainMap, LightingField

from harmovid_server.engines.base import Answer, ProxyFrame, State

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

LIGHT_TO, LIGHT_FROM, NORMALS = "light_to", "light_from", "normals"
ROWS, COLUMNS = 32, 64
"""Size at which a panorama is integrated; second order needs no more."""
ORDERS = np.array([np.pi, *3 * [2 * np.pi / 3], *5 * [np.pi / 4]])
"""Factor of each harmonic for a matt surface (equation 8 of the paper)."""
FLOOR = 0.03
"""Lower limit of the light, as a share of its mean over all directions: second order may give negative light."""
UNIT = 0.5
"""Shorter normals are the mean of two surfaces, or no surface, and are ignored."""
FILL_PX = 3.0
"""Proxy pixels by which the subject's light is extended beyond its edge, so that edges get the full change."""
STOPS_LIMIT = 10.0


@dataclass(frozen=True)
class LightControls:
    """The options that apply here: how far each panorama is turned, in degrees to the right, and factors for the change
    of level, of colour, and over the subject's sides."""

    light_to_turn: float
    light_from_turn: float
    exposure: float
    colour: float
    direction: float


class LightSession:
    """One shot with known light; every frame is answered at once. See `base.ShotSession`."""

    def __init__(self, controls: LightControls, unused: Sequence[str] = ()) -> None:
        """Take the controls, and the names of what was given but has no effect here, for the report."""
        self._controls = controls
        self._notes = [f"{', '.join(unused)}: no effect where the light is known"] if unused else []

    def push(self, frame: ProxyFrame) -> List[Answer]:
        """Take one frame; answer it."""
        to, source = (
            harmonics_of(frame.images[name], turn)
            for name, turn in (
                (LIGHT_TO, self._controls.light_to_turn), (LIGHT_FROM, self._controls.light_from_turn)
            )
        )  # fmt: skip
        if not to[0].any() or not source[0].any():
            reason = "one of the panoramas is black"
            return [Answer(frame.number, NULL, {"decision": "nothing", "reason": reason})]
        mean = np.log2(visible_light(to) / visible_light(source))
        stops, mean = _over_subject(frame, to, source, mean)
        field, facts = self._answered(stops, mean, frame.box)
        return [Answer(frame.number, field, {**facts, "notes": self._notes} if self._notes else facts)]

    def _answered(
        self, stops: Optional[Float32], mean: Float64, box: Tuple[int, int, int, int]
    ) -> Tuple[LightingField, Mapping[str, Any]]:
        controls, level = self._controls, float(mean.mean())
        gain = level * controls.exposure + (mean - level) * controls.colour
        parts: List[Any] = [Curve.gain(*(float(one) for one in gain))]
        local = 0.0
        if stops is not None and controls.direction:
            apart = (stops - mean.astype(np.float32)) * np.float32(controls.direction)
            local = float(np.sqrt((apart**2).mean()))
            parts.append(GainMap(apart, box))
        facts: Mapping[str, Any] = {
            "decision": "harmonized", "reason": "the light of both places is known",
            "exposure_stops": round(level, 3), "colour_stops": [round(float(one), 3) for one in mean - level],
            "local_stops": round(local, 3),
        }  # fmt: skip
        return LightingField(tuple(parts)), facts

    def finish(self) -> List[Answer]:
        """Return nothing: no frame waits."""
        return []

    def state(self) -> State:
        """Return nothing: frames do not depend on each other."""
        return {}

    def restore(self, state: State) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing: nothing is open."""


def harmonics_of(panorama: Float32, turn: float = 0.0) -> Float64:
    """Return the light of a panorama on matt surfaces as nine harmonics, `(9, 3)`.

    Args:
        panorama: `(h, w, 3)` scene-linear, latitude-longitude: row 0 looks up, the middle column ahead.
        turn: degrees by which the camera looks to the right of the middle column.
    """
    small = cv2.resize(np.maximum(panorama, 0), (COLUMNS, ROWS), interpolation=cv2.INTER_AREA)
    down = (np.arange(ROWS) + 0.5) / ROWS * np.pi
    around = ((np.arange(COLUMNS) + 0.5) / COLUMNS - 0.5) * 2 * np.pi - np.radians(turn)
    sine = np.sin(down)[:, None]
    directions = np.stack([
        sine * np.sin(around), np.broadcast_to(np.cos(down)[:, None], (ROWS, COLUMNS)), -sine * np.cos(around),
    ], -1)  # fmt: skip
    solid = sine * (np.pi / ROWS) * (2 * np.pi / COLUMNS)
    sums = np.einsum("hwk,hwc->kc", basis(directions) * solid[..., None], small.astype(np.float64))
    return np.asarray(sums * (ORDERS / np.pi)[:, None], np.float64)


def basis(directions: npt.NDArray[np.floating[Any]]) -> Float64:
    """Return the nine real spherical harmonics of unit directions `(..., 3)`: x right, y up, z towards the camera."""
    x, y, z = np.moveaxis(np.asarray(directions, np.float64), -1, 0)
    return np.stack([
        np.full_like(x, 0.282095), 0.488603 * y, 0.488603 * z, 0.488603 * x, 1.092548 * x * y, 1.092548 * y * z,
        0.315392 * (3 * z * z - 1), 1.092548 * x * z, 0.546274 * (x * x - y * y),
    ], -1)  # fmt: skip


def light_on(normals: npt.NDArray[np.floating[Any]], harmonics: Float64) -> Float64:
    """Return the light `(..., 3)` on matt surfaces with unit `normals` `(..., 3)`, over pi."""
    seen = basis(normals) @ harmonics
    return np.asarray(np.maximum(seen, FLOOR * max(float(harmonics[0].mean()) * 0.282095, 1e-9)), np.float64)


def visible_light(harmonics: Float64) -> Float64:
    """Return the mean light `(3,)` on the sides that a camera sees: the mean over the visible disc of a sphere."""
    across = (np.arange(32) + 0.5) / 16 - 1
    x, y = np.meshgrid(across, across)
    inside = x * x + y * y < 1
    z = np.sqrt(np.clip(1 - x * x - y * y, 0, 1))
    return np.asarray(light_on(np.stack([x, y, z], -1)[inside], harmonics).mean(axis=0), np.float64)


def _over_subject(
    frame: ProxyFrame, to: Float64, source: Float64, mean: Float64
) -> Tuple[Optional[Float32], Float64]:
    """Return the stops of every proxy pixel `(h, w, 3)` and their mean over the subject, from the normals."""
    normals = frame.images.get(NORMALS)
    if normals is None:
        return None, mean
    length = np.sqrt((normals**2).sum(axis=2))
    weight = np.where(length > UNIT, frame.mattes.get("matte", np.ones_like(length)), np.float32(0))
    if float(weight.sum()) < 1:
        return None, mean
    unit = normals / np.maximum(length, UNIT)[..., None]
    stops = np.clip(np.log2(light_on(unit, to) / light_on(unit, source)), -STOPS_LIMIT, STOPS_LIMIT)
    over = np.asarray((stops * weight[..., None]).sum(axis=(0, 1)) / weight.sum(), np.float64)
    return extended(stops, weight, over), over


def extended(values: npt.NDArray[Any], weight: npt.NDArray[Any], mean: Float64) -> Float32:
    """Return values `(h, w, n)` of the subject, continued beyond its edge, where `weight` ends, down to their mean."""
    carried = _blurred((values - mean) * weight[..., None])
    reached = _blurred(weight)[..., None]
    beyond = mean + carried / np.maximum(reached, 1e-3)
    return np.asarray(np.where(weight[..., None] > UNIT, values, beyond), np.float32)


def _blurred(plane: npt.NDArray[Any]) -> Float32:
    return np.asarray(cv2.GaussianBlur(plane.astype(np.float32), (0, 0), FILL_PX), np.float32)
