"""The `deflicker` engine: takes flicker of light out of a plate, on the whole frame and in places.

`match` follows the picture through the shot, `solve` finds one colour transform per frame that makes it steady, `local`
does the same in places, `session` cuts the shot into windows. docs/deflicker.md
tells how it is used and what it reaches.
"""

from __future__ import annotations

from harmovid.job import EngineInfo, LayerInfo, Option

from harmovid_server.engines.base import Engine, ShotInfo
from harmovid_server.engines.deflicker.session import BLOCK_FRAMES, Amounts, DeflickerSession

PROXY_LINES = 240
LARGEST_RADIUS_FRAMES = 24
DEFAULT_RADIUS_FRAMES = 12


def _amount(name: str, what: str) -> Option:
    return Option(
        name, "float", 1.0, f"How much of the {what} flicker is taken out.", minimum=0.0, maximum=1.0
    )


INFO = EngineInfo(
    name="deflicker",
    version="1",
    task="deflicker",
    summary="Takes out flicker of exposure, colour and local light; keeps fades, cuts and detail.",
    target="plate",
    layers=(
        LayerInfo("plate", True, "The flickering frames."),
        LayerInfo("mask", False, "Where to apply, and to measure if no measure mask is given."),
        LayerInfo("measure_mask", False, "Where to measure."),
    ),
    options=(
        _amount("luma", "brightness"),
        _amount("chroma", "colour"),
        _amount("local", "local"),
        Option("radius", "int", DEFAULT_RADIUS_FRAMES, "Changes slower than about this many frames are kept.",
               minimum=2, maximum=LARGEST_RADIUS_FRAMES, unit="frames"),
    ),
    default=True,
    lookahead_frames=BLOCK_FRAMES + 5 * LARGEST_RADIUS_FRAMES // 2,
)  # fmt: skip


class DeflickerEngine:
    """See the module; `info` and `proxy_lines` as `base.Engine` wants them."""

    info = INFO
    proxy_lines = PROXY_LINES

    def activate(self) -> None:
        """Do nothing: there is nothing to load."""

    def start(self, shot: ShotInfo) -> DeflickerSession:
        """Open a session for one shot."""
        options = shot.options
        amounts = Amounts(
            float(options["luma"]), float(options["chroma"]), float(options["local"]), int(options["radius"])
        )
        return DeflickerSession(amounts)


def create() -> Engine:
    """Return the engine."""
    return DeflickerEngine()
