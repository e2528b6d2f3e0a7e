"""The content of the panel as plain data: rows by page, made from the server's description of the engine and from the
task.

    for row in rows(values, engines): print(row.page, row.label, row.value)

Everything about an engine comes from its description (`EngineInfo.to_dict`), so a new engine needs no change here.
`ui_manager` (in Resolve) and `window` (outside) draw the rows; they know the kinds of rows and nothing else.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from harmovid_resolve import layers
from harmovid_resolve.contract import MOST_HANDLES, MOST_STRENGTH, Task

__all__ = ["CLIP_COLOURS", "OPTION", "PAGES", "Row", "default_engine", "option_values", "rows", "task_of"]

PAGES = ("Clip", "Inputs", "Options", "Output", "History")
OPTION = "option."
CUSTOM = "custom"

CLIP_COLOURS = (
    "Orange", "Apricot", "Yellow", "Lime", "Olive", "Green", "Teal", "Navy", "Blue", "Purple", "Violet", "Pink", "Tan",
    "Beige", "Brown", "Chocolate",
)  # fmt: skip
"""As Resolve names the colours of clips."""

WORDS = {
    "playhead": "clip under the playhead", "selected": "selected clips (Resolve 21.0.4)", "colour": "clips of a colour",
    "clip": "the whole clip", "in_out": "between the in and out marks",
    "source": "the clip's own pixels, ungraded", "graded": "what the grade makes of it",
    layers.NONE: "none", layers.BELOW: "what lies under the clip", layers.TRACK: "a clip on another track",
    layers.FILE: "EXR files",
    "take": "as a take on the clip", "track": "on a new top track", "pool": "only in the media pool",
    "result": "frames", "cdl": "a CDL on the clip: its mean, no pixels", "field": "a Fusion composition, live strength",
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        page: one of `PAGES`.
        kind: "heading", "choice", "float", "int", "bool", "text", "folder", "button", "line" (text to read), "list"
            (lines to read), "progress" (0 to 1), "pictures" (paths of stills, before and after).
        name: by which it is set or pressed; unique.
        label, help, unit: shown to the user.
        value: for a choice one of `choices`.
        minimum, maximum: bounds of a number, or None.
        choices, labels: values of a choice, and their texts.
        enabled: whether it can be used now.
    """

    page: str
    kind: str
    name: str
    label: str = ""
    value: Any = None
    help: str = ""
    unit: str = ""
    minimum: Optional[float] = None
    maximum: Optional[float] = None
    choices: Tuple[str, ...] = ()
    labels: Tuple[str, ...] = ()
    enabled: bool = True

    def to_dict(self) -> Dict[str, Any]:
        """Return plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Row:
        """Rebuild from plain data."""
        plain = dict(data)
        for name in ("choices", "labels"):
            plain[name] = tuple(plain.get(name, ()))
        return cls(**plain)


def rows(values: Mapping[str, Any], engines: Sequence[Mapping[str, Any]]) -> List[Row]:
    """Return all settings, page by page.

    Args:
        values: the fields of `Task`, engine options under `OPTION` + name, and `preset`.
        engines: the server's descriptions; empty before it has answered.
    """
    engine = _engine(engines, str(values["engine"]))
    return [
        *_clip_rows(values, engines),
        *_input_rows(values, engine),
        *_option_rows(values, engine),
        *_output_rows(values),
    ]


def default_engine(engines: Sequence[Mapping[str, Any]], task: str = "deflicker") -> str:
    """Return the name of the engine that is selected first: the default one of a task, else the first."""
    own = [engine for engine in engines if engine.get("task") == task]
    chosen = [engine for engine in own if engine.get("default")] or own or list(engines)
    return str(chosen[0]["name"]) if chosen else task


def task_of(values: Mapping[str, Any], engines: Sequence[Mapping[str, Any]]) -> Task:
    """Return the task for the values; options and inputs that the engine does not have are left out.

    Raises:
        HostError: an input is to come from files or a track that is not named.
    """
    engine = _engine(engines, str(values["engine"]))
    fields = {
        name: values[name]
        for name in Task().to_dict()
        if name in values and name not in ("options", "layers", "kinds")
    }
    made = {"options": option_values(values, engine)}
    if engine is not None:
        made.update(layers=layers.chosen(values, engine), kinds=layers.kinds_of(engine))
    return Task.from_dict({**fields, **made})


def option_values(values: Mapping[str, Any], engine: Optional[Mapping[str, Any]]) -> Dict[str, Any]:
    """Return the engine's options that differ from its defaults, typed; frame options without a value are left out."""
    found: Dict[str, Any] = {}
    for option in (engine or {}).get("options", ()):
        value = values.get(OPTION + option["name"], option.get("default"))
        if option["kind"] == "frame":
            value = _frame(value)
        if value is not None and value != option.get("default"):
            found[option["name"]] = value
    return found


