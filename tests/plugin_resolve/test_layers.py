"""Inputs from the engine's description: their rows in the panel, where they come from, and their pixels at a server."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any, Dict, Iterator

import numpy as np
import pytest
from fakes import studio_engine
from fakes.resolve_host import model, pictures, scene
from fakes.resolve_host.snapshot import difference, snapshot
from fakes.resolve_runs import CopyClient, Film
from fakes.running import RunningServer
from harmovid.cli import main as harmovid
from harmovid.pixels import exr
from harmovid.pixels.colour.primaries import AP0
from harmovid_resolve import layers
from harmovid_resolve.client import ClientProcess
from harmovid_resolve.clip import clip_of
from harmovid_resolve.contract import Task
from harmovid_resolve.errors import HostError
from harmovid_resolve.inputs import Inputs, Plan
from harmovid_resolve.rows import Row, rows, task_of

ENGINES = [studio_engine.INFO.to_dict(), studio_engine.FOR_PLATES.to_dict()]
SHOWN = range(503, 507)
"""The foreground's frames on the timeline; its handles reach from 502 to 507."""


def shown(values: Dict[str, Any]) -> Dict[str, Row]:
    """Return the rows of the Inputs page by name."""
    return {row.name: row for row in rows(values, ENGINES) if row.page == "Inputs"}


def values_of(**changes: Any) -> Dict[str, Any]:
    """Return a panel's values for the made-up engine."""
    return {**Task().to_dict(), "engine": studio_engine.NAME, "folder": "/out", **changes}


def test_a_new_engine_brings_its_rows() -> None:
    """Each layer beside the clip's own is a row with the engine's words; images may be clips, the rest comes from
    files, and what is optional may be left out.
    """
    found = shown(values_of())
    assert list(found) == [layers.LAYER + layer.name for layer in studio_engine.INFO.layers[1:]]
    for layer in studio_engine.INFO.layers[1:]:
        row = found[layers.LAYER + layer.name]
        assert (row.label, row.help) == (layer.label, layer.help)
    assert found["layer.bg"].choices == ("below", "track", "file")
    assert found["layer.clean_plate"].choices == ("none", "below", "track", "file")
    assert all(
        found["layer." + name].choices == ("none", "file") for name in ("matte", "dirt", "facing", "sky")
    )
    only = {**values_of(), "engine": "nothing known"}
    assert [row.kind for row in shown(only).values()] == ["line"]


def test_what_is_chosen_is_in_the_task() -> None:
    """A track has a number, files have names; without a name the sentence says which input lacks it."""
    values = values_of(**{"layer.clean_plate": "track", "layer_track.clean_plate": 3, "layer.sky": "file"})
    assert {"layer_track.clean_plate", "layer_file.sky"} <= set(shown(values))
    with pytest.raises(HostError, match="no files are named for Sky"):
        task_of(values, ENGINES)
    values["layer_file.sky"] = "/show/sky.%04d.exr"
    task = task_of(values, ENGINES).checked()
    assert task.layers == {
        "fg": "clip", "bg": "below", "clean_plate": "track:3", "sky": "file:/show/sky.%04d.exr",
    }  # fmt: skip
    assert (task.kinds["facing"], task.kinds["sky"]) == ("vectors", "panorama")
    assert layers.file_of(task.layers["sky"]) == "/show/sky.####.exr"
    assert Task.from_dict(task.to_dict()) == task


@pytest.mark.parametrize("where", ["", "above", "track:", "track:0", "track:x", "file:", "file: ", "clip "])
def test_what_is_no_place_is_none(where: str) -> None:
    """A task that was edited by hand cannot send something else than it says."""
    assert not layers.is_known(where)
    with pytest.raises(HostError, match="layers come from"):
        Task(folder="/out", layers={"fg": "clip", "bg": where}).checked()


@pytest.fixture
def stack(film: Film) -> model.Item:
    """Return a foreground on V2 over the film's clip, with a clean plate on V3, which is switched off."""
    rng = np.random.default_rng(3)
    fg = {n: rng.uniform(0.05, 0.9, (8, 16, 4)).astype(np.float32) for n in range(501, 509)}
    clean = {n: rng.uniform(0.05, 0.9, (8, 16, 3)).astype(np.float32) for n in range(1, 11)}
    clips = [
        film.add_clip(
            scene.write_sequence(film.folder / name, frames, name, half=False), min(frames), max(frames)
        )
        for name, frames in (("fg", fg), ("clean", clean))
    ]
    film.timeline.tracks["video"].append(model.Track("Video 3", "video"))
    item = scene.place(film.timeline, clips[0], track=2, start=film.item.start + 1, first=503, last=506)
    scene.place(film.timeline, clips[1], track=3, start=film.item.start, first=2, last=9)
    film.timeline.tracks["video"][2].enabled = False
    film.timeline.playhead = item.start
    return item


def planned(film: Film, item: Any, **task: Any) -> Plan:
    """Return the plan for an item."""
    clip = clip_of(film.host.wrap(film.timeline), film.host.wrap(item))
    return Inputs(film.session()).plan(clip, film.task(**task))


