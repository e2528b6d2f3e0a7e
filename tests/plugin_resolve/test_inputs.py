"""How the frames of a clip are got is known, said and checked before anything is done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.resolve_host import pictures, scene
from fakes.resolve_host.snapshot import difference, snapshot
from fakes.resolve_runs import SHOWN, CopyClient, Film
from harmovid_resolve.clip import clip_of
from harmovid_resolve.errors import HostError
from harmovid_resolve.inputs import Inputs, Plan


def plan(film: Film, item: Any = None, **task: Any) -> Plan:
    """Return the plan for the film's clip, or another one."""
    clip = clip_of(film.host.wrap(film.timeline), film.host.wrap(item or film.item))
    return Inputs(film.session()).plan(clip, film.task(**task))


def test_a_plan_says_what_will_be_done(film: Film) -> None:
    """Frames, handles, way and colour are in one sentence, and the project is as before."""
    before = snapshot(film.host)
    assert plan(film, handles=1).said() == (
        "frames 1003-1008 with 1 and 1 handles, read from its files, in ACEScg."
    )
    assert plan(film, source="graded").said().endswith("0 and 0 handles, rendered by Resolve, in ACEScg.")
    assert difference(before, snapshot(film.host)) == []


def test_fewer_handles_than_asked_for_are_reported(film: Film) -> None:
    """With what there is; graded frames have none."""
    found = plan(film, handles=5)
    assert found.frames == (1001, 1010)
    assert found.warnings == ("of 5 handles the source has 2 before and 2 after.",)
    found = plan(film, handles=5, source="graded")
    assert found.frames == SHOWN
    assert "graded frames have no handles" in found.warnings[0]


def test_what_is_assumed_of_the_colour_is_a_warning(film: Film) -> None:
    """Without a word from project or user, files are taken as linear light, and that is said with the clip's name."""
    found = plan(film, colour_space="")
    assert found.warnings == (
        "plate.[1001-1010].exr: the files were taken as linear light, with the primaries that they name or Rec.709's.",
    )
    with pytest.raises(HostError, match="not colour managed"):
        plan(film, colour_space="", source="graded")


def test_background_and_foreground_share_their_numbers(film: Film) -> None:
    """A clip over another one: both layers are rendered, the lower one's frames numbered as the upper one's."""
    pattern = scene.write_sequence(
        film.folder / "fg", {n: np.full((8, 16, 4), n / 1000) for n in range(501, 509)}, "fg", half=False
    )
    fg = film.add_clip(pattern, 501, 508)
    item = scene.place(film.timeline, fg, track=2, start=film.item.start + 1, first=503, last=506)
    film.timeline.playhead = item.start
    before = snapshot(film.host)
    client = CopyClient()
    layers = {"fg": "clip", "bg": "below"}
    outcome = film.run(client, engine="harmonize", layers=layers, way="pool", handles=1)[0]
    assert outcome.state == "returned", outcome.text
    (_, fields) = client.requests[0]
    assert (fields["frames"], fields["context"]) == ("503-506", "502-502,507-507")
    assert set(fields["inputs"]) == {"fg", "bg"}
    assert list(fields["inputs"]) == ["fg", "bg"]
    assert [line for line in difference(before, snapshot(film.host)) if "/pool" not in line] == []


def test_layers_are_what_lies_over_each_other(film: Film) -> None:
    """On the disk, background frame n is what lies under foreground frame n, handles included, alpha kept."""
    from harmovid_resolve.render import Render
    from harmovid_resolve.source import path_of

    pixels = {n: np.full((8, 16, 4), n / 1000, np.float32) for n in range(501, 509)}
    fg = film.add_clip(scene.write_sequence(film.folder / "fg", pixels, "fg", half=False), 501, 508)
    item = scene.place(film.timeline, fg, track=2, start=film.item.start + 1, first=503, last=506)
    found = plan(film, item, engine="harmonize", layers={"fg": "clip", "bg": "below"}, handles=1, way="pool")
    assert (found.wanted, found.frames) == ((503, 506), (502, 507))
    made = Inputs(film.session()).make(found, Render(film.session(), lambda _: None), str(film.folder / "in"))
    for number in range(502, 508):
        np.testing.assert_array_equal(pictures.read(path_of(made["fg"], number)), pixels[number])
        own = film.clip.path(SHOWN[0] + 1 + number - 503)
        np.testing.assert_array_equal(pictures.read(path_of(made["bg"], number))[..., :3], pictures.read(own))


def test_resolve_renders_into_its_media_storage_alone(film: Film, tmp_path: Path) -> None:
    """A folder outside is refused before anything is made, with the place to add it; files need no rendering."""
    film.host.quirks.storage_opens_dialog = True
    film.host.volumes = [str(tmp_path / "media")]
    before = snapshot(film.host)
    outcome = film.run(CopyClient(), way="track", source="graded")[0]
    assert (outcome.state, outcome.folder) == ("failed", "")
    assert "is in none of Resolve's media storage locations. Choose a folder in one of them" in outcome.text
    assert difference(before, snapshot(film.host)) == []
    assert film.run(CopyClient(), way="pool", source="source")[0].state == "returned"
    film.host.volumes = []
    assert plan(film, source="graded").files == ""


def test_layers_of_different_sizes_are_refused(film: Film) -> None:
    """Both sizes are named."""
    fg = film.add_clip(scene.write_sequence(film.folder / "fg", {1: np.ones((9, 16, 3))}, "fg"), 1, 1)
    item = scene.place(film.timeline, fg, track=2, start=film.item.start)
    film.timeline.playhead = item.start
    outcome = film.run(CopyClient(), layers={"fg": "clip", "bg": "below"}, way="pool")[0]
    assert outcome.state == "failed"
    assert "16 x 9" in outcome.text
    assert "16 x 8" in outcome.text
