"""An engine of another package, for tests of hosts: inputs of every kind that no other engine has.

    with RunningServer(folder, environ=studio_engine.installed(folder), echo=False): ...

Its answer depends on every input, so that one that is left out, swapped or taken from another frame shows.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Dict, List, Mapping

import numpy as np
from harmovid.job import MATTE, PANORAMA, VECTORS, EngineInfo, LayerInfo, Option
from harmovid.pixels.field import Curve, LightingField
from harmovid_server.engines.base import Answer, ProxyFrame, ShotInfo
from harmovid_server.engines.null import NullEngine, NullSession

TESTS = Path(__file__).resolve().parents[1]
NAME = "studio-relight"
INFO = EngineInfo(
    name=NAME,
    version="1",
    task="harmonize",
    summary="Relights a foreground by inputs of our own.",
    target="fg",
    layers=(
        LayerInfo("fg", True, "The foreground."),
        LayerInfo("bg", True, "The plate."),
        LayerInfo("matte", False, "Where the foreground is.", MATTE),
        LayerInfo("clean_plate", False, "The set without the subject.", label="Clean plate"),
        LayerInfo("dirt", False, "What not to look at.", MATTE),
        LayerInfo("facing", False, "Which way surfaces face.", VECTORS, "Facing"),
        LayerInfo("sky", False, "The sky of the day.", PANORAMA, "Sky"),
    ),
    options=(Option("amount", "float", 1.0, "How far.", minimum=0.0, maximum=1.0),),
)
FOR_PLATES = EngineInfo(
    name="studio-clean",
    version="1",
    task="deflicker",
    summary="Brings a plate to the level of a clean plate.",
    target="plate",
    layers=(
        LayerInfo("plate", True, "The plate."),
        LayerInfo("clean_plate", True, "The same set, lit right.", label="Clean plate"),
        LayerInfo("sky", False, "The sky of the day.", PANORAMA),
        LayerInfo("dirt", False, "What not to look at.", MATTE),
    ),
)


class Session(NullSession):
    """One shot: each frame is answered at once, from its own inputs."""

    def __init__(self, options: Mapping[str, Any], target: str) -> None:
        self._options, self._target = options, target

    def push(self, frame: ProxyFrame) -> List[Answer]:
        """Answer with gains that depend on every input."""
        level = float(frame.images[self._target].mean())
        gains = {
            name: float(np.log2((abs(float(image.mean())) + 0.1) / (abs(level) + 0.1)))
            for name, image in frame.images.items()
        }
        held = {name: float(matte.mean()) for name, matte in frame.mattes.items() if name == "dirt"}
        red = gains.get("clean_plate", 0.0) + 0.25 * gains.get("bg", 0.0)
        green = gains.get("facing", 0.0) + held.get("dirt", 0.0)
        stops = [self._options.get("amount", 1.0) * one for one in (red, green, gains.get("sky", 0.0))]
        facts = {"decision": "relit", "inputs": sorted([*frame.images, *held])}
        return [Answer(frame.number, LightingField((Curve.gain(*stops),)), facts)]


class Engine(NullEngine):
    """See the module; the attributes are as in `engines.base.Engine`."""

    proxy_lines = 16

    def __init__(self, info: EngineInfo) -> None:
        self.info = info

    def start(self, shot: ShotInfo) -> Session:
        """Open a session."""
        return Session(dict(shot.options), self.info.target)


def create() -> Engine:
    """Return the engine for foregrounds."""
    return Engine(INFO)


def create_for_plates() -> Engine:
    """Return the engine for plates."""
    return Engine(FOR_PLATES)


def installed(folder: Path) -> Dict[str, str]:
    """Return variables of an environment in which a package with both engines is installed.

    Args:
        folder: where its metadata is written.
    """
    about = folder / "studio_engine-1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: studio-engine\nVersion: 1\n", "utf-8")
    entries = (f"{NAME} = fakes.studio_engine:create", "studio-clean = fakes.studio_engine:create_for_plates")
    (about / "entry_points.txt").write_text("\n".join(["[harmovid.engines]", *entries, ""]), "utf-8")
    return {"PYTHONPATH": os.pathsep.join([str(folder), str(TESTS)])}
