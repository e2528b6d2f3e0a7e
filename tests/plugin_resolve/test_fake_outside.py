"""Scripts in processes of their own reach the stand-in for Resolve as they reach the real one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict

import numpy as np
from fakes.resolve_host import scene, serving
from fakes.resolve_host.host import Host

MENU = """
import json
timeline = resolve.GetProjectManager().GetCurrentProject().GetCurrentTimeline()
item = timeline.GetItemListInTrack("video", 1)[0]
item.AddMarker(0, "Mint", "seen", "", 1)
said = [app.GetResolve().GetProductName(), timeline.Nonsense, "__file__" in globals(), bmd.scriptapp("Resolve") is None,
        list(item.GetMarkers()), item.GetMediaPoolItem().GetClipProperty("Start"), timeline.GetEndFrame(),
        "SetTrackEnable" in dir(timeline), resolve.EXPORT_LUT_33PTCUBE > 0]
try:
    timeline.GetName(1)
except TypeError as error:
    said.append(type(error).__name__)
print(json.dumps(said))
"""
OUTSIDE = """
import json, sys
sys.path.insert(0, __import__("os").environ["RESOLVE_SCRIPT_API"])
import DaVinciResolveScript
resolve = DaVinciResolveScript.scriptapp("Resolve")
print(json.dumps(None if resolve is None else resolve.GetVersionString()))
"""
FREEZES = """
pool = resolve.GetProjectManager().GetCurrentProject().GetMediaPool()
try:
    pool.AppendToTimeline({"mediaPoolItem": pool.GetRootFolder().GetClipList()[0]})
except Exception:
    print("swallowed")
"""


def film(folder: Path, **kind: Any) -> Host:
    """Return a host with one clip on one timeline."""
    host = Host(folder=folder, **kind)
    scene.new_project(host, size=(4, 2))
    clip = scene.add_sequence(host, folder / "in", {n: np.zeros((2, 4, 3)) for n in range(1001, 1005)})
    scene.place(scene.add_timeline(host, "Edit"), clip)
    return host


def run(arguments: list, environment: Dict[str, str]) -> subprocess.CompletedProcess:
    """Run Python; return what it did."""
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_a_menu_script_in_its_own_process(tmp_path: Path) -> None:
    """It finds the globals, changes the project, and sees the same rules."""
    host = film(tmp_path)
    (tmp_path / "door.py").write_text(MENU, encoding="utf-8")
    with serving.served(host) as environment:
        done = run([serving.FUSCRIPT, str(tmp_path / "door.py")], environment)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said == [
        "DaVinci Resolve Studio",
        None,
        False,
        False,
        [0.0],
        "1001",
        86404,
        True,
        True,
        "TypeError",
    ]
    assert host.project.timeline is not None
    assert host.project.timeline.items("video")[0].markers[0].name == "seen"
    assert len(host.violations) == 1


def test_a_process_outside_reaches_studio_alone(tmp_path: Path) -> None:
    """scriptapp gives Studio's Resolve, and None on the free edition, after a quit, and where nobody listens."""
    for host, said in ((film(tmp_path / "a"), "21.0.4.0000"), (film(tmp_path / "b", studio=False), None)):
        with serving.served(host) as environment:
            assert json.loads(run(["-c", OUTSIDE], environment).stdout) == said
            host.quit()
            assert json.loads(run(["-c", OUTSIDE], environment).stdout) is None
    assert json.loads(run(["-c", OUTSIDE], environment).stdout) is None


def test_what_freezes_resolve_ends_the_script(tmp_path: Path) -> None:
    """No `except Exception` of the script goes on after it."""
    (tmp_path / "door.py").write_text(FREEZES, encoding="utf-8")
    with serving.served(film(tmp_path)) as environment:
        done = run([serving.FUSCRIPT, str(tmp_path / "door.py")], environment)
    assert done.returncode == 1
    assert "frozen" in done.stderr
    assert done.stdout == ""
