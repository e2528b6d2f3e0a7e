"""Render the inputs of a node to EXR files, without any lasting change to the script.

    problems = render(group, record, engine)

The frames are in Nuke's working space (`raw`): without colour space conversion or clamping, with the bounding box as
data window. Only the main thread may call this.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any, Iterator, List, Sequence, Tuple

import nuke
from harmovid.errors import InputError, JobCancelled
from harmovid.frames import FramePattern, FrameRange
from harmovid.job import EngineInfo

from harmovid_nuke import pictures
from harmovid_nuke.channels import ALPHA
from harmovid_nuke.record import Record

_STOPPED = "cancel"
"""In the text of the error that Nuke raises when the artist stops a render, in whatever case."""


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Switch proxy mode and undo off for a while; afterwards restore selection, frame and the script's modified
    state."""
    root = nuke.root()
    proxy, modified = root["proxy"].value(), root.modified()
    frame = nuke.frame()
    with root:
        selected = nuke.selectedNodes()
    nuke.Undo.disable()
    try:
        root["proxy"].setValue(False)
        yield
    finally:
        root["proxy"].setValue(proxy)
        with root:
            for node in nuke.selectedNodes():
                node.setSelected(False)
        for node in selected:
            node.setSelected(True)
        if nuke.frame() != frame:
            nuke.frame(frame)
        nuke.Undo.enable()
        root.setModified(modified)


def has_alpha(group: Any, index: int) -> bool:
    """Return whether an input of a node has an alpha channel."""
    upstream = group.input(index)
    return upstream is not None and ALPHA in upstream.channels()


def render(group: Any, record: Record, engine: EngineInfo) -> List[str]:
    """Render the missing frames of a record, and return the errors of single frames.

    Raises:
        InputError: an input cannot be rendered at all, or is not what the engine needs.
        JobCancelled: the artist stopped the render.
    """
    problems: List[str] = []
    with undisturbed():
        pictures.check_formats(group, record, engine)
        for layer in record.inputs:
            problems += _layer(group, record, layer, engine)
    return problems


def _layer(group: Any, record: Record, layer: str, engine: EngineInfo) -> List[str]:
    missing = [view for view in record.views if _to_render(record, layer, view)]
    if not missing:
        return []
    pattern = record.input(layer, "%V" if record.views != ("",) else "")
    for view in record.views:
        os.makedirs(os.path.dirname(record.input(layer, view)), exist_ok=True)
    frames = FrameRange(frame for view in missing for frame in _to_render(record, layer, view))
    with pictures.opened(group, record, layer, engine) as picture:
        problem = _write(picture, pattern, record, frames)
    left = FrameRange(frame for view in missing for frame in _to_render(record, layer, view))
    if len(left) == len(record.frames_of(layer)):
        reason = problem or "Nuke wrote no frame"
        raise InputError(
            f"the input {layer} cannot be rendered: {reason}.", fix="Look at the nodes above it."
        )
    return [f"{layer}: frames {left} could not be rendered. {problem}".strip()] if left else []


def _to_render(record: Record, layer: str, view: str) -> FrameRange:
    found = set(FramePattern.parse(record.input(layer, view)).existing())
    return FrameRange(frame for frame in record.frames_of(layer) if frame not in found)


def _write(picture: pictures.Picture, pattern: str, record: Record, frames: FrameRange) -> str:
    """Render frames of an input through a temporary Write; return Nuke's message about frames that failed.

    Raises:
        JobCancelled: the artist stopped it.
    """
    with picture.parent:
        write = nuke.nodes.Write()
    try:
        _set_up(write, pattern, picture, record)
        write.setInput(0, picture.node)
        views = list(record.views) if record.views != ("",) else [nuke.views()[0]]
        for first, last in _runs(frames):
            nuke.execute(write, first, last, 1, views, True)
    except RuntimeError as error:
        if _STOPPED in str(error).lower():
            raise JobCancelled("the render was stopped.", fix="Send again when you are ready.") from error
        return str(error)
    finally:
        nuke.delete(write)
    return ""


def _set_up(write: Any, pattern: str, picture: pictures.Picture, record: Record) -> None:
    """Set the Write's knobs: the file type first, because it adds the others; an old Nuke may lack some of them.

    Of the metadata only time code and rate are written: that of the source file may name primaries, which those of the
    working space are not.
    """
    for name, value in (
        ("file_type", "exr"),
        ("file", pattern),
        ("channels", picture.channels),
        ("raw", True),
        ("datatype", picture.datatype or record.datatype),
        ("compression", record.compression),
        ("metadata", "default metadata"),
        ("autocrop", False),
    ):
        knob = write.knob(name)
        if knob is not None and _takes(knob, value):
            knob.setValue(value)


def _takes(knob: Any, value: Any) -> bool:
    """Return whether an enumeration knob has this value; its entries may have a label after a tab."""
    if not hasattr(knob, "values"):
        return True
    return value in [str(word).partition("\t")[0] for word in knob.values()]


def _runs(frames: Sequence[int]) -> List[Tuple[int, int]]:
    """Return frames as pairs (first, last) of ranges without gaps."""
    runs: List[Tuple[int, int]] = []
    for frame in frames:
        if runs and frame == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], frame)
        else:
            runs.append((frame, frame))
    return runs
