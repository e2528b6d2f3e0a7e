"""Media pool, timelines, items, takes and markers of the stand-in for Resolve, with their measured quirks."""

from __future__ import annotations

from pathlib import Path
from typing import Any, List, Optional, Tuple

import numpy as np
import pytest
from fakes.resolve_host import model, scene
from fakes.resolve_host.base import HostFrozen
from fakes.resolve_host.host import Host
from fakes.resolve_host.markers import CLIP_COLORS, MARKER_COLORS


class Rig:
    """A host with one clip of twenty frames from 1001 on, and an empty timeline."""

    def __init__(self, folder: Path, **host: Any) -> None:
        self.host = Host(folder=folder, **host)
        self.data = scene.new_project(self.host, size=(4, 2))
        self.clip = scene.add_sequence(
            self.host, folder / "in", {n: np.zeros((2, 4, 3)) for n in range(1001, 1021)}
        )
        self.line = scene.add_timeline(self.host, "Edit", tracks=2)
        self.resolve = self.host.resolve()
        self.manager = self.resolve.GetProjectManager()
        self.project = self.manager.GetCurrentProject()
        self.pool = self.project.GetMediaPool()
        self.timeline = self.project.GetCurrentTimeline()
        self.media = self.host.wrap(self.clip)

    def append(self, **info: Any) -> List[Any]:
        """Append the clip."""
        return self.pool.AppendToTimeline([{"mediaPoolItem": self.media, **info}])

    def places(self, track: int = 1) -> List[Tuple[int, int]]:
        """Return start and end of the items of a track."""
        return [(each.GetStart(), each.GetEnd()) for each in self.timeline.GetItemListInTrack("video", track)]


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """Return the rig."""
    return Rig(tmp_path)


def test_the_end_frame_is_left_out(rig: Rig) -> None:
    """endFrame is exclusive; without start and end the whole clip is taken; items follow each other."""
    (item,) = rig.append(startFrame=1003, endFrame=1006)
    assert (item.GetDuration(), item.GetLeftOffset(), item.GetRightOffset()) == (3, 2, 15)
    assert (item.GetSourceStartFrame(), item.GetSourceEndFrame()) == (1003, 1006)
    rig.append()
    assert rig.places() == [(86400, 86403), (86403, 86423)]


def test_frames_before_the_first_show_the_first(rig: Rig) -> None:
    """startFrame 0 of a sequence from 1001 on freezes on its first frame."""
    rig.append(startFrame=0, endFrame=5)
    item = rig.line.items("video")[0]
    assert [item.source_frame(86400 + i) for i in range(5)] == [1001] * 5


def test_a_bare_dict_freezes(rig: Rig) -> None:
    """A dict that is not in a list: no `except Exception` sees it, and it is noted."""
    assert not issubclass(HostFrozen, Exception)
    with pytest.raises(HostFrozen):
        rig.pool.AppendToTimeline({"mediaPoolItem": rig.media})
    assert len(rig.host.violations) == 1


def test_what_overlaps_is_dropped(rig: Rig) -> None:
    """The earlier item stays; what is returned for the later one has no id and is not on the timeline."""
    rig.append(startFrame=1001, endFrame=1011)
    (late,) = rig.append(startFrame=1001, endFrame=1011, recordFrame=86405)
    assert rig.places() == [(86400, 86410)]
    assert late.GetUniqueId() is None
    (above,) = rig.append(startFrame=1001, endFrame=1011, recordFrame=86405, trackIndex=2)
    assert above.GetTrackTypeAndIndex() == ["video", 2]


@pytest.mark.parametrize(
    "info", [{"trackIndex": 3}, {"startFrame": 1005, "endFrame": 1005}, {"mediaPoolItem": None}], ids=str
)
def test_what_cannot_be_placed_is_not(rig: Rig, info: Any) -> None:
    """A track that is not there, no frames, no clip: an empty list."""
    assert rig.append(**info) == []
    assert rig.places() == []


def test_unknown_keys_of_a_clip_info_are_violations(rig: Rig) -> None:
    """A misspelt key raises, and is noted."""
    with pytest.raises(TypeError):
        rig.append(startframe=1001)
    assert "startframe" in rig.host.violations[0]


