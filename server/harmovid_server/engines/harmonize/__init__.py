"""The `harmonize` engine: a small network that matches a foreground's light to its plate.

Its answer is a curve for the whole foreground and a grid of gains that follows the subject, both scaled by a
confidence. In the weights that ship the grid has the same gains at every place (docs/harmonize.md, "What limits it").
The weights are in a bundle (`bundle/`) that ships with the package and runs on any CPU; `from_bundle` makes the same
engine from another bundle.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Mapping, Optional

from harmovid.bundle import Manifest
from harmovid.errors import EngineFailed, OptionError
from harmovid.job import MATTE, PANORAMA, VECTORS, WEIGHTS_MB, EngineInfo, LayerInfo, Option, Preset

from harmovid_server.engines import bundles
from harmovid_server.engines.base import Engine, ShotInfo, ShotSession
from harmovid_server.engines.harmonize.answer import Controls
from harmovid_server.engines.harmonize.light import (
    LIGHT_FROM,
    LIGHT_TO,
    NORMALS,
    LightControls,
    LightSession,
)
from harmovid_server.engines.harmonize.network import FOLDER, Network, check
from harmovid_server.engines.harmonize.session import BOX_FRAMES, LOOKAHEAD_FRAMES, HarmonizeSession
from harmovid_server.engines.harmonize.source import SOURCE_PLATE
from harmovid_server.engines.reference import REFERENCE, reference_of
from harmovid_server.engines.renewal import Renewal
from harmovid_server.runtimes.base import ANY, RuntimeSettings

PROXY_LINES = 288
SMOOTHING_FRAMES = 120
"""The network uses 144 lines around the subject, usually half of the frame's height."""
VARIANTS = ("cautious", "expected", "bold")
SHARES = ("exposure", "colour", "contrast", "direction", "protect_skin", "protect_saturated")
"""Options that are fields of `Controls`, in its order."""


def _amount(name: str, label: str, what: str) -> Option:
    return Option(
        name, "float", 1.0, f"How much of the change of {what} is applied.", label, "Amounts",
        minimum=0.0, maximum=2.0,
    )  # fmt: skip


def _protection(name: str, label: str, what: str) -> Option:
    return Option(
        name, "float", 0.0, f"How far {what} is kept as it is (1 = fully).", label, "Protection",
        minimum=0.0, maximum=1.0,
    )  # fmt: skip


def _turn(name: str, label: str) -> Option:
    return Option(
        name, "float", 0.0, "How far the camera looks to the right of the panorama's middle.", label, "Light",
        "degrees", -360.0, 360.0, advanced=True,
    )  # fmt: skip


INFO = EngineInfo(
    name="harmonize",
    version="",
    task="harmonize",
    summary="Matches a foreground's exposure, colour and contrast to its plate; direction by normals or panoramas.",
    target="fg",
    layers=(
        LayerInfo("fg", True, "The foreground to relight.", label="Foreground"),
        LayerInfo("bg", True, "The plate whose light it should have.", label="Background"),
        LayerInfo("matte", False, "Where the foreground is; its own alpha if not given.", MATTE, "Matte"),
        LayerInfo("measure_mask", False, "Which part of the plate to match; all of it if not given.", MATTE,
                  "Measure mask"),
        LayerInfo(SOURCE_PLATE, False, "The plate in which the foreground was shot, in the foreground's grade.",
                  label="Source plate"),
        LayerInfo(LIGHT_TO, False, "Panorama (HDRI) of the place the foreground goes to, exposed like the plate.",
                  PANORAMA, "Light to"),
        LayerInfo(LIGHT_FROM, False, "Panorama (HDRI) of the place it was shot or rendered in, exposed like it.",
                  PANORAMA, "Light from"),
        LayerInfo(NORMALS, False, "The foreground's normals in camera space: x right, y up, z towards the camera.",
                  VECTORS, "Normals"),
    ),
    options=(
        Option("variant", "choice", "expected",
               "How strong the change is: cautious changes and harms least, bold changes most.",
               "Variant", "Amounts", choices=VARIANTS),
        _amount("exposure", "Exposure", "brightness"),
        _amount("colour", "Colour", "colour"),
        _amount("contrast", "Contrast", "contrast"),
        _amount("direction", "Direction",
                "light from place to place (by normals or panoramas; the network's own is the same everywhere)"),
        _protection("protect_skin", "Protect skin", "skin"),
        _protection("protect_saturated", "Protect saturated colour", "saturated colour"),
        Option("smoothing", "int", SMOOTHING_FRAMES, "Time constant of the average over frames.", "Smoothing",
               "Time", "frames", 16, 1000, advanced=True),
        Option(REFERENCE, "frame", None, "Match this frame only, one of the shot.", "Reference frame", "Time"),
        _turn("light_to_turn", "Turn of light to"),
        _turn("light_from_turn", "Turn of light from"),
    ),
    presets=(
        Preset("gentle", "Gentle", "Half of every change.",
               {"exposure": 0.5, "colour": 0.5, "contrast": 0.5, "direction": 0.5}),
        Preset("people", "People", "Keeps most of the colour of skin.", {"protect_skin": 0.7}),
        Preset("exposure", "Exposure only", "Leaves colour, contrast and direction as they are.",
               {"colour": 0.0, "contrast": 0.0, "direction": 0.0}),
    ),
    lookahead_frames=LOOKAHEAD_FRAMES,
    handle_frames=SMOOTHING_FRAMES,
    # Nothing is averaged then: only the subject's box follows the frames, and soon forgets the ones before.
    reach_with={REFERENCE: {"lookahead_frames": 0, "handle_frames": BOX_FRAMES}},
    waits_for=REFERENCE,
    reference_anywhere=True,
)  # fmt: skip


