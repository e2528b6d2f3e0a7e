"""Fusion's Custom Tool with numpy: expressions per channel, from memory of its manual, as the README says.

Variables: r1 g1 b1 a1 to r3 ..., n1 to n8, s1 to s4 (setup), i1 to i4 (intermediate), x and y from 0 to 1 at pixel
centres (y from the bottom), w and h. Functions: getr1b(x, y) and the like (bilinear), if(c, a, b), abs, exp, ln, log,
max, min, pow, sin, cos, tan, sqrt, floor, ceil; `^` is the power.
"""

from __future__ import annotations

import ast
import re
from typing import Any, Callable, Dict, Mapping

import cv2
import numpy as np

CHANNELS = {"Red": 0, "Green": 1, "Blue": 2, "Alpha": 3}
INPUTS = frozenset(
    {f"{name}Expression" for name in CHANNELS}
    | {f"Image{i}" for i in (1, 2, 3)}
    | {f"NumberIn{i}" for i in range(1, 9)}
    | {f"{kind}{i}" for kind in ("Setup", "Intermediate", "ShowPoint") for i in range(1, 5)}
    | {f"{kind}{i}" for kind in ("NameforNumber", "ShowNumber") for i in range(1, 9)}
)
FUNCTIONS: Dict[str, Callable[..., Any]] = {
    "abs": np.abs, "exp": np.exp, "ln": np.log, "log": np.log10, "max": np.maximum, "min": np.minimum,
    "pow": np.power, "sin": np.sin, "cos": np.cos, "tan": np.tan, "sqrt": np.sqrt, "floor": np.floor,
    "ceil": np.ceil, "if_": np.where,
}  # fmt: skip
_ALLOWED = (
    ast.Expression, ast.BinOp, ast.UnaryOp, ast.Call, ast.Name, ast.Load, ast.Constant, ast.Add, ast.Sub, ast.Mult,
    ast.Div, ast.Pow, ast.Mod, ast.USub, ast.UAdd, ast.Compare, ast.Lt, ast.Gt, ast.LtE, ast.GtE, ast.Eq, ast.NotEq,
    ast.BitAnd, ast.BitOr,
)  # fmt: skip


def render(images: Mapping[str, np.ndarray], inputs: Mapping[str, Any]) -> np.ndarray:
    """Return the tool's picture: Image1, with each channel that has an expression worked out.

    Raises:
        OSError: an expression cannot be read.
    """
    first = images["Image1"]
    height, width = first.shape[:2]
    names = _variables(images, inputs, height, width)
    for kind, letter in (("Setup", "s"), ("Intermediate", "i")):
        for index in range(1, 5):
            names[f"{letter}{index}"] = evaluate(str(inputs.get(f"{kind}{index}") or "0"), names)
    out = first.astype(np.float32).copy()
    for channel, place in CHANNELS.items():
        expression = inputs.get(f"{channel}Expression")
        if expression and place < out.shape[-1]:
            out[..., place] = evaluate(str(expression), names)
    return out


def _variables(
    images: Mapping[str, np.ndarray], inputs: Mapping[str, Any], height: int, width: int
) -> Dict[str, Any]:
    y, x = np.mgrid[0:height, 0:width]
    names: Dict[str, Any] = {
        "x": (x + 0.5) / width,
        "y": 1 - (y + 0.5) / height,
        "w": float(width),
        "h": float(height),
        **{f"n{i}": float(inputs.get(f"NumberIn{i}") or 0) for i in range(1, 9)},
        **FUNCTIONS,
    }
    for index in (1, 2, 3):
        image = images.get(f"Image{index}")
        for letter, place in (("r", 0), ("g", 1), ("b", 2), ("a", 3)):
            plane = _plane(image, place, (height, width))
            names[f"{letter}{index}"] = cv2.resize(plane, (width, height), interpolation=cv2.INTER_NEAREST)
            names[f"get{letter}{index}b"] = _sampler(plane)
    return names


def _plane(image: Any, place: int, size: Any) -> np.ndarray:
    if image is None or place >= image.shape[-1]:
        return np.full(size if image is None else image.shape[:2], 1.0 if place == 3 else 0.0, np.float32)
    return np.ascontiguousarray(image[..., place], np.float32)


def _sampler(plane: np.ndarray) -> Callable[[Any, Any], np.ndarray]:
    height, width = plane.shape

    def sample(x: Any, y: Any) -> np.ndarray:
        across = np.asarray(np.asarray(x) * width - 0.5, np.float32)
        down = np.asarray((1 - np.asarray(y)) * height - 0.5, np.float32)
        return cv2.remap(plane, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    return sample


def evaluate(text: str, names: Mapping[str, Any]) -> Any:
    """Return the value of an expression.

    Raises:
        OSError: it has something that is not known here.
    """
    python = re.sub(r"\bif\s*\(", "if_(", text.replace("^", "**")).replace("&&", "&").replace("||", "|")
    try:
        tree = ast.parse(python.strip(), mode="eval")
    except SyntaxError as error:
        raise OSError(f"the expression {text!r} cannot be read") from error
    for node in ast.walk(tree):
        known = isinstance(node, _ALLOWED) and (not isinstance(node, ast.Name) or node.id in names)
        if not known:
            raise OSError(f"the expression {text!r} has {ast.dump(node)[:60]}")
    with np.errstate(all="ignore"):
        return eval(compile(tree, "<expression>", "eval"), {"__builtins__": {}}, dict(names))  # noqa: S307
