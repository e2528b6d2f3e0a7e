"""A job whose engine runs in a remote actor: wherever the actor is lost, results are complete and the same."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator, List, Tuple

import pytest
from fakes.engines_for_tests import MemoryEngine
from fakes.frames import frame
from fakes.local_actors import LocalPool
from fakes.worker_rig import Rig
from harmovid.pixels import exr
from harmovid_server import engines
from harmovid_server.cluster.host import ClusterHost
from harmovid_server.worker import job_run
from harmovid_server.worker.codec_pool import CodecPool
from harmovid_server.worker.host import EngineHost

FRAMES = range(1, 11)


@pytest.fixture(scope="module")
def codecs() -> Iterator[CodecPool]:
    """Yield a real codec child."""
    made = CodecPool(1)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def memory_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every actor offer the engine whose answers depend on all earlier frames; save after every frame."""
    monkeypatch.setattr(engines, "load", lambda names, folders: [MemoryEngine()])
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setattr(job_run, "CHECKPOINT_S", 0.0)
    monkeypatch.setattr(job_run, "CHECKPOINT_SHARE", 1e9)


def filled(rig: Rig) -> Rig:
    """Put frames of rising brightness into a job's folder."""
    for number in FRAMES:
        rig.write("plate", number, frame(R=number / 16, G=number / 16, B=number / 16))
    return rig


def pixels(rig: Rig) -> List[bytes]:
    """Return the pixels of all results."""
    return [exr.read(rig.folder / "out" / f"{n}.exr").parts[0].channels["R"].tobytes() for n in FRAMES]


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory, codecs: CodecPool) -> List[bytes]:
    """Return the pixels of an undisturbed job in this process."""
    rig = filled(Rig(tmp_path_factory.mktemp("right"), codecs, EngineHost([MemoryEngine()])))
    rig.run("1-10", engine="memory", ready=FRAMES)
    return pixels(rig)


def end_of_attempt(rig: Rig) -> str:
    """Wait for the end of the attempt and return which it was."""
    rig.thread.join(300)
    (ended,) = [op for op, _ in rig.heard if op in ("finished", "job_failed", "engine_lost")]
    return ended


def test_elsewhere_is_as_here(tmp_path: Path, codecs: CodecPool, right: List[bytes]) -> None:
    """Undisturbed, the results have the same pixels, and the report says on which machine they were made."""
    rig = filled(Rig(tmp_path / "rig", codecs, ClusterHost([MemoryEngine()], LocalPool(), 60)))
    for message in rig.run("1-10", engine="memory", ready=FRAMES):
        assert message["report"]["runtime"]["machine"] == "here"
    assert pixels(rig) == right


@pytest.mark.parametrize(
    "lose_at", [("open", 1), ("state", 1), ("finish", 1), *(("push", n) for n in (1, 2, 3, 6, 9, 10))]
)
def test_a_lost_actor_is_a_new_attempt(
    lose_at: Tuple[str, int], tmp_path: Path, codecs: CodecPool, right: List[bytes]
) -> None:
    """If an actor is lost at any call the attempt ends as lost; the next one continues, and each frame is made once."""
    pool = LocalPool()
    pool.lose_at = lose_at
    rig = filled(Rig(tmp_path / "rig", codecs, ClusterHost([MemoryEngine()], pool, 60)))
    rig.start("1-10", engine="memory", ready=FRAMES)
    assert end_of_attempt(rig) == "engine_lost"
    done = [message["frame"] for message in rig.said("computed")]
    released = {number for message in rig.said("release") for number in message["frames"]}
    for number in released:
        (rig.folder / "in" / f"plate.{number}.exr").unlink()
    rig.heard.clear()

    rig.start("1-10", engine="memory", done=done, ready=sorted(set(FRAMES) - released))
    assert end_of_attempt(rig) == "finished"
    assert sorted(done + [message["frame"] for message in rig.said("computed")]) == list(FRAMES)
    assert pixels(rig) == right
    assert [actor.sessions for actor in pool.actors] == [0, 0]
    if released:
        assert pool.actors[-1].ops[:2] == ["open", "restore"]


def test_lost_while_it_is_restored(tmp_path: Path, codecs: CodecPool, right: List[bytes]) -> None:
    """If the next actor is lost too, before the job has pushed a frame to it, the third one continues."""
    pool = LocalPool()
    rig = filled(Rig(tmp_path / "rig", codecs, ClusterHost([MemoryEngine()], pool, 60)))
    done: List[int] = []
    for lose_at, ended in (
        (("push", 9), "engine_lost"),
        (("restore", 1), "engine_lost"),
        (None, "finished"),
    ):
        pool.lose_at = lose_at
        rig.start("1-10", engine="memory", done=done, ready=FRAMES)
        assert end_of_attempt(rig) == ended
        done += [message["frame"] for message in rig.said("computed")]
        rig.heard.clear()
    assert sorted(done) == list(FRAMES)
    assert pixels(rig) == right
