"""The real codec child: sandboxed, with limits, and with one answer per task whatever the file holds."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any, Dict, Iterator

import numpy as np
import pytest
from fakes.exr_files import claim, deep, luminance_chroma, plate, same_pixels
from fakes.frames import plan
from harmovid import processes
from harmovid.errors import FrameError, FrameMissing, FrameRefused, FrameUnreadable
from harmovid.job import WHOLE_SHOT, EngineInfo, JobSpec, LayerInfo
from harmovid.pixels import exr
from harmovid.pixels.field import NULL
from harmovid_server.codec.codec import Codec
from harmovid_server.codec.frame_cache import FrameCache
from harmovid_server.codec.plan import Plan
from harmovid_server.codec.sandbox import OPEN_FILES
from harmovid_server.worker.codec_pool import CodecPool

JOB = "c" * 32
FIELD = np.frombuffer(NULL.to_bytes(), np.uint8)


@pytest.fixture(scope="module")
def pool() -> Iterator[CodecPool]:
    """Yield a pool of one real child."""
    made = CodecPool(1)
    yield made
    made.close()


def body(task: str, source: Path, frame: int = 1, target: str = "") -> Dict[str, Any]:
    """Return one task about a plate."""
    paths = {"plate": str(source)}
    return {
        "task": task, "job": JOB, "frame": frame, "plan": plan().to_dict(), "paths": paths, "target": target
    }  # fmt: skip


def ask(pool: CodecPool, task: Dict[str, Any], arrays=()) -> Any:
    """Have a task done and return the reply."""
    return pool.submit(JOB, task, arrays).result(300)


def test_a_frame_goes_through(pool, tmp_path) -> None:
    """Measured, then finished with the null field: the result is the source, and was not decoded again."""
    source, target = tmp_path / "in.exr", tmp_path / "1.exr"
    exr.write(plate(1), source)
    measured = ask(pool, body("proxy", source))
    assert measured.body["images"] == ["plate"]
    assert measured.arrays[0].shape[2] == 3
    source.unlink()  # the decoded frame is in the cache
    done = ask(pool, body("finish", source, target=str(target)), [FIELD])
    assert done.body["size"] == target.stat().st_size
    assert same_pixels(exr.read(target), plate(1))


def test_a_forgotten_frame_is_decoded_again(pool, tmp_path) -> None:
    """Frames of a forgotten job are not held: finishing reads the file, or says that it is missing."""
    source = tmp_path / "in.exr"
    exr.write(plate(1), source)
    ask(pool, body("proxy", source))
    pool.forget(JOB)
    source.unlink()
    with pytest.raises(FrameMissing):
        ask(pool, body("finish", source, target=str(tmp_path / "1.exr")), [FIELD])


@pytest.mark.parametrize(("ahead", "keeps"), [(0, True), (88, True), (WHOLE_SHOT, False)])
def test_decoded_frames_are_kept_for_engines_that_answer_before_the_end(ahead: int, keeps: bool) -> None:
    """What waits for an answer is bounded then; else it would grow with the shot."""
    info = EngineInfo(
        "e", "1", "deflicker", "E.", "plate", (LayerInfo("plate", True, "P."),), lookahead_frames=ahead
    )
    assert Plan.of(JobSpec(JOB, "e", "1", ("plate",)), info, 48).keeps_decoded == keeps


def test_frames_that_wait_for_the_end_of_a_shot_are_not_held(tmp_path) -> None:
    """If the engine answers at the end of a shot, a frame is decoded again to be finished; the result is the same."""
    source, kept, again = (tmp_path / name for name in ("in.exr", "kept.exr", "again.exr"))
    exr.write(plate(1), source)
    codec = Codec()
    for target, keeps in ((kept, True), (again, False)):
        task = body("proxy", source, target=str(target))
        task["plan"]["keeps_decoded"] = keeps
        codec.do(task, [])
        done, _ = codec.do({**task, "task": "finish"}, [FIELD])
        assert done["size"] == target.stat().st_size
    assert kept.read_bytes() == again.read_bytes()
    codec.do(task, [])
    source.unlink()
    assert "error" in codec.do({**task, "task": "finish"}, [FIELD])[0]


WHOLE = exr.write(plate(2))
CUT = WHOLE[: len(WHOLE) // 2]
FLIPPED = bytes(WHOLE[:-200]) + bytes([WHOLE[-200] ^ 1]) + bytes(WHOLE[-199:])


@pytest.mark.parametrize(
    ("data", "error", "says"),
    [
        (b"", FrameUnreadable, "empty"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), FrameUnreadable, "PNG"),
        (CUT, FrameUnreadable, None),
        (FLIPPED, FrameUnreadable, None),
        (deep(), FrameRefused, "deep"),
        (luminance_chroma(), FrameRefused, "chroma"),
        (claim((0, 0, 65535, 65535)), FrameRefused, "limit"),
    ],
    ids=["0 byte", "PNG", "cut", "bit flip", "deep", "luminance/chroma", "bomb"],
)
def test_bad_files_are_one_clear_error_each(pool, tmp_path, data, error, says) -> None:
    """Each kind of bad file is an error of its frame with a fix, and the child keeps working."""
    source = tmp_path / "in.exr"
    source.write_bytes(data)
    with pytest.raises(error, match=says) as caught:
        ask(pool, body("proxy", source, frame=1005))
    assert (caught.value.frame, caught.value.layer) == (1005, "plate")
    assert caught.value.fix
    before = ask(pool, {"task": "forget", "job": JOB, "frame": 0}).child
    exr.write(plate(1), source)
    assert ask(pool, body("proxy", source)).child == before


def test_the_child_is_confined(pool) -> None:
    """It has bounded memory and few open files, no core dumps, one thread, and nothing of our environment."""
    ask(pool, {"task": "forget", "job": JOB, "frame": 0})
    child = Path(f"/proc/{_pid()}")
    limits = {line[:26].strip(): line[26:].split()[0] for line in (child / "limits").read_text().splitlines()}
    assert limits["Max core file size"] == "0"
    assert limits["Max open files"] == str(OPEN_FILES)
    assert limits["Max address space"].isdigit()
    status = dict(line.split(":", 1) for line in (child / "status").read_text().splitlines())
    assert int(status["Threads"]) == 1
    assert int((child / "oom_score_adj").read_text()) > 0
    assert "PYTEST_CURRENT_TEST" not in (child / "environ").read_text()


def _pid() -> int:
    """Return the process id of this test's only codec child."""
    (found,) = [pid for pid in processes.children_of(os.getpid()) if _is_codec(pid)]
    return found


