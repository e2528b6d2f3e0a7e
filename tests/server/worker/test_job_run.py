"""One job in the worker: order, bad frames, restarts in every place, engines that break, bounded memory."""

from __future__ import annotations

import dataclasses
import itertools
import threading
from pathlib import Path
from typing import Any, Iterator, List

import numpy as np
import pytest
from fakes.engines_for_tests import MemoryEngine
from fakes.exr_files import plate, same_pixels
from fakes.frames import frame
from fakes.waiting import wait_until
from fakes.worker_rig import JOB, Rig
from harmovid.pixels import exr
from harmovid.pixels.colour.primaries import AP1
from harmovid_server import engines
from harmovid_server.engines.base import ShotInfo
from harmovid_server.worker import checkpoint, job_run
from harmovid_server.worker.codec_pool import CodecPool
from harmovid_server.worker.host import EngineHost, FairLock


@pytest.fixture(scope="module")
def pool() -> Iterator[CodecPool]:
    """Yield two real codec children."""
    made = CodecPool(2)
    yield made
    made.close()


@pytest.fixture
def engine() -> MemoryEngine:
    """Return the engine whose answers depend on all frames before."""
    return MemoryEngine()


@pytest.fixture
def rig(tmp_path: Path, pool: CodecPool, engine: MemoryEngine) -> Rig:
    """Return a job's folder with ten frames of rising brightness."""
    made = Rig(tmp_path, pool, EngineHost([*engines.load(["null"]), engine]))
    for number in range(1, 11):
        made.write("plate", number, shade(number))
    return made


def shade(number: int) -> exr.ExrFrame:
    """Return a frame whose brightness is its number's."""
    value = number / 16
    return frame(R=value, G=value, B=value)


def numbers(messages: List[dict]) -> List[int]:
    """Return the frames of messages, in the order they were said."""
    return [message["frame"] for message in messages]


def data(rig: Rig) -> List[bytes]:
    """Return the pixels of all ten results."""
    return [rig.result(number).channels["R"].tobytes() for number in range(1, 11)]


def test_every_frame_is_pushed_in_order_and_answered_once(rig, engine) -> None:
    """Frames that come in any order are pushed in frame order; each is computed once; then it is finished."""
    job = rig.start("1-10", engine="memory")
    for number in (3, 2, 1, 10, 9, 5, 4, 8, 7, 6):
        job.arrivals.ready(number)
    rig.wait("finished")
    assert engine.pushed == list(range(1, 11))
    assert sorted(numbers(rig.said("computed"))) == list(range(1, 11))
    released = list(itertools.chain(*[message["frames"] for message in rig.said("release")]))
    assert sorted(released) == list(range(1, 11))
    assert engine.activations == 1


class SlowEnding(MemoryEngine):
    """Does its work at the end in parts, and answers then; keeps how many parts are done."""

    info = dataclasses.replace(MemoryEngine.info, name="slow-ending")

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Semaphore(0)
        self.parts = 0

    def start(self, shot: ShotInfo) -> Any:
        """Open a session whose `finish` waits for the test before each part."""
        session: Any = super().start(shot)
        answers, state, restore = session.finish, session.state, session.restore
        done = [0]

        def finish() -> Iterator[Any]:
            while done[0] < 3:
                self.go_on.acquire()
                self.parts += 1
                done[0] += 1
                yield None
            yield from answers()

        def take_up(kept: Any) -> None:
            done[0] = kept["parts"]
            restore(kept)

        session.finish, session.restore = finish, take_up
        session.state = lambda: {**state(), "parts": done[0]}
        return session


