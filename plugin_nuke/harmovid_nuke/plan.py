"""From a node's knobs to the record of a send: its frames, inputs, engine and folder.

Only the main thread may call functions that take a node.
"""

from __future__ import annotations

import datetime
import os
from dataclasses import replace
from typing import Any, Dict, List, Mapping, Tuple

import nuke
from harmovid.errors import InputError
from harmovid.frames import MAX_FRAMES, FrameRange
from harmovid.job import FOREGROUND_MATTE, EngineInfo

from harmovid_nuke import inputs, knobs, render, status
from harmovid_nuke.inputs import engine_of
from harmovid_nuke.record import Record, new_version

__all__ = ["engine_of", "folder_of", "make", "placed", "values_of", "with_inputs"]

SCOPE_PRESET = "harmovid_preset"


def values_of(group: Any) -> Dict[str, Any]:
    """Return the values of the node's knobs by name: those that every node has, and the engine's options."""
    own = [
        knob.name for knob in knobs.own_knobs(str(group["harmovid_kind"].value())) if knob.default is not None
    ]
    options = [name for name in group.knobs() if name.startswith(knobs.OPTION)]
    return {name: group[name].value() for name in (*own, *options)}


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
    kind, values = inputs.kind_of(group), values_of(group)
    wanted, frames, shot = _frames(group, values)
    engine, options = engine_of(group), {}
    if engine is not None:
        values.update(_of_the_scope(engine))
        options = knobs.option_values(engine, values)
        frames = _with_reference(engine, options, frames, shot)
    record = Record(
        folder=folder_of(group),
        node=group.fullName(),
        kind=kind,
        engine=str(values["engine"]).strip() or (engine.name if engine is not None else kind),
        wanted=str(wanted),
        frames=str(frames),
        views=_views(str(values["views"])),
        options=options,
        datatype=str(values["datatype"]),
        compression=str(values["compression"]),
        keep_inputs=bool(values["keep_inputs"]),
        server=str(values["server"]),
        key=str(values["key"]),
        label=_label(group),
        started=datetime.datetime.now().strftime("%Y-%m-%d %H:%M"),
        shot=str(shot),
    )
    return with_inputs(group, record)


def with_inputs(group: Any, record: Record) -> Record:
    """Return the record with what is connected now, by the description that the node has now.

    Raises:
        InputError: a required input is missing, or cannot be used.
    """
    engine, found = engine_of(group), inputs.connected(group)
    works_on_foreground = (
        record.kind == "harmonize"
        if engine is None
        else any(layer.name == FOREGROUND_MATTE for layer in engine.layers)
    )
    return replace(
        record,
        layers=found.layers,
        channels=found.channels,
        files=found.files,
        # Other engines change a plate everywhere, whatever is in its alpha.
        has_alpha=works_on_foreground and render.has_alpha(group, inputs.MAIN),
        upstream=status.fingerprint(group, found.layers.values(), status.with_times(found)),
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


def _frames(group: Any, values: Dict[str, Any]) -> Tuple[FrameRange, FrameRange, FrameRange]:
    """Return the requested frames, the same with the handles that there are, and the frames of the shot.

    A Read repeats its first and last frame beyond its range, and an engine would take that for the shot standing still.
    """
    first, last, handles = int(values["first"]), int(values["last"]), max(int(values["handles"]), 0)
    if values["send_what"] == "current frame":
        first = last = nuke.frame()
    if last < first:
        raise InputError(f"the range {first} to {last} runs backwards.", fix="Press Reset.")
    before, after = first - handles, last + handles
    upstream = group.upstreamFrameRange(inputs.MAIN) if group.input(inputs.MAIN) else None
    begin, end = before, after
    if upstream is not None:
        begin, end = min(first, int(upstream.first())), max(last, int(upstream.last()))
        before, after = max(before, begin), min(after, end)
    if end - begin >= MAX_FRAMES:  # an input without an end
        begin, end = before, after
    spans = ((first, last), (before, after), (begin, end))
    wanted, seen, shot = (FrameRange(range(start, stop + 1)) for start, stop in spans)
    return wanted, seen, shot


def _with_reference(
    engine: EngineInfo, options: Mapping[str, Any], frames: FrameRange, shot: FrameRange
) -> FrameRange:
    """Return the frames to send: also a reference frame that lies apart from them.

    Raises:
        OptionError: an option names a frame that the shot does not have, or that the engine would not see.
    """
    apart = engine.frame_apart(options)
    if apart is not None and apart in shot:
        frames = FrameRange([*frames, apart])
    engine.check_frames(options, frames, shot)
    engine.check_named_frames(options, shot)
    return frames


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
