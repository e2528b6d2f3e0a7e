"""The node itself: creating and finding nodes, their options, and whether a result is still up to date.

    group = create("harmonize")
    take_engine(group, client.engine("harmonize"))

Only the main thread may call these functions.
"""

from __future__ import annotations

import os
import tempfile
from typing import Any, List, Optional

import nuke
from harmovid.errors import InputError
from harmovid.job import EngineInfo

from harmovid_nuke import SCHEMA, engine_cache, inputs, knobs, readback, status, template
from harmovid_nuke.graph import INPUTS, upgraded
from harmovid_nuke.knobs import OPTION, pack, unpack
from harmovid_nuke.record import Record, load


def create(kind: str) -> Any:
    """Make a node below the selected nodes, and return its Group.

    Args:
        kind: "harmonize" or "deflicker".
    """
    selected = nuke.selectedNodes()
    nuke.Undo.begin()
    nuke.Undo.name(f"Create {knobs.TITLES[kind]}")
    try:
        group = _paste(template.text(kind))
        # Nuke lists the selection in reverse order.
        for index, one in enumerate(reversed(selected[: len(INPUTS[kind])])):
            group.setInput(index, one)
        if selected:
            group.setXYpos(selected[0].xpos(), selected[0].ypos() + 80)
        if group.input(0) is not None:
            reset_range(group)
        last = engine_cache.load(kind)
        if last is not None:
            take_engine(group, last)
    finally:
        nuke.Undo.end()
    return group


def _paste(text: str) -> Any:
    descriptor, path = tempfile.mkstemp(suffix=".nk")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        made = nuke.nodePaste(path.replace("\\", "/"))
        # Pasted nodes are selected; the call's return value is not reliable.
        return made if made is not None else nuke.selectedNodes()[0]
    finally:
        os.unlink(path)


def find(name: str, missing_ok: bool = False) -> Any:
    """Return a node by its full name.

    Raises:
        InputError: it does not exist and `missing_ok` is not set.
    """
    # From the root: inside a callback Nuke resolves names in the node's own Group.
    found = nuke.toNode("root." + name)
    if found is None and not missing_ok:
        raise InputError(f"the node {name} is gone.", fix="Its results are on disk all the same.")
    return found


def all_of_ours() -> List[Any]:
    """Return the HarmoVid nodes at the script's root level."""
    with nuke.root():
        return [one for one in nuke.allNodes("Group") if one.knob("harmovid_kind") is not None]


def is_newer(group: Any) -> bool:
    """Return whether a node was made by a newer plugin, whose knobs this version must not change."""
    made_by = str(group["harmovid_schema"].value())
    return made_by.isdigit() and int(made_by) > int(SCHEMA)


def record_of(group: Any) -> Optional[Record]:
    """Return the record of the version that the node shows: from disk, or else the copy in the node."""
    data = unpack(group["job_data"].value())
    if not isinstance(data, dict):
        return None
    return load(str(data.get("folder", ""))) or Record.from_dict(data)


def packed(record: Record) -> str:
    """Return a record as text for a knob."""
    return pack(record.to_dict())


def take_engine(group: Any, engine: EngineInfo) -> None:
    """Give a node the options and the further inputs of an engine; what it had before keeps values and connections."""
    if is_newer(group):
        return
    data = pack(engine.to_dict())
    if group["engine_data"].value() == data and inputs.is_fitted(group, engine):
        return
    made = [*knobs.engine_knobs(engine), *inputs.input_knobs(group, engine)]
    before = {knob.name(): knob for knob in group.allKnobs() if knobs.is_of_engine(knob.name())}
    kept = {name: knob.toScript() for name, knob in before.items() if hasattr(knob, "toScript")}
    for knob in before.values():
        group.removeKnob(knob)
    for spec in made:
        knob = spec.make(nuke)
        group.addKnob(knob)
        if spec.name in kept:
            _restore(knob, kept[spec.name])
    with readback.quietly():
        inputs.add_pipes(group, engine)
    group["engine_data"].setValue(data)


def upgrade(group: Any) -> None:
    """Give a node of an older plugin what a new result needs: the expressions of the nodes inside."""
    if is_newer(group) or str(group["harmovid_schema"].value()) == SCHEMA:
        return
    with readback.quietly():
        for name, values in upgraded(inputs.kind_of(group)).items():
            for knob, text in values.items():
                group.node(name)[knob].setValue(text)
        group["harmovid_schema"].setValue(SCHEMA)


def _restore(knob: Any, text: str) -> None:
    """Set a knob to the value that it had for the previous engine, unless the new one does not have that value."""
    default = knob.toScript()
    try:
        knob.fromScript(text)
        values = getattr(knob, "values", None)
        if values is not None and knob.value() not in values():
            knob.fromScript(default)
    except (ValueError, TypeError, RuntimeError):
        knob.fromScript(default)


def apply_preset(group: Any, name: str) -> None:
    """Set the options of a preset; the others go back to their defaults. "custom" changes nothing."""
    data = unpack(group["engine_data"].value())
    if name == "custom" or not isinstance(data, dict):
        return
    engine = EngineInfo.from_dict(data)
    chosen = engine.preset(name).options
    for option in engine.options:
        value = chosen.get(option.name, option.default)
        knob = group.knob(OPTION + option.name)
        if knob is not None:
            knob.setValue("" if value is None else str(value) if option.kind == "frame" else value)


def reset_range(group: Any) -> None:
    """Set the frame range to the input's, limited to the script's."""
    if group.input(0) is None:
        raise InputError("nothing is connected.", fix="Connect the input first.")
    found, root = group.upstreamFrameRange(0), nuke.root()
    if found is None:
        raise InputError("the input does not tell its range.", fix="Set the frames by hand.")
    first = max(int(found.first()), int(root["first_frame"].value()))
    last = min(int(found.last()), int(root["last_frame"].value()))
    if last < first:
        first, last = int(found.first()), int(found.last())
    group["first"].setValue(first)
    group["last"].setValue(last)


def show(group: Any, record: Record) -> None:
    """Show a version in a node: its frames, its curves, and the frames to review."""
    present = readback.show(group, record)
    readback.curves(group, record)
    readback.history(group, record)
    review = readback.summary(group, record, {})
    group["upstream"].setValue(record.upstream)
    status.tell(group, f"v{record.version:03d}: {len(present)} frames. Worth a look: {review}.", status.GOOD)
    check(group)


def check(group: Any) -> bool:
    """Check whether the result still matches the nodes upstream, show that on the node, and return it."""
    record = record_of(group)
    if record is None or not group["has_result"].value():
        return True
    stale = not fits(group, record)
    if stale != bool(group["stale"].value()):
        group["stale"].setValue(stale)
    if stale:
        status.tell(
            group,
            "The inputs have changed since the result was made. Press Send to make it again.",
            status.OLD,
        )
    return not stale


def fits(group: Any, record: Record) -> bool:
    """Return whether what a record was made of is still what is upstream; also if that cannot be found out."""
    try:
        found = inputs.connected(group)
    except InputError:
        return not record.upstream
    now = status.fingerprint(group, record.layers.values(), status.with_times(found))
    return not record.upstream or not now or now == record.upstream
