"""From a node's knobs to the record of a send: its frames, inputs, engine and folder.

Only the main thread may call functions that take a node.
"""

from __future__ import annotations

import datetime
import os
from dataclasses import replace
from typing import Any, Dict, List, Optional, Tuple

import nuke
from harmovid.errors import InputError
from harmovid.frames import FrameRange
from harmovid.job import EngineInfo

from harmovid_nuke import knobs, render, status
from harmovid_nuke.graph import INPUTS
from harmovid_nuke.knobs import unpack
from harmovid_nuke.record import Record, new_version

SCOPE_PRESET = "harmovid_preset"

LAYERS: Dict[str, Tuple[Tuple[str, Tuple[int, ...]], ...]] = {
    "harmonize": (("fg", (0,)), ("bg", (1,)), ("matte", (2,))),
    # The matte limits the result live, in the node; the server gets the separate mask for measuring, or else the matte.
    "deflicker": (("plate", (0,)), ("measure_mask", (1, 2))),
}
"""Engine layer to the inputs that may fill it, the first that is connected."""


def values_of(group: Any) -> Dict[str, Any]:
    """Return the values of the node's knobs by name: those that every node has, and the engine's options."""
    own = [
        knob.name for knob in knobs.own_knobs(str(group["harmovid_kind"].value())) if knob.default is not None
    ]
    options = [name for name in group.knobs() if name.startswith(knobs.OPTION)]
    return {name: group[name].value() for name in (*own, *options)}


def engine_of(group: Any) -> Optional[EngineInfo]:
    """Return the engine description stored in the node, or None if it has never been connected."""
    data = unpack(group["engine_data"].value())
    return EngineInfo.from_dict(data) if isinstance(data, dict) else None


def folder_of(group: Any) -> str:
    """Return the folder of a node's versions, with forward slashes and no slash at the end.

    Raises:
        InputError: the script has no name yet, and no folder is set.
    """
    named = str(group["folder"].evaluate() or "").replace("\\", "/").rstrip("/")
    script = nuke.root().name()
    if named and os.path.isabs(named):
        return named
    if not script or script == "Root":
        raise InputError(
            "there is no place for the results.", fix="Save the script, or set a folder on the Output tab."
        )
    stem = os.path.splitext(os.path.basename(script))[0]
    beside = os.path.dirname(script.replace("\\", "/"))
    return "/".join([beside, named or f"harmovid/{stem}/{group.fullName()}"])


def make(group: Any) -> Record:
    """Return the record of a send from the knobs; its folder is the node's, not yet a version's.

    Raises:
        InputError: something is missing or cannot be used; the fix says what to do.
    """
    kind, values = str(group["harmovid_kind"].value()), values_of(group)
    wanted, frames = _frames(values)
    layers = _layers(group, kind)
    engine = engine_of(group)
    if engine is not None:
        values.update(_of_the_scope(engine))
    return Record(
        folder=folder_of(group),
        node=group.fullName(),
        kind=kind,
        engine=str(values["engine"]).strip() or (engine.name if engine is not None else kind),
        wanted=str(wanted),
        frames=str(frames),
        views=_views(str(values["views"])),
        layers=layers,
        options=knobs.option_values(engine, values) if engine is not None else {},
        has_alpha=render.has_alpha(group, 0),
        datatype=str(values["datatype"]),
        compression=str(values["compression"]),
        keep_inputs=bool(values["keep_inputs"]),
        server=str(values["server"]),
        key=str(values["key"]),
        label=_label(group),
        upstream=status.fingerprint(group, layers.values()),
        started=datetime.datetime.now().strftime("%Y-%m-%d %H:%M"),
    )


def placed(record: Record) -> Record:
    """Make a new version's folder, write the record there and return it.

    Raises:
        OutputError: the folder cannot be made.
    """
    return replace(record, folder=new_version(record.folder)).save()


def _of_the_scope(engine: EngineInfo) -> Dict[str, Any]:
    """Return the knob values of the preset that a Graph Scope Variable names (Nuke 16 and later); empty without one.

    In one script for many shots, the variable `harmovid_preset` sets the preset of each.

    Raises:
        OptionError: the engine has no such preset.
    """
    knob = nuke.root().knob("gsv")
    sets = knob.value() if knob is not None else None
    name = str(sets.get("__default__", {}).get(SCOPE_PRESET, "")) if isinstance(sets, dict) else ""
    if not name or name == "custom":
        return {}
    chosen = engine.preset(name).options
    values = {option.name: chosen.get(option.name, option.default) for option in engine.options}
    return {knobs.OPTION + key: "" if value is None else value for key, value in values.items()}


def _frames(values: Dict[str, Any]) -> Tuple[FrameRange, FrameRange]:
    """Return the requested frames, and the same with handles."""
    first, last, handles = int(values["first"]), int(values["last"]), max(int(values["handles"]), 0)
    if values["send_what"] == "current frame":
        first = last = nuke.frame()
    if last < first:
        raise InputError(f"the range {first} to {last} runs backwards.", fix="Press Reset.")
    return FrameRange(range(first, last + 1)), FrameRange(range(first - handles, last + handles + 1))


def _layers(group: Any, kind: str) -> Dict[str, int]:
    """Return the layers to send, with the numbers of their inputs.

    Raises:
        InputError: a required input is not connected.
    """
    engine = engine_of(group)
    known = {layer.name: layer for layer in engine.layers} if engine is not None else None
    found: Dict[str, int] = {}
    for layer, candidates in LAYERS[kind]:
        connected = [index for index in candidates if group.input(index) is not None]
        if known is not None and layer not in known:
            continue
        if connected:
            found[layer] = connected[0]
        elif candidates[0] < (2 if kind == "harmonize" else 1):
            name = INPUTS[kind][candidates[0]]
            raise InputError(f"the input {name} is not connected.", fix="Connect it, then send again.")
    return found


def _views(text: str) -> Tuple[str, ...]:
    """Return the views to send; with a single view there are no folders per view.

    Raises:
        InputError: the script does not have one of the views.
    """
    known = list(nuke.views())
    wanted: List[str] = text.replace(",", " ").split() or known
    unknown = [view for view in wanted if view not in known]
    if unknown:
        raise InputError(f"the script has no view {unknown[0]!r}.", fix="It has: " + ", ".join(known) + ".")
    return tuple(wanted) if len(known) > 1 else ("",)


def _label(group: Any) -> str:
    script = os.path.splitext(os.path.basename(nuke.root().name() or "untitled"))[0]
    return f"{script} {group.fullName()}"
