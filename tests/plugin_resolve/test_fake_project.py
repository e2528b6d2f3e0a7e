"""The application, projects and settings of the stand-in for Resolve; injected failures and the whole as plain data."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, List

import numpy as np
import pytest
from fakes.resolve_host import scene
from fakes.resolve_host.base import HostFrozen
from fakes.resolve_host.host import Host
from fakes.resolve_host.inject import InjectedFailure, Injector
from fakes.resolve_host.snapshot import difference, snapshot


def film(folder: Path, **host: Any) -> Host:
    """Return a host with a project of two timelines, a bin, a clip, a marker and a take."""
    made = Host(folder=folder, **host)
    scene.new_project(made, size=(4, 2))
    clip = scene.add_sequence(made, folder / "in", {n: np.zeros((2, 4, 3)) for n in range(1001, 1011)})
    scene.add_timeline(made, "Other")
    line = scene.add_timeline(made, "Edit", tracks=2)
    item = made.wrap(scene.place(line, clip))
    assert item.AddMarker(0, "Green", "a", "", 1)
    assert item.AddTake(made.wrap(clip))
    pool = made.resolve().GetProjectManager().GetCurrentProject().GetMediaPool()
    assert pool.AddSubFolder(pool.GetRootFolder(), "bin")
    made.injector = Injector()
    return made


def parts(host: Host) -> List[Any]:
    """Return application, project, pool, timeline, item and clip."""
    resolve = host.resolve()
    project = resolve.GetProjectManager().GetCurrentProject()
    timeline = project.GetCurrentTimeline()
    item = timeline.GetItemListInTrack("video", 1)[0]
    return [resolve, project, project.GetMediaPool(), timeline, item, item.GetMediaPoolItem()]


CHANGES = {
    "page": lambda r, p, m, t, i, c: r.OpenPage("color"),
    "setting": lambda r, p, m, t, i, c: p.SetSetting("colorScienceMode", "acescct"),
    "current timeline": lambda r, p, m, t, i, c: p.SetCurrentTimeline(p.GetTimelineByIndex(1)),
    "timeline": lambda r, p, m, t, i, c: m.CreateEmptyTimeline("new"),
    "timeline setting": lambda r, p, m, t, i, c: t.SetSetting("useCustomSettings", "1"),
    "start": lambda r, p, m, t, i, c: t.SetStartTimecode("00:00:00:00"),
    "playhead": lambda r, p, m, t, i, c: t.SetCurrentTimecode("01:00:00:03"),
    "track": lambda r, p, m, t, i, c: t.AddTrack("video"),
    "track off": lambda r, p, m, t, i, c: t.SetTrackEnable("video", 2, False),
    "track lock": lambda r, p, m, t, i, c: t.SetTrackLock("video", 2, True),
    "marks": lambda r, p, m, t, i, c: t.SetMarkInOut(1, 3),
    "marker of the timeline": lambda r, p, m, t, i, c: t.AddMarker(1, "Red", "", "", 1),
    "marker of the item": lambda r, p, m, t, i, c: i.UpdateMarkerCustomData(0, "job"),
    "color of the item": lambda r, p, m, t, i, c: i.SetClipColor("Teal"),
    "item off": lambda r, p, m, t, i, c: i.SetClipEnabled(False),
    "item": lambda r, p, m, t, i, c: t.DeleteClips([i]),
    "take": lambda r, p, m, t, i, c: i.SelectTakeByIndex(2),
    "property": lambda r, p, m, t, i, c: i.SetProperty("Opacity", 50.0),
    "grade": lambda r, p, m, t, i, c: i.GetNodeGraph().SetNodeEnabled(1, False),
    "version": lambda r, p, m, t, i, c: i.AddVersion("v2", 0),
    "comp": lambda r, p, m, t, i, c: i.AddFusionComp(),
    "group": lambda r, p, m, t, i, c: p.AddColorGroup("g"),
    "name of a clip": lambda r, p, m, t, i, c: c.SetName("other"),
    "property of a clip": lambda r, p, m, t, i, c: c.SetClipProperty("Data Level", "Full"),
    "metadata": lambda r, p, m, t, i, c: c.SetMetadata("Comments", "x"),
    "bin": lambda r, p, m, t, i, c: m.AddSubFolder(m.GetRootFolder(), "more"),
    "open bin": lambda r, p, m, t, i, c: m.SetCurrentFolder(m.GetRootFolder()),
    "moved clip": lambda r, p, m, t, i, c: m.MoveClips([c], m.GetCurrentFolder()),
    "selected clip": lambda r, p, m, t, i, c: m.SetSelectedClip(c),
    "render settings": lambda r, p, m, t, i, c: p.SetRenderSettings({"CustomName": "x"}),
    "render format": lambda r, p, m, t, i, c: p.SetCurrentRenderFormatAndCodec("exr", "RGBHalf"),
    "render mode": lambda r, p, m, t, i, c: p.SetCurrentRenderMode(0),
    "render preset": lambda r, p, m, t, i, c: p.SaveAsNewRenderPreset("mine"),
    "still": lambda r, p, m, t, i, c: t.GrabStill(),
    "project name": lambda r, p, m, t, i, c: p.SetName("Film 2"),
    "keyframes": lambda r, p, m, t, i, c: r.SetKeyframeMode(2),
}
"""What a user could see of a project, one call each."""


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_the_whole_shows_every_change(tmp_path: Path, change: Callable[..., Any]) -> None:
    """Each change is a difference of the whole, and no change is none."""
    host = film(tmp_path)
    before = snapshot(host)
    things = parts(host)
    assert difference(before, snapshot(host)) == []
    assert change(*things)
    assert difference(before, snapshot(host)) != []
    assert snapshot(host) != before


def test_a_queued_job_is_part_of_the_whole(tmp_path: Path) -> None:
    """The render queue is compared, too."""
    host = film(tmp_path)
    project = parts(host)[1]
    assert project.SetRenderSettings({"TargetDir": str(tmp_path)})
    before = snapshot(host)
    assert project.AddRenderJob()
    assert [line.split(":")[0] for line in difference(before, snapshot(host))] == ["/queue"]


def run(host: Host) -> List[Any]:
    """Make five calls; return their answers."""
    resolve = host.resolve()
    manager = resolve.GetProjectManager()
    project = manager.GetCurrentProject()
    return [project.GetName(), resolve.OpenPage("color"), project.GetName()]


def test_every_call_is_counted(tmp_path: Path) -> None:
    """Numbers start at 1; names are class and method; the stand-in's own work does not count."""
    host = film(tmp_path)
    assert run(host) == ["Film", True, "Film"]
    assert host.injector.calls == [
        (1, "Resolve.GetProjectManager"),
        (2, "ProjectManager.GetCurrentProject"),
        (3, "Project.GetName"),
        (4, "Resolve.OpenPage"),
        (5, "Project.GetName"),
    ]