def test_long_work_at_the_end_is_kept_in_parts_and_can_be_stopped(tmp_path, pool) -> None:
    """A checkpoint follows a part of the work, a stop ends the job after it, and the next attempt does the rest."""
    engine, clock = SlowEnding(), itertools.count(0, 10)
    rig = Rig(tmp_path, pool, EngineHost([engine]))
    for number in (1, 2):
        rig.write("plate", number, shade(number))
    job = rig.start("1-2", engine="slow-ending", ready=(1, 2), now=lambda: float(next(clock)))
    engine.go_on.release()
    path = rig.folder / checkpoint.STATE
    wait_until(lambda: (found := checkpoint.load(path, "slow-ending 1")) and found.state["parts"] == 1)
    job.arrivals.stop()
    engine.go_on.release()
    rig.thread.join(300)
    assert not rig.thread.is_alive()
    assert rig.said("computed") == []
    assert engine.parts <= 2
    before, kept = engine.parts, checkpoint.load(path, "slow-ending 1").state["parts"]
    for _ in range(3 - kept):
        engine.go_on.release()
    (first, second) = rig.run("1-2", engine="slow-ending", ready=(1, 2), options={"lag": 2})
    assert engine.parts - before == 3 - kept
    assert first["seconds"]["engine"] > 0
    assert (first["frame"], second["frame"]) == (1, 2)


def test_the_null_engine_returns_the_very_frames(tmp_path, pool) -> None:
    """Any channels, types, windows: what comes out is what went in, to the bit."""
    rig = Rig(tmp_path, pool, EngineHost(engines.load(["null"])))
    sources = {number: plate(number + 10) for number in (-2, 0, 5)}
    for number, source in sources.items():
        rig.write("plate", number, source)
    computed = rig.run("-2,0,5", ready=sources)
    assert numbers(computed) == [-2, 0, 5]
    assert all(same_pixels(rig.result(number), source) for number, source in sources.items())


def test_a_frame_is_waited_for_and_nothing_is_skipped(rig, engine) -> None:
    """While a frame is missing, later ones wait; they are not pushed before it."""
    job = rig.start("1-4", engine="memory", ready=[1, 3, 4], options={"lag": 0})
    rig.wait("computed", 1)
    assert engine.pushed == [1]
    job.arrivals.ready(2)
    rig.wait("finished")
    assert engine.pushed == [1, 2, 3, 4]


def test_bad_frames_are_one_error_each_and_neighbours_go_on(rig, engine) -> None:
    """Damaged, missing, wrong-size and absent frames are never pushed; each is reported once, the rest is
    computed.
    """
    rig.put("plate", 2, b"")
    rig.put("plate", 4, b"\x89PNG\r\n\x1a\n")
    (rig.folder / "in" / "plate.5.exr").unlink()
    rig.write("plate", 6, frame(window=(0, 0, 9, 4), display=(0, 0, 9, 4), R=1.0, G=1.0, B=1.0))
    job = rig.start("1-10", engine="memory", ready=[n for n in range(1, 11) if n != 8])
    job.arrivals.absent(8)
    rig.wait("finished")
    failed = {message["frame"]: message["error"] for message in rig.said("frame_failed")}
    assert {number: error["code"] for number, error in failed.items()} == {
        2: "frame_unreadable", 4: "frame_unreadable", 5: "frame_missing", 6: "frame_mismatch"
    }  # fmt: skip
    assert all(error["frame"] == number and error["fix"] for number, error in failed.items())
    assert "9 x 4" in failed[6]["message"]
    assert "8 x 4" in failed[6]["message"]
    assert engine.pushed == [1, 3, 7, 9, 10]
    assert sorted(numbers(rig.said("computed"))) == [1, 3, 7, 9, 10]


def test_a_frame_that_cannot_be_finished_is_that_frames_error(rig) -> None:
    """A file that vanishes between measuring and finishing costs this frame only."""
    job = rig.start("1-10", engine="memory", ready=range(1, 5), options={"lag": 3})
    rig.wait("computed", 1)
    rig.pool.forget(JOB)
    (rig.folder / "in" / "plate.2.exr").unlink()
    for number in range(5, 11):
        job.arrivals.ready(number)
    rig.wait("finished")
    assert numbers(rig.said("frame_failed")) == [2]
    assert len(rig.said("computed")) == 9


