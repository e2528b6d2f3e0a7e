"""Frames that Resolve writes are looked at, numbered truly, and nothing of the render stays in the project."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, List
from xml.etree import ElementTree

import numpy as np
import pytest
from fakes.resolve_host import model, pictures, scene
from fakes.resolve_host.quirks import Quirks, italian
from fakes.resolve_host.snapshot import difference, snapshot
from fakes.resolve_runs import SHOWN, Film
from harmovid_resolve import exr_preset
from harmovid_resolve.clip import clip_of
from harmovid_resolve.errors import CANCELLED, HostError
from harmovid_resolve.render import Render
from harmovid_resolve.source import path_of


def rendered(film: Film, graded: bool = False, frames: tuple = SHOWN, **render: Any) -> str:
    """Render frames of the film's clip and return their pattern."""
    clip = clip_of(film.host.wrap(film.timeline), film.host.wrap(film.item))
    made = Render(film.session(), render.pop("wait", lambda seconds: None), **render)
    pattern = made.run(clip, "plate", frames, graded=graded, folder=str(film.folder / "in"))
    film.said += made.warnings
    return pattern


def names(film: Film) -> List[str]:
    """Return what lies in the folder of the frames."""
    return sorted(os.listdir(film.folder / "in"))


@pytest.mark.parametrize("graded", [False, True])
@pytest.mark.parametrize("version", [(18, 5), (18, 6), (19, 1), (20, 3), (21, 0, 4)])
@pytest.mark.parametrize("words", [{}, italian()], ids=["english", "italian"])
def test_frames_with_their_true_numbers(graded: bool, version: tuple, words: dict, tmp_path: Path) -> None:
    """In every version and language the files are 32-bit float with the clip's numbers, and the project is as before.

    Before 19.1 the settings of the Deliver page cannot be put back: that alone differs, and it is said.
    """
    film = Film(tmp_path, version=version, quirks=Quirks(words=words))
    film.item.grade.nodes[0].function = lambda pixels: pixels * np.float32(0.5)
    before = snapshot(film.host)
    pattern = rendered(film, graded)
    assert names(film) == [f"plate.{number}.exr" for number in range(SHOWN[0], SHOWN[1] + 1)]
    for number in range(SHOWN[0], SHOWN[1] + 1):
        wanted = pictures.read(film.clip.path(number)) * np.float32(0.5 if graded else 1)
        np.testing.assert_array_equal(pictures.read(path_of(pattern, number)), wanted)
    left = difference(before, snapshot(film.host))
    if version >= (19, 1):
        assert left == []
        assert film.said == []
    else:
        assert all(line.startswith("/deliver/settings/") for line in left), left
        assert len(film.said) == 1
        assert "cannot put the settings of the Deliver page back" in film.said[0]
    assert film.host.violations == []


def test_handles_come_from_the_source(film: Film) -> None:
    """Ungraded frames may reach beyond the cut; neighbours on the timeline are not in them."""
    other = film.add_clip(
        scene.write_sequence(film.folder / "other", {1001: np.ones((8, 16, 3))}), 1001, 1001
    )
    scene.place(film.timeline, other)
    pattern = rendered(film, frames=(1001, 1010))
    for number in (1001, 1010):
        np.testing.assert_array_equal(
            pictures.read(path_of(pattern, number)), pictures.read(film.clip.path(number))
        )


def test_tracks_above_are_not_in_graded_frames(film: Film) -> None:
    """What lies over the clip, the subtitle track and the grade of the whole timeline are not in its frames."""
    other = film.add_clip(
        scene.write_sequence(film.folder / "other", {1001: np.ones((8, 16, 3))}), 1001, 1001
    )
    scene.place(film.timeline, other, track=2, start=film.item.start)
    film.timeline.tracks["subtitle"].append(model.Track("Subtitle 1", "subtitle"))
    film.timeline.nodes.nodes.append(model.Node(function=lambda pixels: pixels + np.float32(3)))
    before = snapshot(film.host)
    pattern = rendered(film, graded=True)
    np.testing.assert_array_equal(
        pictures.read(path_of(pattern, SHOWN[0])), pictures.read(film.clip.path(SHOWN[0]))
    )
    assert difference(before, snapshot(film.host)) == []


