"""The stand-in for Resolve offers what the table says, and the table says what the published stubs describe."""

from __future__ import annotations

import ast
import inspect
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any, Dict, List

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


def stubs() -> Dict[str, Dict[str, List[List[str]]]]:
    """Return class, method and parameter lists of fusionscript-stubs, read as syntax trees."""
    try:
        pages = [each for each in files("fusionscript-stubs") or [] if each.name == "fusionscript.pyi"]
    except PackageNotFoundError:
        pytest.skip("needs fusionscript-stubs")
    found: Dict[str, Dict[str, List[List[str]]]] = {}
    for node in ast.parse(Path(str(pages[0].locate())).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.name in api.table():
            methods = found.setdefault(node.name, {})
            for item in node.body:
                if isinstance(item, ast.FunctionDef):
                    rest = [f"*{item.args.vararg.arg}"] if item.args.vararg else []
                    names = [each.arg for each in item.args.args[1:]]
                    methods.setdefault(item.name, []).append(names + rest)
    return found


def test_the_table_is_that_of_the_stubs() -> None:
    """Class for class, what the table has in 21.0.0 is what the stubs of 21.0.0 have, with the same parameters."""
    described = stubs()
    for kind, methods in described.items():
        rows = {name: api.table()[kind][name]["parameters"] for name in api.methods(kind, (21, 0, 0))}
        assert rows == methods, kind
    assert set(described) == set(api.table()) - {"constants"}


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
    """Edition and version are told as the real one tells them."""
    assert Host(version=(21, 0, 4, 5)).resolve().GetVersionString() == "21.0.4.0005"
    assert Host(version=(20, 3)).resolve().GetVersion() == [20, 3, 0, 0, ""]
    assert Host(studio=False).resolve().GetProductName() == "DaVinci Resolve"
    assert Host().resolve().GetProductName() == "DaVinci Resolve Studio"
    assert Host().scriptapp("Resolve") is not None
    assert Host(studio=False).scriptapp("Resolve") is None
