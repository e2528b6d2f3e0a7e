"""Which clips are meant, which source frames they show, and what is left out with a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any, List

import pytest
from fakes.resolve_host import scene
from fakes.resolve_host.quirks import Quirks
from fakes.resolve_runs import FIRST, SHOWN, Film
from harmovid_resolve.clip import Clip, below, clip_of, marks, select, wanted, with_handles
from harmovid_resolve.errors import HostError


def names(film: Film, **task: Any) -> List[str]:
    """Return the names of the clips that a task means."""
    return [clip.name for clip in select(film.session(), film.task(**task))[0]]


def only(film: Film) -> Clip:
    """Return the film's clip."""
    return clip_of(film.host.wrap(film.timeline), film.host.wrap(film.item))


@pytest.mark.parametrize(
    "quirks",
    [
        {}, {"right_offset_is_source_out": True}, {"source_start_off": 1}, {"source_start_from_zero": True},
    ],
)  # fmt: skip
@pytest.mark.parametrize("version", [(18, 5), (19, 1, 3), (21, 0, 4)])
def test_true_frame_numbers(version: tuple, quirks: dict, tmp_path: Path) -> None:
    """A sequence's frames have their files' numbers in every version, whatever it tells of offsets; 18.5, which tells
    nothing else, refuses a clip whose offsets do not add up.
    """
    film = Film(tmp_path, version=version, quirks=Quirks(**quirks))
    if version < (19,) and "right_offset_is_source_out" in quirks:
        with pytest.raises(HostError, match="is retimed"):
            only(film)
        return
    clip = only(film)
    assert (clip.first, clip.last, clip.count) == (*SHOWN, 6)
    assert (clip.left, clip.right) == (2, 2)
    assert clip.start == film.timeline.start_frame
    assert clip.at(clip.start + 2) == SHOWN[0] + 2
    assert (clip.track, clip.fps, clip.resolution) == (1, 24.0, (16, 8))


def test_the_clip_under_the_playhead(film: Film) -> None:
    """It is the topmost; where there is none, the sentence says what to do."""
    film.timeline.playhead = film.item.end - 1
    assert names(film) == ["plate.[1001-1010].exr"]
    film.timeline.playhead = film.item.end
    with pytest.raises(HostError, match="Put the playhead on the clip"):
        names(film)


def test_selected_clips_where_resolve_tells(film: Film, tmp_path: Path) -> None:
    """From 21.0.4 on the selection is taken; before, the sentence names the version and the other way."""
    other = scene.place(film.timeline, film.clip, first=1001, last=1002)
    film.timeline.selected = [film.item, other]
    assert len(names(film, selection="selected")) == 2
    old = Film(tmp_path / "old", version=(21, 0, 3))
    with pytest.raises(
        HostError, match=r"21\.0\.3 does not tell what is selected: 21\.0\.4 does.*clip colour"
    ):
        names(old, selection="selected")


def test_clips_of_a_colour(film: Film) -> None:
    """Clips of the colour are taken from all tracks, in the order of the timeline."""
    second = scene.place(film.timeline, film.clip, first=1001, last=1004)
    above = scene.place(film.timeline, film.clip, track=2, start=film.item.start + 1, first=1005, last=1006)
    for item in (film.item, second, above):
        item.color = "Orange"
    clips, skipped = select(film.session(), film.task(selection="colour", clip_colour="Orange"))
    assert [(clip.track, clip.first) for clip in clips] == [(1, 1003), (2, 1005), (1, 1001)]
    assert skipped == []
    with pytest.raises(HostError, match="Give the clips the clip colour Pink"):
        names(film, selection="colour", clip_colour="Pink")


def test_what_is_no_clip_is_left_out_with_a_word(film: Film) -> None:
    """Titles, generators and transitions are named as what they are, and the clips beside them are taken."""
    line = film.timeline
    second = scene.place(line, film.clip, first=1001, last=1004)
    others = [
        scene.place_other(line, "transition", "Cross Dissolve", second.start - 2, 4),
        scene.place_other(line, "title", "Text+", second.end, 24),
        scene.place_other(line, "generator", "Solid Color", second.end + 24, 24),
    ]
    line.selected = [film.item, *others, second]
    clips, skipped = select(film.session(), film.task(selection="selected"))
    assert len(clips) == 2
    assert skipped == [
        ("Cross Dissolve", "Cross Dissolve on V1 is a transition: skipped.", True),
        ("Text+", "Text+ on V1 is a title or a generator: skipped.", True),
        ("Solid Color", "Solid Color on V1 is a title or a generator: skipped.", True),
    ]


