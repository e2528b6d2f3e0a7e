"""From the clip to the project and back: the stand-in Resolve, real EXR files, a real server, number by number."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Dict, Iterator

import numpy as np
import OpenEXR
import pytest
from fakes.resolve_host import pictures, scene
from fakes.resolve_host.snapshot import difference, snapshot
from fakes.resolve_runs import FIRST, LAST, SHOWN, Film
from fakes.running import RunningServer
from harmovid_resolve.batch import Outcome, rerun
from harmovid_resolve.client import ClientProcess

WAYS = ("take", "track", "pool")


class Seat:
    """A film with a server and the real client process.

    Args:
        film: the film.
        client: the process.
        server: the server's address.
    """

    def __init__(self, film: Film, client: ClientProcess, server: str) -> None:
        self.film, self.client, self.server = film, client, server

    def run(self, **task: Any) -> Outcome:
        """Run a task on the film's clip."""
        return self.film.run(self.client, server=self.server, **task)[0]


@pytest.fixture(scope="module")
def client() -> Iterator[ClientProcess]:
    """Run one client process for the module."""
    with ClientProcess(sys.executable) as process:
        yield process


@pytest.fixture
def seat(film: Film, client: ClientProcess, server: RunningServer) -> Seat:
    """Return all three."""
    return Seat(film, client, server.endpoint)


def darker(pixels: np.ndarray) -> np.ndarray:
    """Return what a colourist made of a picture; exact in float32."""
    return pixels * np.float32(0.5)


def returned(film: Film, way: str) -> Any:
    """Return the media pool clip that came back, found where the way puts it."""
    if way == "take":
        return film.item.takes[film.item.take - 1].clip
    if way == "track":
        return film.shown()[0].clip
    return next(folder for folder in film.project.root.folders if folder.name == "HarmoVid").clips[0]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("source", ["source", "graded"])
def test_frames_come_back_to_the_bit(seat: Seat, way: str, source: str) -> None:
    """With the null engine every pixel that returns is the one that left, negative and far above 1 included, by true
    frame number; what the timeline shows is what it showed.
    """
    film = seat.film
    film.item.grade.nodes[0].function = darker
    before = [seen(film, record) for record in records(film)]
    outcome = seat.run(engine="null", way=way, source=source)
    assert (outcome.state, outcome.frames, outcome.folder[-4:]) == ("returned", 6, "v001"), outcome
    clip = returned(film, way)
    assert (clip.first, clip.last) == SHOWN
    for number in range(SHOWN[0], SHOWN[1] + 1):
        own = pictures.read(film.clip.path(number))
        wanted = darker(own) if source == "graded" else own
        np.testing.assert_array_equal(pictures.read(clip.path(number))[..., :3].view("u4"), wanted.view("u4"))
    after = [seen(film, record) for record in records(film)]
    assert [one.tobytes() for one in after] == [one.tobytes() for one in before]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {
            "colorScienceMode": "davinciYRGBColorManagedv2",
            "colorSpaceInput": "ARRI LogC4",
            "outputDRT": "None",
        },
        {"colorScienceMode": "acescct", "colorAcesIDT": "No Input Transform"},
    ],
    ids=["unmanaged", "log footage", "ACES"],
)
def test_files_come_back_as_they_are(seat: Seat, settings: Dict[str, str]) -> None:
    """Files that are read where they lie give the same channels, pixels and attributes in every colour science; what
    is added is ours alone, and frames beside those asked for have no result.
    """
    film = seat.film
    film.project.settings.update(settings)
    outcome = seat.run(engine="null", way="pool", handles=1, colour_space="")
    assert outcome.state == "returned", outcome
    clip = returned(film, "pool")
    assert len(list(Path(clip.pattern).parent.glob("*.exr"))) == 6
    for number in range(SHOWN[0], SHOWN[1] + 1):
        with OpenEXR.File(film.clip.path(number)) as own, OpenEXR.File(clip.path(number)) as made:
            before, after = dict(own.header()), dict(made.header())
            assert {name for name in after if name not in before} == {
                "harmovid/engine", "harmovid/grade", "harmovid/strength",
            }  # fmt: skip
            assert {name: str(before[name]) for name in before} == {name: str(after[name]) for name in before}
            assert own.channels()["RGB"].pixels.tobytes() == made.channels()["RGB"].pixels.tobytes()


def test_a_part_of_a_shot_fits_the_whole(seat: Seat) -> None:
    """With its handles, a clip that was cut gets the results that the uncut one gets."""
    film = seat.film
    part = seat.run(engine="deflicker", way="pool", handles=2)
    film.timeline.tracks["video"][0].items.clear()
    scene.place(film.timeline, film.clip)
    whole = seat.run(engine="deflicker", way="pool")
    assert (part.frames, whole.frames) == (6, 10)
    for number in range(SHOWN[0], SHOWN[1] + 1):
        results = [
            pictures.read(f"{one.folder}/plate_{one.folder[-4:]}.{number}.exr") for one in (part, whole)
        ]
        np.testing.assert_array_equal(*results)


def test_flicker_is_taken_out(seat: Seat) -> None:
    """The deflicker's result is steadier than the plate on the timeline, and the plate's files are untouched."""
    film = seat.film
    plates = {number: Path(film.clip.path(number)).read_bytes() for number in range(FIRST, LAST + 1)}
    before = [float(np.median(seen(film, record))) for record in records(film)]
    outcome = seat.run(engine="deflicker", way="track", handles=2)
    assert outcome.state == "returned", outcome
    after = [float(np.median(seen(film, record))) for record in records(film)]
    assert np.std(after) < 0.5 * np.std(before)
    assert {number: Path(film.clip.path(number)).read_bytes() for number in plates} == plates


def test_missing_frames_are_the_same_when_made_later(seat: Seat) -> None:
    """Results that were lost are made again to the bit by the same request, though the engine sees neighbours."""
    outcome = seat.run(engine="deflicker", way="pool", handles=1)
    whole = {path.name: path.read_bytes() for path in Path(outcome.folder).glob("*.exr")}
    for name in ("plate_v001.1004.exr", "plate_v001.1007.exr"):
        (Path(outcome.folder) / name).unlink()
    again = rerun(seat.film.session(), seat.client, outcome.folder)
    assert (again.state, again.frames) == ("returned", 6), again
    assert {path.name: path.read_bytes() for path in Path(outcome.folder).glob("*.exr")} == whole


def test_a_server_that_is_not_there_is_a_sentence(seat: Seat) -> None:
    """The outcome says that nobody answers and what to do; the project is as before."""
    before = snapshot(seat.film.host)
    seat.server = "tcp://127.0.0.1:9"
    outcome = seat.run(engine="null", way="take")
    assert outcome.state == "failed"
    assert "127.0.0.1:9" in outcome.text
    assert difference(before, snapshot(seat.film.host)) == []


def records(film: Film) -> range:
    """Return the frames of the timeline that the clip covers."""
    return range(film.item.start, film.item.end)


def seen(film: Film, record: int) -> np.ndarray:
    """Return what the timeline shows at a frame."""
    return pictures.frame_of(film.project, film.timeline, record, film.timeline.size, film.host.lut_folder)
