"""Load a result into the node: files, present frames, curves, frames to review, and the job history.

Only the main thread may call functions that take a node.
"""

from __future__ import annotations

import contextlib
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple

import nuke
from harmovid.frames import FrameRange

from harmovid_nuke import nk, result_curve, status
from harmovid_nuke.graph import RESULT
from harmovid_nuke.knobs import pack, unpack
from harmovid_nuke.record import Record, load, versions

HISTORY = 50
"""Largest number of jobs in a node's list."""

NO_JOBS = "none"


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Change knobs without an undo step, because an arriving frame is not an action of the artist."""
    nuke.Undo.disable()
    try:
        yield
    finally:
        nuke.Undo.enable()


def show(group: Any, record: Record, present: Optional[FrameRange] = None) -> FrameRange:
    """Show a result in a node, even an incomplete one; return the frames that exist.

    Args:
        group: the node.
        record: of the version.
        present: the frames that exist, if the caller knows them.
    """
    present = record.present() if present is None else present
    wanted = FrameRange.parse(record.wanted)
    with quietly():
        read = group.node(RESULT)
        _set(read["file"], record.shown)
        first, last = wanted[0], wanted[-1]
        for name, value in (
            ("first", first),
            ("last", last),
            ("origfirst", first),
            ("origlast", last),
            ("origset", True),
        ):
            # Some knobs can be in a script but are missing in older Nukes; that must not stop a result.
            if read.knob(name) is not None:
                _set(read[name], value)
        _set(read["on_error"], "black")
        _set(group["has_alpha"], record.has_alpha)
        _set(group["version"], record.version)
        group["present"].fromScript(presence(wanted, present))
        group["job_data"].setValue(pack(record.to_dict()))
        # Set last, because it switches the result on.
        _set(group["has_result"], bool(present))
    return present


def _set(knob: Any, value: Any) -> None:
    """Set a knob if its value differs, so that Nuke does not recompute for nothing."""
    if knob.value() != value:
        knob.setValue(value)


def presence(wanted: Sequence[int], present: Iterable[int]) -> str:
    """Return the curve that is 1 on frames that have a result and 0 elsewhere, with as few keys as possible."""
    there = set(present)
    keys: List[nk.Key] = [(min(wanted[0], 0) - 1, 0)]
    for frame in range(wanted[0], wanted[-1] + 2):
        now = 1 if frame in there else 0
        if now != keys[-1][1]:
            keys.append((frame, now))
    return nk.curve(keys, steps=True)


def curves(group: Any, record: Record) -> None:
    """Set the animated knobs from the frames' reports; edits of the correction are kept."""
    reports = record.reports()
    with quietly():
        edits = _edits(group)
        group["flicker"].fromScript(
            _triples({frame: result_curve.flicker(said) for frame, said in reports.items()})
        )
        measured = {frame: result_curve.stored_correction(said) for frame, said in reports.items()}
        group["measured"].fromScript(_triples(measured))
        group["correction"].fromScript(_triples(measured))
        for (frame, index), change in edits.items():
            if frame in measured:
                group["correction"].setValueAt(group["measured"].valueAt(frame, index) + change, frame, index)
        sure = {frame: status.confidence(said) for frame, said in reports.items()}
        keys = [(frame, value) for frame, value in sorted(sure.items()) if value is not None]
        group["confidence"].fromScript(nk.curve(keys) if keys else "1")


def _edits(group: Any) -> Dict[Tuple[int, int], float]:
    """Return by how much the artist has changed the correction, by frame and channel."""
    record = unpack(group["job_data"].value())
    found: Dict[Tuple[int, int], float] = {}
    if not isinstance(record, Mapping) or not group["correction"].isAnimated(0):
        return found
    for frame in FrameRange.parse(str(record["wanted"])):
        for index in range(3):
            moved = group["correction"].valueAt(frame, index) - group["measured"].valueAt(frame, index)
            if moved:
                found[frame, index] = moved
    return found


def _triples(values: Mapping[int, Any]) -> str:
    """Return three curves with keys at the frames that have a value, as script text."""
    known = sorted((frame, value) for frame, value in values.items() if value is not None)
    return (
        nk.curve(*([(frame, value[index]) for frame, value in known] for index in range(3)))
        if known
        else "{0 0 0}"
    )


def reset_curves(group: Any) -> None:
    """Remove the artist's edits of the correction."""
    group["correction"].fromScript(group["measured"].toScript())


def summary(group: Any, record: Record, failures: Mapping[int, str]) -> str:
    """Show which frames to review on the node, and return the text."""
    wanted = FrameRange.parse(record.wanted)
    without = dict.fromkeys(record.missing(), "none arrived")
    lines = status.worth_a_look(wanted, record.reports(), {**without, **failures})
    text = "; ".join(lines) or "nothing stands out"
    with quietly():
        group["review"].setValue(text.replace("[", "(").replace("]", ")"))
    return text


def reload(group: Any) -> None:
    """Make Nuke read the result's files again."""
    group.node(RESULT)["reload"].execute()


def history(group: Any, record: Record) -> None:
    """Add a record to the node's list of jobs, or update its entry."""
    entries = [entry for entry in listed(group) if entry["folder"] != record.folder]
    entry = {name: getattr(record, name) for name in ("folder", "wanted", "engine", "state", "started")}
    entries = sorted(
        [*entries, entry], key=lambda each: (str(each["started"]), str(each["folder"])), reverse=True
    )
    with quietly():
        group["history_data"].setValue(pack(entries[:HISTORY]))
        group["history"].setValues([label(each) for each in entries[:HISTORY]])
        group["history"].setValue(label(entry))


def listed(group: Any) -> List[Dict[str, Any]]:
    """Return the node's list of jobs, the newest first."""
    found = unpack(group["history_data"].value())
    return [dict(each) for each in found] if isinstance(found, list) else []


def label(entry: Mapping[str, Any]) -> str:
    """Return the text of a job in the list."""
    version = str(entry["folder"]).rpartition("/")[2]
    return "  ".join(
        str(each) for each in (version, entry["wanted"], entry["engine"], entry["state"], entry["started"])
    )


def chosen(group: Any, folder: str) -> Any:
    """Return the record of the job selected in the list; else the newest in the node's folder, or None."""
    wanted = group["history"].value()
    for entry in listed(group):
        if label(entry) == wanted:
            return load(str(entry["folder"]))
    return next(iter(versions(folder)), None)
