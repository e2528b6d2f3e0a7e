"""The recipes for rez and AYON: what they put on NUKE_PATH, read as those tools read them."""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, List

import pytest

RECIPES = Path(__file__).parents[2] / "plugin_nuke" / "recipes"


def test_the_rez_package_extends_nuke_path() -> None:
    """The package's commands append its folder to NUKE_PATH, and its build is our own installer."""
    added: List[str] = []
    path = RECIPES / "rez" / "package.py"
    found = runpy.run_path(
        str(path), {"env": SimpleNamespace(NUKE_PATH=SimpleNamespace(append=added.append))}
    )
    found["commands"]()
    assert added == ["{root}/harmovid"]
    assert found["build_command"].startswith("$HARMOVID plugin install nuke")
    assert found["requires"] == ["nuke"]


def test_the_ayon_addon_extends_nuke_path_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The addon appends the plugin to NUKE_PATH, and a second call changes nothing."""
    package: Any = ModuleType("ayon_core")
    package.addon = ModuleType("ayon_core.addon")
    package.addon.AYONAddon = object
    monkeypatch.setitem(sys.modules, "ayon_core", package)
    monkeypatch.setitem(sys.modules, "ayon_core.addon", package.addon)
    said = runpy.run_path(str(RECIPES / "ayon" / "package.py"))
    client = runpy.run_path(str(RECIPES / "ayon" / "client" / said["client_dir"] / "__init__.py"))
    addon = client["HarmovidNukeAddon"]()
    env = {"NUKE_PATH": "/studio/nuke"}
    addon.add_implementation_envs(env, None)
    addon.add_implementation_envs(env, None)
    assert env["NUKE_PATH"].split(os.pathsep) == ["/studio/nuke", client["PLUGIN"]]
    assert addon.name == said["name"]
