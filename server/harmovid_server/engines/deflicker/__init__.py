"""The `deflicker` engine: removes flicker of light from a plate: global flicker, rolling bands, and local flicker.

`features` reduces a frame, `motion` tracks points through the shot, `joint_fit` finds one colour transform per frame
that makes them steady, `trajectories` separates flicker from the shot's own changes, `bands` and `local_gains` do the
same for bands and local flicker, `window` decides what to apply, `level` holds a level, `session` divides the shot into
windows. docs/deflicker.md describes its use and quality.
"""

from __future__ import annotations

from functools import lru_cache
from threading import Thread
from typing import Mapping, Optional, Tuple

import cv2
import numpy as np
from harmovid.errors import OptionError
from harmovid.job import MATTE, EngineInfo, LayerInfo, Option, OptionValue, Preset

from harmovid_server.engines.base import Engine, ProxyFrame, ShotInfo
from harmovid_server.engines.deflicker.level import FORM, parse_trims
from harmovid_server.engines.deflicker.session import FULL, QUICK, DeflickerSession
from harmovid_server.engines.deflicker.window import CAUSES, Amounts
from harmovid_server.runtimes.base import RuntimeSettings, cpu_facts

PROXY_LINES = 240
COMPILE_LINES = 48
"""Size of the pictures that are processed once to compile the loops."""
LARGEST_RADIUS_FRAMES = 24
REFERENCE = "reference_frame"


def _amount(name: str, label: str, what: str) -> Option:
    return Option(
        name, "float", 1.0, f"How much of the {what} flicker is taken out.", label, "Amounts",
        minimum=0.0, maximum=1.0,
    )  # fmt: skip


INFO = EngineInfo(
    name="deflicker",
    version="10",
    task="deflicker",
    summary="Takes out flicker of exposure, colour and local light; keeps fades, cuts and detail.",
    target="plate",
    layers=(
        LayerInfo("plate", True, "The flickering frames.", label="Plate"),
        LayerInfo("mask", False, "Where to apply, and to measure if no measure mask is given.", MATTE, "Mask"),
        LayerInfo("measure_mask", False, "Where to measure.", MATTE, "Measure mask"),
    ),
    options=(
        Option("mode", "choice", "auto", "What to look for; auto looks for all and says what it found.", "Look for",
               "Detection", choices=tuple(CAUSES)),
        Option("radius", "int", 0, "Changes slower than about this many frames are kept; 0 finds it from the shot.",
               "Radius", "Detection", "frames", 0, LARGEST_RADIUS_FRAMES),
        Option("motion", "choice", "follow", "Whether moving things are tracked, or treated as outliers (still).",
               "Motion", "Detection", choices=("follow", "still"), advanced=True),
        Option("quick", "bool", False, "Answers after 24 frames instead of 88, a little less steady.", "Quick",
               "Detection", advanced=True),
        _amount("luma", "Brightness", "brightness"),
        _amount("chroma", "Colour", "colour"),
        _amount("local", "Local", "local"),
        Option("hold", "float", 0.0, "How much of the shot's own slow change is taken out too; 1 holds one level.",
               "Hold level", "Level", minimum=0.0, maximum=1.0),
        Option(REFERENCE, "frame", None, "A frame that stays as it is and gives the level.", "Reference frame",
               "Level"),
        Option("trims", "str", "", "Corrections of your own in stops, as 1001:+0.2,1010-1014:-0.05.", "Trims", "Level",
               "stops", advanced=True, pattern=FORM, names_frames=True),
    ),
    presets=(
        Preset("quick", "Quick look", "First answers after 24 frames instead of 88, a little less steady.",
               {"quick": True}),
        Preset("lamps", "Lamps and screens", "Rolling bands alone.", {"mode": "bands"}),
        Preset("timelapse", "Time-lapse", "Exposure that jumps; moving things are not followed.",
               {"mode": "timelapse"}),
        Preset("generated", "After harmonizing", "Local flicker that a frame-by-frame method has left.",
               {"mode": "harmonization"}),
        Preset("brightness", "Brightness only", "Leaves colour as it is.", {"chroma": 0.0}),
        Preset("one_level", "One level", "Takes slow changes out as well.", {"hold": 1.0}),
    ),
    default=True,
    lookahead_frames=FULL.frames,
    handle_frames=FULL.handles,
    handle_step=FULL.block,
    reach_with={"quick": {"lookahead_frames": QUICK.frames, "handle_frames": QUICK.handles}},
    waits_for=REFERENCE,
)  # fmt: skip


class DeflickerEngine:
    """See the module; `info` and `proxy_lines` as in `base.Engine`."""

    info = INFO
    proxy_lines = PROXY_LINES
    runtime: Mapping[str, str] = cpu_facts("numba")

    def activate(self, settings: RuntimeSettings) -> None:
        """Begin to compile the inner loops in a thread, while the first frames are read; once per process."""
        # Several OpenCV threads in one search would make the result depend on timing; the two directions run in
        # parallel.
        cv2.setNumThreads(1)
        _compile_once()

    def close(self) -> None:
        """Do nothing: nothing is held."""

    def start(self, shot: ShotInfo) -> DeflickerSession:
        """Open a session for one shot.

        Raises:
            OptionError: the trims cannot be parsed, or the reference is not a frame of the shot.
        """
        options = shot.options
        amounts = Amounts(
            float(options["luma"]),
            float(options["chroma"]),
            float(options["local"]),
            int(options["radius"]),
            str(options["mode"]),
            float(options["hold"]),
            _reference(options.get(REFERENCE), shot.frames),
            options["motion"] == "follow",
        )
        reach = QUICK if options["quick"] else FULL
        facts = {"level": f"frames {shot.frames[0]} to {shot.frames[-1]} alone"} if shot.frames else {}
        facts["windows"] = f"{reach.block} frames, with {reach.back} before and {reach.ahead} after"
        return DeflickerSession(amounts, parse_trims(str(options["trims"])), reach, facts)


@lru_cache(maxsize=1)
def _compile_once() -> Thread:
    """Process a small shot in its own thread, so that the loops are compiled and cached beside the package."""
    thread = Thread(target=_compile, name="deflicker-compile", daemon=True)
    thread.start()
    return thread


def _compile() -> None:
    rng, shape = np.random.default_rng(0), (COMPILE_LINES, COMPILE_LINES)
    picture = rng.uniform(0.05, 0.5, (*shape, 3)).astype(np.float32)
    session = DeflickerSession(Amounts(1.0, 1.0, 1.0, 0, "auto"), {})
    for number in range(3):
        frame = ProxyFrame(
            number,
            {"plate": picture * (1 + number % 2)},
            {"coverage": np.ones(shape, np.float32)},
            (0, 0, *shape),
        )
        session.push(frame)
    session.finish()
    session.close()


def _reference(frame: Optional[OptionValue], frames: Tuple[int, ...]) -> Optional[int]:
    """Return the reference frame, or None.

    Raises:
        OptionError: it is not a frame of the shot.
    """
    if frame is None:
        return None
    if frame not in frames:
        raise OptionError(
            f"option {REFERENCE} is {frame}, which is no frame of the shot.",
            fix=f"Name one from {min(frames, default=0)} to {max(frames, default=0)}, or none.",
        )
    return int(frame)


def create() -> Engine:
    """Return the engine."""
    return DeflickerEngine()
