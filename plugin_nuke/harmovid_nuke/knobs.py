"""Knobs as data: those of every HarmoVid node, and those for the options of the server's engine.

    for knob in own_knobs("harmonize"): knob.lines()      # as script text
    knob.make(nuke)                                       # as Nuke's own object
    for knob in engine_knobs(info): ...                   # its options
    input_knob(layer)                                     # one of its further inputs

All state of a node is text in knobs, so it is saved with the script. Structured values are JSON in base64, because Nuke
evaluates brackets in text.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence, Tuple

from harmovid.job import PANORAMA, VECTORS, EngineInfo, LayerInfo, Option

from harmovid_nuke import SCHEMA
from harmovid_nuke.nk import number, word

OPTION = "o_"
"""Prefix of the knobs' names for engine options."""
INPUT = "in_"
"""Prefix of the knobs' names for the engine's inputs that the node has no pipe for from the start."""
INPUTS_TAB, INPUT_NUMBERS = "inputs_tab", "input_numbers"
NO_CHANNELS = "none"
"""Choice of an input that comes from other channels of the main one: it is not sent."""

TITLES = {"harmonize": "Harmonize", "deflicker": "Deflicker"}
KIND_IDS = {
    "str": 1, "file": 2, "int": 3, "choice": 4, "bool": 6, "float": 7, "color": 18, "tab": 20, "button": 22, "text": 26,
}  # fmt: skip
"""Nuke's numbers of user knob types, as scripts write them."""

_CLASSES = {
    "str": "String_Knob", "file": "File_Knob", "int": "Int_Knob", "choice": "Enumeration_Knob", "bool": "Boolean_Knob",
    "float": "Double_Knob", "color": "Color_Knob", "tab": "Tab_Knob", "button": "PyScript_Knob", "text": "Text_Knob",
}  # fmt: skip
_NOTHING_SAID = {"tab", "button", "text"}

CALLBACK = "try:\n import harmovid_nuke.callbacks\nexcept ImportError:\n pass\nelse:\n harmovid_nuke.callbacks.{call}"
"""Wrapped, so that a saved script also opens without the plugin."""

BUTTON = (
    "try:\n import harmovid_nuke.buttons\nexcept ImportError:\n"
    " nuke.message('HarmoVid is not installed in this Nuke, or not whole. Results render all the same.')\n"
    "else:\n harmovid_nuke.buttons.press('{name}')"
)


@dataclass(frozen=True)
class Knob:
    """One knob of a Group.

    Attributes:
        kind: a key of `KIND_IDS`.
        default: of the kind's type; None for tabs, buttons and texts.
        low, high: bounds of a slider.
        choices: the values of a choice.
        hidden: not shown in the panel.
        beside: on the same line as the knob before it.
    """

    kind: str
    name: str
    label: str = ""
    default: Any = None
    help: str = ""
    low: Optional[float] = None
    high: Optional[float] = None
    choices: Tuple[str, ...] = ()
    hidden: bool = False
    beside: bool = False

    def lines(self) -> List[str]:
        """Return the script lines: `addUserKnob` and, where there is one, the value."""
        said = [f"{KIND_IDS[self.kind]} {self.name} l {word(self.label)}"]
        if self.help:
            said.append(f"t {word(self.help)}")
        if self.hidden:
            said.append("+INVISIBLE")
        if self.beside:
            said.append("-STARTLINE")
        if self.kind == "choice":
            said.append("M {" + " ".join(word(choice) for choice in self.choices) + "}")
        if self.low is not None and self.high is not None:
            said.append(f"R {number(self.low)} {number(self.high)}")
        if self.kind == "button":
            said.append(f"T {word(BUTTON.format(name=self.name))}")
        lines = ["addUserKnob {" + " ".join(said) + "}"]
        return lines if self.kind in _NOTHING_SAID else [*lines, f"{self.name} {script_value(self.default)}"]

    def make(self, nuke: Any) -> Any:
        """Return Nuke's own knob with this default."""
        make = getattr(nuke, _CLASSES[self.kind])
        if self.kind == "choice":
            made = make(self.name, self.label, list(self.choices))
        elif self.kind == "button":
            made = make(self.name, self.label, BUTTON.format(name=self.name))
        else:
            made = make(self.name, self.label)
        made.setTooltip(self.help)
        if self.low is not None and self.high is not None:
            made.setRange(self.low, self.high)
        if self.hidden:
            made.setFlag(nuke.INVISIBLE)
        if self.beside:
            made.clearFlag(nuke.STARTLINE)
        if self.kind not in _NOTHING_SAID:
            made.setValue(self.default)
        return made


def script_value(value: Any) -> str:
    """Return a knob's value as script text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return number(value)
    if isinstance(value, (list, tuple)):
        return "{" + " ".join(number(each) for each in value) + "}"
    return word(str(value))


def pack(data: Any) -> str:
    """Return plain data as text in which Nuke evaluates nothing."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode("utf-8")).decode("ascii")


