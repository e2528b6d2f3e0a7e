"""The stand-in for Resolve offers what the table says, and the table says what the published stubs describe."""

from __future__ import annotations

import ast
import inspect
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any, Dict, List, Set

import pytest
from fakes.resolve_host import api, application, gallery, graph, media_pool, pool_item, project, timeline
from fakes.resolve_host.host import Host
from fakes.resolve_host.project_manager import ProjectManager
from fakes.resolve_host.timeline_item import TimelineItem

CLASSES = [
    application.Resolve,
    ProjectManager,
    project.Project,
    media_pool.MediaStorage,
    media_pool.MediaPool,
    media_pool.Folder,
    pool_item.MediaPoolItem,
    timeline.Timeline,
    TimelineItem,
    gallery.Gallery,
    gallery.GalleryStillAlbum,
    graph.Graph,
    graph.ColorGroup,
]


def public(cls: Any) -> Dict[str, Any]:
    """Return the API methods of a class of the stand-in."""
    return {
        name: value for name, value in inspect.getmembers(cls, inspect.isfunction) if not name.startswith("_")
    }


def stubs() -> Dict[str, Dict[str, List[ast.FunctionDef]]]:
    """Return class, method and its forms as fusionscript-stubs has them, as syntax trees."""
    try:
        pages = [each for each in files("fusionscript-stubs") or [] if each.name == "fusionscript.pyi"]
    except PackageNotFoundError:
        pytest.skip("needs fusionscript-stubs")
    found: Dict[str, Dict[str, List[ast.FunctionDef]]] = {}
    for node in ast.parse(Path(str(pages[0].locate())).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.name in api.table():
            methods = found.setdefault(node.name, {})
            for item in node.body:
                if isinstance(item, ast.FunctionDef):
                    methods.setdefault(item.name, []).append(item)
    return found


def parameters(form: ast.FunctionDef) -> List[str]:
    """Return the names of a stub's parameters, without self."""
    rest = [f"*{form.args.vararg.arg}"] if form.args.vararg else []
    return [each.arg for each in form.args.args[1:]] + rest


SHORT = {
    "PageName": "str", "ClipColor": "str", "SubTrackType": "str", "KeyframeMode": "int", "CacheValue": "int",
    "RenderMode": "int", "RenderJobStatus": "dict", "ThumbnailData": "dict", "VoiceIsolationState": "dict",
    "TakeInfo": "dict", "DbInfo": "dict", "MarkInOutSet": "dict", "RenderFormatAndCodec": "dict",
    "QuickExportJobStatus": "dict", "Fusion": "object", "FusionComp": "object", "List": "list", "tuple": "list",
}  # fmt: skip
"""Names of the stubs for what is plain to a caller."""


def kinds(annotation: Any) -> Set[str]:
    """Return the kinds of answers that a stub's annotation allows."""
    if annotation is None or (isinstance(annotation, ast.Constant) and annotation.value is None):
        return {"None"}
    if isinstance(annotation, ast.BinOp):
        return kinds(annotation.left) | kinds(annotation.right)
    if isinstance(annotation, ast.List):
        return {"list"}
    name = annotation.value.id if isinstance(annotation, ast.Subscript) else annotation.id
    return {"object" if name in api.table() else SHORT.get(name, name)}


def test_the_table_is_that_of_the_stubs() -> None:
    """Class for class, what the table has in 21.0.0 is what the stubs of 21.0.0 have: names, parameters, answers."""
    described = stubs()
    for kind, methods in described.items():
        rows = {name: api.table()[kind][name] for name in api.methods(kind, (21, 0, 0))}
        assert set(rows) == set(methods), kind
        for name, forms in methods.items():
            assert rows[name]["parameters"] == [parameters(form) for form in forms], (kind, name)
            assert set(rows[name]["returns"]) == {k for form in forms for k in kinds(form.returns)}, (
                kind,
                name,
            )
    assert set(described) == set(api.table()) - {"constants"}


OURS = {"bool": {"bool"}, "int": {"int"}, "str": {"str"}, "float": {"float"}, "None": {"None"}}


@pytest.mark.parametrize("cls", CLASSES, ids=lambda each: each.__name__)
def test_methods_answer_what_is_published(cls: Any) -> None:
    """Each method is annotated with the kind of answer that is published; `Any` is one of several, or an object."""
    for name, function in public(cls).items():
        own = str(inspect.signature(function).return_annotation)
        returns = set(api.table()[cls.__name__][name]["returns"])
        inner = own[len("Optional[") : -1] if own.startswith("Optional[") else own
        if inner == "Any":
            assert "object" in returns or len(returns) > 1 or own == "Any", (name, own, returns)
            continue
        kind = {"L": {"list"}, "D": {"dict"}}.get(inner[0]) or OURS[inner]
        assert kind <= returns, (cls.__name__, name, own, returns)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda each: each.__name__)
