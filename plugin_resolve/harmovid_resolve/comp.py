"""A result as a Fusion composition: the clip, the field of light changes, and a Custom Tool that applies it live.

    warnings = apply(clip, pattern, numbers, task, version, colour)
    text = comp_text(Look(first_file, count, strength, luma, chroma, space))

The field's pictures hold stops in R, G, B. The tool computes `light * 2 ** (strength * (chroma * stops + (luma -
chroma) * brightness of stops))`. Pixels that are not linear light are decoded and encoded by formulas, and converted to
the primaries in which the field was made (`working`). Strength, luma and chroma are numbers of the tool, so changing
them needs no server. Names of tools and inputs are Fusion's own, in the form of published compositions; no real Fusion
has read one of these.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import Any, Dict, List, Sequence

from harmovid_resolve import exr_file
from harmovid_resolve.calls import act, listed, tell
from harmovid_resolve.clip import Clip, Numbers
from harmovid_resolve.contract import Colour, Task
from harmovid_resolve.errors import HostError
from harmovid_resolve.source import path_of
from harmovid_resolve.working import FILE, Primaries, curve_of, matrix, space_of_grade

__all__ = ["Look", "apply", "check", "comp_text", "expressions"]

NAME, TOOL = "HarmoVid", "HarmoVid"
LUMA = "0.2126*r2+0.7152*g2+0.0722*b2"
"""Brightness of a change: the weights of Rec. ITU-R BT.709-6, item 3.2, as everywhere in HarmoVid."""


@dataclass(frozen=True)
class Look:
    """The values of a composition.

    Attributes:
        first_file: the field's file for the clip's first frame; the others follow by number.
        count: number of frames.
        strength, luma, chroma: start values of the tool.
        space: OpenColorIO name of the space of the pixels in Fusion; "" is linear light.
        primaries: of the light that the field changes.
    """

    first_file: str
    count: int
    strength: float = 1.0
    luma: float = 1.0
    chroma: float = 1.0
    space: str = ""
    primaries: Primaries = FILE


def check(clip: Clip, task: Task) -> None:
    """Check whether a composition could be made for a clip, before anything is made.

    Raises:
        HostError: it would give wrong pixels, or hide a composition.
    """
    if task.source == "graded":
        raise HostError(
            "a Fusion composition is applied under the grade, but graded pixels would be measured.",
            fix="Choose the clip's own pixels, or choose the output frames.",
        )
    if task.range != "clip":
        raise HostError("a Fusion composition is for the whole clip.", fix="Choose the range `clip`.")
    others = [name for name in _names(clip) if not name.startswith(NAME)]
    if others:
        raise HostError(
            f"{clip.name} has a Fusion composition {others[0]}, which would be hidden.",
            fix="Choose the output frames instead.",
        )


def apply(clip: Clip, pattern: str, numbers: Numbers, task: Task, version: str, colour: Colour) -> List[str]:
    """Make the composition of a clip from a field, and return sentences about what is assumed.

    Args:
        clip: gets the composition.
        pattern: of the field's EXR files.
        numbers: first and last frame.
        task: strength, luma, chroma, and how the pixels were sent.
        version: the composition's name.
        colour: of the pixels that were sent.

    Raises:
        HostError: it cannot be made; the clip is unchanged.
    """
    look = _checked(clip, pattern, numbers, task, colour)
    path = os.path.join(os.path.dirname(pattern), f"{NAME}_{version}.comp")
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(comp_text(look))
    except OSError as error:
        raise HostError(
            f"{path} cannot be written: {error.strerror}.", fix="Free room on the disk."
        ) from error
    before = _names(clip)
    try:
        act(clip.item, "ImportFusionComp", path)
        _show(clip, before, f"{NAME} {version}")
    except HostError:
        _take_out(clip, before)
        raise
    seen = look.space or "linear light"
    return [f"{clip.name}: the composition takes what Fusion sees as {seen}; look at it before you go on."]


def _checked(clip: Clip, pattern: str, numbers: Numbers, task: Task, colour: Colour) -> Look:
    """Return the values of the composition.

    Raises:
        HostError: it would give wrong pixels, or hide a composition.
    """
    if numbers != (clip.first, clip.first + clip.count - 1):
        raise HostError(
            f"the field has the frames {numbers[0]}-{numbers[1]}, the clip shows others.",
            fix="Choose the whole clip.",
        )
    space = space_of_grade(colour)
    first = path_of(pattern, numbers[0])
    # Linear frames without a named space have their file's primaries, both in the field and in Fusion.
    primaries = FILE if not space else _primaries_of(first)
    return Look(first, clip.count, task.strength, task.luma, task.chroma, space, primaries)


def _names(clip: Clip) -> List[str]:
    return [str(name) for name in listed(clip.item, "GetFusionCompNameList")]


def _show(clip: Clip, before: List[str], name: str) -> None:
    """Name the imported composition and show it.

    Raises:
        HostError: none was imported, or it is empty: Resolve reports no error for a file that it cannot read.
    """
    came = [each for each in _names(clip) if each not in before]
    if not came:
        raise HostError(
            "Resolve took no composition.", fix="Open the clip on the Fusion page once, then try again."
        )
    made = act(clip.item, "GetFusionCompByName", came[0])
    if tell(made, "FindTool", TOOL) is None:
        raise HostError("Resolve could not read the composition.", fix="Choose the output frames instead.")
    if name not in before:
        act(clip.item, "RenameFusionCompByName", came[0], name)
        came = [name]
    act(clip.item, "LoadFusionCompByName", came[0])


def _take_out(clip: Clip, before: List[str]) -> None:
    """Delete the imported composition and show the earlier one; errors of Resolve are ignored here."""
    for name in _names(clip):
        if name not in before:
            tell(clip.item, "DeleteFusionCompByName", name)
    if before:
        tell(clip.item, "LoadFusionCompByName", before[0])


def expressions(space: str, primaries: Primaries = FILE) -> Dict[str, str]:
    """Return the Custom Tool's expressions: Image1 is the clip, Image2 the field, n1 to n3 are strength, luma, chroma.

    Args:
        space: OpenColorIO name of the clip's colour space in Fusion.
        primaries: of the light that the field changes; `FILE` if they are the clip's own.

    Raises:
        HostError: there are no formulas for that space.
    """
    curve = curve_of(space)
    there = matrix(curve.primaries, primaries, curve.cones)
    back = matrix(primaries, curve.primaries, curve.cones)
    made = {"Intermediate1": LUMA}
    light = [f"({curve.decode.format(channel + '1')})" for channel in "rgb"]
    for index, channel in enumerate("rgb"):
        gain = f"pow(2, n1*(n3*{channel}2+(n2-n3)*i1))"
        made[f"Intermediate{index + 2}"] = f"{_mixed(there[index], light)}*{gain}"
    for index, name in enumerate(("Red", "Green", "Blue")):
        made[f"{name}Expression"] = curve.encode.format(_mixed(back[index], ["i2", "i3", "i4"]))
    return {**made, "AlphaExpression": "a1"}


def _mixed(weights: Sequence[float], values: Sequence[str]) -> str:
    """Return a weighted sum as an expression; values without weight are left out."""
    parts = [
        value if weight == 1 else f"{weight:.9g}*{value}" for weight, value in zip(weights, values) if weight
    ]
    return parts[0] if len(parts) == 1 else "(" + "+".join(parts).replace("+-", "-") + ")"


def _primaries_of(path: str) -> Primaries:
    """Return the primaries that a field's file states, `FILE` if it states none."""
    try:
        with open(path, "rb") as file:
            found = exr_file.header_of(file).get("chromaticities")
        return struct.unpack("<8f", found[1]) if found else FILE
    except (OSError, ValueError, struct.error) as error:
        raise HostError(f"{path} cannot be read: {error}.", fix="Make the frames again.") from error