def unpack(text: str) -> Any:
    """Return what `pack` packed; None where the text is empty or damaged."""
    try:
        return json.loads(base64.urlsafe_b64decode(text.encode("ascii")))
    except (ValueError, binascii.Error, UnicodeError):
        return None


def own_knobs(kind: str) -> List[Knob]:
    """Return the knobs that do not depend on the engine; the tab for the engine's options is the last."""
    return [
        *_main_tab(kind),
        *_output_tab(),
        *_history_tab(),
        *_curves_tab(),
        *_server_tab(),
        *_memory(kind),
        Knob("tab", "options_tab", "Options"),
    ]


def _main_tab(kind: str) -> List[Knob]:
    return [
        Knob("tab", "harmovid_tab", TITLES[kind]),
        Knob("choice", "send_what", "send", "range", "What the Send button does.",
             choices=("range", "current frame", "farm")),
        Knob("int", "first", "frames", 1, "First frame that you want back."),
        Knob("int", "last", "to", 1, "Last frame that you want back.", beside=True),
        Knob("button", "reset_range", "Reset", help="Take the range of the input.", beside=True),
        Knob("button", "current_frame", "Current", help="Take the current frame only.", beside=True),
        Knob("int", "handles", "handles", 0,
             "Frames before and after the range that the engine sees too. They are not returned."),
        Knob("str", "views", "views", "", "Stereo views to send, as: left right. Empty: all of the script."),
        Knob("button", "send", "Send", help="Render the inputs and send the job."),
        Knob("button", "cancel", "Cancel", help="Stop the job. Frames that have arrived stay.", beside=True),
        Knob("button", "reload", "Reload", help="Read the result's files again.", beside=True),
        Knob("button", "check", "Check", help="See whether the result still fits the inputs.", beside=True),
        Knob("str", "status", "status", "No result yet. Press Send.", "What happened last, and what to do."),
        Knob("text", "look_title", "live look"),
        Knob("bool", "use_result", "use result", True, "Off: the input passes untouched."),
        Knob("float", "strength", "strength", 1.0, "How much of the light change is applied.", 0, 2),
        Knob("float", "luma", "luma", 1.0, "How much of its brightness is applied.", 0, 2),
        Knob("float", "chroma", "chroma", 1.0, "How much of its colour is applied.", 0, 2),
        Knob("choice", "limit_by", "limit by", "own alpha" if kind == "harmonize" else "nothing",
             "Where the result acts: everywhere, where the input's own alpha is, or where the last input's alpha is.",
             choices=("nothing", "own alpha", "mask input")),
        Knob("float", "matte_edge", "matte edge", 0.0 if kind == "harmonize" else 1.0,
             "0 acts fully up to the matte's last pixel, 1 follows its soft edge.", 0, 1),
        Knob("float", "soften", "soften", 0.0, "Blur of the light change, in pixels.", 0, 200),
        Knob("float", "trim", "trim", 0.0, "Your own correction in stops. Animate it for single frames.", -2, 2),
        Knob("choice", "on_missing", "missing frames", "pass input",
             "What a render does where there is no result, or one that no longer fits.",
             choices=("pass input", "error")),
    ]  # fmt: skip


def _output_tab() -> List[Knob]:
    return [
        Knob("tab", "output_tab", "Output"),
        Knob("file", "folder", "folder", "",
             "Where results go. Empty: a folder harmovid beside the script. Each send makes a version in it."),
        Knob("int", "version", "version", 0, "The version that is shown. 0: none yet."),
        Knob("choice", "datatype", "data type", "16 bit half", "Of the frames that are sent.",
             choices=("16 bit half", "32 bit float")),
        Knob("choice", "compression", "compression", "Zip (1 scanline)", "Of the frames that are sent.",
             choices=("none", "Zip (1 scanline)", "Zip (16 scanlines)", "PIZ Wavelet (32 scanlines)")),
        Knob("bool", "keep_inputs", "keep the frames sent", False, "Off: they are removed when the job is done."),
        Knob("text", "bake_title", "take it along"),
        Knob("choice", "bake_as", "bake to", "Grade", "An ordinary node, or files, with the shot's overall correction.",
             choices=("Grade", "OCIOCDLTransform", "CDL files", "LUT file")),
        Knob("button", "bake", "Bake", help="Make it, for a shot that must travel without HarmoVid.", beside=True),
    ]  # fmt: skip


def _history_tab() -> List[Knob]:
    return [
        Knob("tab", "history_tab", "History"),
        Knob("choice", "history", "jobs", "none", "Jobs of this node, the newest first.", choices=("none",)),
        Knob("button", "show_version", "Show", help="Use this job's result.", beside=True),
        Knob("str", "redo_frames", "frames", "", "Frames to make again, as: 1005, 1009-1010."),
        Knob("button", "missing", "Missing", help="Fill in the frames that have no result.", beside=True),
        Knob(
            "button", "redo", "Make again", help="Make these frames of the shown version again.", beside=True
        ),
        Knob(
            "str", "review", "worth a look", "", "Frames with low confidence, without a result, or clipped."
        ),
    ]