@pytest.mark.parametrize(
    ("option", "says"), [("break_at", "lamp is broken"), ("silent_at", "no answer"), ("twice_at", "frame 4")]
)
def test_an_engine_that_breaks_fails_its_job_only(rig, option, says) -> None:
    """An exception, a frame never answered, a frame answered twice: one job_failed that says so; no
    thread dies.
    """
    # The clock stands still: a checkpoint would carry the frame that is owed into the next attempt.
    rig.start("1-10", engine="memory", ready=range(1, 11), options={option: 4}, now=lambda: 0.0)
    (message,) = rig.wait("job_failed")
    assert message["error"]["code"] == "engine_failed"
    assert says in message["error"]["message"]
    rig.thread.join(300)
    rig.heard.clear()
    rig.start("1-10", engine="memory", ready=range(1, 11))
    rig.wait("finished")


def test_a_stopped_job_goes_quietly(rig, engine) -> None:
    """After stop nothing more is sent, and the thread ends while frames are still missing."""
    job = rig.start("1-10", engine="memory", ready=[1, 2])
    wait_until(lambda: engine.pushed == [1, 2])
    job.arrivals.stop()
    rig.thread.join(300)
    assert not rig.thread.is_alive()
    assert not rig.said("finished") + rig.said("job_failed")


@pytest.mark.parametrize("stop_after", [1, 2, 4, 7, 9])
def test_a_restart_from_the_checkpoint_changes_no_pixel(
    *, rig, engine, monkeypatch, tmp_path, pool, stop_after
) -> None:
    """Stopped after any number of results and started again: same pixels as in one go, nothing done twice."""
    monkeypatch.setattr(job_run, "CHECKPOINT_S", 0.0)
    whole = Rig(tmp_path / "whole", pool, EngineHost([MemoryEngine()]))
    for number in range(1, 11):
        whole.write("plate", number, shade(number))
    whole.run("1-10", engine="memory", ready=range(1, 11))

    first = rig.start("1-10", engine="memory", ready=range(1, 11), options={"delay_s": 0.05})
    rig.wait("computed", stop_after)
    first.arrivals.stop()
    rig.thread.join(300)
    done = numbers(rig.said("computed"))
    for message in rig.said("release"):
        for number in message["frames"]:
            (rig.folder / "in" / f"plate.{number}.exr").unlink()
    rig.heard.clear()
    engine.pushed.clear()
    waiting = [n for n in range(1, 11) if rig.folder.joinpath("in", f"plate.{n}.exr").exists()]
    rig.start("1-10", engine="memory", done=done, ready=waiting)
    rig.wait("finished")
    assert sorted(numbers(rig.said("computed")) + done) == list(range(1, 11))
    assert engine.pushed == sorted(set(engine.pushed))
    assert data(rig) == data(whole)


def test_a_frame_that_waits_at_the_checkpoint_is_shown_what_follows_it(rig, monkeypatch) -> None:
    """Frame 8 is lost by its codec child after frames 9 and 10 are done; the checkpoint is of frame 9. Its answer
    depends on frame 10, which the session sees again."""
    monkeypatch.setattr(job_run, "CHECKPOINT_S", 0.0)
    save = checkpoint.save

    def until_nine(path: Path, found: checkpoint.Checkpoint) -> None:
        if found.position <= 9:
            save(path, found)

    monkeypatch.setattr(checkpoint, "save", until_nine)
    rig.start("1-10", engine="memory", ready=range(1, 11), options={"delay_s": 0.05})
    rig.wait("finished")
    rig.thread.join(300)
    before = data(rig)
    rig.heard.clear()
    rig.start("1-10", engine="memory", done=[1, 2, 3, 4, 5, 6, 7, 9, 10], ready=range(1, 11))
    rig.wait("finished")
    assert numbers(rig.said("computed")) == [8]
    assert data(rig) == before