def _is_codec(pid: int) -> bool:
    try:
        return "harmovid_server.codec" in Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:  # another child, which has just ended
        return False


def test_a_child_killed_at_work_costs_no_frame(pool, tmp_path) -> None:
    """SIGKILL in the middle of the work: the frame is done by the successor."""
    source = tmp_path / "in.exr"
    exr.write(plate(1, 1080, 1920), source)
    ask(pool, body("proxy", source))
    future = pool.submit(JOB, body("proxy", source))
    os.kill(_pid(), signal.SIGKILL)
    assert future.result(300).body["images"] == ["plate"]


def test_too_little_memory_is_one_frames_error(tmp_path) -> None:
    """A frame that does not fit into the child's address space is that frame's error; the next one is
    done.
    """
    small = "from harmovid_server.codec import __main__ as codec; codec.HEADROOM_BYTES = 24 << 20; "
    small += "import sys; codec.main(sys.argv[1:])"
    pool = CodecPool(1, command=(sys.executable, "-c", small))
    large, fine = tmp_path / "large.exr", tmp_path / "fine.exr"
    exr.write(plate(1, 2000, 2000, "none"), large)
    exr.write(plate(1), fine)
    with pytest.raises(FrameError):
        ask(pool, body("proxy", large))
    assert ask(pool, body("proxy", fine)).body["images"] == ["plate"]
    pool.close()


def test_a_fault_of_ours_is_an_answer_too() -> None:
    """Invalid messages from the parent are answered with an error and do not end the child."""
    answer, _ = Codec().do({"task": "proxy", "frame": 3, "plan": {}}, [])
    assert answer["error"]["frame"] == 3


def test_the_cache_turns_the_newest_away() -> None:
    """A full cache keeps its frames, because they are needed in the order of arrival."""
    one = plate(1)
    size = sum(pixels.nbytes for pixels in one.channels.values())
    cache = FrameCache(2 * size)
    held = [cache.put((JOB, number), {"plate": one}) for number in (1, 2, 3)]
    assert held == [True, True, False]
    assert cache.take((JOB, 1)) is not None
    assert cache.take((JOB, 1)) is None
    assert cache.put((JOB, 3), {"plate": one})
    cache.forget(JOB)
    assert cache.take((JOB, 3)) is None


def test_every_frame_error_names_its_frame(pool, tmp_path) -> None:
    """An error raised deep in the pixel code leaves the child with the frame's number on it."""
    with pytest.raises(FrameError) as caught:
        ask(pool, body("proxy", tmp_path / "nowhere.exr", frame=-7))
    assert caught.value.frame == -7
