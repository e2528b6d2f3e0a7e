"""Video diffusion models from bundles: harmonizers and deflickers, without torch. See docs/export.md.

A bundle of the kind "diffusion" becomes an engine. It encodes a whole shot at proxy size, samples its latents in
overlapping windows, and returns a lighting field per frame, so the plate's own pixels are kept.

    description.py   content of the manifest        session.py   one shot
    codec.py         the VAE, chunk by chunk        sampling.py  its latents, step by step
    pictures.py      proxies and the VAE's range    schedule.py multistep.py noise.py   samplers and their noise
    answer.py        from pictures to a field       windows.py positions.py   windows, inputs of the transformer
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Dict, Mapping, Tuple

import numpy as np
from harmovid.bundle import Manifest
from harmovid.errors import EngineFailed, OptionError
from harmovid.job import MATTE, WEIGHTS_MB, WHOLE_SHOT, EngineInfo, LayerInfo, Option, Preset

from harmovid_server.engines import bundles
from harmovid_server.engines.base import Engine, ShotInfo
from harmovid_server.engines.diffusion.answer import DETAILS, LOCAL, SHARP
from harmovid_server.engines.diffusion.description import STEP, Description
from harmovid_server.engines.diffusion.sampling import Controls
from harmovid_server.engines.diffusion.session import DiffusionSession
from harmovid_server.engines.renewal import Renewal
from harmovid_server.runtimes.base import ANY, Network, RuntimeSettings
from harmovid_server.runtimes.onnx_step import open_step

MOST_FRAMES = 100_000
"""Largest value of the option; a window longer than the shot is one window."""

_HARMONIZE_LAYERS = (
    LayerInfo("fg", True, "The foreground to relight."),
    LayerInfo("bg", True, "The plate whose light it should have."),
    LayerInfo("matte", False, "Where the foreground is; its own alpha if not given.", MATTE),
)
_DEFLICKER_LAYERS = (
    LayerInfo("plate", True, "The clip to steady."),
    LayerInfo("mask", False, "Where to steady it; everywhere if not given.", MATTE),
)


class DiffusionEngine:
    """See the module; the attributes are as in `base.Engine`.

    Raises:
        BundleError: raised by the constructor if the manifest does not describe a diffusion model.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self._folder = folder
        self._describe(manifest)
        self.runtime: Mapping[str, str] = {}
        self._networks: Dict[str, Network] = {}
        self._settings = ANY
        self._renewal = Renewal(folder)

    def _describe(self, manifest: Manifest) -> None:
        """Be the engine of a manifest."""
        self._manifest = manifest
        self._description = Description.of(self._folder, manifest)
        self.info = _info(self._folder, manifest, self._description)
        self.proxy_lines = self._description.lines

    def activate(self, settings: RuntimeSettings) -> None:
        """Load the networks; raise `BundleError` if they are damaged or cannot run here."""
        self._settings = settings
        self._describe(self._renewal.read(self.info.name))
        threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self._networks = bundles.open_networks(self._folder, self._manifest, settings, threads)
        self.runtime = bundles.facts_of(self._networks)
        step = open_step(self._networks["transformer"], settings)
        self._networks.update({STEP: step} if step is not None else {})

    def close(self) -> None:
        """Unload the networks."""
        for network in self._networks.values():
            network.close()
        self._networks, self.runtime = {}, {}

    def start(self, shot: ShotInfo) -> DiffusionSession:
        """Open a session for one shot; raise `OptionError` if window, overlap or steps are invalid."""
        if not self._networks:
            raise EngineFailed(
                f"{self.info.name} was started before it was activated.", fix="Report this as a bug."
            )
        self._reload()
        controls = _controls(shot.options, self._description)
        text = np.asarray(self._networks["prompt"]({})["text"], np.float32)
        return DiffusionSession(self._networks, self._description, text, controls, shot.wants_pictures)

    def _reload(self) -> None:
        """Take over the new version of the bundle if its files have changed."""
        fresh = self._renewal.fresh(self.info.name, DiffusionEngine, self._settings)
        if fresh is not None:
            self._manifest, self._description, self.info = fresh._manifest, fresh._description, fresh.info
            self.proxy_lines, self._networks, self.runtime = fresh.proxy_lines, fresh._networks, fresh.runtime


