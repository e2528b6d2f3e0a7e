"""Films in a watched folder, through a real ffmpeg and a server: frames, results, a film again, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from core.reference_server import ReferenceServer
from core.watch.test_ledger import journals, looked, told
from core.watch.test_watcher import state_of
from fakes.films import WIDTH, film, planes
from harmovid.client import Client
from harmovid.pixels.films.program import DEMUXERS
from harmovid.watch import films
from harmovid.watch import status as states

SPACE = "colorspace = Gamma 2.4 Encoded Rec.709\n"


@pytest.fixture
def client(server: ReferenceServer) -> Iterator[Client]:
    """Yield a client of the reference server, whose engine gives the plate back."""
    with Client(server.address) as it:
        yield it


def drop_film(
    folder: Path,
    words: str = SPACE,
    count: int = 4,
    name: str = "shot",
    sound: bool = False,
    width: int = WIDTH,
) -> Path:
    """Drop a film and its job file; return the job file."""
    film(folder / f"{name}.mkv", [planes(seed, width=width) for seed in range(count)], sound=sound)
    job = folder / f"{name}.job"
    job.write_text(f"[job]\nengine = null\nplate = {name}.mkv\n{words}", encoding="utf-8")
    return job


def names(folder: Path) -> list[str]:
    """Return the files of a folder."""
    return sorted(path.name for path in folder.iterdir())


def test_a_film_gives_results_and_a_film(tmp_path: Path, client: Client) -> None:
    """A dropped film is decoded, run, and written again with the same numbers; nothing else stays."""
    job = drop_film(tmp_path, SPACE + "first = 1001\nfilm = flat.mkv\n", sound=True)

    looked(tmp_path, client)

    status = told(job)
    assert (status.state, status.error, status.delivered) == (states.DONE, "", 4)
    assert names(tmp_path / "shot.out") == [f"plate.{n}.exr" for n in range(1001, 1005)]
    assert names(tmp_path) == ["flat.mkv", "shot.job", "shot.mkv", "shot.out", "shot.status.json"]
    assert decoded_bytes(tmp_path / "flat.mkv") == decoded_bytes(tmp_path / "shot.mkv")
    assert client.engines()
    looked(tmp_path, client)
    assert told(job) == status, "a job that is done is left alone"


def decoded_bytes(path: Path) -> bytes:
    """Return all numbers of a film."""
    import subprocess

    from harmovid.pixels.films.program import program

    words = [program(), "-v", "error", "-i", str(path), "-map", "0:v", "-f", "rawvideo", "-"]
    return subprocess.run(words, check=True, capture_output=True).stdout


def test_the_server_is_told_the_films_space(tmp_path: Path, client: Client, server: ReferenceServer) -> None:
    """The job that the server gets names the colour space of the codes."""
    drop_film(tmp_path)
    looked(tmp_path, client)

    (spec,) = [job.spec for job in server.jobs.values()]
    assert spec["colorspace"] == {"plate": "Gamma 2.4 Encoded Rec.709"}


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ("", "does not say in which colour space"),
        (SPACE + "matrix = yuv\n", "matrix in shot.job is 'yuv'"),
        (SPACE + "first = one\n", "first in shot.job is 'one'"),
        (SPACE + "film = shot.gif\n", "no film that is written"),
        (SPACE + "film = nowhere/flat.mkv\n", "there is no folder"),
        (SPACE + "frames = one\n", "one"),
        (SPACE + "strength = 9\n", "strength is 9"),
        (SPACE + "handles = few\n", "handles in shot.job is 'few'"),
        (SPACE + "[options]\nlevel = 1\n", "no option 'level'"),
        ("colorspace = Gama 2.4 Encoded Rec.709\n", "no colour space 'Gama 2.4 Encoded Rec.709'"),
    ],
)
def test_what_cannot_be_meant_is_reported_before_anything_is_decoded(
    tmp_path: Path, client: Client, words: str, what: str
) -> None:
    """A film without a colour space, and words that cannot be used, block the job with a sentence and a fix."""
    job = drop_film(tmp_path, words)
    client.is_private = True  # the colour spaces are those of this machine
    looked(tmp_path, client)

    assert state_of(job) == states.BLOCKED
    assert what in told(job).error
    assert told(job).fix
    assert not (tmp_path / "shot.in").exists()


def test_the_colour_spaces_of_a_server_elsewhere_are_its_own(tmp_path: Path, client: Client) -> None:
    """A name that this machine does not know is sent; the server decides."""
    job = drop_film(tmp_path, "colorspace = Studio Log\n")
    looked(tmp_path, client)
    assert state_of(job) == states.DONE


def test_a_film_whose_form_does_not_fit_is_reported_before_it_is_decoded(
    tmp_path: Path, client: Client
) -> None:
    """An .mp4 has even sides: known from the film's head, not found at the end of the work."""
    job = drop_film(tmp_path, SPACE + "film = flat.mp4\n", width=33)
    looked(tmp_path, client)
    assert state_of(job) == states.FAILED
    assert "even sides" in told(job).error
    assert names(tmp_path) == ["shot.job", "shot.mkv", "shot.status.json"]