@pytest.mark.parametrize("damaged", [False, True])
def test_a_result_that_main_has_missed_is_told_again(rig, monkeypatch, damaged) -> None:
    """A result made while main took the job away is reported in the next attempt; a damaged one is made again."""
    monkeypatch.setattr(job_run, "CHECKPOINT_S", 0.0)
    first = rig.start("1-10", engine="memory", ready=range(1, 7), options={"lag": 0})
    rig.wait("release", 2)
    first.arrivals.stop()
    rig.thread.join(300)
    whole = rig.result(1).channels["R"].tobytes()
    if damaged:
        (rig.folder / "out" / "1.exr").write_bytes(b"gone")
    rig.heard.clear()
    rig.start("1-10", engine="memory", ready=range(1, 11), options={"lag": 0})
    rig.wait("finished")
    assert sorted(numbers(rig.said("computed"))) == list(range(1, 11))
    assert rig.result(1).channels["R"].tobytes() == whole


def test_without_a_checkpoint_the_job_starts_over(rig, engine) -> None:
    """A restart whose checkpoint is gone pushes all frames that are there; what was done is not done
    again.
    """
    rig.start("1-10", engine="memory", done=[1, 2, 3], ready=range(1, 11))
    rig.wait("finished")
    assert engine.pushed == list(range(1, 11))
    assert sorted(numbers(rig.said("computed"))) == list(range(4, 11))


def test_a_job_begun_anew_is_shown_what_is_done(rig, engine, tmp_path, pool) -> None:
    """Without a checkpoint the frames that are done are asked for again, and the others get the same pixels.

    As far as the engine looks ahead of the last open frame; none of them is made or said to be made once more.
    """
    whole = Rig(tmp_path / "whole", pool, EngineHost([MemoryEngine()]))
    for number in range(1, 11):
        whole.write("plate", number, shade(number))
    whole.run("1-10", engine="memory", ready=range(1, 11))

    job = rig.start("1-10", engine="memory", done=[1, 2, 3, 5, 6, 7, 8, 9, 10], ready=[4])
    (asked,) = rig.wait("show")
    assert asked["frames"] == [1, 2, 3, 5, 6]
    for number in asked["frames"]:
        job.arrivals.ready(number)
    rig.wait("finished")
    assert engine.pushed == [1, 2, 3, 4, 5, 6]
    assert numbers(rig.said("computed")) == [4]
    assert rig.result(4).channels["R"].tobytes() == whole.result(4).channels["R"].tobytes()
    released = itertools.chain(*[message["frames"] for message in rig.said("release")])
    assert sorted(released) == [1, 2, 3, 4, 5, 6]


def test_frames_that_failed_are_not_counted_as_what_is_shown(rig, tmp_path, pool) -> None:
    """A frame that is tried again beside failed ones is shown as many frames after it as the engine looks ahead."""
    whole = Rig(tmp_path / "whole", pool, EngineHost([MemoryEngine()]))
    for number in range(1, 11):
        whole.write("plate", number, shade(number))
    whole.run("1-10", engine="memory", failed=[5, 6], ready=[1, 2, 3, 4, 7, 8, 9, 10])

    job = rig.start("1-10", engine="memory", done=[1, 2, 3, 7, 8, 9, 10], failed=[5, 6], ready=[4])
    (asked,) = rig.wait("show")
    assert asked["frames"] == [1, 2, 3, 7, 8]
    for number in asked["frames"]:
        job.arrivals.ready(number)
    rig.wait("finished")
    assert rig.result(4).channels["R"].tobytes() == whole.result(4).channels["R"].tobytes()


def test_context_is_seen_and_not_made(rig, engine) -> None:
    """Handles go through the engine in order; results are made and told of the frames alone."""
    job = rig.start("4-6", engine="memory", context="2-4,7-10", ready=range(1, 11))
    (asked,) = rig.wait("show")
    assert asked["frames"] == [2, 3, 7, 8]
    rig.wait("finished")
    assert engine.pushed == [2, 3, 4, 5, 6, 7, 8]
    assert sorted(numbers(rig.said("computed"))) == [4, 5, 6]
    assert not rig.said("frame_failed")
    assert sorted(path.name for path in (rig.folder / "out").iterdir()) == ["4.exr", "5.exr", "6.exr"]
    assert job._renders.open == 0