def test_a_locked_track_takes_nothing(rig: Rig) -> None:
    """AppendToTimeline returns items that are none, and DeleteClips False; the track stays as it is."""
    (item,) = rig.append(endFrame=1005)
    assert rig.timeline.SetTrackLock("video", 1, True)
    (none,) = rig.append()
    assert none.GetUniqueId() is None
    assert not rig.timeline.DeleteClips([item])
    assert rig.places() == [(86400, 86404)]


def test_a_still_has_its_own_length(rig: Rig, tmp_path: Path) -> None:
    """A clip of one frame is five seconds long, whatever endFrame says; as a dict it is not imported."""
    scene.write_sequence(tmp_path / "one", {7: np.zeros((2, 4, 3))}, "one")
    pattern = str(tmp_path / "one" / "one.%04d.exr")
    assert rig.pool.ImportMedia([{"FilePath": pattern, "StartIndex": 7, "EndIndex": 7}]) == []
    (still,) = rig.pool.ImportMedia([pattern % 7])
    assert still.GetClipProperty("Type") == "Still"
    rig.pool.AppendToTimeline([{"mediaPoolItem": still, "startFrame": 7, "endFrame": 8}])
    assert rig.places() == [(86400, 86520)]


def test_an_overlap_may_slide(rig: Rig) -> None:
    """As another build was measured: to the next free frame, and with success."""
    rig.host.quirks.overlaps_slide = True
    rig.append(endFrame=1005)
    (item,) = rig.append(endFrame=1005, recordFrame=86402)
    assert item.GetStart() == 86404


def test_what_answers_for_the_current_timeline_alone(rig: Rig) -> None:
    """Takes and the playhead of another timeline are those of none, and of the current one."""
    (item,) = rig.append()
    assert item.AddTake(rig.media)
    assert rig.timeline.SetCurrentTimecode("01:00:00:05")
    assert rig.pool.CreateEmptyTimeline("plates")
    assert (item.GetTakesCount(), item.GetSelectedTakeIndex(), item.GetTakeByIndex(1)) == (0, 0, {})
    assert rig.timeline.GetCurrentTimecode() == "01:00:00:00"
    assert rig.project.SetCurrentTimeline(rig.timeline)
    assert (item.GetTakesCount(), item.GetSelectedTakeIndex()) == (2, 1)
    assert rig.timeline.GetCurrentTimecode() == "01:00:00:05"


def test_a_track_that_cannot_be_switched(rig: Rig) -> None:
    """With `track_enable_ignored` SetTrackEnable says True and nothing happens."""
    rig.host.quirks.track_enable_ignored = True
    assert rig.timeline.SetTrackEnable("video", 1, False)
    assert rig.timeline.GetIsTrackEnabled("video", 1)
    assert not rig.timeline.SetTrackEnable("video", 9, False)


def test_an_append_that_erred_is_lost_by_the_save(rig: Rig) -> None:
    """The items are there until SaveProject."""
    rig.append(endFrame=1005)
    rig.host.quirks.append_errors = True
    assert rig.append(endFrame=1005) == []
    assert len(rig.places()) == 2
    assert rig.manager.SaveProject()
    assert len(rig.places()) == 1


def test_other_rates_are_floored(rig: Rig) -> None:
    """Frames of another rate become timeline frames, rounded down."""
    rig.clip.fps = 30.0
    rig.append(startFrame=1001, endFrame=1010)
    assert rig.places() == [(86400, 86407)]


def test_delete_clips_works_on_the_edit_page_alone(rig: Rig) -> None:
    """Everywhere else it returns False; a ripple delete closes the gap."""
    rig.append(endFrame=1005)
    rig.append(endFrame=1005)
    items = rig.timeline.GetItemListInTrack("video", 1)
    for page in ("color", "fairlight", "deliver", "fusion", "cut"):
        assert rig.resolve.OpenPage(page)
        assert not rig.timeline.DeleteClips(items[:1])
    assert rig.resolve.OpenPage("edit")
    rig.host.quirks.delete_fails_once = True
    assert not rig.timeline.DeleteClips(items[:1], True)
    assert rig.timeline.DeleteClips(items[:1], True)
    assert rig.places() == [(86400, 86404)]
    assert items[0].GetName() is None, "what is deleted answers nothing"