def write(folder: Path, name: str, frames: Any, size: Any = (16, 8), primaries: Any = None) -> str:
    """Write files of a layer, one a frame or one for all; return their pattern."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(len(name))
    said = {"chromaticities": exr.Attribute.of("chromaticities", primaries)} if primaries else {}
    header = exr.PartHeader.make((0, 0, *size), attributes=said)
    for number in frames or [None]:
        planes = {channel: rng.uniform(-0.5, 2.0, size[::-1]).astype(np.float32) for channel in "RGB"}
        path = folder / (f"{name}.exr" if number is None else f"{name}.{number:04d}.exr")
        exr.write(exr.make_frame(header, planes), path)
    return str(folder / (f"{name}.####.exr" if frames else f"{name}.exr"))


def test_a_clip_on_another_track_is_found(film: Film, stack: model.Item) -> None:
    """It is the one over the same frames, whether its track is on or off; the plan names it, and no other is taken."""
    where = {"fg": "clip", "bg": "below", "clean_plate": "track:3"}
    found = planned(film, stack, layers=where, way="pool")
    assert found.layers["clean_plate"].name.startswith("clean")
    assert "clean_plate from clean.[0001-0010].exr on V3." in found.said()
    for track, words in ((2, "no other clip on V2"), (9, "The timeline has V1 to V3")):
        with pytest.raises(HostError, match=words):
            planned(film, stack, layers={**where, "clean_plate": f"track:{track}"}, way="pool")


def test_files_are_looked_at_before_anything_is_made(film: Film, stack: model.Item, tmp_path: Path) -> None:
    """Missing frames, another size and a file that is not there are refused with the input's name and what to do; a
    panorama may have any size.
    """
    before = snapshot(film.host)

    def refused(name: str, pattern: str) -> str:
        task = {"layers": {"fg": "clip", "bg": "below", name: f"file:{pattern}"}, "way": "pool"}
        outcome = film.run(CopyClient(), kinds=layers.kinds_of(ENGINES[0]), **task)[0]
        assert (outcome.state, outcome.folder) == ("failed", "")
        return outcome.text

    short = write(tmp_path / "short", "n", range(503, 506))
    assert "facing: of n.####.exr frame 506 is not there" in refused("facing", short)
    assert "numbered as the clip's source: 503-506" in refused("facing", short)
    wide = write(tmp_path / "wide", "n", range(503, 507), (20, 8))
    assert "facing: its files are 20 x 8" in refused("facing", wide)
    assert "sky: nowhere.exr is not there" in refused("sky", str(tmp_path / "nowhere.exr"))
    assert difference(before, snapshot(film.host)) == []
    sky = write(tmp_path / "sky", "sky", (), (20, 10))
    task = {"layers": {"fg": "clip", "bg": "below", "sky": f"file:{sky}"}, "kinds": {"sky": "panorama"}}
    assert planned(film, stack, way="pool", **task).given == {"sky": sky}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Run one server for the module, with the engines of another package."""
    folder = tmp_path_factory.mktemp("server")
    environ = studio_engine.installed(folder / "packages")
    with RunningServer(folder, "--codecs", "1", echo=False, environ=environ) as running:
        yield running


@pytest.fixture(scope="module")
def client() -> Iterator[ClientProcess]:
    """Run one client process for the module."""
    with ClientProcess(sys.executable) as process:
        yield process


@pytest.mark.parametrize("from_files", [False, True], ids=["clip on a track", "files"])
def test_a_new_engine_gets_what_the_command_line_gets(
    film: Film,
    stack: model.Item,
    tmp_path: Path,
    server: RunningServer,
    client: ClientProcess,
    from_files: bool,
) -> None:
    """All inputs of an engine that nobody knew, set in the panel's rows: results have the bits of the command line's on
    the same pixels. Files keep the primaries that they name, whatever the clips are in.
    """
    numbers = range(502, 508)
    given = {
        "dirt": write(tmp_path / "dirt", "dirt", numbers), "facing": write(tmp_path / "n", "n", numbers),
        "sky": write(tmp_path / "sky", "sky", (), (20, 10)),
    }  # fmt: skip
    if from_files:
        given["clean_plate"] = write(tmp_path / "clean plate", "c", numbers, primaries=AP0)
    chosen: Dict[str, Any] = {"layer.clean_plate": "track", "layer_track.clean_plate": 3}
    for name, pattern in given.items():
        chosen.update({layers.LAYER + name: "file", layers.LAYER_FILE + name: pattern})
    about = {"server": server.endpoint, "folder": str(film.folder / "out"), "way": "pool", "handles": 1}
    values = values_of(**about, colour_space="ACEScg", **chosen)
    task = task_of(values, ENGINES)
    outcome = film.run(client, **task.to_dict())[0]
    assert outcome.state == "returned", outcome

    for name, own in (("fg", lambda n: f"fg/fg.{n:04d}.exr"), ("bg", lambda n: film.clip.path(1004 + n - 503)),
                      ("clean", lambda n: f"clean/clean.{3 + n - 503:04d}.exr")):  # fmt: skip
        for n in numbers:
            target = tmp_path / "cli" / f"{name}.{n:04d}.exr"
            target.parent.mkdir(exist_ok=True)
            shutil.copy(film.folder / own(n), target)
    clean = given.get("clean_plate", str(tmp_path / "cli" / "clean.####.exr"))
    words = ["harmonize", str(tmp_path / "cli" / "fg.####.exr"), str(tmp_path / "cli" / "bg.####.exr")]
    words += ["--engine", studio_engine.NAME, "--clean-plate", clean, "--dirt", given["dirt"]]
    words += ["--facing", given["facing"], "--sky", given["sky"], "--frames", "503-506", "--handles", "1"]
    for name in ("fg", "bg", *(() if from_files else ("clean_plate",))):
        words += ["--colorspace", f"{name}=ACEScg"]
    words += ["-o", str(tmp_path / "cli" / "out.####.exr"), "-q", "--server", server.endpoint]
    assert harmovid(words) == 0
    for n in SHOWN:
        made = pictures.read(f"{outcome.folder}/fg_v001.{n:04d}.exr")
        wanted = pictures.read(str(tmp_path / "cli" / f"out.{n:04d}.exr"))
        np.testing.assert_array_equal(made, wanted)
        assert (made != pictures.read(str(tmp_path / "cli" / f"fg.{n:04d}.exr"))).any()
