"""What is done with every frame of a job: the one part of its specification that codec children need.

plan = Plan.of(spec, engine.info, engine.proxy_lines)
pool.submit(job, {"task": "proxy", "plan": plan.to_dict(), ...})
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Dict, Mapping, Tuple

from harmovid.errors import InputError
from harmovid.job import BACKGROUND, FOREGROUND_MATTE, MATTE, EngineInfo, JobSpec


@dataclass(frozen=True)
class Plan:
    """See the module.

    Attributes:
        layers: the job's inputs.
        target: the layer that is relit and returned.
        wants_matte: the engine works on a foreground: its matte is the layer "matte", else the target's
            alpha.
        mattes: the layers of which one channel is taken, 0..1; all others are pictures.
        lines: height of the proxies.
        premultiplied, mode, strength, field_layers: as in `OutputSpec`.
        colorspace: layer to OpenColorIO name, as in `JobSpec`.
        engine: name and version, written into the results.
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
    colorspace: Mapping[str, str] = field(default_factory=dict)
    engine: str = ""

    @classmethod
    def of(cls, spec: JobSpec, info: EngineInfo, lines: int) -> Plan:
        """Return the plan of a job; raise `InputError` for a composite without a background."""
        output = spec.output
        wants_matte = any(layer.name == FOREGROUND_MATTE for layer in info.layers)
        if output.mode == "comp" and (BACKGROUND not in spec.layers or not wants_matte):
            raise InputError(
                f"engine {info.name} cannot return a composite without a background and a matte.",
                fix="Give a background, or ask for the output fg.",
            )
        return cls(
            layers=spec.layers,
            target=info.target,
            wants_matte=wants_matte,
            mattes=info.layers_of(MATTE),
            lines=lines,
            premultiplied=output.premultiplied,
            mode=output.mode,
            strength=output.strength,
            field_layers=output.field_layers,
            colorspace=dict(spec.colorspace),
            engine=f"{info.name} {info.version}",
        )

    @property
    def finish_layers(self) -> Tuple[str, ...]:
        """The layers that finishing a frame needs; the others were only measured."""
        needed = {self.target, FOREGROUND_MATTE, "mask"} | ({BACKGROUND} if self.mode == "comp" else set())
        return tuple(layer for layer in self.layers if layer in needed)

    def to_dict(self) -> Dict[str, Any]:
        """Return plain maps and lists."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Plan:
        """Rebuild from `to_dict`'s map, which came from our own parent process."""
        return cls(**{**data, "layers": tuple(data["layers"]), "mattes": tuple(data["mattes"])})
