"""Descriptions of engines, specifications of jobs, their states and progress.

These dataclasses are shared by hosts, client and server. They hold plain values only, so that they can be sent as
msgpack maps (`to_dict` / `from_dict`); nothing here uses sockets or pixels.
"""

from __future__ import annotations

import re
import secrets
from bisect import bisect_left, bisect_right
from dataclasses import asdict, dataclass, field
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

from harmovid.errors import InputError, OptionError
from harmovid.frames import MAX_NUMBER, MIN_NUMBER, FrameRange

OptionValue = Union[float, int, bool, str]

# Job states, in the usual order (docs/wire.md, "States").
QUEUED, RUNNING, DONE, FAILED, CANCELLED, EXPIRED = (
    "QUEUED", "RUNNING", "DONE", "FAILED", "CANCELLED", "EXPIRED",
)  # fmt: skip
ACTIVE_STATES = (QUEUED, RUNNING)
FINAL_STATES = (DONE, FAILED, CANCELLED, EXPIRED)

TARGET, COMP, PROXY = OUTPUT_MODES = ("fg", "comp", "proxy")

# Kinds of layers.
IMAGE, MATTE, PANORAMA, VECTORS = "image", "matte", "panorama", "vectors"
# Key of `EngineInfo.limits`: memory that an engine's weights take on its device, without that of a step.
WEIGHTS_MB = "weights_mb"
# `EngineInfo.lookahead_frames` of an engine that answers nothing before it has seen the last frame.
WHOLE_SHOT = 1_000_000
# Names of the layers that a composite needs: the background, and the foreground's matte.
BACKGROUND, FOREGROUND_MATTE = "bg", "matte"


_NAMED = re.compile(r"(?:^|,)\s*(\d{1,9})(?:-(\d{1,9}))?\s*:")
"""One entry of an option that names frames."""


def span_text(first: int, last: int) -> str:
    """Return a range of frames as text, "1001" or "1001-1010"."""
    return str(first) if first == last else f"{first}-{last}"


def _any_between(numbers: Sequence[int], first: int, last: int) -> bool:
    """Return whether any of the numbers, which are in order, lies in the range."""
    return bisect_left(numbers, first) < bisect_right(numbers, last)


def new_job_id() -> str:
    """Return a new random job id, 32 hex digits."""
    return secrets.token_hex(16)


def _title(name: str) -> str:
    """Return a label made from a name: "protect_skin" becomes "Protect skin"."""
    return name.replace("_", " ").capitalize()


@dataclass(frozen=True)
class Option:
    """One engine option, with all facts that are needed for a knob, a flag, a dialog or a page.

    Attributes:
        name: its name in `JobSpec.options`; unique within the engine.
        kind: "float", "int", "bool", "choice", "str", or "frame": a frame number, which may be negative, or None for no
            frame. A frame option that is None is not sent.
        default: the default value.
        help: one sentence: what it does.
        label: shown in a user interface; made from the name if empty.
        group: its heading, "" for none. Options of one group are consecutive.
        unit: shown beside the number ("stops", "frames"), "" for none.
        minimum, maximum: bounds of a number, inclusive; None for none.
        choices: the values of a choice.
        pattern: regular expression that must match the whole text, "" for any text.
        advanced: whether a panel hides it at first, because few users need it.
        names_frames: whether the text names frames, as entries `frame:value` or `first-last:value` with commas between.
    """

    name: str
    kind: str
    default: Optional[OptionValue]
    help: str
    label: str = ""
    group: str = ""
    unit: str = ""
    minimum: Optional[float] = None
    maximum: Optional[float] = None
    choices: Tuple[str, ...] = ()
    advanced: bool = False
    pattern: str = ""
    names_frames: bool = False

    def __post_init__(self) -> None:
        if not self.label:
            object.__setattr__(self, "label", _title(self.name))

    def check(self, value: Any) -> Optional[OptionValue]:
        """Return `value` as this option's type.

        Raises:
            OptionError: it is invalid; the message names the range or the choices.
        """
        if self.kind == "frame":
            return self._frame(value)
        if self.kind == "bool":
            if isinstance(value, bool):
                return value
            raise self._bad(value, "true or false")
        if self.kind in ("float", "int"):
            return self._number(value)
        if not isinstance(value, str):
            raise self._bad(value, "text")
        if self.kind == "choice" and value not in self.choices:
            raise self._bad(value, "one of " + ", ".join(self.choices))
        if self.pattern and not re.fullmatch(self.pattern, value):
            raise OptionError(f"option {self.name} is {value!r}, which cannot be read.", fix=self.help)
        return value

    def _number(self, value: Any) -> OptionValue:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self._bad(value, "a number")
        if self.kind == "int" and int(value) != value:
            raise self._bad(value, "a whole number")
        low, high = self.minimum, self.maximum
        # "not >=" also catches NaN.
        if (low is not None and not value >= low) or (high is not None and not value <= high):
            raise self._bad(value, f"from {low} to {high}")
        return int(value) if self.kind == "int" else float(value)

    def _frame(self, value: Any) -> Optional[int]:
        if value is None:
            return None
        if type(value) is not int or not MIN_NUMBER <= value <= MAX_NUMBER:
            raise self._bad(value, "the number of a frame, or none")
        return value

    def _bad(self, value: Any, wanted: str) -> OptionError:
        return OptionError(f"option {self.name} is {value!r}.", fix=f"It must be {wanted}.")


