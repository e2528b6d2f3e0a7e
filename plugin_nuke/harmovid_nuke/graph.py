"""The Group's inside: ordinary nodes that apply a result's lighting field to the picture upstream.

    for inner in inside("harmonize"): ...           # `nk.NkNode`s, 10 of them

What they compute, per pixel and colour channel (the field is in stops, `harmovid.red/green/blue` of the result):

    gate    1 where the result was relit, 0 elsewhere                   (the result's alpha, or 1 everywhere)
    soft    blur(stops * gate) / blur(gate)                              the field, blurred inside the gate
    level   chroma * soft + (luma - chroma) * luminance(soft)            colour and brightness apart
    weight  0 ... 1 of the matte that limits it
    out     in * 2 ** (weight * (strength * (level + edited curve) + trim))

Where weight or gate is 0 the input passes unchanged; where all stops are 0 it is multiplied by exactly 1. Alpha and
every other layer come from upstream. All inner nodes are Nuke's own: the script opens and renders without the plugin.
"""

from __future__ import annotations

from typing import Dict, List, Tuple

from harmovid_nuke.nk import NkNode, expression, word

MAX_INNER_NODES = 10
"""What Python may touch in a non-commercial Nuke."""

INPUTS: Dict[str, Tuple[str, str, str]] = {
    "harmonize": ("fg", "bg", "matte"),
    "deflicker": ("plate", "measure", "apply"),
}
"""The Group's inputs by number. The last one limits the area of the result, live."""

RESULT, OUTPUT = "Result", "Output1"
LUMA = "0.2126 * Ar + 0.7152 * Ag + 0.0722 * Ab"
"""The luma weights with which the lighting field selects its cells, whatever the primaries."""

NO_LIMIT, LIMIT_ALPHA, LIMIT_MATTE = 0, 1, 2
PASS, ERROR = 0, 1
"""Values of the knobs `limit_by` and `on_missing`."""

_CHANNELS = (("red", "r"), ("green", "g"), ("blue", "b"))
_ONE = ("{rgba.red -rgba.green -rgba.blue none}", "{-rgba.red rgba.green -rgba.blue none}",
        "{-rgba.red -rgba.green rgba.blue none}", "{none none none rgba.alpha}")  # fmt: skip


LAYER = "add_layer {harmovid harmovid.red harmovid.green harmovid.blue}"
"""A script line that declares the layer, because expressions use it before the Read has opened a file."""


def inside(kind: str) -> List[NkNode]:
    """Return the inner nodes of a Group, in script order.

    Args:
        kind: "harmonize" or "deflicker".
    """
    main, side, matte = INPUTS[kind]
    return [
        _input(main, 0, 0),
        _input(side, 1, 220),
        _input(matte, 2, 440),
        NkNode("Read", _read_knobs()),
        NkNode("Expression", _field_knobs(), inputs=[RESULT]),
        NkNode("Blur", _blur_knobs(), inputs=["Field"]),
        NkNode("Copy", _copy_knobs(), inputs=["Soften", matte]),
        NkNode("MergeExpression", _apply_knobs(kind), inputs=[main, "Matte"]),
        NkNode("Assert", _check_knobs(), inputs=["Apply"]),
        NkNode("Output", {"name": OUTPUT, "xpos": "0", "ypos": "500"}, inputs=["Check"]),
    ]


def _input(name: str, index: int, x: int) -> NkNode:
    knobs = {"name": name, **({"number": str(index)} if index else {}), "xpos": str(x), "ypos": "0"}
    return NkNode("Input", knobs)


def _read_knobs() -> Dict[str, str]:
    """Missing frames and frames outside the range are read as black, which is 0 stops: the input passes unchanged."""
    return {
        "file_type": "exr",
        "before": "black",
        "after": "black",
        "on_error": "black",
        "raw": "true",
        "localizationPolicy": "off",
        "name": RESULT,
        "xpos": "660",
        "ypos": "0",
        "disable": expression("!parent.has_result"),
    }


def _field_knobs() -> Dict[str, str]:
    knobs: Dict[str, str] = {}
    for index, (name, _) in enumerate(_CHANNELS):
        knobs[f"channel{index}"] = _ONE[index]
        knobs[f"expr{index}"] = f"harmovid.{name}"
    knobs.update(channel3=_ONE[3], expr3=word("parent.has_alpha ? a > 0 : 1"))
    return {**knobs, "name": "Field", "xpos": "660", "ypos": "100"}


def _blur_knobs() -> Dict[str, str]:
    return {
        "channels": "rgba",
        "size": "{{parent.soften}}",
        "crop": "false",  # else pixels outside the format would not be corrected
        "name": "Soften",
        "xpos": "660",
        "ypos": "180",
    }


def _copy_knobs() -> Dict[str, str]:
    """The bounding box stays that of the result, whatever the matte's is."""
    knobs = {"from0": "rgba.alpha", "to0": "mask.a", "bbox": "B"}
    return {**knobs, "name": "Matte", "xpos": "440", "ypos": "260"}


def _weights(kind: str) -> Dict[str, str]:
    """Return the expressions that say how much a pixel is changed, as plain text."""
    # A foreground without alpha is where its matte is: elsewhere the field is 0.
    own = "(parent.has_alpha ? Ba : 1)" if kind == "harmonize" else "Ba"
    limit = f"(parent.limit_by == {LIMIT_MATTE} ? Amask.a : parent.limit_by == {LIMIT_ALPHA} ? {own} : 1)"
    edge = f"parent.matte_edge > 0 ? min(1, {limit} / parent.matte_edge) : 1"
    # The two variables do not use each other, as their order of evaluation is not documented.
    return {
        "temp_expr0": f"Aa > 0 && {limit} > 0 ? ({edge}) : 0",
        "temp_expr1": f"Aa > 0 ? (parent.luma - parent.chroma) * ({LUMA}) / Aa : 0",
    }


def _apply_knobs(kind: str) -> Dict[str, str]:
    weights = {name: word(text) for name, text in _weights(kind).items()}
    knobs = {"temp_name0": "wgt", "temp_name1": "dif", **weights}
    for index, (_, letter) in enumerate(_CHANNELS):
        stops = f"parent.chroma * A{letter} / Aa + dif"
        edited = f"parent.correction.{letter} - parent.measured.{letter}"
        light = f"wgt * (parent.strength * ({stops} + ({edited})) + parent.trim)"
        knobs[f"channel{index}"] = _ONE[index]
        knobs[f"expr{index}"] = word(f"wgt > 0 ? B{letter} * pow(2, {light}) : B{letter}")
    off = "!(parent.use_result && parent.has_result && parent.present)"
    return {
        **knobs, "channel3": "none", "name": "Apply", "xpos": "0", "ypos": "340", "disable": expression(off),
    }  # fmt: skip


def _check_knobs() -> Dict[str, str]:
    strict = f"parent.on_missing == {ERROR} && parent.use_result"
    return {
        "expression": expression(f"!({strict}) || (parent.has_result && parent.present && !parent.stale)"),
        "message": word("[value parent.status]"),
        "name": "Check",
        "xpos": "0",
        "ypos": "420",
    }


def upgraded(kind: str) -> Dict[str, Dict[str, str]]:
    """Return what inner nodes of an older Group need: inner name to knob to text."""
    return {"Apply": _weights(kind)}
