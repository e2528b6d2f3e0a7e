"""Clips one after the other: one that fails does not stop the next, the user can, and nothing half goes back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import List, Tuple

import pytest
from fakes.resolve_host import pictures, scene
from fakes.resolve_host.snapshot import difference, snapshot
from fakes.resolve_runs import CopyClient, Film
from harmovid_resolve import versions
from harmovid_resolve.batch import Said, rerun, summary
from harmovid_resolve.contract import RunRequest, Task
from harmovid_resolve.errors import HostError

ORANGE = {"selection": "colour", "clip_colour": "Orange"}


@pytest.fixture
def three(film: Film) -> Film:
    """Return a film with three orange clips; the second is damaged."""
    broken = film.add_clip(
        scene.write_sequence(
            film.folder / "broken", {n: pictures.read(film.clip.path(n)) for n in range(1001, 1005)}
        ),
        1001,
        1004,
    )
    items = [film.item, scene.place(film.timeline, broken), scene.place(film.timeline, film.clip, last=1002)]
    for item in items:
        item.color = "Orange"
    pictures.cut_in_half(broken.path(1002))
    return film


def test_a_clip_that_fails_does_not_stop_the_rest(three: Film) -> None:
    """The others are back, and the summary names the trouble first."""
    outcomes = three.run(CopyClient(), way="track", **ORANGE)
    assert [one.state for one in outcomes] == ["returned", "failed", "returned"]
    assert [one.frames for one in outcomes] == [6, 0, 2]
    lines = summary(outcomes).splitlines()
    assert lines[0] == "2 of 3 clips are back."
    assert "frame 1002 is cut off" in lines[1]
    assert lines[2] == "plate.[1001-1010].exr: 6 frames, on a new track."


def test_a_clip_that_fails_on_a_shared_track_is_taken_off_it(film: Film) -> None:
    """Its result goes, that of the clip before it stays, though the user is on a page where clips cannot be deleted."""
    second = scene.place(film.timeline, film.clip, first=1001, last=1002)
    film.item.color = second.color = "Orange"
    copies: List[int] = []

    def fail_second(number: int, name: str) -> None:
        if name == "TimelineItem.CopyGrades":
            copies.append(number)
            film.host.injector.fail_at = number if len(copies) == 2 else None

    film.host.injector.before = fail_second
    outcomes = film.run(CopyClient(), way="track", **ORANGE)
    assert [one.state for one in outcomes] == ["returned", "failed"]
    assert [len(track.items) for track in film.timeline.tracks["video"]] == [2, 0, 1]
    assert [clip.name for clip in film.project.root.folders[0].clips] == ["plate v001"]
    assert film.host.page == "color"


def test_a_look_does_nothing(three: Film) -> None:
    """For each clip it reports what would be done; neither project nor disk is changed."""
    before, client = snapshot(three.host), CopyClient()
    found = three.batch(client, way="track", **ORANGE).look()
    assert [one.state for one in found] == ["ready", "failed", "ready"]
    assert found[0].text == "frames 1003-1008 with 0 and 0 handles, read from its files, in ACEScg."
    assert difference(before, snapshot(three.host)) == []
    assert client.requests == []
    assert not (three.folder / "out").exists()


def test_what_is_left_out_is_in_the_summary(film: Film) -> None:
    """A title among the selected clips is named with its reason."""
    title = scene.place_other(film.timeline, "title", "Text+", film.item.end, 24)
    film.timeline.selected = [film.item, title]
    outcomes = film.run(CopyClient(), way="pool", selection="selected")
    assert [(one.clip, one.state) for one in outcomes] == [
        ("plate.[1001-1010].exr", "returned"), ("Text+", "skipped"),
    ]  # fmt: skip
    assert summary(outcomes).splitlines()[0] == "1 of 1 clips are back."
    assert "is a title or a generator" in summary(outcomes)


def test_a_clip_of_which_resolve_does_not_tell_has_failed(three: Film) -> None:
    """It is not counted as something that is no clip: the summary says that it is not back."""
    three.host.injector.before = lambda number, name: _fail_once(
        three, number, name, "TimelineItem.GetLeftOffset"
    )
    outcomes = three.run(CopyClient(), way="pool", **ORANGE)
    assert sorted(one.state for one in outcomes) == ["failed", "failed", "returned"]
    assert summary(outcomes).splitlines()[0] == "1 of 3 clips are back."


def _fail_once(film: Film, number: int, name: str, wanted: str) -> None:
    if name == wanted and film.host.injector.fail_at is None:
        film.host.injector.fail_at = number


def test_cancel_in_the_middle(three: Film) -> None:
    """The clip at work is stopped on the server, those that wait are not begun, and the project is as before."""
    before = snapshot(three.host)
    client = CopyClient(during=lambda number: batch.cancel() if number == 1005 else None)
    batch = three.batch(client, way="take", **ORANGE)
    outcomes = batch.run()
    assert [one.state for one in outcomes] == ["cancelled"] * 3
    assert outcomes[0].text == "the job was cancelled."
    assert outcomes[0].frames == 2
    assert [one.text for one in outcomes[1:]] == ["not begun."] * 2
    assert [op for op, _ in client.requests] == ["run", "cancel"]
    assert client.requests[1][1]["job"] == client.requests[0][1]["job"]
    assert difference(before, snapshot(three.host)) == []


def test_what_the_client_is_asked(film: Film) -> None:
    """The request is the contract's: own files as input, results in the version's folder, all of the task."""
    client = CopyClient()
    film.run(
        client, way="pool", handles=1, strength=0.5, luma=0.25, options={"window": 3}, server="tcp://a:1"
    )
    ((op, fields),) = client.requests
    request = RunRequest.from_dict(fields)
    assert op == "run"
    assert request.inputs == {"plate": str(film.folder / "plate" / "plate.####.exr")}
    assert request.out == str(film.folder / "out" / "plate" / "v001" / "plate_v001.####.exr")
    assert (request.frames, request.context) == ("1003-1008", "1002-1002,1009-1009")
    assert (request.colour["space"], request.label) == (
        "ACEScg", "Film plate.[1001-1010].exr",
    )  # fmt: skip
    assert (request.strength, request.luma, request.options, request.server) == (
        0.5, 0.25, {"window": 3}, "tcp://a:1",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ({"event": "failed", "error": "nobody answers.", "fix": "Start it.", "code": "unreachable"},
         "nobody answers. Start it."),
        ({"event": "nonsense"}, "the client process ended without a message. Try again."),
    ],
)  # fmt: skip
def test_what_the_client_reports_reaches_the_user(film: Film, event: dict, said: str) -> None:
    """Its error and fix are the outcome's words; a client that just ends is one, too."""
    before = snapshot(film.host)
    outcome = film.run(CopyClient(failure=event), way="take")[0]
    assert (outcome.state, outcome.text) == ("failed", said)
    assert versions.load(outcome.folder).state == "failed"
    assert difference(before, snapshot(film.host)) == []