@pytest.mark.parametrize("version", [(18, 5), (19, 0), (21, 0, 4)])
@pytest.mark.parametrize("speed", [0.5, 2.0, 0.75])
def test_a_retimed_clip_is_refused(version: tuple, speed: float, tmp_path: Path) -> None:
    """Slow and fast clips are refused with the frames that they show, in every version."""
    film = Film(tmp_path, version=version)
    film.timeline.tracks["video"][0].items.clear()
    film.item = scene.place(film.timeline, film.clip, first=1001, last=1008, speed=speed)
    with pytest.raises(
        HostError, match=r"is retimed: it shows .* source frames in \d+\. Work on the clip at its own speed"
    ):
        select(film.session(), film.task())


def test_a_still_is_refused(film: Film) -> None:
    """One frame that is shown for seconds is no clip to work on."""
    still = film.add_clip(film.pattern % 1001, 0, 0)
    item = scene.place(film.timeline, still)
    item.end = item.start + 120
    film.timeline.playhead = item.start
    with pytest.raises(HostError, match="is a still: skipped"):
        names(film)


def test_another_frame_rate_is_refused(film: Film) -> None:
    """A clip of 30 frames a second on a timeline of 24 does not show every frame once."""
    film.clip.fps = 30.0
    with pytest.raises(HostError, match="has 30 frames a second, its timeline 24"):
        names(film)


@pytest.mark.parametrize(
    ("marked", "frames"),
    [
        ((0, 5), (1003, 1008)),
        ((2, 3), (1005, 1006)),
        ((4, 400), (1007, 1008)),
        ((86402, 86403), (1005, 1006)),
    ],
)
def test_in_and_out_marks(film: Film, marked: tuple, frames: tuple) -> None:
    """Marks set by hand count from the timeline's start, those of scripts may be frames: both mean the same."""
    film.timeline.marks["video"] = {"in": marked[0], "out": marked[1]}
    assert wanted(only(film), film.task(range="in_out")) == frames
    assert wanted(only(film), film.task()) == SHOWN


def test_marks_that_do_not_help(film: Film) -> None:
    """No marks, one mark, and marks beside the clip are three different sentences."""
    clip = only(film)
    with pytest.raises(HostError, match="has no in and out marks"):
        marks(clip.timeline)
    film.timeline.marks["video"] = {"in": 3}
    with pytest.raises(HostError, match="has no in and out marks"):
        marks(clip.timeline)
    film.timeline.marks["video"] = {"in": 100, "out": 120}
    with pytest.raises(HostError, match="does not lie between the in and out marks"):
        wanted(clip, film.task(range="in_out"))


def test_marks_that_resolve_does_not_tell(tmp_path: Path) -> None:
    """Before 19.1 the range `clip` is what works, and the sentence says so."""
    film = Film(tmp_path, version=(19, 0))
    with pytest.raises(HostError, match="Choose the range `clip`"):
        wanted(only(film), film.task(range="in_out"))


@pytest.mark.parametrize(
    ("frames", "handles", "span"),
    [
        ((1003, 1008), 0, (1003, 1008)),
        ((1003, 1008), 1, (1002, 1009)),
        ((1003, 1008), 9, (1001, 1010)),
        ((1005, 1006), 3, (1002, 1009)),
    ],
)
def test_handles_end_where_the_source_does(film: Film, frames: tuple, handles: int, span: tuple) -> None:
    """Handles reach into what the cut leaves out, and no further than there are frames."""
    assert with_handles(only(film), frames, handles) == span


def test_the_clip_below(film: Film) -> None:
    """It is the next one under the whole span on a track that is on; its own numbers are kept."""
    above = scene.place(film.timeline, film.clip, track=2, start=film.item.start + 1, first=1001, last=1004)
    clip = clip_of(film.host.wrap(film.timeline), film.host.wrap(above))
    found = below(film.session(), clip, (1001, 1004))
    assert (found.track, found.first) == (1, SHOWN[0])
    film.timeline.tracks["video"][0].enabled = False
    with pytest.raises(HostError, match="no clip lies under the whole of"):
        below(film.session(), clip, (1001, 1004))
    film.timeline.tracks["video"][0].enabled = True
    film.item.end -= 3
    with pytest.raises(HostError, match="Put the background on a track below it"):
        below(film.session(), clip, (FIRST, FIRST + 3))
