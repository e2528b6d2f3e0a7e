"""The stand-in offers what the published stubs of Nuke describe, with the same parameters."""

from __future__ import annotations

import ast
import inspect
from importlib.metadata import files
from pathlib import Path
from typing import Any, Dict, List, Set

import pytest
from fakes.nuke_host import api, knobs, nodes

CHANGED = {
    "activeViewer": "the stubs take any arguments",
    "sample": "the stubs take one coordinate",
    "scriptSave": "the stubs have it twice",
}
"""Names whose published description is not usable, and why."""


def stubs() -> Dict[str, Any]:
    """Return the functions and classes of types-nuke as syntax trees; of overloads, all."""
    found: Dict[str, Any] = {}
    for file in files("types-nuke") or []:
        if file.suffix == ".pyi":
            for item in ast.parse(Path(str(file.locate())).read_text(encoding="utf-8")).body:
                if isinstance(item, (ast.FunctionDef, ast.ClassDef)):
                    found.setdefault(item.name, []).append(item)
    return found


STUBS = stubs()


def parameters(item: ast.FunctionDef) -> List[str]:
    """Return the names of a function's parameters, without self."""
    return [each.arg for each in item.args.args if each.arg != "self"]


def is_vague(item: ast.FunctionDef) -> bool:
    """Return whether the stub names no parameters: `*args`, or none at all."""
    return item.args.vararg is not None or not item.args.args


def called(function: Any) -> List[str]:
    """Return the parameter names of the stand-in's function."""
    return [name for name in inspect.signature(inspect.unwrap(function)).parameters if name != "self"]


@pytest.mark.parametrize("function", api.FUNCTIONS, ids=lambda each: each.__name__)
def test_functions_take_what_the_stubs_say(function: Any) -> None:
    """A function of the stand-in is in the stubs and has no parameter that they do not have, in their order."""
    described = [item for item in STUBS.get(function.__name__, []) if isinstance(item, ast.FunctionDef)]
    assert described, f"nuke.{function.__name__} is not in the published stubs"
    if function.__name__ in CHANGED or any(is_vague(item) for item in described):
        return
    own = called(function)
    assert any(own == parameters(item)[: len(own)] for item in described), (
        own,
        [parameters(i) for i in described],
    )


def methods_of(name: str) -> Dict[str, List[ast.FunctionDef]]:
    """Return the methods of a class of the stubs, those of its bases included."""
    found: Dict[str, List[ast.FunctionDef]] = {}
    for item in STUBS.get(name, []):
        if isinstance(item, ast.ClassDef):
            for base in item.bases:
                if isinstance(base, ast.Name):
                    found.update(
                        {key: value for key, value in methods_of(base.id).items() if key not in found}
                    )
            for method in item.body:
                if isinstance(method, ast.FunctionDef):
                    found.setdefault(method.name, [])
                    found[method.name] = [*found[method.name], method]
    return found


CLASSES = [nodes.Node, nodes.Group, api.ProgressTask, api.FrameRange, api.Format, *knobs.CLASSES.values()]
UNDESCRIBED: Set[str] = {"PythonKnob", "Channel_Knob", "ChannelMask_Knob", "MultiView_Knob"}
"""Classes that the stubs lack, or whose base is another one here; the plugin only sets their value."""


@pytest.mark.parametrize("cls", CLASSES, ids=lambda each: each.__name__)
def test_methods_are_those_of_the_stubs(cls: Any) -> None:
    """Every method with Nuke's kind of name is in the stubs' class; where the stubs name parameters, ours are those."""
    if cls.__name__ in UNDESCRIBED:
        return
    described = methods_of(cls.__name__)
    assert described, f"nuke.{cls.__name__} is not in the published stubs"
    for name, method in inspect.getmembers(cls, inspect.isfunction):
        if name.startswith("_") or "_" in name or (name.islower() and name not in described):
            continue
        assert name in described, f"{cls.__name__}.{name} is not in the published stubs"
        if name in CHANGED:
            continue
        precise = [item for item in described[name] if not is_vague(item)]
        if precise and called(method):
            own = called(method)
            assert any(own == parameters(item)[: len(own)] for item in precise), (name, own)