def _frame(value: Any) -> Optional[int]:
    try:
        return int(str(value).strip())
    except ValueError:
        return None


def _engine(engines: Sequence[Mapping[str, Any]], name: str) -> Optional[Mapping[str, Any]]:
    return next((engine for engine in engines if engine["name"] == name), None)


def _choice(page: str, name: str, label: str, value: Any, choices: Sequence[str], help_: str = "") -> Row:
    shown = tuple(WORDS.get(choice, choice) for choice in choices)
    return Row(page, "choice", name, label, value, help_, choices=tuple(choices), labels=shown)


def _clip_rows(values: Mapping[str, Any], engines: Sequence[Mapping[str, Any]]) -> List[Row]:
    page = PAGES[0]
    names = tuple(str(engine["name"]) for engine in engines) or (str(values["engine"]),)
    titles = tuple(f"{engine['name']}: {engine['summary']}" for engine in engines) or names
    found = [
        Row(
            page,
            "choice",
            "engine",
            "what to do",
            values["engine"],
            "The server's engines.",
            choices=names,
            labels=titles,
        ),
        _choice(page, "selection", "which clips", values["selection"], ("playhead", "selected", "colour")),
    ]
    if values["selection"] == "colour":
        found.append(
            _choice(page, "clip_colour", "clip colour", values["clip_colour"] or "Orange", CLIP_COLOURS)
        )
    engine = _engine(engines, str(values["engine"])) or {}
    below = [each["name"] for each in layers.others(engine) if _where(values, each) == layers.BELOW]
    if below:
        text = f"{', '.join(below)}: what lies under the clip on the next lower track"
        found.append(Row(page, "line", "below", "background", text))
    return [
        *found,
        _choice(page, "range", "range", values["range"], ("clip", "in_out")),
        Row(page, "int", "handles", "handles", values["handles"],
            "Frames before and after that the engine sees too; they do not come back.", "frames", 0, MOST_HANDLES),
        _choice(page, "source", "pixels", values["source"], ("source", "graded"),
                "Deflicker wants the clip's own pixels; its grade is kept."),
        Row(page, "heading", "how_much", "How much"),
        *(Row(page, "float", name, name, values[name], help_, "", 0.0, MOST_STRENGTH) for name, help_ in (
            ("strength", "Share of the change that is applied."),
            ("luma", "Share of its brightness."),
            ("chroma", "Share of its colour."),
        )),
    ]  # fmt: skip


def _where(values: Mapping[str, Any], layer: Mapping[str, Any]) -> str:
    return str(values.get(layers.LAYER + str(layer["name"]), layers.start(layer)))


