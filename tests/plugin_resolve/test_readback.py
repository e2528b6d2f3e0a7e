"""Results come back as a take, on a track or in the media pool, with the grade that they need and no other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, List

import numpy as np
import pytest
from fakes.resolve_host import model, scene
from fakes.resolve_host.quirks import Quirks
from fakes.resolve_host.snapshot import difference, snapshot
from fakes.resolve_runs import SHOWN, CopyClient, Film
from harmovid_resolve.batch import rerun


def run(film: Film, **task: Any) -> List[str]:
    """Run a task that succeeds and return its warnings."""
    outcome = film.run(CopyClient(), **task)[0]
    assert outcome.state == "returned", outcome.text
    return list(outcome.warnings)


def bin_of(film: Film) -> model.Folder:
    """Return the bin of the results."""
    return next(folder for folder in film.project.root.folders if folder.name == "HarmoVid")


def half(pixels: np.ndarray) -> np.ndarray:
    """A grade."""
    return pixels * np.float32(0.5)


def test_a_take_keeps_clip_and_grade(film: Film) -> None:
    """The clip has two takes, the second is shown, its place and its grade are as before."""
    film.item.grade.nodes[0].function = half
    place = film.item.start, film.item.end
    assert run(film, way="take") == []
    assert [take.clip.name for take in film.item.takes] == ["plate.[1001-1010].exr", "plate v001"]
    assert (film.item.take, (film.item.start, film.item.end)) == (2, place)
    assert [grade.name for grade in film.item.versions] == ["Version 1"]
    assert film.item.grade.nodes[0].function is half
    assert run(film, way="take", source="graded")[0].startswith(
        "plate.[1001-1010].exr shows a take that is not"
    )
    assert len(film.item.takes) == 3


def test_a_graded_take_is_not_graded_twice(film: Film) -> None:
    """It gets a colour version of its own without a grade; the one from before is still in the list."""
    film.item.grade.nodes[0].function = half
    assert run(film, way="take", source="graded") == []
    assert [grade.name for grade in film.item.versions] == ["Version 1", "HarmoVid v001"]
    assert film.item.grade.name == "HarmoVid v001"
    assert [node.function for node in film.item.grade.nodes] == [None]
    assert film.item.versions[0].nodes[0].function is half


def test_a_colour_version_of_that_name_may_be_there(film: Film) -> None:
    """The new one gets a number: a run of hours does not fail for a name."""
    film.item.versions.append(model.Grade("HarmoVid v001"))
    run(film, way="take", source="graded")
    assert film.item.grade.name == "HarmoVid v001 2"


def test_a_track_has_the_grade_and_the_sizing(film: Film) -> None:
    """The new top track holds the result over the clip, with its grade, its sizing and its colour group."""
    film.item.grade.nodes = [model.Node(function=half), model.Node(label="second")]
    film.item.properties.update(ZoomX=1.25, Pan=12.0, Opacity=50.0)
    film.item.group = model.ColorGroup("day")
    film.project.groups.append(film.item.group)
    assert run(film, way="track") == [
        "plate.[1001-1010].exr shows through the result above it: switch the clip off."
    ]
    track = film.timeline.tracks["video"][-1]
    (item,) = track.items
    assert (track.name, len(film.timeline.tracks["video"])) == ("HarmoVid v001", 3)
    assert (item.start, item.end) == (film.item.start, film.item.end)
    assert [node.function for node in item.grade.nodes] == [half, None]
    assert {name: item.properties[name] for name in ("ZoomX", "Pan", "Opacity")} == film.item.properties
    assert item.group is film.item.group
    assert film.item.takes == []


def test_a_graded_track_gets_no_grade(film: Film) -> None:
    """What already has the grade is put over the clip as it is."""
    film.item.grade.nodes[0].function = half
    assert run(film, way="track", source="graded") == []
    assert [node.function for node in film.shown()[0].grade.nodes] == [None]


def test_a_part_of_a_clip_lies_where_it_was(film: Film) -> None:
    """Between marks the result covers those frames alone; as a take it is refused before anything is made."""
    film.timeline.marks["video"] = {"in": 2, "out": 3}
    assert run(film, way="track", range="in_out") == []
    (item,) = film.shown()
    assert (item.start - film.item.start, item.end - item.start, item.clip.first) == (2, 2, SHOWN[0] + 2)
    before = snapshot(film.host)
    outcome = film.run(CopyClient(), way="take", range="in_out")[0]
    assert outcome.text.startswith("a take replaces the whole clip")
    assert outcome.folder == ""
    assert difference(before, snapshot(film.host)) == []


def test_the_media_pool_alone(film: Film) -> None:
    """Nothing on the timeline differs; a second version lies beside the first."""
    before = snapshot(film.host)["timelines"]
    run(film, way="pool")
    run(film, way="pool", version="look A")
    assert [clip.name for clip in bin_of(film).clips] == ["plate v001", "plate look_A"]
    assert snapshot(film.host)["timelines"] == before
    assert film.project.folder.name == "Master"
    assert film.host.page == "color"


def test_a_marker_tells_where_it_came_from(film: Film) -> None:
    """Its hidden data name run, version and folder; a marker of the user's at that frame stays."""
    film.item.markers[0] = model.Marker("Red", "mine", "", 1)
    run(film, way="take")
    assert film.item.markers[0].name == "mine"
    marker = film.item.markers[1]
    told = json.loads(marker.custom)
    assert (marker.name, marker.note) == ("HarmoVid v001", "deflicker, frames 1003-1008")
    assert told["version"] == "v001"
    assert Path(told["folder"]) == film.folder / "out" / "plate" / "v001"
    assert len(told["harmovid"]) == 12


