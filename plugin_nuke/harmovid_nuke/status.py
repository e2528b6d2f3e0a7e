"""The node's display: status text, colour, whether its result is up to date, and which frames to review.

Only the main thread may call functions that take a node.
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
"""Colours of the tile: done, running, failed, out of date."""

LOW_CONFIDENCE = 0.5
MAX_NODES = 2000
_LOOKS = re.compile(
    r"\s*(xpos|ypos|selected|tile_color|label|note_font\w*|gl_color|postage_stamp|hide_input)\b"
)


def tell(group: Any, text: str, colour: int = 0) -> None:
    """Show a status on the node, without an undo step."""
    nuke.Undo.disable()
    try:
        # An error node quotes the status, and Nuke would evaluate brackets in it as Tcl.
        group["status"].setValue(" ".join(text.split()).replace("[", "(").replace("]", ")").replace("$", ""))
        if colour:
            group["tile_color"].setValue(colour)
    finally:
        nuke.Undo.enable()


def failed(group: Any, error: BaseException) -> str:
    """Show an error and its fix on the node, and return the text."""
    text = words_of(error)
    tell(group, text, BAD)
    return text


def words_of(error: BaseException) -> str:
    """Return an error as sentences: what went wrong, and what to do."""
    if isinstance(error, HarmoVidError):
        text = str(error)
        return text[:1].upper() + text[1:]
    return f"Something went wrong: {error}. Run Self-test in the HarmoVid menu and send us its report."


def with_times(found: Any) -> List[str]:
    """Return what a node sends beyond the pipes that every node has (`inputs.Connected`), with the times of files."""
    return [*found.facts(), *(_file_facts(path) for _, path in sorted(found.files.items()))]


def fingerprint(group: Any, inputs: Iterable[int], further: Iterable[str] = ()) -> str:
    """Return a text that changes when something upstream of a node changes: knobs, connections, files read.

    Empty if it cannot be computed: a non-commercial Nuke limits Python to ten nodes.
    """
    digest = hashlib.sha256()
    try:
        for index in sorted(inputs):
            digest.update(f"input {index}\n".encode())
            for node in _upstream(group.input(index)):
                digest.update(_described(node).encode("utf-8", "replace"))
        for line in further:
            digest.update(f"{line}\n".encode("utf-8", "replace"))
    except RuntimeError:
        return ""
    return digest.hexdigest()[:32]


def _upstream(start: Any) -> List[Any]:
    """Return all nodes upstream of a node, itself first, including those inside Groups."""
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
    """Return everything that a node's picture depends on, as text."""
    knobs = [
        line
        for line in node.writeKnobs(nuke.TO_SCRIPT | nuke.WRITE_NON_DEFAULT_ONLY).splitlines()
        if not _LOOKS.match(line)
    ]
    feeding = [one.fullName() if one is not None else "" for one in map(node.input, range(node.inputs()))]
    return "\n".join([node.Class(), node.fullName(), *feeding, *knobs, *_files(node)])


def _files(node: Any) -> List[str]:
    """Return sizes and times of some of the files that a node reads, because Nuke does not notice changed files."""
    if node.Class() != "Read":
        return []
    first, last = int(node["first"].value()), int(node["last"].value())
    said = []
    for frame in sorted({first, (first + last) // 2, last}):
        said.append(_file_facts(node["file"].evaluate(frame)))
    return said


def _file_facts(path: Any) -> str:
    try:
        status = os.stat(path)
        return f"{path} {status.st_size} {status.st_mtime_ns}"
    except (OSError, TypeError, ValueError):
        return f"{path} missing"


def worth_a_look(
    wanted: Iterable[int], reports: Mapping[int, Mapping[str, Any]], failures: Mapping[int, str]
) -> List[str]:
    """Return one sentence for each reason to review frames, with the frames.

    Args:
        wanted: the requested frames.
        reports: of the frames, from engine and pixel processing.
        failures: for frames without a result, the reason.
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
    """Return the engine's confidence for a frame, 0 to 1, or None if the report has none."""
    engine = report.get("engine")
    said = engine.get("confidence", engine.get("trust")) if isinstance(engine, Mapping) else None
    return float(said) if isinstance(said, (int, float)) and not isinstance(said, bool) else None


def _count(value: Any) -> int:
    return value if isinstance(value, int) else 0