def test_titles_generators_and_transitions(rig: Rig) -> None:
    """They have no media; a transition has no properties, and titles keep no clip color."""
    rig.append(endFrame=1011)
    for kind in ("title", "generator", "transition"):
        item = rig.host.wrap(scene.place_other(rig.line, kind, kind, 86500, 10, track=2))
        assert item.GetMediaPoolItem() is None
        assert item.GetType is None, "a call of 21.1"
        assert item.GetProperty() == {}
        assert item.SetClipColor("Teal")
        assert item.GetClipColor() == ""
        assert not item.AddTake(rig.media)
    clip = rig.timeline.GetItemListInTrack("video", 1)[0]
    assert len(clip.GetProperty()) == 26
    assert clip.GetProperty("Speed") is None
    assert not clip.SetProperty("Speed", 50)
    assert clip.SetClipColor("Teal")
    assert clip.GetClipColor() == "Teal"
    assert rig.media.GetClipColor() == ""


def test_a_retime_shows_in_the_source_span_alone(rig: Rig) -> None:
    """At 200 % the left offset is half of the position; the source span is twice the duration."""
    item = rig.host.wrap(scene.place(rig.line, rig.clip, first=1005, last=1016, speed=2.0))
    assert item.GetDuration() == 6
    assert item.GetSourceEndFrame() - item.GetSourceStartFrame() == 12
    assert item.GetLeftOffset() == 2


@pytest.mark.parametrize(
    ("quirk", "value", "told"), [("source_start_off", 1, 1004), ("source_start_from_zero", True, 2)]
)
def test_the_source_start_frame_lies(rig: Rig, quirk: str, value: Any, told: int) -> None:
    """One off on some items, or counted from zero."""
    (item,) = rig.append(startFrame=1003, endFrame=1006)
    setattr(rig.host.quirks, quirk, value)
    assert item.GetSourceStartFrame() == told
    assert item.GetLeftOffset() == 2


def test_takes(rig: Rig, tmp_path: Path) -> None:
    """The first take is the clip itself; the selected one is what plays; the selector can be ended."""
    (item,) = rig.append(startFrame=1003, endFrame=1006)
    better = scene.add_sequence(
        rig.host, tmp_path / "new", {n: np.ones((2, 4, 3)) for n in range(1003, 1006)}, "new"
    )
    assert (item.GetTakesCount(), item.GetSelectedTakeIndex(), item.GetTakeByIndex(1)) == (0, 0, {})
    assert not item.AddTake(rig.host.wrap(better), 1003, 1009)
    assert item.AddTake(rig.host.wrap(better), 1003, 1005)
    assert (item.GetTakesCount(), item.GetSelectedTakeIndex()) == (2, 1)
    take = item.GetTakeByIndex(2)
    assert (take["startFrame"], take["endFrame"]) == (1003, 1005)
    assert take["mediaPoolItem"].GetUniqueId() == better.id
    assert item.SelectTakeByIndex(2)
    assert item.GetMediaPoolItem().GetName() == "new.[1003-1005].exr"
    assert not item.DeleteTakeByIndex(2), "the selected one"
    assert not item.SelectTakeByIndex(3)
    assert item.SelectTakeByIndex(1)
    assert item.DeleteTakeByIndex(2)
    assert item.GetTakesCount() == 0
    assert (item.GetMediaPoolItem().GetUniqueId(), item.GetSourceStartFrame()) == (rig.clip.id, 1003)
    assert not item.FinalizeTake()