class HarmonizeEngine:
    """See the module; the attributes are as in `base.Engine`."""

    proxy_lines = PROXY_LINES

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.info = _info(folder, manifest)
        self.runtime: Mapping[str, str] = {}
        self._folder = folder
        self._network: Optional[Network] = None
        self._settings = ANY
        # The one that ships is part of the program, and changes only with it.
        self._renewal = Renewal(folder) if folder != FOLDER else None

    def activate(self, settings: RuntimeSettings) -> None:
        """Load the networks; raise `BundleError` if they are damaged or cannot run here."""
        self._settings = settings
        if self._renewal is not None:
            self.info = _info(self._folder, self._renewal.read(self.info.name))
        self._network = Network(self._folder, settings)
        self.runtime = self._network.facts

    def close(self) -> None:
        """Unload the networks."""
        if self._network is not None:
            self._network.close()
        self._network, self.runtime = None, {}

    def start(self, shot: ShotInfo) -> ShotSession:
        """Open a session for one shot.

        Raises:
            OptionError: the reference frame is not among the shot's, only one of two panoramas is given, or panoramas
                and a source plate.
        """
        if self._network is None:
            raise EngineFailed("harmonize was started before it was activated.", fix="Report this as a bug.")
        self._reload()
        given = shot.options
        if {LIGHT_TO, LIGHT_FROM}.intersection(shot.layers):
            return _known_light(shot)
        return HarmonizeSession(
            self._network, Controls(str(given["variant"]), *(float(given[name]) for name in SHARES)),
            int(given["smoothing"]), reference_of(shot),
        )  # fmt: skip

    def _reload(self) -> None:
        """Take over the new version of the bundle if its files have changed."""
        fresh = (
            self._renewal.fresh(self.info.name, HarmonizeEngine, self._settings) if self._renewal else None
        )
        if fresh is not None:
            self.info, self._network, self.runtime = fresh.info, fresh._network, fresh.runtime


def _info(folder: Path, manifest: Manifest) -> EngineInfo:
    weights_mb = bundles.weights_mb(folder, manifest)
    return replace(INFO, name=manifest.name, version=manifest.version, limits={WEIGHTS_MB: weights_mb})


def _known_light(shot: ShotInfo) -> ShotSession:
    missing = [name for name in (LIGHT_TO, LIGHT_FROM) if name not in shot.layers]
    if missing:
        raise OptionError(
            f"{missing[0]} is not given.",
            fix="Light is exact from two panoramas: give light_to and light_from.",
        )
    if SOURCE_PLATE in shot.layers:
        raise OptionError(
            "the source plate is not used where the light is known.",
            fix="Leave out either it or the panoramas.",
        )
    names = ("light_to_turn", "light_from_turn", "exposure", "colour", "direction")
    unused = [
        option.name
        for option in INFO.options
        if option.name not in names and shot.options.get(option.name) != option.default
    ]
    unused += [name for name in ("measure_mask",) if name in shot.layers]
    return LightSession(LightControls(*(float(shot.options[name]) for name in names)), unused)


def from_bundle(folder: Path, manifest: Manifest) -> Engine:
    """Return the engine of a bundle; raise `BundleError` for unsupported networks or colour encodings."""
    check(folder, manifest)
    return HarmonizeEngine(folder, manifest)


def create() -> Engine:
    """Return the engine that ships with the package, the default for its task."""
    engine = bundles.create(FOLDER)
    engine.info = replace(engine.info, default=True)
    return engine