def _input_rows(values: Mapping[str, Any], engine: Optional[Mapping[str, Any]]) -> List[Row]:
    """Return rows for the engine's inputs beside the clip itself: where each comes from."""
    page = PAGES[1]
    if engine is None:
        return [Row(page, "line", "no_engine_yet", "inputs", "The server has not answered yet.")]
    found: List[Row] = []
    for layer in layers.others(engine):
        name, where = str(layer["name"]), _where(values, layer)
        label, help_ = str(layer.get("label") or name), str(layer.get("help", ""))
        found.append(_choice(page, layers.LAYER + name, label, where, layers.places(layer), help_))
        if where == layers.TRACK:
            key = layers.LAYER_TRACK + name
            found.append(Row(page, "int", key, f"{label}: track", values.get(key, 1),
                             "Number of the video track; its clip lies over the same frames.",
                             "", 1, layers.MOST_TRACKS))  # fmt: skip
        if where == layers.FILE:
            key = layers.LAYER_FILE + name
            told = "One file for all frames, or /show/name.####.exr, numbered as the clip's source."
            found.append(Row(page, "text", key, f"{label}: files", values.get(key, ""), told))
    return found or [Row(page, "line", "no_inputs", "inputs", "This engine takes the clip alone.")]


def _option_rows(values: Mapping[str, Any], engine: Optional[Mapping[str, Any]]) -> List[Row]:
    page = PAGES[2]
    if engine is None:
        return [Row(page, "line", "no_engine", "options", "The server has not answered yet.")]
    found: List[Row] = []
    presets = list(engine.get("presets", ()))
    if presets:
        names = (CUSTOM, *(str(preset["name"]) for preset in presets))
        labels = ("your own values", *(f"{preset['label']}: {preset['help']}" for preset in presets))
        chosen = values.get("preset", CUSTOM)
        found.append(
            Row(page, "choice", "preset", "preset", chosen, "Sets options.", choices=names, labels=labels)
        )
    options = list(engine.get("options", ()))
    shown = [option for option in options if not option.get("advanced") or values.get("advanced")]
    group = ""
    for option in sorted(shown, key=lambda each: bool(each.get("advanced"))):
        heading = "Advanced" if option.get("advanced") else str(option.get("group", ""))
        if heading != group:
            group = heading
            found.append(Row(page, "heading", f"group.{heading}", heading))
        found.append(_option_row(page, option, values))
    if any(option.get("advanced") for option in options):
        found.append(Row(page, "bool", "advanced", "show advanced options", bool(values.get("advanced"))))
    return found or [Row(page, "line", "no_options", "options", "This engine has none.")]


def _option_row(page: str, option: Mapping[str, Any], values: Mapping[str, Any]) -> Row:
    name, kind = OPTION + str(option["name"]), str(option["kind"])
    value = values.get(name, option.get("default"))
    label = str(option.get("label") or option["name"])
    help_, unit = str(option.get("help", "")), str(option.get("unit", ""))
    if kind == "choice":
        choices = tuple(option.get("choices", ()))
        return Row(page, "choice", name, label, value, help_, choices=choices, labels=choices)
    if kind == "frame":
        return Row(page, "text", name, label, "" if value is None else str(value), help_ + " Empty for none.")
    if kind == "str":
        return Row(page, "text", name, label, value or "", help_, unit)
    low, high = option.get("minimum"), option.get("maximum")
    return Row(page, kind, name, label, value, help_, unit, low, high)


def _output_rows(values: Mapping[str, Any]) -> List[Row]:
    page = PAGES[3]
    return [
        _choice(page, "output", "what comes back", values["output"], ("result", "field", "cdl")),
        Row(page, "choice", "way", "frames come back", values["way"], "The clip itself is never changed.",
            choices=("take", "track", "pool"), labels=tuple(WORDS[w] for w in ("take", "track", "pool")),
            enabled=values["output"] == "result"),
        Row(page, "folder", "folder", "output folder", values["folder"],
            "A folder per clip and in it one per version is made there."),
        Row(page, "text", "version", "version", values["version"], "Its name; empty: the next of v001, v002, ..."),
        Row(page, "text", "colour_space", "colour space", values["colour_space"],
            "OpenColorIO name of the pixels; empty: what project and clip say."),
        Row(page, "text", "server", "server", values["server"],
            "As tcp://render01:5570; empty: your settings, or a private server."),
    ]  # fmt: skip