def test_a_transition_in_graded_frames_is_refused(film: Film) -> None:
    """The neighbour would be in them; marks that leave the transition out help."""
    scene.place(film.timeline, film.clip, first=1001, last=1004)
    scene.place_other(film.timeline, "transition", "Cross Dissolve", film.item.end - 2, 4)
    with pytest.raises(HostError, match="a transition reaches into plate"):
        rendered(film, graded=True)
    rendered(film, graded=True, frames=(1003, 1006))


def test_a_clip_of_another_size_is_not_scaled(film: Film) -> None:
    """The temporary timeline gets the clip's own size, and the project keeps its own."""
    film.project.settings.update(timelineResolutionWidth="64", timelineResolutionHeight="36")
    before = snapshot(film.host)
    pattern = rendered(film)
    assert pictures.read(path_of(pattern, SHOWN[0])).shape == (8, 16, 3)
    assert difference(before, snapshot(film.host)) == []


@pytest.mark.parametrize(
    ("quirks", "said"),
    [
        ({"render_skips": frozenset({2})}, "Resolve wrote 5 of 6 frames of plate"),
        ({"render_truncates": frozenset({3})}, "frame 1006 is cut off"),
        ({"render_fails_at": 2}, "Resolve could not render plate.*The render failed"),
        ({"progress_stops_at": 1}, "has not got on for 10 minutes"),
        ({"lying_settings": frozenset({"TargetDir"})}, "Resolve wrote 0 of 6 frames"),
        ({"append_errors": True}, "Resolve refused AppendToTimeline"),
        ({"exclusive_end": False}, "Resolve put .* on a timeline"),
        ({"refused_settings": frozenset({"TargetDir"})}, "Resolve refused SetRenderSettings"),
    ],
)
def test_what_resolve_says_is_not_believed(quirks: dict, said: str, tmp_path: Path) -> None:
    """A job that is Complete and lacks files, damaged files, a render that stands still: each is an error, no file is
    left, and the project is as before.
    """
    film = Film(tmp_path, quirks=Quirks(**quirks))
    before = snapshot(film.host)
    with pytest.raises(HostError, match=said):
        rendered(film)
    assert difference(before, snapshot(film.host)) == []
    assert not [name for name in names(film) if name.startswith(".rendering")]


@pytest.mark.parametrize("separator", ["", ".", "_"])
def test_names_of_rendered_files(separator: str, tmp_path: Path) -> None:
    """Whatever Resolve puts between name and number, the frames get their own numbers, of names with digits, too."""
    film = Film(tmp_path, quirks=Quirks(separator=separator))
    clip = clip_of(film.host.wrap(film.timeline), film.host.wrap(film.item))
    pattern = Render(film.session(), lambda seconds: None).run(
        clip, "fg2", SHOWN, graded=False, folder=str(tmp_path / "in"), first=7
    )
    assert names(film) == [f"fg2.{number:04d}.exr" for number in range(7, 13)]
    np.testing.assert_array_equal(pictures.read(path_of(pattern, 7)), pictures.read(film.clip.path(SHOWN[0])))


def test_tracks_that_stay_on_are_noticed(tmp_path: Path) -> None:
    """Where Resolve says that a track is off and leaves it on, what lies above would be in graded frames."""
    film = Film(tmp_path, quirks=Quirks(track_enable_ignored=True))
    before = snapshot(film.host)
    with pytest.raises(HostError, match="does not switch video track 2 off"):
        rendered(film, graded=True)
    assert difference(before, snapshot(film.host)) == []


def test_a_stale_deliver_page_does_not_matter(film: Film) -> None:
    """After a render of sound alone, the page's state has no pictures: ours replaces it and gives it back."""
    film.host.resolve().GetProjectManager().GetCurrentProject().LoadRenderPreset("Audio Only")
    before = snapshot(film.host)
    rendered(film)
    assert len(names(film)) == 6
    assert difference(before, snapshot(film.host)) == []


def test_a_grade_that_follows_the_clip_is_refused(tmp_path: Path) -> None:
    """With remote versions a new timeline shows the clip graded: nothing is sent as the clip's own pixels."""
    film = Film(tmp_path, quirks=Quirks(remote_versions=True))
    rendered(film)
    film.item.grade.nodes[0].function = lambda pixels: pixels * np.float32(0.5)
    before = snapshot(film.host)
    with pytest.raises(HostError, match=r"gives plate.* its grade on a new timeline"):
        rendered(film)
    assert difference(before, snapshot(film.host)) == []


