"""What the node says of itself: its status, its colour, whether its result still fits, which frames deserve a look.

Only the main thread may call what takes a node; the rest is plain.
"""

from __future__ import annotations

import hashlib
import os
import re
from typing import Any, Dict, Iterable, List, Mapping

import nuke
from harmovid.errors import HarmoVidError
from harmovid.frames import FrameRange

GOOD, BUSY, BAD, OLD = 0x3A6B45FF, 0x3A4F6BFF, 0x8A2F2FFF, 0x8A6A2FFF
"""Colours of the tile: done, at work, failed, does not fit any more."""

LOW_CONFIDENCE = 0.5
MAX_NODES = 2000
_LOOKS = re.compile(
    r"\s*(xpos|ypos|selected|tile_color|label|note_font\w*|gl_color|postage_stamp|hide_input)\b"
)


def tell(group: Any, text: str, colour: int = 0) -> None:
    """Show a status on the node. Undo does not count it."""
    nuke.Undo.disable()
    try:
        # Brackets would be taken for Tcl where the error message quotes the status.
        group["status"].setValue(" ".join(text.split()).replace("[", "(").replace("]", ")").replace("$", ""))
        if colour:
            group["tile_color"].setValue(colour)
    finally:
        nuke.Undo.enable()


def failed(group: Any, error: BaseException) -> str:
    """Show an error on the node, with what to do, and return the text."""
    text = words_of(error)
    tell(group, text, BAD)
    return text


def words_of(error: BaseException) -> str:
    """Return an error as sentences: what went wrong, and what to do."""
    if isinstance(error, HarmoVidError):
        text = str(error)
        return text[:1].upper() + text[1:]
    return f"Something went wrong: {error}. Run Self-test in the HarmoVid menu and send us its report."


def fingerprint(group: Any, inputs: Iterable[int]) -> str:
    """Return a text that changes when something upstream of a node changes: knobs, connections, files read.

    Empty where that cannot be told: a non-commercial Nuke lets Python look at ten nodes.
    """
    digest = hashlib.sha256()
    try:
        for index in sorted(inputs):
            digest.update(f"input {index}\n".encode())
            for node in _upstream(group.input(index)):
                digest.update(_described(node).encode("utf-8", "replace"))
    except RuntimeError:
        return ""
    return digest.hexdigest()[:32]


def _upstream(start: Any) -> List[Any]:
    """Return the nodes that feed one, itself first, those inside Groups included."""
    found: List[Any] = []
    names = set()
    waiting = [start] if start is not None else []
    while waiting and len(found) < MAX_NODES:
        node = waiting.pop()
        if node.fullName() in names:
            continue
        names.add(node.fullName())
        found.append(node)
        waiting += node.dependencies(nuke.INPUTS | nuke.HIDDEN_INPUTS | nuke.EXPRESSIONS)
        if node.Class() in ("Group", "LiveGroup"):
            waiting += node.nodes()
    return found


def _described(node: Any) -> str:
    """Return what a node's picture depends on, as text."""
    knobs = [
        line
        for line in node.writeKnobs(nuke.TO_SCRIPT | nuke.WRITE_NON_DEFAULT_ONLY).splitlines()
        if not _LOOKS.match(line)
    ]
    feeding = [one.fullName() if one is not None else "" for one in map(node.input, range(node.inputs()))]
    return "\n".join([node.Class(), node.fullName(), *feeding, *knobs, *_files(node)])


def _files(node: Any) -> List[str]:
    """Return sizes and times of some of the files that a node reads: Nuke does not notice when they change."""
    if node.Class() != "Read":
        return []
    first, last = int(node["first"].value()), int(node["last"].value())
    said = []
    for frame in sorted({first, (first + last) // 2, last}):
        path = node["file"].evaluate(frame)
        try:
            status = os.stat(path)
            said.append(f"{path} {status.st_size} {status.st_mtime_ns}")
        except (OSError, TypeError, ValueError):
            said.append(f"{path} missing")
    return said


def worth_a_look(
    wanted: Iterable[int], reports: Mapping[int, Mapping[str, Any]], failures: Mapping[int, str]
) -> List[str]:
    """Return one sentence per kind of frame that deserves a look, with the frames.

    Args:
        wanted: the frames asked for.
        reports: what engine and pixels said of each frame.
        failures: why a frame has no result.
    """
    found: Dict[str, List[int]] = {}
    for frame in wanted:
        for reason in _reasons(reports.get(frame), failures.get(frame)):
            found.setdefault(reason, []).append(frame)
    return [f"{reason}: {FrameRange(frames)}" for reason, frames in found.items()]


def _reasons(report: Any, failure: Any) -> List[str]:
    if failure:
        return [f"no result ({failure.rstrip('.')})"]
    if not isinstance(report, Mapping):
        return []
    engine = report.get("engine")
    engine = engine if isinstance(engine, Mapping) else {}
    reasons = []
    if engine.get("decision") == "nothing":
        reasons.append(f"left as it was ({engine.get('reason') or 'no reason given'})")
    sure = confidence(report)
    if sure is not None and sure < LOW_CONFIDENCE:
        reasons.append("low confidence")
    if _count(report.get("clamped_values")):
        reasons.append("values clipped")
    if _count(report.get("nan")) or _count(report.get("inf")):
        reasons.append("pixels that are not numbers")
    return reasons


def confidence(report: Mapping[str, Any]) -> Any:
    """Return how sure the engine was of a frame, 0 to 1, or None where it does not say."""
    engine = report.get("engine")
    said = engine.get("confidence", engine.get("trust")) if isinstance(engine, Mapping) else None
    return float(said) if isinstance(said, (int, float)) and not isinstance(said, bool) else None


def _count(value: Any) -> int:
    return value if isinstance(value, int) else 0