@pytest.mark.parametrize(
    ("how", "answers", "page"),
    [
        ("false", ["Film", False, "Film"], "edit"),
        ("none", ["Film", None, "Film"], "edit"),
        ("performed-false", ["Film", False, "Film"], "color"),
        ("lost", ["Film", None, None], "edit"),
    ],
)
def test_the_nth_call_fails(tmp_path: Path, how: str, answers: List[Any], page: str) -> None:
    """In the way that was asked for, performed or not, once or for good."""
    host = film(tmp_path)
    host.injector = Injector(fail_at=4, how=how)
    assert run(host) == answers
    assert host.page == page
    assert len(host.injector.calls) == 5


def test_a_call_can_raise_and_several_can_fail(tmp_path: Path) -> None:
    """`times` is how many calls fail in a row; `before` runs before each."""
    host = film(tmp_path)
    seen: List[int] = []
    host.injector = Injector(fail_at=3, how="none", times=2, before=lambda number, name: seen.append(number))
    assert run(host) == [None, None, "Film"]
    assert seen == [1, 2, 3, 4, 5]
    host.injector = Injector(fail_at=4, how="raise")
    with pytest.raises(InjectedFailure, match=r"call 4, Resolve\.OpenPage"):
        run(host)


def test_a_closed_application_answers_none(tmp_path: Path) -> None:
    """After the user quits, every call returns None, and nobody can connect."""
    host = film(tmp_path)
    resolve, project = parts(host)[:2]
    host.quit()
    assert project.GetName() is None
    assert resolve.OpenPage("edit") is None
    assert host.scriptapp("Resolve") is None


def test_the_free_edition_opens_a_dialog_that_blocks_what_comes_after(tmp_path: Path) -> None:
    """A Studio call is False; then everything fails until somebody dismisses the dialog."""
    host = film(tmp_path, studio=False)
    resolve, project, _, timeline, _, _ = parts(host)
    assert timeline.CreateSubtitlesFromAudio({}) is False
    assert resolve.OpenPage("color") is False
    assert project.GetName() is None
    assert resolve.GetProductName() == "DaVinci Resolve"
    host.dismiss()
    assert resolve.OpenPage("color") is True


