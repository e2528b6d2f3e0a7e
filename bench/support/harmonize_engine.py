"""An engine's fields for a composite, without a server: one session over the clip, or a new one for every frame."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, List, Mapping, Sequence, Tuple

import numpy as np
import numpy.typing as npt
from harmovid.pixels.apply.fast import apply_field
from harmovid.pixels.field import Curve, LightingField
from harmovid_evaluate.harmonize_methods import pair
from harmovid_server.engines.base import Engine, ProxyFrame, ShotInfo

Array = npt.NDArray[np.float32]

FIRST = 1001
Layers = Mapping[str, Sequence[Array]]
NO_LAYERS: Layers = MappingProxyType({})


def engine_fields(
    engine: Engine,
    composite: Array,
    mask: Array,
    per_frame: bool = False,
    layers: Layers = NO_LAYERS,
    **options: Any,
) -> List[LightingField]:
    """Return one field per frame of `composite` `(T, H, W, 3)` with foreground `mask` `(T, H, W)`.

    `layers` are further inputs by name, one picture per frame, passed unchanged.
    """
    if per_frame:
        return [
            engine_fields(engine, composite[t : t + 1], mask[t : t + 1], **options)[0]
            for t in range(len(composite))
        ]
    numbers = tuple(range(FIRST, FIRST + len(composite)))
    names = ("fg", "bg", "matte", *layers)
    session = engine.start(ShotInfo(numbers, engine.info.check_options(options), names))
    answers = []
    for index, (number, frame, matte) in enumerate(zip(numbers, composite, mask)):
        more = {name: pictures[index] for name, pictures in layers.items()}
        answers += list(session.push(_proxy(engine.proxy_lines, number, frame, matte, more)))
    answers += [answer for answer in session.finish() if answer is not None]
    return [answer.field for answer in answers]


def _proxy(lines: int, number: int, frame: Array, matte: Array, more: Mapping[str, Array]) -> ProxyFrame:
    height, width = matte.shape
    lines = min(lines, height)
    bg, fg, small = pair(frame, matte, (round(width * lines / height), lines))
    mattes = {"matte": small, "coverage": np.ones_like(small)}
    return ProxyFrame(number, {"fg": fg, "bg": bg, **more}, mattes, (0, 0, width, height))


def applied(composite: Array, mask: Array, fields: List[LightingField], global_only: bool = False) -> Array:
    """Return the composite with its foreground relit; `global_only` leaves grids and gain maps out."""
    frames = []
    for frame, matte, field in zip(composite, mask, fields):
        kept = tuple(part for part in field.parts if isinstance(part, Curve) or not global_only)
        frames.append(apply_field(frame, LightingField(kept), origin=(0, 0), mask=matte)[0])
    return np.stack(frames)


def steps(composite: Array, mask: Array, fields: List[LightingField]) -> Tuple[float, float]:
    """Return the size of a clip's fields and their change per frame, RMS stops over the foreground.

    All fields are applied to the first frame's pixels, so that only the field's own change counts.
    """
    from harmovid.pixels.apply.fast import field_stops

    inside = mask[0] > 0.5
    if not inside.any():
        return 0.0, 0.0
    stops = np.stack([field_stops(composite[0], field, origin=(0, 0))[inside] for field in fields])
    change = np.diff(stops, axis=0)
    return float(np.sqrt((stops**2).mean())), float(np.sqrt((change**2).mean())) if len(change) else 0.0
