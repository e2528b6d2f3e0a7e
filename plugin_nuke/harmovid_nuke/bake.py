"""Bake for use without HarmoVid: the overall correction of a shot as an ordinary node, or as files.

    bake(group)                         # what the Bake button does; returns a sentence on what was made

The correction of the whole frame is baked, including strength, luma, chroma, the edited curve and the trims. The local
part of the lighting field, which varies over the picture, is not. Only the main thread may call this.
"""

from __future__ import annotations

import os
import subprocess
from typing import Any, List, Sequence, Tuple
from xml.sax.saxutils import escape, quoteattr

import nuke
from harmovid.errors import HarmoVidError, InputError, OutputError
from harmovid.frames import FrameRange
from harmovid.storage.atomic import write_whole

from harmovid_nuke import nk, node, private
from harmovid_nuke.record import Record

Stops = Tuple[float, float, float]
LUMA = (0.2126, 0.7152, 0.0722)
LUT_S = 120.0


def bake(group: Any) -> str:
    """Bake the version that is shown into the form that the knob names, and return a sentence on what was made.

    Raises:
        InputError: there is no result.
        OutputError: a file cannot be written.
    """
    record = node.record_of(group)
    if record is None or not group["has_result"].value():
        raise InputError("there is no result to bake.", fix="Press Send first.")
    stops = [(frame, stops_at(group, frame)) for frame in FrameRange.parse(record.wanted)]
    how = str(group["bake_as"].value())
    if how == "CDL files":
        return _cdl_files(group, record, stops)
    if how == "LUT file":
        return _lut_file(group, record)
    return _as_node(group, how, stops)


def stops_at(group: Any, frame: int) -> Stops:
    """Return the overall correction of a frame as the node applies it, in stops per channel."""
    measured = [float(group["measured"].valueAt(frame, index)) for index in range(3)]
    edited = [float(group["correction"].valueAt(frame, index)) - measured[index] for index in range(3)]
    strength, luma, chroma, trim = (
        float(group[name].valueAt(frame)) for name in ("strength", "luma", "chroma", "trim")
    )
    level = sum(weight * stops for weight, stops in zip(LUMA, measured))
    red, green, blue = (
        strength * (chroma * stops + (luma - chroma) * level + change) + trim
        for stops, change in zip(measured, edited)
    )
    return red, green, blue


def _as_node(group: Any, cls: str, stops: Sequence[Tuple[int, Stops]]) -> str:
    """Make a Grade or an OCIOCDLTransform below the node's own input."""
    keys = [[(frame, 2.0 ** each[index]) for frame, each in stops] for index in range(3)]
    nuke.Undo.begin()
    nuke.Undo.name("Bake " + group.name())
    try:
        with group.parent():
            made = getattr(nuke.nodes, cls)()
        made.setName(f"{group.name()}_baked1")
        if cls == "Grade":
            made["multiply"].fromScript(nk.curve(*keys, [(stops[0][0], 1.0)]))
            made["black_clamp"].setValue(False)
        else:
            made["slope"].fromScript(nk.curve(*keys))
        made.setInput(0, group.input(0))
        made.setXYpos(group.xpos() + 120, group.ypos())
    finally:
        nuke.Undo.end()
    return f"{made.name()} holds the correction of {len(stops)} frames."


def _cdl_files(group: Any, record: Record, stops: Sequence[Tuple[int, Stops]]) -> str:
    """Write one colour correction collection with a correction per frame, and one CDL of the current frame."""
    now = nuke.frame()
    single = dict(stops).get(now, stops[0][1])
    collection = os.path.join(record.folder, f"{group.name()}.ccc")
    _write(collection, ccc_text([(f"{group.name()}.{frame:04d}", each) for frame, each in stops]))
    _write(os.path.join(record.folder, f"{group.name()}.cdl"), cdl_text(group.name(), single))
    return f"{collection} holds {len(stops)} corrections; the .cdl beside it is that of frame {now}."


def ccc_text(corrections: Sequence[Tuple[str, Stops]]) -> str:
    """Return an ASC ColorCorrectionCollection."""
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<ColorCorrectionCollection xmlns="urn:ASC:CDL:v1.01">',
    ]
    for name, stops in corrections:
        lines += ["  " + line for line in _correction(name, stops)]
    return "\n".join([*lines, "</ColorCorrectionCollection>", ""])


def cdl_text(name: str, stops: Stops) -> str:
    """Return an ASC ColorDecisionList of one correction."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', '<ColorDecisionList xmlns="urn:ASC:CDL:v1.01">']
    lines += [
        "  <ColorDecision>",
        *("    " + line for line in _correction(name, stops)),
        "  </ColorDecision>",
    ]
    return "\n".join([*lines, "</ColorDecisionList>", ""])


def _correction(name: str, stops: Stops) -> List[str]:
    slope = " ".join(f"{2.0**each:.9g}" for each in stops)
    return [
        f"<ColorCorrection id={quoteattr(name)}>",
        "  <SOPNode>",
        f"    <Description>{escape('HarmoVid, for scene-linear light, unclamped')}</Description>",
        f"    <Slope>{slope}</Slope>",
        "    <Offset>0 0 0</Offset>",
        "    <Power>1 1 1</Power>",
        "  </SOPNode>",
        "  <SatNode><Saturation>1</Saturation></SatNode>",
        "</ColorCorrection>",
    ]


def _write(path: str, text: str) -> None:
    try:
        write_whole(path, text.encode("utf-8"))
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}.", fix="Check the folder.") from error


def _lut_file(group: Any, record: Record) -> str:
    """Write a LUT of the current frame by the command line of the server's Python (Nuke's Python may lack numpy)."""
    settings = private.settings_of(record.server, record.key)
    if not settings.python:
        raise InputError(
            "no Python is set that can make a LUT.",
            fix="Set python in client.ini to one with harmovid[server].",
        )
    frame = nuke.frame()
    target = os.path.join(record.folder, f"{group.name()}.{frame:04d}.cube")
    source = record.result(record.views[0]) % frame
    words = [settings.python, "-m", "harmovid.cli", "grade", source, "-o", target, "--overwrite"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=LUT_S, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["it ended without a message"])[-1]
        raise HarmoVidError(f"the LUT cannot be made: {last}", fix="Look whether this frame has a result.")
    return f"{target} is the LUT of frame {frame}: ACEScct in and out."