def test_a_fault_of_ours_in_one_clip_does_not_lose_the_others(
    three: Film, capsys: pytest.CaptureFixture
) -> None:
    """It is an outcome with the exception's name, and the traceback is on the console."""

    def break_once(number: int) -> None:
        if number == 1004:
            raise ZeroDivisionError("three")

    outcomes = three.run(CopyClient(during=break_once), way="pool", **ORANGE)
    assert [one.state for one in outcomes] == ["failed", "failed", "returned"]
    assert outcomes[0].text == "something went wrong: ZeroDivisionError('three')."
    assert "Traceback" in capsys.readouterr().err


def test_missing_frames_are_made_again(film: Film) -> None:
    """A version that lacks frames is kept and told; the same request makes them, and then it goes back."""
    before = snapshot(film.host)
    outcome = film.run(CopyClient(missing=[1005, 1007]), way="take")[0]
    assert (outcome.state, outcome.frames) == ("partly", 4)
    assert outcome.text.startswith("2 frames have no result: 1005, 1007. Nothing went back yet")
    assert difference(before, snapshot(film.host)) == []
    client = CopyClient()
    again = rerun(film.session(), client, outcome.folder)
    assert (again.state, again.frames, again.folder) == ("returned", 6, outcome.folder)
    assert client.requests[0][1] == {**versions.load(outcome.folder).request, "overwrite": True}
    assert len(film.item.takes) == 2
    assert versions.load(outcome.folder).state == "returned"


def test_what_only_did_not_get_back_is_not_made_again(film: Film) -> None:
    """Results that are whole on the disk go back without a run; what is back already does not go back twice."""
    film.host.injector.before = lambda number, name: _fail(film, number, name == "MediaPool.ImportMedia")
    outcome = film.run(CopyClient(), way="track")[0]
    assert (outcome.state, outcome.frames) == ("failed", 6)
    assert "refused ImportMedia" in outcome.text
    film.host.injector.before = lambda number, name: None
    film.host.injector.fail_at = None
    client = CopyClient()
    again = rerun(film.session(), client, outcome.folder)
    assert (again.state, client.requests) == ("returned", [])
    assert len(film.shown()) == 1
    twice = rerun(film.session(), client, outcome.folder)
    assert twice.text == "v001 of plate.[1001-1010].exr is complete and in the project already."
    assert len(film.shown()) == 1


