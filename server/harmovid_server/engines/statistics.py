"""The `harmonize-statistics` engine: moves the foreground's colour statistics a little towards the plate's.

Reinhard et al., "Color Transfer between Images" (IEEE CG&A 2001), in log2 linear light, with exposure, contrast and
colour separate: mean and deviation of log luminance, mean of the channels relative to it. It ignores the content of the
pictures. Full amounts harm mild composites, because a subject may differ from its background; the default amounts are
those that did no harm on average. It is the baseline for learned engines.

Statistics are averaged over time, so that the field does not flicker: the first answer waits for `LOOKAHEAD_FRAMES`
frames, after that the average follows the shot with a time constant of the option `smoothing`.
"""

from __future__ import annotations

from typing import Dict, List, Mapping, Optional, Tuple, cast

import numpy as np
from harmovid.errors import EngineFailed
from harmovid.job import MATTE, EngineInfo, LayerInfo, Option, Preset
from harmovid.pixels.field import MID_GREY, NULL, Curve, Float64, LightingField

from harmovid_server.engines.base import Answer, Array, Engine, ProxyFrame, ShotInfo, State
from harmovid_server.engines.reference import REFERENCE, not_seen, nothing_to_measure, reference_of
from harmovid_server.runtimes.base import RuntimeSettings, cpu_facts

PROXY_LINES = 180
LOOKAHEAD_FRAMES = 16
SMOOTHING_FRAMES = 24

# Log light is clipped to this range around middle grey, so that a black border or one lamp does not decide.
LOW_STOPS, HIGH_STOPS = -8.0, 6.0
# With less than this many proxy pixels of foreground or background there is nothing to measure.
ENOUGH_PX = 24.0
# Limits of a plausible correction; beyond them the statistics compare things that should differ.
SHIFT_LIMIT_STOPS = 3.0
CONTRAST_LIMIT = 2.0


def _amount(name: str, default: float, label: str, what: str) -> Option:
    return Option(
        name, "float", default, f"How far {what} goes towards the plate's (1 = all the way).", label, "Amounts",
        minimum=0.0, maximum=1.0,
    )  # fmt: skip


INFO = EngineInfo(
    name="harmonize-statistics",
    version="1",
    task="harmonize",
    summary="Matches exposure, colour and contrast statistics in log light, gently; a baseline.",
    target="fg",
    layers=(
        LayerInfo("fg", True, "The foreground to relight.", label="Foreground"),
        LayerInfo("bg", True, "The plate whose light it should have.", label="Background"),
        LayerInfo("matte", False, "Where the foreground is; its own alpha if not given.", MATTE, "Matte"),
    ),
    options=(
        _amount("exposure", 0.3, "Exposure", "mean log luminance"),
        _amount("colour", 0.3, "Colour", "mean colour"),
        _amount("contrast", 0.1, "Contrast", "deviation of log luminance"),
        Option("smoothing", "int", SMOOTHING_FRAMES, "Time constant of the average over frames.", "Smoothing",
               "Time", "frames", 1, 1000, advanced=True),
        Option(REFERENCE, "frame", None, "Match this frame only, one of the shot.", "Reference frame", "Time"),
    ),
    presets=(
        Preset("full", "All the way", "Gives the foreground the plate's statistics; harms mild composites.",
               {"exposure": 1.0, "colour": 1.0, "contrast": 1.0}),
    ),
    lookahead_frames=LOOKAHEAD_FRAMES,
    handle_frames=SMOOTHING_FRAMES,
    reach_with={REFERENCE: {"lookahead_frames": 0, "handle_frames": 0}},
    waits_for=REFERENCE,
    reference_anywhere=True,
)  # fmt: skip


def measure(image: Array, weight: Array) -> Array:
    """Return `(5,)` float32: mean and deviation of log luminance, mean of r, g, b relative to it; in stops.

    Args:
        image: `(h, w, 3)` scene-linear, unassociated, finite.
        weight: `(h, w)`, at least one pixel above 0.
    """
    logs = np.log2(np.maximum(image, MID_GREY * 2.0**LOW_STOPS) / MID_GREY).clip(LOW_STOPS, HIGH_STOPS)
    share = (weight / weight.sum(dtype=np.float64)).astype(np.float64)
    luminance = logs.mean(axis=2)
    mean = float((luminance * share).sum())
    deviation = float(np.sqrt((((luminance - mean) ** 2) * share).sum()))
    chroma = ((logs - luminance[..., None]) * share[..., None]).sum(axis=(0, 1))
    return np.array([mean, deviation, *chroma], np.float32)