def test_alpha_is_rendered_multiplied_in(film: Film) -> None:
    """The server takes colours as multiplied by alpha: the render is told to write them so, or it is said."""
    modes: List[Any] = []

    def before(_: int, name: str) -> None:
        if name.endswith("StartRendering"):
            modes.append(film.project.deliver.settings.get("AlphaMode"))

    film.host.injector.before = before
    rendered(film)
    assert modes == [0]
    refusing = Film(film.folder / "other", quirks=Quirks(refused_settings=frozenset({"AlphaMode"})))
    rendered(refusing)
    assert refusing.said == [
        "Resolve may write colours that are not multiplied by alpha: soft edges may be off."
    ]


def test_a_refused_alpha_is_said(tmp_path: Path) -> None:
    """The picture is there, and the missing channel has a sentence."""
    film = Film(tmp_path, quirks=Quirks(refused_settings=frozenset({"ExportAlpha"})))
    rendered(film)
    assert len(names(film)) == 6
    assert film.said == ["Resolve writes no alpha channel."]


def test_a_page_that_was_never_used(film: Film) -> None:
    """A Deliver page without folder and name has none afterwards: a saved preset holds both, it is read here."""
    film.project.deliver.settings.clear()
    before = snapshot(film.host)
    rendered(film)
    assert difference(before, snapshot(film.host)) == []


def test_the_user_stops_it(film: Film) -> None:
    """The render is ended, half a frame goes, and the project is as before."""
    film.host.queue.frames_per_poll = 1
    polls: List[float] = []
    before = snapshot(film.host)
    with pytest.raises(HostError) as stopped:
        rendered(film, wait=polls.append, cancelled=lambda: len(polls) > 1)
    assert stopped.value.code == CANCELLED
    assert names(film) == []
    assert not film.host.queue.busy()
    assert difference(before, snapshot(film.host)) == []


def test_one_render_at_a_time(film: Film) -> None:
    """Where Resolve renders already, nothing is begun and that render goes on."""
    film.host.quirks.progress_stops_at = 1
    film.project.deliver.format, film.project.deliver.codec = "exr", "RGBHalf"
    project = film.host.resolve().GetProjectManager().GetCurrentProject()
    assert project.StartRendering([project.AddRenderJob()])
    with pytest.raises(HostError, match="Resolve is rendering"):
        rendered(film)
    assert film.host.queue.busy()
    film.host.queue.stop()


def test_no_codec_without_loss_is_refused(film: Film, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lossy codecs are never used; half float is, with a warning."""
    from fakes.resolve_host import formats

    monkeypatch.setitem(formats.CODECS, "exr", {"RGB half (DWAA)": "RGBHalfDWAA"})
    with pytest.raises(HostError, match="no EXR codec without loss: RGBHalfDWAA"):
        rendered(film)
    monkeypatch.setitem(formats.CODECS, "exr", {"RGB half (ZIP)": "RGBHalfZIP"})
    rendered(film)
    assert film.said == ["Resolve renders EXR in half precision here."]


def test_the_preset_is_xml_that_says_float(tmp_path: Path) -> None:
    """It parses, and names 32-bit float, full range, no sizing, no sound and the first frame's number."""
    path = exr_preset.write(str(tmp_path), "HarmoVid EXR 1", "pl<a>te", 1003, (4096, 2160))
    assert path.endswith("/HarmoVid EXR 1.xml")
    root = ElementTree.parse(path).getroot()  # noqa: S314
    found = {child.tag: child.text for child in root}
    assert root.tag == "SyRecordInfo"
    wanted = {
        "RecordFormatType": "exr", "RecordFormatSubType": "ZIP", "RecordBitDepth": "32", "RecordAsFloat": "true",
        "RecordDataLevel": "DATA_LEVEL_FULL", "DisablePtzDuringRecording": "1", "DisableCcDuringRecording": "0",
        "RecordAudioEnabled": "false", "RecordClipStartFrame": "1003", "RecordPrefix": "pl<a>te",
        "FormatWidth": "4096", "FormatHeight": "2160",
    }  # fmt: skip
    assert {name: found[name] for name in wanted} == wanted