@dataclass(frozen=True)
class LayerInfo:
    """One input of an engine.

    Attributes:
        name: its name in `JobSpec.layers`: "plate", "mask", "measure_mask", "fg", "bg", "matte", or an engine's own.
        required: whether a job needs it.
        help: one sentence: what to connect.
        kind: "image", with a colour space; "matte", one channel from 0 to 1; "panorama", a latitude-longitude image,
            whose format may differ; or "vectors", three numbers per pixel that are not colour, such as normals.
        label: shown in a user interface; made from the name if empty.
    """

    name: str
    required: bool
    help: str
    kind: str = IMAGE
    label: str = ""

    def __post_init__(self) -> None:
        if not self.label:
            object.__setattr__(self, "label", _title(self.name))


@dataclass(frozen=True)
class Preset:
    """A named set of option values; options that it does not name keep their defaults."""

    name: str
    label: str
    help: str
    options: Dict[str, OptionValue] = field(default_factory=dict)


@dataclass(frozen=True)
class EngineInfo:
    """The description of an engine. Hosts build knobs from it, the command line its flags.

    Attributes:
        name, version: of the engine; both are written into its results.
        task: "deflicker", "harmonize" or "any".
        summary: one sentence: what it does.
        target: the input layer whose pixels are changed and returned.
        layers: its inputs, the target first.
        options: its options, in the order for a user interface.
        default: whether it is used for its task when the user names no engine.
        lookahead_frames: how many frames it may need beyond the one it answers (limits the spool of a job).
        handle_frames: how many frames on either side it has to see for a part of a shot to fit the rest; 0 if it needs
            none. Absent from servers that cannot show an engine more than the job's frames.
        handle_step: handles fit best if they begin at a multiple of this number of frames after the start of the shot.
        reach_with: other `lookahead_frames` and `handle_frames` while an option is on, or names a frame, by its name.
        limits: further bounds by name.
        waits_for: an option of kind "frame" whose frame has to be seen before the first answer; "" for none.
        reference_anywhere: whether that frame may lie apart from the job's frames, anywhere in the shot: it is then
            shown to the engine in addition.
        presets: named sets of option values.
        picture_lines: height of the network's own picture, if the engine can return it; 0 if it cannot.
        runtime: what it really runs on, once the server has loaded it: "runtime", "provider", "device", "precision",
            and "reason", why a faster one is not used; empty before that.
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
    handle_frames: int = 0
    handle_step: int = 1
    reach_with: Dict[str, Dict[str, int]] = field(default_factory=dict)
    limits: Dict[str, int] = field(default_factory=dict)
    waits_for: str = ""
    reference_anywhere: bool = False
    presets: Tuple[Preset, ...] = ()
    runtime: Dict[str, str] = field(default_factory=dict)
    picture_lines: int = 0

    def lookahead(self, options: Mapping[str, Any], numbers: Sequence[int]) -> int:
        """Return how many frames a job needs beyond the one that is answered, at least up to a frame that it waits for.

        Args:
            options: the job's options.
            numbers: its frames, in order.
        """
        frame = options.get(self.waits_for)
        ahead = self._reach("lookahead_frames", options)
        return ahead + (bisect_right(numbers, frame) if isinstance(frame, int) else 0)

    def _reach(self, name: str, options: Mapping[str, Any]) -> int:
        # A frame may have the number 0.
        found = [
            numbers[name]
            for option, numbers in self.reach_with.items()
            if options.get(option) is not None and options[option] is not False
        ]
        return int(found[0] if found else getattr(self, name))

    def frame_apart(self, options: Mapping[str, Any]) -> Optional[int]:
        """Return the frame of the shot that the engine has to see for every part; None if there is none."""
        frame = options.get(self.waits_for) if self.reference_anywhere else None
        return frame if isinstance(frame, int) else None

    def handles_for(self, options: Mapping[str, Any]) -> int:
        """Return how many handles a part of a shot needs to fit the whole with these options.

        None where a frame of the part is named that is all that counts: one that is not waited for has to be among the
        first that are seen.
        """
        named = {option.name for option in self.options if option.kind == "frame"} - {self.waits_for}
        if any(options.get(name) is not None for name in named):
            return 0
        return self._reach("handle_frames", options)

    def check_options(self, options: Mapping[str, Any]) -> Dict[str, OptionValue]:
        """Return all options, checked and completed with defaults. A frame option without a value is left out.

        Raises:
            OptionError: the engine does not have an option, or a value is invalid.
        """
        known = {option.name: option for option in self.options}
        for name in options:
            if name not in known:
                raise OptionError(
                    f"engine {self.name} has no option {name!r}.",
                    fix="It has " + (", ".join(sorted(known)) or "none") + ".",
                )
        checked = {name: option.check(options.get(name, option.default)) for name, option in known.items()}
        return {name: value for name, value in checked.items() if value is not None}

    def layers_of(self, kind: str) -> Tuple[str, ...]:
        """Return the names of the layers of one kind (`LayerInfo.kind`)."""
        return tuple(layer.name for layer in self.layers if layer.kind == kind)

    @property
    def composites(self) -> bool:
        """Whether the result can be composited: the engine has a background and a matte layer."""
        return {BACKGROUND, FOREGROUND_MATTE} <= {layer.name for layer in self.layers}

    @property
    def output_modes(self) -> Tuple[str, ...]:
        """The forms of a result (`OutputSpec.mode`) that the engine can give."""
        able = {TARGET: True, COMP: self.composites, PROXY: self.picture_lines > 0}
        return tuple(mode for mode in OUTPUT_MODES if able[mode])

    def preset(self, name: str) -> Preset:
        """Return a preset by name.

        Raises:
            OptionError: the engine has none of that name.
        """
        for preset in self.presets:
            if preset.name == name:
                return preset
        known = ", ".join(preset.name for preset in self.presets) or "none"
        raise OptionError(f"engine {self.name} has no preset {name!r}.", fix=f"It has {known}.")

    def check_frames(
        self, options: Mapping[str, Any], frames: Sequence[int], shot: Sequence[int] = ()
    ) -> None:
        """Raise `OptionError` if a frame that the engine waits for is not among those that it sees.

        Args:
            options: the job's options, checked.
            frames: the numbers of all frames that the engine sees, in order.
            shot: those of the whole shot.
        """
        value = options.get(self.waits_for)
        if value is None or value in frames:
            return
        known = shot if shot and self.reference_anywhere else frames
        fix = f"Name one from {known[0]} to {known[-1]}, or none."
        if value in shot and self.reference_anywhere:
            raise OptionError(
                f"option {self.waits_for} is {value}, of which not every input has a file.",
                fix="Render it, or name another one, or none.",
            )
        if value in shot:
            away = min(abs(value - frame) for frame in (frames[0], frames[-1]))
            raise OptionError(
                f"option {self.waits_for} is {value}, which the engine does not see in this part of the shot.",
                fix=f"Let it see {away} more frames to either side (--handles). {fix}",
            )
        raise OptionError(f"option {self.waits_for} is {value}, which is no frame of the shot.", fix=fix)

    def named_frames(self, options: Mapping[str, Any]) -> Iterator[Tuple[str, int, int]]:
        """Yield option, first and last frame of each entry in the texts that name frames (`Option.names_frames`)."""
        for option in self.options:
            if option.names_frames:
                for match in _NAMED.finditer(str(options.get(option.name, ""))):
                    yield option.name, int(match[1]), int(match[2] or match[1])

    def check_named_frames(self, options: Mapping[str, Any], shot: Sequence[int]) -> None:
        """Raise `OptionError` if an option names frames that are not in the shot.

        Args:
            options: the job's options, checked.
            shot: the frame numbers of the whole shot, in order.
        """
        wrong: Dict[str, List[str]] = {}
        for name, first, last in self.named_frames(options):
            if first < shot[0] or last > shot[-1] or not _any_between(shot, first, last):
                wrong.setdefault(name, []).append(span_text(first, last))
        for name, spans in wrong.items():
            raise OptionError(
                f"option {name} names {', '.join(spans)}, which the shot does not have.",
                fix=f"The shot has {FrameRange(shot)}.",
            )

    def unused_frames(self, options: Mapping[str, Any], frames: Sequence[int]) -> Dict[str, List[str]]:
        """Return, by option, the entries that name none of the frames that a job makes."""
        found: Dict[str, List[str]] = {}
        for name, first, last in self.named_frames(options):
            if not _any_between(frames, first, last):
                found.setdefault(name, []).append(span_text(first, last))
        return found

    def check_layers(self, layers: Tuple[str, ...]) -> None:
        """Raise `InputError` if a required input is missing or an unknown one is given."""
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
        """Return plain maps and lists, as sent in ENGINE_LIST."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> EngineInfo:
        """Return the description in a map of `to_dict`; unknown keys, as of newer servers, are ignored."""
        plain = _known(cls, data)
        plain["layers"] = tuple(LayerInfo(**_known(LayerInfo, layer)) for layer in data.get("layers", ()))
        plain["options"] = tuple(_option(option) for option in data.get("options", ()))
        plain["presets"] = tuple(Preset(**_known(Preset, preset)) for preset in data.get("presets", ()))
        return cls(**plain)