def match(fg: Array, bg: Array, exposure: float, colour: float, contrast: float) -> LightingField:
    """Return the field that moves statistics `fg` towards `bg` (both of `measure`) by the three amounts."""
    ratio = np.clip(bg[1] / max(float(fg[1]), 0.05), 1 / CONTRAST_LIMIT, CONTRAST_LIMIT)
    slope = contrast * (float(ratio) - 1.0)
    shift = exposure * (bg[0] - fg[0]) + colour * (bg[2:] - fg[2:])
    coeffs = np.zeros((3, 10))
    coeffs[:, 0] = np.clip(shift, -SHIFT_LIMIT_STOPS, SHIFT_LIMIT_STOPS) - slope * float(fg[0])
    coeffs[:, 1:4] = slope / 3.0
    if not coeffs.any():
        return NULL
    return LightingField((Curve(coeffs, MID_GREY, LOW_STOPS, HIGH_STOPS),))


class StatisticsSession:
    """One shot: a running mean of both statistics, and the frames that wait for the first answer."""

    def __init__(self, options: Dict[str, float], reference: Optional[int] = None) -> None:
        self._reference = reference
        self._amounts = (options["exposure"], options["colour"], options["contrast"])
        self._smoothing_frames = options["smoothing"]
        self._mean = np.zeros(10, np.float64)
        self._count = 0
        self._waiting: List[int] = []
        self._started = False

    def push(self, frame: ProxyFrame) -> List[Answer]:
        """Take one frame; answer it, and the waiting first ones too once enough frames have been seen.

        Raises:
            OptionError: the reference frame has nothing to measure.
        """
        self._waiting.append(frame.number)
        pair = _measure_pair(frame) if self._reference in (None, frame.number) else None
        if pair is None and self._reference == frame.number:
            raise nothing_to_measure(frame.number)
        if pair is not None:
            self._count += 1
            # A plain mean at first, an exponential one once the time constant is reached.
            self._mean += (pair - self._mean) / min(
                self._count, max(self._smoothing_frames, LOOKAHEAD_FRAMES)
            )
        enough = len(self._waiting) > LOOKAHEAD_FRAMES if self._reference is None else self._count > 0
        return self._answers() if self._started or enough else []

    def finish(self) -> List[Answer]:
        """Answer the frames that still wait: all frames of a shot shorter than the lookahead.

        Raises:
            OptionError: they wait for a reference frame that could not be read.
        """
        if self._waiting and self._reference is not None:
            raise not_seen(self._reference)
        return self._answers()

    def state(self) -> State:
        """Return the running mean and the numbers of waiting frames."""
        return {
            "mean": self._mean.copy(),
            "count": self._count,
            "waiting": np.array(self._waiting, np.int64),
            "started": self._started,
        }

    def restore(self, state: State) -> None:
        """Restore what `state` returned."""
        self._mean = np.array(state["mean"], np.float64)
        self._count = int(cast(int, state["count"]))
        self._waiting = [int(number) for number in np.atleast_1d(cast(Array, state["waiting"]))]
        self._started = bool(state["started"])

    def close(self) -> None:
        """Do nothing: nothing is held outside Python's memory."""

    def _answers(self) -> List[Answer]:
        self._started = True
        field, report = self._field()
        answers = [Answer(number, field, report) for number in self._waiting]
        self._waiting = []
        return answers

    def _field(self) -> Tuple[LightingField, Dict[str, object]]:
        if not self._count:
            return NULL, {"decision": "nothing", "reason": "no foreground or no background to measure"}
        fg, bg = self._mean[:5].astype(np.float32), self._mean[5:].astype(np.float32)
        report = {"decision": "matched", "exposure_gap_stops": round(float(bg[0] - fg[0]), 3)}
        return match(fg, bg, *self._amounts), report


def _measure_pair(frame: ProxyFrame) -> Optional[Float64]:
    """Return `(10,)` statistics of foreground and background, or None if either is too small to measure."""
    matte = frame.mattes.get("matte")
    if matte is None:
        raise EngineFailed("harmonize needs a matte.", fix="Give one, or a foreground with alpha.")
    bg = frame.images["bg"]
    # Outside the plate's data window pixels are black and must not count as light.
    seen = (bg.max(axis=2) > 0).astype(np.float32)
    if min(float(matte.sum()), float(seen.sum())) < ENOUGH_PX:
        return None
    return np.concatenate([measure(frame.images["fg"], matte), measure(bg, seen)]).astype(np.float64)


class StatisticsEngine:
    """See the module; `info` and `proxy_lines` as in `base.Engine`."""

    info = INFO
    proxy_lines = PROXY_LINES
    runtime: Mapping[str, str] = cpu_facts("numpy")

    def activate(self, settings: RuntimeSettings) -> None:
        """Do nothing: there is nothing to load."""

    def close(self) -> None:
        """Do nothing: nothing is held."""

    def start(self, shot: ShotInfo) -> StatisticsSession:
        """Open a session for one shot.

        Raises:
            OptionError: the reference frame is not among the shot's.
        """
        options = {name: float(value) for name, value in shot.options.items() if name != REFERENCE}
        return StatisticsSession(options, reference_of(shot))


def create() -> Engine:
    """Return the engine."""
    return StatisticsEngine()