def test_markers(rig: Rig) -> None:
    """One a frame, of sixteen colors, keys and durations as floats; found by their data."""
    (item,) = rig.append()
    for thing in (item, rig.timeline, rig.media):
        assert thing.AddMarker(4, "Green", "job", "note", 1, "id-1")
        assert not thing.AddMarker(4, "Green", "again", "", 1)
        assert not thing.AddMarker(5, "Teal", "a clip color", "", 1)
        assert not thing.AddMarker(5, "Green", "no length", "", 0)
        told = {"color": "Green", "duration": 1.0, "note": "note", "name": "job", "customData": "id-1"}
        assert thing.GetMarkers() == {4.0: told}
        assert thing.GetMarkerByCustomData("id-1") == told
        assert thing.GetMarkerCustomData(4) == "id-1"
        assert thing.UpdateMarkerCustomData(4, "id-2")
        assert thing.DeleteMarkerByCustomData("id-2")
        assert not thing.DeleteMarkerAtFrame(4)
        assert thing.GetMarkers() == {}
    assert (len(MARKER_COLORS), len(CLIP_COLORS)) == (16, 16)


def test_colors_of_clips_are_not_those_of_markers(rig: Rig) -> None:
    """SetClipColor refuses marker colors, and AddFlag clip colors."""
    (item,) = rig.append()
    assert not item.SetClipColor("Cyan")
    assert not item.SetClipColor("")
    assert item.AddFlag("Cyan")
    assert not item.AddFlag("Teal")
    assert item.GetFlagList() == ["Cyan"]
    assert item.ClearFlags("All")


def test_tracks(rig: Rig) -> None:
    """Added on top or at an index, named, switched, deleted with what is on them, but not the last one."""
    assert rig.timeline.AddTrack("video")
    assert rig.timeline.AddTrack("video", {"index": 1})
    assert not rig.timeline.AddTrack("light")
    assert rig.timeline.GetTrackCount("video") == 4
    assert rig.timeline.SetTrackName("video", 4, "HarmoVid")
    assert rig.timeline.GetTrackName("video", 4) == "HarmoVid"
    assert rig.timeline.SetTrackEnable("video", 4, False)
    assert not rig.timeline.GetIsTrackEnabled("video", 4)
    assert not rig.timeline.SetTrackEnable("video", 5, False)
    for _ in range(3):
        assert rig.timeline.DeleteTrack("video", 1)
    assert not rig.timeline.DeleteTrack("video", 1)
    assert rig.timeline.GetTrackName("video", 1) == "HarmoVid"


def test_the_clip_under_the_playhead(rig: Rig) -> None:
    """The highest enabled item of the enabled tracks."""
    rig.append(endFrame=1011)
    (above,) = rig.append(endFrame=1006, trackIndex=2)
    assert rig.timeline.GetCurrentVideoItem().GetUniqueId() == above.GetUniqueId()
    assert above.SetClipEnabled(False)
    assert rig.timeline.GetCurrentVideoItem().GetTrackTypeAndIndex() == ["video", 1]
    assert rig.timeline.SetCurrentTimecode("01:00:05:00")
    assert rig.timeline.GetCurrentTimecode() == "01:00:05:00"
    assert rig.timeline.GetCurrentVideoItem() is None
    assert not rig.timeline.SetCurrentTimecode("01:00:05:24")
    assert rig.resolve.OpenPage("fusion")
    assert not rig.timeline.SetCurrentTimecode("01:00:00:00")


def test_the_selection_is_there_from_21_0_4_on(tmp_path: Path) -> None:
    """GetSelectedClips returns the selected items, and is None before."""
    rig = Rig(tmp_path, version=(21, 0, 4))
    rig.append()
    rig.line.selected = rig.line.items("video")
    assert [each.GetUniqueId() for each in rig.timeline.GetSelectedClips()] == [rig.line.items("video")[0].id]
    assert Rig(tmp_path / "old", version=(21, 0)).timeline.GetSelectedClips is None


def test_timelines_come_and_go(rig: Rig) -> None:
    """A new one is current and in the open bin; its name is unique; with the current one gone another is current."""
    count = len(rig.host.project.clips())
    new = rig.pool.CreateEmptyTimeline("plates")
    assert rig.pool.CreateEmptyTimeline("plates") is None
    assert rig.project.GetCurrentTimeline().GetName() == "plates"
    assert len(rig.host.project.clips()) == count + 1
    assert new.SetStartTimecode("00:00:41:17")
    assert (new.GetStartFrame(), new.GetEndFrame()) == (1001, 1001)
    twin = rig.timeline.DuplicateTimeline("copy")
    assert twin.GetTrackCount("video") == 2
    assert not rig.pool.DeleteTimelines(new)
    assert rig.pool.DeleteTimelines([new, twin])
    assert rig.project.GetCurrentTimeline().GetName() == "Edit"
    assert len(rig.host.project.clips()) == count
    assert new.GetName() is None