def test_the_result_says_what_it_is_in(film: Film) -> None:
    """Results of a clip's files have its attributes, rendered ones the project's output space."""
    film.clip.properties.update({"Input Color Space": "ACEScg", "Data Level": "Full"})
    run(film, way="pool")
    made = bin_of(film).clips[0].properties
    assert (made["Input Color Space"], made["Data Level"]) == ("ACEScg", "Full")
    film.project.settings.update(colorScienceMode="davinciYRGBColorManagedv2", colorSpaceOutput="ACEScct")
    run(film, way="pool", source="graded")
    assert bin_of(film).clips[1].properties["Input Color Space"] == "ACEScct"


@pytest.mark.parametrize(
    "quirks",
    [{"add_take_selects": True}, {"take_end_exclusive": True}, {"delete_fails_once": True}],
)
@pytest.mark.parametrize("way", ["take", "track"])
def test_readings_of_what_is_not_published(quirks: dict, way: str, tmp_path: Path) -> None:
    """Whichever way Resolve does it, the result is back and shown."""
    film = Film(tmp_path, quirks=Quirks(**quirks))
    assert run(film, way=way) == []
    assert film.host.violations == []


def test_what_resolve_drops_is_said(film: Film) -> None:
    """An attribute that it takes and forgets is named with the value to set; the result is back all the same."""
    film.host.quirks.lying_clip_properties = frozenset({"Data Level"})
    film.clip.properties["Data Level"] = "Full"
    (warning,) = run(film, way="pool")
    assert warning == "Resolve keeps Data Level of the result: set it to Full in the clip's attributes."


def test_a_fusion_composition_does_not_come_along(film: Film) -> None:
    """A result on a track lacks the clip's composition, and a warning says so."""
    film.host.wrap(film.item).AddFusionComp()
    (warning,) = run(film, way="track")
    assert "Fusion composition of plate" in warning


@pytest.mark.parametrize("way", ["take", "track", "pool"])
@pytest.mark.parametrize("quirks", [{"append_errors": True}, {"overlaps_dropped": True}])
def test_what_fails_is_undone(way: str, quirks: dict, tmp_path: Path) -> None:
    """When the import names other frames than were made, the project is as before, whatever was done by then."""
    film = Film(tmp_path, quirks=Quirks(**quirks))
    before = snapshot(film.host)
    film.host.injector.before = lambda number, name: (
        _shorten(film) if name == "MediaPool.ImportMedia" else None
    )
    outcome = film.run(CopyClient(), way=way)[0]
    assert outcome.state == "failed"
    assert outcome.frames == 5
    assert difference(before, snapshot(film.host)) == []


def _shorten(film: Film) -> None:
    """Take the first result away just before Resolve looks for it: what it cannot read it does not import."""
    next((film.folder / "out").rglob("plate_v001.1003.exr")).unlink()


