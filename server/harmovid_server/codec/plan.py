"""What to do with every frame of a job: the part of its specification that codec children need.

plan = Plan.of(spec, engine.info, engine.proxy_lines)
pool.submit(job, {"task": "proxy", "plan": plan.to_dict(), ...})
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Dict, Mapping, Tuple

from harmovid.errors import InputError
from harmovid.job import BACKGROUND, COMP, FOREGROUND_MATTE, PROXY, TARGET, WHOLE_SHOT, EngineInfo, JobSpec
from harmovid.pixels.inputs import FrameRules


def title(info: EngineInfo) -> str:
    """Return the engine's name and version for the metadata of results."""
    return f"{info.name} {info.version}"


@dataclass(frozen=True)
class Plan:
    """See the module.

    Attributes:
        layers: the job's inputs.
        target: the layer that is changed and returned.
        wants_matte: the engine works on a foreground: its matte is the layer "matte", else the target's
            alpha.
        mattes: the layers of which one channel is taken, 0..1; all others are images.
        panoramas: the images whose format may differ. vectors: the images that are not colour.
        lines: height of the proxies.
        premultiplied, mode, strength, field_layers: as in `OutputSpec`.
        colorspace, exr_layers, matte_channels: as in `JobSpec`.
        engine: name and version, written into the results.
        keeps_decoded: a measured frame stays decoded until it is finished. Not where the engine answers at the end of
            the shot: their number would grow with its length, and only the first ones would fit.
    """

    layers: Tuple[str, ...]
    target: str
    wants_matte: bool
    mattes: Tuple[str, ...]
    lines: int
    premultiplied: bool
    mode: str
    strength: float
    field_layers: bool
    panoramas: Tuple[str, ...] = ()
    vectors: Tuple[str, ...] = ()
    colorspace: Mapping[str, str] = field(default_factory=dict)
    exr_layers: Mapping[str, str] = field(default_factory=dict)
    matte_channels: Mapping[str, str] = field(default_factory=dict)
    engine: str = ""
    keeps_decoded: bool = True

    @classmethod
    def of(cls, spec: JobSpec, info: EngineInfo, lines: int) -> Plan:
        """Return the plan of a job.

        Raises:
            InputError: a composite without a background, or the own picture of an engine that has none.
        """
        output = spec.output
        rules = FrameRules.of(spec, info)
        no_background = BACKGROUND not in spec.layers or not rules.wants_matte
        if no_background and (output.mode == COMP or (output.mode == PROXY and rules.wants_matte)):
            raise InputError(
                f"engine {info.name} cannot return a composite without a background and a matte.",
                fix="Give a background, or ask for the output fg.",
            )
        if output.mode == PROXY and not info.picture_lines:
            raise InputError(
                f"engine {info.name} has no picture of its own.",
                fix="Ask for the output fg, or another engine.",
            )
        return cls(
            layers=spec.layers,
            target=info.target,
            wants_matte=rules.wants_matte,
            mattes=rules.mattes,
            panoramas=rules.panoramas,
            vectors=rules.vectors,
            lines=lines,
            premultiplied=output.premultiplied,
            mode=output.mode,
            strength=output.strength,
            field_layers=output.field_layers,
            colorspace=rules.colorspace,
            exr_layers=rules.exr_layers,
            matte_channels=rules.matte_channels,
            engine=title(info),
            keeps_decoded=info.lookahead_frames < WHOLE_SHOT,
        )

    @property
    def rules(self) -> FrameRules:
        """The rules for choosing channels and refusing files."""
        return FrameRules(
            target=self.target,
            wants_matte=self.wants_matte,
            mattes=self.mattes,
            panoramas=self.panoramas,
            vectors=self.vectors,
            premultiplied=self.premultiplied,
            comp=self.mode != TARGET,
            exr_layers=self.exr_layers,
            matte_channels=self.matte_channels,
            colorspace=self.colorspace,
        )

    @property
    def is_over_background(self) -> bool:
        """Whether the result is a file of the background, with the foreground in it."""
        return self.mode == COMP or (self.mode == PROXY and self.wants_matte)

    @property
    def finish_layers(self) -> Tuple[str, ...]:
        """The layers needed to finish a frame; the others are only measured."""
        needed = {self.target, FOREGROUND_MATTE, "mask"} | (
            {BACKGROUND} if self.is_over_background else set()
        )
        return tuple(layer for layer in self.layers if layer in needed)

    def to_dict(self) -> Dict[str, Any]:
        """Return the plan as plain maps and lists."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Plan:
        """Return the plan from the map of `to_dict`, received from the parent process."""
        names = ("layers", "mattes", "panoramas", "vectors")
        return cls(**{**data, **{name: tuple(data[name]) for name in names}})