def _controls(options: Mapping[str, Any], description: Description) -> Controls:
    controls = Controls(
        sampler=str(options["sampler"]), steps=int(options["steps"]), seed=int(options["seed"]),
        window=int(options["window"]), overlap=int(options["overlap"]), detail=str(options["detail"]),
    )  # fmt: skip
    legal = description.legal_frames(controls.window)
    if controls.window != legal:
        raise OptionError(
            f"a window of {controls.window} frames does not fit the rule {description.chunk}N+1.",
            fix=f"Set it to {legal} or {max(legal - description.chunk, description.frames[0])}.",
        )
    if controls.overlap >= controls.window:
        raise OptionError(
            f"windows of {controls.window} frames cannot overlap by {controls.overlap}.",
            fix="Let them overlap by less than a window.",
        )
    if controls.sampler == "one-step" and controls.steps != 1:
        raise OptionError(f"a one-step student cannot take {controls.steps} steps.", fix="Set steps to 1.")
    return controls


def _info(folder: Path, manifest: Manifest, description: Description) -> EngineInfo:
    harmonize = manifest.task == "harmonize"
    what = "gives the foreground the plate's light" if harmonize else "steadies light and colour"
    return EngineInfo(
        name=manifest.name,
        version=manifest.version,
        task=manifest.task,
        summary=f"A video diffusion model {what}; it looks at the whole shot first.",
        target="fg" if harmonize else "plate",
        layers=_HARMONIZE_LAYERS if harmonize else _DEFLICKER_LAYERS,
        options=_options(description),
        lookahead_frames=WHOLE_SHOT,
        handle_frames=description.window,
        limits={WEIGHTS_MB: bundles.weights_mb(folder, manifest)},
        picture_lines=description.lines,
        presets=tuple(
            Preset(name, name.capitalize(), _preset_help(values), dict(values))
            for name, values in description.presets.items()
        ),
    )


def _options(description: Description) -> Tuple[Option, ...]:
    samplers = tuple(description.scheduler["samplers"])
    return (
        Option("steps", "int", int(description.scheduler["steps"]), "Steps of the sampler: more take longer.",
               minimum=1, maximum=1000, group="Quality"),
        Option("detail", "choice", SHARP if description.trusted else LOCAL,
               "How fine the change of light may be: one curve, a grid over the picture, or hard shadows as well.",
               choices=DETAILS, group="Quality"),
        Option("seed", "int", 0, "Another seed gives another answer.", minimum=0, maximum=2**31 - 1),
        Option("window", "int", description.window,
               f"Frames that the network sees at once, {description.chunk}N+1: fewer need less memory.",
               minimum=description.frames[0], maximum=MOST_FRAMES, unit="frames", advanced=True),
        Option("overlap", "int", description.overlap, "Frames that two windows share, averaged where they do.",
               minimum=0, maximum=MOST_FRAMES, unit="frames", advanced=True),
        Option("sampler", "choice", str(description.scheduler["sampler"]), "How a step is taken.", choices=samplers,
               advanced=True),
    )  # fmt: skip


def _preset_help(values: Mapping[str, Any]) -> str:
    return "Sets " + ", ".join(f"{name} to {value}" for name, value in values.items()) + "."


def from_bundle(folder: Path, manifest: Manifest) -> Engine:
    """Return the engine of a bundle; raise `BundleError` for unsupported networks or colour encodings."""
    return DiffusionEngine(folder, manifest)


__all__: Tuple[str, ...] = ("DiffusionEngine", "from_bundle")