def _fail(film: Film, number: int, here: bool) -> None:
    if here:
        film.host.injector.fail_at = number


def test_a_result_that_is_damaged_on_the_disk_is_missing(film: Film) -> None:
    """Files count, not events: half a file is made again."""

    def cut(number: int) -> None:
        if number == 1008:
            path = film.folder / "out" / "plate" / "v001" / "plate_v001.1006.exr"
            data = path.read_bytes()
            path.unlink()  # it is a link to the plate, which stays whole
            path.write_bytes(data[:-10])

    outcome = film.run(CopyClient(during=cut), way="take")[0]
    assert outcome.state == "partly"
    assert "1006" in outcome.text


def test_rendered_frames_stay_while_they_are_needed(film: Film) -> None:
    """They are there as long as frames are missing, and go with the return."""
    outcome = film.run(CopyClient(missing=[1005]), way="track", source="graded")[0]
    inputs = Path(outcome.folder) / "in"
    assert len(os.listdir(inputs)) == 6
    assert rerun(film.session(), CopyClient(), outcome.folder).state == "returned"
    assert not inputs.exists()


def test_a_version_of_another_project_is_not_returned(film: Film, tmp_path: Path) -> None:
    """The clip is looked for by its id; where it is not, nothing is done."""
    outcome = film.run(CopyClient(missing=[1005]), way="take")[0]
    other = Film(tmp_path / "other")
    before = snapshot(other.host)
    with pytest.raises(HostError, match="is not in this project"):
        rerun(other.session(), CopyClient(), outcome.folder)
    assert difference(before, snapshot(other.host)) == []
    with pytest.raises(HostError, match="cannot be read"):
        rerun(film.session(), CopyClient(), str(tmp_path))
    versions.save(outcome.folder, versions.load(outcome.folder), request={})
    with pytest.raises(HostError, match="had no frames yet"):
        rerun(film.session(), CopyClient(), outcome.folder)


def test_progress_names_clip_and_frames(film: Film) -> None:
    """A panel gets the number of the clip and of frames, and a sentence for each step."""
    heard: list = []
    batch = film.batch(CopyClient(), way="pool")
    batch.said = heard.append
    batch.run()
    assert all(isinstance(one, Said) and (one.clip, one.clips) == (1, 1) for one in heard)
    assert max(one.done for one in heard) == 6
    assert heard[-1].text == "plate.[1001-1010].exr: back into the project"


@pytest.mark.parametrize("version", [(18, 5), (18, 6), (19, 0), (19, 1), (20, 3), (21, 0, 4), (21, 1)])
@pytest.mark.parametrize(
    "task", [("take", "source"), ("track", "source"), ("track", "graded"), ("pool", "graded")]
)
def test_every_version_of_resolve(version: Tuple[int, ...], task: Tuple[str, str], tmp_path: Path) -> None:
    """The same task succeeds in each, without a call that it does not have."""
    film = Film(tmp_path, version=version)
    outcome = film.run(CopyClient(), way=task[0], source=task[1])[0]
    assert outcome.state == "returned", outcome.text
    assert film.host.violations == []


@pytest.mark.parametrize("version", [(18, 5), (19, 0)])
def test_a_graded_take_needs_19_1(version: Tuple[int, ...], tmp_path: Path) -> None:
    """Before, a version without a grade cannot be made: refused before anything is."""
    film = Film(tmp_path, version=version)
    before = snapshot(film.host)
    outcome = film.run(CopyClient(), way="take", source="graded")[0]
    assert "the clip would be graded twice. Choose the way `track`" in outcome.text
    assert difference(before, snapshot(film.host)) == []


def test_a_task_that_cannot_be_done_is_refused(film: Film) -> None:
    """Before any clip is looked at."""
    with pytest.raises(HostError, match="way is 'replace'"):
        film.run(CopyClient(), way="replace")


def test_the_record_is_all_that_is_known(film: Film) -> None:
    """Task and request come back from the disk as they were."""
    outcome = film.run(CopyClient(), way="pool", strength=0.5)[0]
    record = versions.load(outcome.folder)
    assert Task.from_dict(record.task) == film.task(way="pool", strength=0.5)
    assert (record.wanted, record.version, record.item) == ("1003-1008", "v001", film.item.id)
    assert record.timeline == film.timeline.id
    assert record.message == "6 frames, in the media pool."