@pytest.mark.parametrize(
    ("version", "studio", "lists", "manager"),
    [
        ((18, 5), False, True, True),
        ((20, 3), False, True, False),
        ((21, 1), False, False, False),
        ((21, 1), True, True, True),
    ],
)
def test_what_a_menu_script_finds(
    tmp_path: Path, version: Any, studio: bool, lists: bool, manager: bool
) -> None:
    """Globals without `__file__`; no UIManager on the free edition from 19.1 on, no scripts at all from 21.1 on."""
    host = Host(version=version, studio=studio, folder=tmp_path)
    script = tmp_path / "door.py"
    script.write_text(
        "found = app.GetResolve().GetProductName(), fu.UIManager is not None, '__file__' in globals()",
        encoding="utf-8",
    )
    if not lists:
        with pytest.raises(LookupError):
            host.run_menu_script(script)
        return
    found = host.run_menu_script(script)["found"]
    assert found == (f"DaVinci Resolve{' Studio' if studio else ''}", manager, False)
    assert host.modal == (not manager)


def test_projects_come_and_go(tmp_path: Path) -> None:
    """A changed project blocks CreateProject; a project that was never saved is lost by loading another one."""
    host = film(tmp_path)
    manager = host.resolve().GetProjectManager()
    host.changed()
    assert manager.CreateProject("Two") is None
    assert manager.SaveProject()
    assert manager.CreateProject("Film") is None
    assert manager.CreateProject("Two").GetName() == "Two"
    assert manager.GetProjectListInCurrentFolder() == ["Film"]
    assert manager.LoadProject("Film").GetName() == "Film"
    assert manager.LoadProject("Two") is None
    assert not manager.DeleteProject("Film")
    assert manager.CloseProject(manager.GetCurrentProject())
    assert manager.GetCurrentProject().GetName() == "Untitled Project"
    assert manager.DeleteProject("Film")


def test_an_untitled_project_cannot_be_saved(tmp_path: Path) -> None:
    """With a window it is False; without one it hangs."""
    assert not Host(folder=tmp_path).resolve().GetProjectManager().SaveProject()
    with pytest.raises(HostFrozen):
        Host(folder=tmp_path, gui=False).resolve().GetProjectManager().SaveProject()


def test_settings_of_projects_and_timelines(tmp_path: Path) -> None:
    """All at once without a name, nothing for an unknown one; a timeline takes its own after useCustomSettings."""
    host = film(tmp_path)
    project, timeline = parts(host)[1], parts(host)[3]
    assert project.GetSetting()["colorScienceMode"] == "davinciYRGB"
    assert project.GetSetting("nonsense") == ""
    assert not project.SetSetting("nonsense", "1")
    assert not project.SetSetting("timelineFrameRate", "25"), "there are timelines"
    assert not project.SetSetting("timelinePlaybackFrameRate", "24")
    host.quirks.lying_project_settings = frozenset({"colorSpaceOutput"})
    assert project.SetSetting("colorSpaceOutput", "Linear")
    assert project.GetSetting("colorSpaceOutput") == "Rec.709 Gamma 2.4"
    assert timeline.GetSetting("timelineResolutionWidth") == "4"
    assert not timeline.SetSetting("timelineResolutionWidth", "8")
    assert timeline.SetSetting("useCustomSettings", "1")
    assert timeline.SetSetting("timelineResolutionWidth", "8")
    assert timeline.GetSetting("timelineResolutionWidth") == "8"
    assert host.project.timeline is not None
    assert host.project.timeline.size == (8, 2)


def test_stills_need_the_gallery_and_thumbnails_the_color_page(tmp_path: Path) -> None:
    """ExportStills is False while the panel is closed; the thumbnail is None on other pages and in the background."""
    host = film(tmp_path)
    resolve, project, _, timeline = parts(host)[:4]
    assert timeline.GrabStill()
    album = project.GetGallery().GetCurrentStillAlbum()
    assert not album.ExportStills(album.GetStills(), str(tmp_path), "s", "png")
    host.gallery_panel = True
    assert not album.ExportStills(album.GetStills(), str(tmp_path), "s", "exr")
    assert album.ExportStills(album.GetStills(), str(tmp_path), "s", "png")
    assert (tmp_path / "s_1.png").is_file()
    assert timeline.GetCurrentClipThumbnailImage() is None
    resolve.OpenPage("color")
    assert timeline.GetCurrentClipThumbnailImage()["format"] == "RGB 8 bit"
    host.frontmost = False
    assert timeline.GetCurrentClipThumbnailImage() is None
    assert album.DeleteStills(album.GetStills())


def test_what_the_stand_in_does_not_play_is_reported(tmp_path: Path) -> None:
    """A published method without a body here is an error and a violation, never a silent None."""
    host = film(tmp_path)
    with pytest.raises(NotImplementedError, match="Stabilize"):
        parts(host)[4].Stabilize()
    assert host.violations == ["the stand-in does not play TimelineItem.Stabilize"]