def _option(data: Mapping[str, Any]) -> Option:
    known = _known(Option, data)
    known["choices"] = tuple(known.get("choices", ()))
    return Option(**known)


def _known(cls: Any, data: Mapping[str, Any]) -> Dict[str, Any]:
    return {k: v for k, v in data.items() if k in cls.__dataclass_fields__}


@dataclass(frozen=True)
class OutputSpec:
    """The form of the results, for any engine.

    `mode`: "fg" returns the changed target with its own alpha and AOVs, "comp" returns it over the background, "proxy"
    returns the small picture that a network made itself, enlarged: over the background if the engine has one, else in
    place of the target's pixels. It is no change of the target, so it has neither strength nor field.
    `strength` scales the lighting field (0 returns the input bit-identical, 1 applies the engine's full answer).
    `field_layers` adds the field as EXR channels `harmovid.R/G/B` in stops (float32).
    `premultiplied` says whether the target's colours are multiplied by its alpha or matte.
    """

    mode: str = "fg"
    strength: float = 1.0
    field_layers: bool = False
    premultiplied: bool = True

    def __post_init__(self) -> None:
        if self.mode not in OUTPUT_MODES:
            raise OptionError(f"output is {self.mode!r}.", fix="It must be fg, comp or proxy.")
        if not 0.0 <= self.strength <= 2.0:
            raise OptionError(
                f"strength is {self.strength!r}.",
                fix="It must be from 0 to 2 (--strength; --amount of the deflicker).",
            )
        if self.mode == PROXY and (self.strength != 1.0 or self.field_layers):
            raise OptionError(
                "the output proxy is the network's own picture, which has neither strength nor field.",
                fix="Leave strength at 1 and the field out, or ask for the output fg.",
            )


