"""Files of a clip are read where they lie, by the numbers in Resolve's own name for the sequence."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fakes.resolve_host import pictures
from fakes.resolve_runs import Film
from harmovid_resolve import source
from harmovid_resolve.clip import clip_of
from harmovid_resolve.errors import HostError


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("/shots/p.[1001-1024].exr", "/shots/p.####.exr"),
        ("/shots/p_[001-100].EXR", "/shots/p_###.EXR"),
        ("/shots/[v2]/p.[0998-1002].exr", "/shots/[v2]/p.####.exr"),
        (r"C:\shots\p.[1001-1024].exr", r"C:\shots\p.####.exr"),
        ("/shots/p.[1001-1024].dpx", None),
        ("/shots/p.exr", None),
        ("/shots/p.mov", None),
        ("", None),
    ],
)
def test_resolves_name_of_a_sequence_is_a_pattern(path: str, pattern: str) -> None:
    """The brackets in the file's name become the number; what is no EXR sequence is none."""
    assert source.pattern_of(path) == pattern


def test_numbers_of_a_pattern() -> None:
    """A number fills its places and may be wider; Resolve's imports take the same pattern in printf's way."""
    assert source.path_of("/a#b/p.####.exr", 7) == "/a#b/p.0007.exr"
    assert source.path_of("/a/p.##.exr", 1001) == "/a/p.1001.exr"
    assert source.printf("/a%#/p100%.####.exr") == "/a%#/p100%%.%04d.exr"


def test_missing_and_damaged_frames_are_named(film: Film) -> None:
    """All of them are counted and the first ones named, by their true numbers."""
    clip = clip_of(film.host.wrap(film.timeline), film.host.wrap(film.item))
    assert source.direct(clip, (1003, 1008)) == str(film.folder / "plate" / "plate.####.exr")
    os.unlink(film.clip.path(1004))
    pictures.cut_in_half(film.clip.path(1006))
    with pytest.raises(HostError, match=r"frame 1004 is not there, frame 1006 is cut off.*\. Free room"):
        source.direct(clip, (1003, 1008))
    assert source.checked(str(film.folder / "plate" / "plate.####.exr"), (1001, 1003)) > 0
    for number in range(1001, 1011):
        Path(film.clip.path(number)).unlink(missing_ok=True)
    with pytest.raises(HostError, match="and 1 more"):
        source.direct(clip, (1003, 1008))


def test_an_input_lut_makes_resolve_render(film: Film) -> None:
    """What Resolve shows of a clip with an input LUT is not what its files hold: they are not taken."""
    film.clip.properties["Input LUT"] = "film.cube"
    clip = clip_of(film.host.wrap(film.timeline), film.host.wrap(film.item))
    assert source.direct(clip, (1003, 1008)) is None