def _curves_tab() -> List[Knob]:
    return [
        Knob("tab", "curves_tab", "Curves"),
        Knob("color", "flicker", "flicker", [0, 0, 0], "Stops of each frame before, per channel.", -2, 2),
        Knob("color", "correction", "correction", [0, 0, 0],
             "Overall correction in stops, per frame and channel. Edit the curve: the picture follows.", -2, 2),
        Knob("float", "confidence", "confidence", 1.0, "How sure the engine was, per frame.", 0, 1),
        Knob("button", "reset_curves", "Undo my edits", help="Set the correction back to what was measured."),
    ]  # fmt: skip


def _server_tab() -> List[Knob]:
    return [
        Knob("tab", "server_tab", "Server"),
        Knob(
            "str",
            "server",
            "server",
            "",
            "As tcp://render01:5570. Empty: what the settings say, or a private one.",
        ),
        Knob("file", "key", "key", "", "Your key file. Empty: what the settings say."),
        Knob("str", "engine", "engine", "", "Name of the engine. Empty: the server's own choice."),
        Knob("button", "connect", "Connect", help="Ask the server for its engines and rebuild the options."),
        Knob("str", "server_info", "answer", "Not connected yet.", "What the server says of itself."),
    ]


def _memory(kind: str) -> List[Knob]:
    """Return the knobs for the node's state: expressions inside the Group read some of it, the rest is packed."""
    hidden: Sequence[Tuple[str, str, Any]] = (
        ("str", "harmovid_schema", SCHEMA),
        ("str", "harmovid_kind", kind),
        ("str", "engine_data", ""),
        ("str", "job_data", ""),
        ("str", "history_data", ""),
        ("str", "upstream", ""),
        ("bool", "has_result", False),
        ("bool", "has_alpha", kind == "harmonize"),
        ("bool", "stale", False),
        ("float", "present", 0.0),
        ("color", "measured", [0, 0, 0]),
    )
    return [Knob(what, name, "INVISIBLE", default, hidden=True) for what, name, default in hidden]


def engine_knobs(engine: EngineInfo) -> List[Knob]:
    """Return the knobs of an engine's options, by group, the advanced ones last."""
    knobs: List[Knob] = []
    if engine.presets:
        names = ("custom", *(preset.name for preset in engine.presets))
        told = " ".join(f"{preset.label}: {preset.help}" for preset in engine.presets)
        knobs.append(Knob("choice", OPTION + "preset", "preset", "custom", told, choices=names))
    group = ""
    for option in sorted(engine.options, key=lambda each: each.advanced):
        heading = "advanced" if option.advanced else option.group
        if heading != group:
            knobs.append(Knob("text", f"group_{_plain(heading)}_{option.name}", heading))
            group = heading
        knobs.append(_option_knob(option))
    return knobs


def is_of_engine(name: str) -> bool:
    """Return whether a knob of this name was made from an engine's description."""
    return name.startswith((OPTION, INPUT, "group_")) or name in (INPUTS_TAB, INPUT_NUMBERS)


def _plain(text: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in text)


def _option_knob(option: Option) -> Knob:
    unit = f" ({option.unit})" if option.unit else ""
    name, label = OPTION + option.name, option.label + unit
    if option.kind == "frame":
        default = "" if option.default is None else str(option.default)
        return Knob("str", name, label, default, f"{option.help} A frame number; empty for none.")
    if option.kind == "choice":
        return Knob("choice", name, label, option.default, option.help, choices=tuple(option.choices))
    low, high = option.minimum, option.maximum
    return Knob(option.kind, name, label, option.default, option.help, low, high)


def input_knob(layer: LayerInfo, choices: Sequence[str] = ()) -> Knob:
    """Return the knob of an input: a choice of channels, a file, or a line that names the pipe.

    Args:
        layer: the engine's layer.
        choices: the channels that can be chosen.
    """
    name = INPUT + layer.name
    if layer.kind == VECTORS:
        told = f"{layer.help} Which channels of the main input they are."
        return Knob("choice", name, layer.label, NO_CHANNELS, told, choices=tuple(choices))
    if layer.kind == PANORAMA:
        told = f"{layer.help} Any file that Nuke reads; read with its default colour space. Empty: none."
        return Knob("file", name, layer.label, "", told)
    return Knob("text", name, f"{layer.label}: input {layer.name}", help=layer.help)


def option_values(engine: EngineInfo, read: Dict[str, Any]) -> Dict[str, Any]:
    """Return the engine options of knob values.

    Args:
        read: knob name to value, as Nuke gives it.

    Raises:
        OptionError: a value is not valid for the engine.
    """
    values: Dict[str, Any] = {}
    for option in engine.options:
        if OPTION + option.name in read:
            values[option.name] = _typed(option, read[OPTION + option.name])
    return engine.check_options(values)


def _typed(option: Option, value: Any) -> Any:
    """Return a knob's value in the option's type, or unchanged if it cannot be converted (the option's check refuses
    it)."""
    try:
        if option.kind == "frame":
            return int(str(value).strip()) if str(value).strip() else None
        if option.kind == "int":
            return round(float(value))
    except ValueError:
        return value
    return {"bool": bool, "float": float}.get(option.kind, str)(value)
