"""What a job is: the engine's own description, the specification of one job, its states and its progress.

These dataclasses are shared by hosts, client and server. They hold plain values only, so that they travel over
the wire as msgpack maps (`to_dict` / `from_dict`); nothing here touches sockets or pixels.
"""

from __future__ import annotations

import secrets
from bisect import bisect_right
from dataclasses import asdict, dataclass, field
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple, Union

from harmovid.errors import InputError, OptionError

OptionValue = Union[float, int, bool, str]

# Job states, in the order a job meets them (docs/wire.md, "States").
QUEUED, RUNNING, DONE, FAILED, CANCELLED, EXPIRED = (
    "QUEUED", "RUNNING", "DONE", "FAILED", "CANCELLED", "EXPIRED",
)  # fmt: skip
ACTIVE_STATES = (QUEUED, RUNNING)
FINAL_STATES = (DONE, FAILED, CANCELLED, EXPIRED)

OUTPUT_MODES = ("fg", "comp")


def new_job_id() -> str:
    """Return a fresh random job id, 32 hex digits."""
    return secrets.token_hex(16)


def frame_number(text: str) -> Optional[int]:
    """Return the frame number that an option holds as text; None where it is empty or no number."""
    try:
        return int(text.strip())
    except ValueError:
        return None


@dataclass(frozen=True)
class Option:
    """One engine option, described well enough that a host builds a knob and the CLI a flag from it.

    `kind` is one of "float", "int", "bool", "choice", "str". `minimum`/`maximum` bound numbers (inclusive),
    `choices` lists a choice's values. `unit` is shown beside the number ("stops", "frames", "").
    """

    name: str
    kind: str
    default: OptionValue
    help: str
    label: str = ""
    minimum: Optional[float] = None
    maximum: Optional[float] = None
    choices: Tuple[str, ...] = ()
    unit: str = ""

    def check(self, value: Any) -> OptionValue:
        """Return `value` as this option's type, or raise `OptionError` naming the range or the choices."""
        if self.kind == "bool":
            if isinstance(value, bool):
                return value
            raise self._bad(value, "true or false")
        if self.kind in ("float", "int"):
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise self._bad(value, "a number")
            if self.kind == "int" and int(value) != value:
                raise self._bad(value, "a whole number")
            low, high = self.minimum, self.maximum
            # "not >=" also catches NaN.
            if (low is not None and not value >= low) or (high is not None and not value <= high):
                raise self._bad(value, f"from {low} to {high}")
            return int(value) if self.kind == "int" else float(value)
        if not isinstance(value, str):
            raise self._bad(value, "text")
        if self.kind == "choice" and value not in self.choices:
            raise self._bad(value, "one of " + ", ".join(self.choices))
        return value

    def _bad(self, value: Any, wanted: str) -> OptionError:
        return OptionError(f"option {self.name} is {value!r}.", fix=f"It must be {wanted}.")


@dataclass(frozen=True)
class LayerInfo:
    """One input of an engine: "plate", "mask", "measure_mask", "fg", "bg", "matte"."""

    name: str
    required: bool
    help: str