def test_a_clip_in_a_colour_group_gets_no_graded_take(film: Film) -> None:
    """Its group's grade would be applied twice; the sentence names the other ways, and nothing was made."""
    film.item.group = model.ColorGroup("day")
    outcome = film.run(CopyClient(), way="take", source="graded")[0]
    assert (outcome.state, outcome.folder) == ("failed", "")
    assert "is in a colour group" in outcome.text
    assert film.run(CopyClient(), way="take", source="source")[0].state == "returned"


def test_a_graded_take_of_a_composition_is_refused(film: Film) -> None:
    """The composition is in the graded frames already, and the take would get it again."""
    film.host.wrap(film.item).AddFusionComp()
    outcome = film.run(CopyClient(), way="take", source="graded")[0]
    assert (outcome.state, outcome.folder) == ("failed", "")
    assert "has a Fusion composition" in outcome.text


@pytest.mark.parametrize("changes", [{"Opacity": 50.0}, {"CompositeMode": 5}, {"Alpha mode": "Straight"}])
def test_what_shows_through_is_said(film: Film, changes: dict) -> None:
    """Under its result on a track a clip that is not opaque is seen twice: the sentence says what to do."""
    if "Alpha mode" in changes:
        film.clip.properties.update(changes)
    else:
        film.item.properties.update(changes)
    (warning,) = run(film, way="track")
    assert "shows through the result above it: switch the clip off" in warning


def test_clips_of_a_batch_share_a_track(film: Film) -> None:
    """Two clips of one batch lie on one new track, those of the next batch on another."""
    second = scene.place(film.timeline, film.clip, first=1001, last=1002)
    film.item.color = second.color = "Orange"
    outcomes = film.run(CopyClient(), way="track", selection="colour", clip_colour="Orange")
    assert [one.state for one in outcomes] == ["returned", "returned"]
    assert [len(track.items) for track in film.timeline.tracks["video"]] == [2, 0, 2]
    film.run(CopyClient(), way="track", selection="colour", clip_colour="Orange")
    assert [len(track.items) for track in film.timeline.tracks["video"]] == [2, 0, 2, 2]


def test_clips_over_each_other_get_two_tracks(film: Film) -> None:
    """A batch's track that is taken over a clip's frames is not used for it: Resolve would drop the clip."""
    above = scene.place(film.timeline, film.clip, track=2, start=film.item.start + 1, first=1001, last=1004)
    film.item.color = above.color = "Orange"
    outcomes = film.run(CopyClient(), way="track", selection="colour", clip_colour="Orange")
    assert [one.state for one in outcomes] == ["returned", "returned"]
    assert [len(track.items) for track in film.timeline.tracks["video"]] == [1, 1, 1, 1]


@pytest.mark.parametrize("way", ["take", "pool", "track"])
def test_a_single_frame(film: Film, way: str) -> None:
    """It is imported by its path; on a track Resolve would make it five seconds long, which is refused and undone."""
    film.timeline.tracks["video"][0].items.clear()
    film.item = scene.place(film.timeline, film.clip, first=1005, last=1005)
    before = snapshot(film.host)
    outcome = film.run(CopyClient(), way=way)[0]
    if way == "track":
        assert outcome.text == "Resolve makes a single frame five seconds long. Choose another way."
        assert difference(before, snapshot(film.host)) == []
    else:
        assert outcome.state == "returned", outcome.text
        (clip,) = bin_of(film).clips
        assert clip.path(clip.first).endswith("plate_v001.1005.exr")


def test_a_version_goes_back_to_its_own_timeline(film: Film) -> None:
    """When another timeline is open, missing frames still go back to the clip, and that other one stays open."""
    outcome = film.run(CopyClient(missing=[1005]), way="take")[0]
    other = scene.add_timeline(film.host, "Other")
    assert rerun(film.session(), CopyClient(), outcome.folder).state == "returned"
    assert len(film.item.takes) == 2
    assert film.project.timeline is other


@pytest.mark.parametrize(("own", "wanted"), [("Straight", "Premultiplied"), ("None", "None")])
def test_rendered_frames_say_how_their_alpha_is(film: Film, own: str, wanted: str) -> None:
    """Frames are rendered with alpha multiplied in: a result whose alpha counts says so."""
    film.clip.properties["Alpha mode"] = own
    outcome = film.run(CopyClient(), way="pool", source="graded")[0]
    assert outcome.state == "returned", outcome.text
    (clip,) = bin_of(film).clips
    assert clip.properties.get("Alpha mode", "None") == wanted