def test_methods_take_what_is_published(cls: Any) -> None:
    """No method of the stand-in is unpublished; it takes the parameters of one published form, in their order."""
    rows = api.table()[cls.__name__]
    for name, function in public(cls).items():
        assert name in rows, f"{cls.__name__}.{name} is not published"
        given = list(inspect.signature(function).parameters.values())[1:]
        if any(each.kind is each.VAR_POSITIONAL for each in given):
            assert len(rows[name]["parameters"]) > 1, name
            continue
        own = [each.name for each in given]
        assert any(own == form or own[: len(form)] == form for form in rows[name]["parameters"]), (name, own)


@pytest.mark.parametrize(
    ("kind", "name", "before", "since"),
    [
        ("Resolve", "ImportRenderPreset", (18, 5), (18, 6)),
        ("Project", "DeleteRenderPreset", (18, 6), (19, 1)),
        ("Timeline", "SetMarkInOut", (19, 0), (19, 1)),
        ("TimelineItem", "GetSourceStartFrame", (18, 6), (19, 0)),
        ("Timeline", "GetSelectedClips", (21, 0), (21, 0, 4)),
    ],
)
def test_methods_come_with_their_version(kind: str, name: str, before: Any, since: Any) -> None:
    """A method is there from its version on; `until` ends one that went away."""
    assert name not in api.methods(kind, before)
    assert name in api.methods(kind, since)
    assert "ApplyGradeFromDRX" in api.methods("Timeline", (18, 5))
    assert "ApplyGradeFromDRX" not in api.methods("Timeline", (20, 3))


def test_unknown_names_are_none() -> None:
    """`hasattr` is always true, an unknown name is None and cannot be called, `dir` tells the truth."""
    resolve: Any = Host(version=(18, 5)).resolve()
    assert hasattr(resolve, "NoSuchThing")
    assert resolve.NoSuchThing is None
    assert resolve.ImportRenderPreset is None
    with pytest.raises(TypeError, match="NoneType"):
        resolve.ImportRenderPreset("x.xml")
    assert "OpenPage" in dir(resolve)
    assert "ImportRenderPreset" not in dir(resolve)
    assert "ImportRenderPreset" in dir(Host(version=(20, 3)).resolve())


@pytest.mark.parametrize(
    "call", [lambda r: r.OpenPage(), lambda r: r.OpenPage("edit", 1), lambda r: r.OpenPage(pageName="edit")]
)
def test_wrong_arguments_are_violations(call: Any) -> None:
    """Arguments that no version takes raise, and are noted for a plugin that swallows it."""
    host = Host()
    with pytest.raises(TypeError):
        call(host.resolve())
    assert len(host.violations) == 1


def test_nothing_can_be_assigned() -> None:
    """An attribute of an API object cannot be set."""
    host = Host()
    with pytest.raises(TypeError):
        host.resolve().Page = "edit"
    assert host.violations == ["Resolve.Page was assigned to"]


def test_the_same_thing_is_a_new_object_each_time() -> None:
    """Objects of one project differ, their ids do not."""
    manager = Host().resolve().GetProjectManager()
    one, other = manager.GetCurrentProject(), manager.GetCurrentProject()
    assert one != other
    assert one.GetUniqueId() == other.GetUniqueId()


def test_names_of_the_application() -> None:
    """Edition and version are reported as by a real Resolve."""
    assert Host(version=(21, 0, 4, 5)).resolve().GetVersionString() == "21.0.4.0005"
    assert Host(version=(20, 3)).resolve().GetVersion() == [20, 3, 0, 0, ""]
    assert Host(studio=False).resolve().GetProductName() == "DaVinci Resolve"
    assert Host().resolve().GetProductName() == "DaVinci Resolve Studio"
    assert Host().scriptapp("Resolve") is not None
    assert Host(studio=False).scriptapp("Resolve") is None