@dataclass(frozen=True)
class JobSpec:
    """One job: an engine, a frame range, named inputs, options, and the form of the results.

    `job_id` is made by the client (32 hex digits) and is the idempotency key: submitting it again means the same
    job. `frames` is the range in text form ("1001-1100x2,1150", see `harmovid.frames`). `context` is a range of
    further frames that the engine sees but that get no result ("" for none); frames of `frames` in it are
    ignored. `layers` names the inputs that will be sent. `colorspace` maps a layer to an OpenColorIO colour space
    name; a layer without one is scene-linear with the primaries that its file states. `shared` maps a layer to
    "root:relative/pattern.####.exr" on storage that the server mounts too, instead of sending files. `exr_layers`
    maps an image input to the layer, part or view of its files that is the picture, `matte_channels` a matte input
    to its channel; other inputs follow the rules of `harmovid.pixels.inputs`.
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
    exr_layers: Dict[str, str] = field(default_factory=dict)
    matte_channels: Dict[str, str] = field(default_factory=dict)
    context: str = ""

    def to_dict(self) -> Dict[str, Any]:
        """Return plain maps and lists, as sent in SUBMIT; values that were not set are left out."""
        data = asdict(self)
        return {k: v for k, v in data.items() if v or k not in ("exr_layers", "matte_channels", "context")}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> JobSpec:
        """Return the specification in a map of `to_dict`, whose types have been checked already."""
        plain = _known(cls, data)
        plain["layers"] = tuple(data["layers"])
        plain["output"] = OutputSpec(**_known(OutputSpec, data.get("output", {})))
        return cls(**plain)


@dataclass(frozen=True)
class Progress:
    """A job's state for its owner. Counts are frames; `failed` frames have an error and no result."""

    job_id: str
    state: str
    total: int
    received: int = 0
    computed: int = 0
    delivered: int = 0
    failed: int = 0
    queue_position: int = 0
    message: str = ""