@pytest.mark.parametrize("name", ["shot.mkv", "../drop/shot.mkv", "link.mkv", "hard.mkv"])
def test_the_film_of_the_results_never_replaces_the_input_film(
    tmp_path: Path, client: Client, name: str
) -> None:
    """Not with overwrite = yes either, and not under another name: footage stays, and the job does not begin."""
    folder = tmp_path / "drop"
    folder.mkdir()
    job = drop_film(folder, SPACE + f"film = {name}\noverwrite = yes\n")
    before = (folder / "shot.mkv").read_bytes()
    (folder / "link.mkv").symlink_to("shot.mkv")
    (folder / "hard.mkv").hardlink_to(folder / "shot.mkv")
    looked(folder, client)

    assert (folder / "shot.mkv").read_bytes() == before
    assert state_of(job) == states.BLOCKED
    assert "is one of the inputs" in told(job).error


def test_a_film_of_no_film_is_refused(tmp_path: Path, client: Client) -> None:
    """EXR frames have no form that a film of the results could take."""
    job = drop_film(tmp_path, SPACE + "film = flat.mkv\n")
    (tmp_path / "shot").mkdir()
    job.write_text("[job]\nengine = null\nplate = shot/\nfilm = flat.mkv\n")
    looked(tmp_path, client)

    assert "none of its inputs is one" in told(job).error


def test_a_damaged_film_fails_once(tmp_path: Path, client: Client) -> None:
    """A film that cannot be read fails the job; it is not tried again before it changes, and then runs."""
    job = drop_film(tmp_path)
    whole = (tmp_path / "shot.mkv").read_bytes()
    (tmp_path / "shot.mkv").write_bytes(whole[: len(whole) // 2])
    looked(tmp_path, client)
    failed = told(job)
    assert failed.state == states.FAILED
    assert not (tmp_path / "shot.in").exists(), "frames of a film that fails are of no use"
    looked(tmp_path, client)
    assert told(job) == failed

    (tmp_path / "shot.mkv").write_bytes(whole)
    looked(tmp_path, client)

    assert state_of(job) == states.DONE


def test_a_changed_film_replaces_its_own_results_only(tmp_path: Path, client: Client) -> None:
    """A new cut of a film is done again, frames and film; a film that somebody else made is never replaced."""
    words = SPACE + "film = flat.mkv\n"
    job = drop_film(tmp_path, words)
    looked(tmp_path, client)
    drop_film(tmp_path, words, count=6)
    looked(tmp_path, client)
    assert (state_of(job), told(job).delivered) == (states.DONE, 6)
    assert decoded_bytes(tmp_path / "flat.mkv") == decoded_bytes(tmp_path / "shot.mkv")

    (tmp_path / "flat.mkv").write_bytes(b"the editor's own")
    drop_film(tmp_path, words, count=3)
    looked(tmp_path, client)

    assert state_of(job) == states.BLOCKED
    assert "flat.mkv is there already" in told(job).error
    assert (tmp_path / "flat.mkv").read_bytes() == b"the editor's own"


def test_a_foreign_folder_is_not_touched(tmp_path: Path, client: Client) -> None:
    """A folder of the decoded frames' name that is not ours stops the job, and keeps what is in it."""
    job = drop_film(tmp_path)
    (tmp_path / "shot.in").mkdir()
    (tmp_path / "shot.in" / "plate.0001.exr").write_bytes(b"mine")
    looked(tmp_path, client)

    assert "is not of this job" in told(job).error
    assert names(tmp_path / "shot.in") == ["plate.0001.exr"]


def test_frames_are_kept_where_asked(tmp_path: Path, client: Client) -> None:
    """keep_frames leaves the decoded frames, and no journal."""
    drop_film(tmp_path, SPACE + "keep_frames = yes\nframes = 2-3\n")
    looked(tmp_path, client)

    assert names(tmp_path / "shot.in") == ["film.json", *(f"plate.{n:04d}.exr" for n in range(1, 5))]
    assert names(tmp_path / "shot.out") == ["plate.0002.exr", "plate.0003.exr"]
    assert journals(tmp_path / "shot.out") == []


def test_both_packages_know_the_same_films() -> None:
    """The names that the watcher takes for films are those that are read."""
    assert set(films.EXTENSIONS) == set(DEMUXERS)