def test_import_goes_to_the_open_bin(rig: Rig, tmp_path: Path) -> None:
    """ImportMedia has no destination; a pattern with its numbers is one clip, a folder is what is in it."""
    scene.write_sequence(tmp_path / "res", {n: np.zeros((2, 4, 3)) for n in range(1001, 1005)}, "res")
    pattern = str(tmp_path / "res" / "res.%04d.exr")
    folder = rig.pool.AddSubFolder(rig.pool.GetRootFolder(), "HarmoVid")
    assert rig.pool.AddSubFolder(rig.pool.GetRootFolder(), "HarmoVid") is None
    assert rig.pool.SetCurrentFolder(folder)
    (clip,) = rig.pool.ImportMedia([{"FilePath": pattern, "StartIndex": 1001, "EndIndex": 1004}])
    told = clip.GetClipProperty()
    assert (told["Start"], told["End"], told["Frames"], told["Resolution"]) == ("1001", "1004", "4", "4x2")
    assert told["File Path"].endswith("res.[1001-1004].exr")
    assert [each.GetUniqueId() for each in folder.GetClipList()] == [clip.GetUniqueId()]
    assert len(rig.pool.ImportMedia([str(tmp_path / "res")])) == 1
    assert rig.pool.ImportMedia([{"FilePath": pattern, "StartIndex": 900, "EndIndex": 903}]) == []
    assert rig.pool.DeleteClips([clip])
    assert len(folder.GetClipList()) == 1
    assert rig.pool.DeleteFolders([folder])
    assert rig.pool.GetCurrentFolder().GetName() == "Master"


@pytest.mark.parametrize(
    ("science", "key", "kept"),
    [
        ("davinciYRGB", "Input Color Space", "ACEScg"),
        ("acescct", "Input Color Space", None),
        ("davinciYRGB", "Data Level", "Full"),
        ("davinciYRGB", "Reel Name", ""),
        ("davinciYRGB", "Nonsense", None),
    ],
)
def test_clip_properties(rig: Rig, science: str, key: str, kept: Optional[str]) -> None:
    """Some are read-only under ACES, some are taken with True and dropped, unknown ones are refused."""
    rig.data.settings["colorScienceMode"] = science
    value = "ACEScg" if "Space" in key else "Full"
    assert rig.media.SetClipProperty(key, value) == (kept is not None)
    if kept is not None:
        assert rig.media.GetClipProperty(key) == kept


def test_grades_versions_and_groups(rig: Rig) -> None:
    """CopyGrades copies nodes; versions have names; the CDL cannot be read."""
    (item,) = rig.append(endFrame=1005)
    (other,) = rig.append(endFrame=1005)
    item_data, other_data = rig.line.items("video")
    item_data.grade.nodes = [model.Node("one"), model.Node("two", cdl={"Saturation": (0.5,)})]
    assert item.CopyGrades([other])
    assert [node.label for node in other_data.grade.nodes] == ["one", "two"]
    assert other_data.grade.nodes[0] is not item_data.grade.nodes[0]
    assert item.GetCDL is None
    assert item.AddVersion("HarmoVid v1", 0)
    assert item.GetCurrentVersion() == {"versionName": "HarmoVid v1", "versionType": 0}
    assert not item.AddVersion("HarmoVid v1", 0)
    assert item.LoadVersionByName("Version 1", 0)
    assert item.DeleteVersionByName("HarmoVid v1", 0)
    assert item.GetVersionNameList(0) == ["Version 1"]
    group = rig.project.AddColorGroup("shots")
    assert item.AssignToColorGroup(group)
    assert item.GetColorGroup().GetName() == "shots"
    assert rig.project.DeleteColorGroup(group)
    assert item.GetColorGroup() is None