@dataclass(frozen=True)
class EngineInfo:
    """What a server says of one engine. Hosts build their knobs, the CLI its flags from it.

    `task` is "deflicker", "harmonize" or "any"; `default` marks the one used when the user names none.
    `target` names the input layer whose pixels are relit and returned. `lookahead_frames` is how many frames
    the engine may need beyond the one it answers (bounds the spool a job needs). `waits_for` names an option that
    may hold the number of a frame (as text; empty: none), which has to be seen before the first answer.
    """

    name: str
    version: str
    task: str
    summary: str
    target: str
    layers: Tuple[LayerInfo, ...]
    options: Tuple[Option, ...] = ()
    default: bool = False
    lookahead_frames: int = 0
    limits: Dict[str, int] = field(default_factory=dict)
    waits_for: str = ""

    def lookahead(self, options: Mapping[str, Any], numbers: Sequence[int]) -> int:
        """Return how many frames a job needs beyond the one that is answered: enough to reach a frame waited for.

        Args:
            options: the job's.
            numbers: its frames, in order.
        """
        frame = frame_number(str(options.get(self.waits_for, "")))
        return self.lookahead_frames + (0 if frame is None else bisect_right(numbers, frame))

    def check_options(self, options: Mapping[str, Any]) -> Dict[str, OptionValue]:
        """Return all options, checked and completed with defaults; raise `OptionError` on the first bad one."""
        known = {option.name: option for option in self.options}
        for name in options:
            if name not in known:
                raise OptionError(
                    f"engine {self.name} has no option {name!r}.",
                    fix="It has " + (", ".join(sorted(known)) or "none") + ".",
                )
        return {name: option.check(options.get(name, option.default)) for name, option in known.items()}

    def check_layers(self, layers: Tuple[str, ...]) -> None:
        """Raise `InputError` if a required input is missing or one is given that the engine does not take."""
        known = {layer.name: layer for layer in self.layers}
        for layer in self.layers:
            if layer.required and layer.name not in layers:
                raise InputError(f"engine {self.name} needs the input {layer.name!r}.", fix=layer.help)
        for name in layers:
            if name not in known:
                raise InputError(
                    f"engine {self.name} takes no input {name!r}.", fix="It takes " + ", ".join(known) + "."
                )

    def to_dict(self) -> Dict[str, Any]:
        """Return plain maps and lists, as they travel in the ENGINES reply."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> EngineInfo:
        """Rebuild from `to_dict`'s map; unknown keys are ignored, so that newer servers can say more."""
        plain = {k: v for k, v in data.items() if k in cls.__dataclass_fields__}
        plain["layers"] = tuple(LayerInfo(**_known(LayerInfo, layer)) for layer in data.get("layers", ()))
        options = []
        for option in data.get("options", ()):
            known = _known(Option, option)
            known["choices"] = tuple(known.get("choices", ()))
            options.append(Option(**known))
        plain["options"] = tuple(options)
        return cls(**plain)


def _known(cls: Any, data: Mapping[str, Any]) -> Dict[str, Any]:
    return {k: v for k, v in data.items() if k in cls.__dataclass_fields__}


@dataclass(frozen=True)
class OutputSpec:
    """What comes back, whatever the engine.

    `mode`: "fg" returns the relit target with its own alpha and AOVs, "comp" returns it over the background.
    `strength` scales the lighting field (0 gives the input back bit-identical, 1 the engine's full answer).
    `field_layers` adds the field as EXR channels `harmovid.R/G/B` in stops (float32).
    `premultiplied` says whether the target's colours are multiplied by its alpha or matte.
    """

    mode: str = "fg"
    strength: float = 1.0
    field_layers: bool = False
    premultiplied: bool = True

    def __post_init__(self) -> None:
        if self.mode not in OUTPUT_MODES:
            raise OptionError(f"output is {self.mode!r}.", fix="It must be fg or comp.")
        if not 0.0 <= self.strength <= 2.0:
            raise OptionError(f"strength is {self.strength!r}.", fix="It must be from 0 to 2.")


@dataclass(frozen=True)
class JobSpec:
    """One job: an engine, a frame range, named inputs, options, and what should come back.

    `job_id` is made by the client (32 hex digits) and is the idempotency key: submitting it again is the same
    job. `frames` is the range in text form ("1001-1100x2,1150", see `harmovid.frames`). `layers` names the
    inputs that will be sent. `colorspace` maps a layer to an OpenColorIO colour space name; a layer without
    one is scene-linear with the primaries that its file states. `shared` maps a layer to
    "root:relative/pattern.####.exr" on storage that the server mounts itself, in place of sent bytes.
    """

    job_id: str
    engine: str
    frames: str
    layers: Tuple[str, ...]
    options: Dict[str, OptionValue] = field(default_factory=dict)
    colorspace: Dict[str, str] = field(default_factory=dict)
    output: OutputSpec = field(default_factory=OutputSpec)
    shared: Dict[str, str] = field(default_factory=dict)
    label: str = ""

    def to_dict(self) -> Dict[str, Any]:
        """Return plain maps and lists, as they travel in SUBMIT."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> JobSpec:
        """Rebuild from `to_dict`'s map. The wire's schema check has already fixed every type."""
        plain = _known(cls, data)
        plain["layers"] = tuple(data["layers"])
        plain["output"] = OutputSpec(**_known(OutputSpec, data.get("output", {})))
        return cls(**plain)


@dataclass(frozen=True)
class Progress:
    """A job as its owner sees it. Counts are frames; `failed` frames got a frame error and no result."""

    job_id: str
    state: str
    total: int
    received: int = 0
    computed: int = 0
    delivered: int = 0
    failed: int = 0
    queue_position: int = 0
    message: str = ""