@pytest.mark.parametrize("known", [True, False], ids=["known at the start", "told later"])
def test_context_that_cannot_be_seen_is_said_and_costs_nothing(rig, engine, known: bool) -> None:
    """A damaged and a missing neighbour: the job goes on without them, and every result says which they were."""
    rig.put("plate", 2, b"")
    job = rig.start("4-6", engine="memory", context="1-3", failed=[1] * known, ready=range(2, 7))
    if not known:
        rig.wait("show")
        job.arrivals.absent(1)
    rig.wait("finished")
    assert engine.pushed == [3, 4, 5, 6]
    assert sorted(numbers(rig.said("computed"))) == [4, 5, 6]
    assert not rig.said("frame_failed")
    notes = {note for message in rig.said("computed") for note in message["report"]["notes"]}
    assert notes == {"the engine could not see the frames 1-2 beside it"}


def test_context_of_another_format_gives_way(rig, engine, tmp_path, pool) -> None:
    """Neighbours of another size cost no frame of the job: it is as without those before it, and says so."""
    alone = Rig(tmp_path / "alone", pool, EngineHost([MemoryEngine()]))
    for number in (4, 5, 6):
        alone.write("plate", number, shade(number))
    alone.run("4-6", engine="memory", ready=[4, 5, 6])
    for number in (1, 2, 3, 7):
        rig.write("plate", number, frame(window=(0, 0, 9, 4), display=(0, 0, 9, 4), R=1.0, G=1.0, B=1.0))
    rig.start("4-6", engine="memory", context="1-3,7", ready=range(1, 8))
    rig.wait("finished")
    assert not rig.said("frame_failed")
    assert sorted(numbers(rig.said("computed"))) == [4, 5, 6]
    for number in (4, 5):
        assert rig.result(number).channels["R"].tobytes() == alone.result(number).channels["R"].tobytes()
    last = next(message for message in rig.said("computed") if message["frame"] == 6)
    assert last["report"]["notes"] == ["the engine could not see the frames 1-3,7 beside it"]


def test_inputs_of_context_are_released_while_nothing_is_made(rig, engine, monkeypatch) -> None:
    """A long run of context does not fill the spool: it is released before the first open frame has come."""
    monkeypatch.setattr(job_run, "CHECKPOINT_S", 0.0)
    job = rig.start("10", engine="memory", context="1-9", ready=range(1, 10))
    rig.wait("release")
    job.arrivals.ready(10)
    rig.wait("finished")
    assert engine.pushed == list(range(1, 11))


@pytest.mark.parametrize("damage", ["cut", "deaf"])
def test_a_checkpoint_that_does_not_load_is_left_aside(rig, engine, damage) -> None:
    """A damaged checkpoint, or one that the engine will not take, means starting over, not failing."""
    state = {"sum": 1.0, "count": 5, "waiting": np.array([5])}
    found = checkpoint.Checkpoint("memory 1", 5, (0, 0, 8, 4), state)
    checkpoint.save(rig.folder / checkpoint.STATE, found)
    if damage == "cut":
        (rig.folder / checkpoint.STATE).write_bytes(b"PK")
    rig.start("1-10", engine="memory", done=[1], ready=range(1, 11), options={"deaf": damage == "deaf"})
    rig.wait("finished")
    assert engine.pushed == list(range(1, 11))


def test_an_engine_without_memory_sees_only_what_is_owed(tmp_path, pool) -> None:
    """The null engine keeps nothing, so done frames are not measured again on a restart."""
    rig = Rig(tmp_path, pool, EngineHost(engines.load(["null"])))
    for number in (3, 4, 5):
        rig.write("plate", number, shade(number))
    assert numbers(rig.run("1-3", done=[1, 2], ready=[3], context="4-5")) == [3]
    assert rig.said("show")[0]["frames"] == []