def comp_text(look: Look) -> str:
    """Return the composition in Fusion's text format.

    Raises:
        HostError: there are no formulas for its colour space.
    """
    last = look.count - 1
    numbers = {"NumberIn1": look.strength, "NumberIn2": look.luma, "NumberIn3": look.chroma}
    labels = {"NameforNumber1": "Strength", "NameforNumber2": "Luma", "NameforNumber3": "Chroma"}
    hidden = {f"ShowNumber{index}": 0 for index in range(4, 9)}
    hidden.update({f"ShowPoint{index}": 0 for index in range(1, 5)})
    inputs = {**numbers, **labels, **hidden, **expressions(look.space, look.primaries)}
    lines = [f"\t\t\t\t{name} = Input {{ Value = {_value(value)}, }}," for name, value in inputs.items()]
    inside = "\n".join(lines)
    return f"""Composition {{
\tTools = ordered() {{
\t\tMediaIn1 = MediaIn {{
\t\t\tViewInfo = OperatorInfo {{ Pos = {{ 0, 0 }} }},
\t\t}},
\t\tField = Loader {{
\t\t\tClips = {{
\t\t\t\tClip {{
\t\t\t\t\tID = "Clip1",
\t\t\t\t\tFilename = {_value(look.first_file)},
\t\t\t\t\tFormatID = "OpenEXRFormat",
\t\t\t\t\tLength = {look.count}, LengthSetManually = true,
\t\t\t\t\tTrimIn = 0, TrimOut = {last}, ExtendFirst = 0, ExtendLast = 0,
\t\t\t\t\tLoop = 0, AspectMode = 0, Depth = 0, TimeCode = 0,
\t\t\t\t\tGlobalStart = 0, GlobalEnd = {last},
\t\t\t\t}},
\t\t\t}},
\t\t\tViewInfo = OperatorInfo {{ Pos = {{ 0, 66 }} }},
\t\t}},
\t\t{TOOL} = Custom {{
\t\t\tNameSet = true,
\t\t\tInputs = {{
\t\t\t\tImage1 = Input {{ SourceOp = "MediaIn1", Source = "Output", }},
\t\t\t\tImage2 = Input {{ SourceOp = "Field", Source = "Output", }},
{inside}
\t\t\t}},
\t\t\tViewInfo = OperatorInfo {{ Pos = {{ 220, 0 }} }},
\t\t}},
\t\tMediaOut1 = MediaOut {{
\t\t\tInputs = {{
\t\t\t\tInput = Input {{ SourceOp = "{TOOL}", Source = "Output", }},
\t\t\t}},
\t\t\tViewInfo = OperatorInfo {{ Pos = {{ 440, 0 }} }},
\t\t}},
\t}},
}}
"""


def _value(value: Any) -> str:
    """Return a number or a text as a Lua value."""
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"{value:.9g}"