def test_luts_are_found_in_the_master_folder_after_a_refresh(rig: Rig, tmp_path: Path) -> None:
    """A path elsewhere is refused, as is one before RefreshLUTList; from the Color page a grade is written as one."""
    (item,) = rig.append(endFrame=1005)
    elsewhere = tmp_path / "mine.cube"
    elsewhere.write_text("LUT_1D_SIZE 2\n0 0 0\n0.5 1 1\n", encoding="utf-8")
    assert not item.GetNodeGraph().SetLUT(1, str(elsewhere))
    master = rig.host.lut_folder / "HarmoVid" / "mine.cube"
    master.parent.mkdir(parents=True)
    master.write_bytes(elsewhere.read_bytes())
    assert not item.GetNodeGraph().SetLUT(1, "HarmoVid/mine.cube")
    assert rig.project.RefreshLUTList()
    assert item.GetNodeGraph().SetLUT(1, "HarmoVid/mine.cube")
    assert item.GetNodeGraph().GetLUT(1) == "HarmoVid/mine.cube"
    out = tmp_path / "grade"
    assert not item.ExportLUT(rig.resolve.EXPORT_LUT_17PTCUBE, str(out))
    assert rig.resolve.OpenPage("color")
    assert item.ExportLUT(rig.resolve.EXPORT_LUT_17PTCUBE, str(out))
    rows = (tmp_path / "grade.cube").read_text(encoding="utf-8").splitlines()
    assert rows[0] == "LUT_3D_SIZE 17"
    assert rows[-1].split() == ["0.500000", "1.000000", "1.000000"]
    assert len(rows) == 1 + 17**3


def test_items_that_only_a_save_loses(rig: Rig) -> None:
    """With `save_loses_items` whatever was placed since goes with the save."""
    rig.append(endFrame=1005)
    rig.host.quirks.save_loses_items = True
    assert len(rig.append(endFrame=1005)) == 1
    assert rig.manager.SaveProject()
    assert rig.places() == [(86400, 86404)]


def test_the_other_readings_of_what_is_not_known(rig: Rig, tmp_path: Path) -> None:
    """Switches for what the text leaves open: right offset, take ends, which take and timeline are current."""
    quirks = rig.host.quirks
    (item,) = rig.append(startFrame=1003, endFrame=1006)
    quirks.right_offset_is_source_out = True
    assert (item.GetLeftOffset(), item.GetRightOffset()) == (2, 5)
    quirks.take_end_exclusive = quirks.add_take_selects = True
    assert item.AddTake(rig.media, 1001, 1004)
    assert (item.GetSelectedTakeIndex(), item.GetTakeByIndex(2)["endFrame"]) == (2, 1004)
    assert item.GetTakeByIndex(1)["endFrame"] == 1006
    quirks.create_timeline_selects = False
    assert rig.pool.CreateEmptyTimeline("plates")
    assert rig.project.GetCurrentTimeline().GetName() == "Edit"
    quirks.exclusive_end = False
    rig.append(startFrame=1001, endFrame=1003, trackIndex=2)
    assert rig.places(2) == [(86400, 86403)]
    quirks.overlaps_dropped = False
    rig.append(recordFrame=86400, trackIndex=2)
    assert len(rig.places(2)) == 2
    transition = rig.host.wrap(scene.place_other(rig.line, "transition", "Cross Dissolve", 86402, 2))
    assert transition.GetName() == "Cross Dissolve"
    quirks.empty_name_of_transition = True
    assert transition.GetName() == ""


def test_resolve_21_1_tells_what_an_item_is(tmp_path: Path) -> None:
    """GetType: video, generator or transition; what else is new there is not played, and says so."""
    rig = Rig(tmp_path, version=(21, 1))
    (item,) = rig.append(endFrame=1005)
    title = rig.host.wrap(scene.place_other(rig.line, "title", "Text", 86500, 10))
    cut = rig.host.wrap(scene.place_other(rig.line, "transition", "Cross Dissolve", 86402, 2))
    assert [each.GetType() for each in (item, title, cut)] == ["video", "generator", "transition"]
    with pytest.raises(NotImplementedError):
        item.SetSpeed({"Percentage": 50.0})