def test_inputs_are_released_only_after_the_checkpoint(rig, monkeypatch) -> None:
    """At each release the checkpoint on disk already covers the released frames."""
    monkeypatch.setattr(job_run, "CHECKPOINT_S", 0.0)
    covered: List[bool] = []
    hear = rig._hear

    def listen(op: str, **fields) -> None:
        if op == "release" and not rig.said("finished") and len(rig.said("computed")) < 10:
            found = checkpoint.load(rig.folder / checkpoint.STATE, "memory 1")
            assert found is not None
            opened = [answer.number for answer in found.answers]
            covered.append(all(n <= found.position and n not in opened for n in fields["frames"]))
        hear(op, **fields)

    rig._hear = listen
    rig.run("1-10", engine="memory", ready=range(1, 11), options={"delay_s": 0.03})
    assert covered
    assert all(covered)


def test_checkpoints_do_not_dominate(rig, monkeypatch) -> None:
    """With saves that take as long as a frame, the next one waits until it is a twentieth of the time."""
    monkeypatch.setattr(job_run, "CHECKPOINT_S", 0.0)
    saves: List[float] = []
    save, hear, clock = checkpoint.save, rig._hear, [0.0]

    def slow(path, found) -> None:
        saves.append(clock[0])
        clock[0] += 1.0
        save(path, found)

    def listen(op, **fields) -> None:
        clock[0] += op == "computed"
        hear(op, **fields)

    monkeypatch.setattr(checkpoint, "save", slow)
    rig._hear = listen
    rig.run("1-40", engine="memory", ready=range(1, 41), now=lambda: clock[0])
    assert 1 <= len(saves) <= 3
    assert all(b - a >= 20.0 for a, b in zip(saves, saves[1:]))


def test_nan_is_counted_in_the_report(rig) -> None:
    """A frame with NaN is relit around it; its result says how many there were, and others say nothing of
    it.
    """
    red = np.full((4, 8), 0.5, np.float16)
    red[0, :3] = np.nan
    rig.write("plate", 2, frame(R=red, G=0.5, B=0.5))
    computed = rig.run("1-3", engine="memory", ready=[1, 2, 3])
    assert computed[1]["report"]["nan"] == 3
    assert "nan" not in computed[0]["report"]
    assert np.isnan(rig.result(2).channels["R"]).sum() == 3


def test_a_frame_that_states_other_primaries_is_told(rig) -> None:
    """A frame painted and saved without its primaries, or with others, has a note; a named space is that of all."""
    stated = {"chromaticities": exr.Attribute.of("chromaticities", AP1)}
    for number in (1, 3):
        rig.write("plate", number, frame(attributes=stated, R=0.5, G=0.5, B=0.5))
    computed = rig.run("1-3", engine="memory", ready=[1, 2, 3])
    assert [bool(each["report"].get("notes")) for each in computed] == [False, True, False]
    assert "plate: its file states other primaries" in computed[1]["report"]["notes"][0]


def test_an_unknown_colour_space_fails_the_job_once(rig) -> None:
    """An unknown colour space is reported once, for the job, not for every frame."""
    rig.start("1-10", ready=range(1, 11), colorspace={"plate": "NoSuchSpace"})
    (message,) = rig.wait("job_failed")
    assert message["error"]["code"] == "colour"
    assert not rig.said("frame_failed")


def test_nothing_is_kept_of_frames_that_have_passed(rig) -> None:
    """At the end of a job no bookkeeping per frame is left but the numbers of what is done."""
    job = rig.start("1-10", engine="memory", ready=range(1, 11))
    rig.wait("finished")
    rig.thread.join(300)
    assert not job._proxies.children
    assert not job._proxies.facts
    assert job._renders.open == 0
    assert not job.arrivals._ready


def test_turns_are_first_come_first_served() -> None:
    """Threads get the lock in the order in which they asked for it, the one that just had it last."""
    lock, order = FairLock(), []

    def take(name: str) -> None:
        with lock:
            order.append(name)

    threads = [threading.Thread(target=take, args=(name,)) for name in "abc"]
    with lock:
        for count, thread in enumerate(threads, 1):
            thread.start()
            wait_until(lambda count=count: len(lock._waiting) == count)
    take("again")
    for thread in threads:
        thread.join()
    assert order == ["a", "b", "c", "again"]
