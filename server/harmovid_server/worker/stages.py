"""The two stages of a job in the codec children: making proxies for the engine, and rendering its answers.

    proxies.feed()                     # submit the next frames, as far as they have arrived
    frame = proxies.take()             # the oldest one, in order, once it is done
    renders.take(answers); renders.collect()

Both are used by the job's own thread only. Neither keeps data of a frame that has left the stage.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future
from typing import Any, Deque, Dict, Iterable, List, Optional, Set, Tuple

import numpy as np
import numpy.typing as npt
from harmovid.errors import EngineFailed, FrameMismatch, HarmoVidError
from harmovid.frames import FrameRange
from harmovid.job import PROXY
from harmovid.pixels.inputs import size_text

from harmovid_server.engines.base import Answer, ProxyFrame
from harmovid_server.worker.checkpoint import Checkpoint, Result, plain
from harmovid_server.worker.codec_queue import Reply
from harmovid_server.worker.job_context import JobContext, is_about_one_frame

AHEAD = 2
"""Proxies in progress in addition to one per codec child, so that no child waits for the engine."""

LATEST = 64
"""Number of results that are remembered: more than main can miss when it stops the job in this worker."""

ODD_FACTS = ("nan", "inf", "notes", "solid")
"""Facts about a frame that are reported with its result if they are not 0 or empty."""
OTHER_PRIMARIES = (
    "its file states other primaries than that of the first frame; --colorspace names one for all"
)


class ProxyStage:
    """Makes the proxies of frames in the spool, in order.

    Attributes:
        display: the shot's display window, from its first good frame; empty before.
        is_own: whether `display` is from a frame of the job. If it is from a context frame, the job's first frame may
            replace it.
        has_changed: whether the frame that was taken last has replaced it.
        children: by frame, the codec child that may have it decoded, until the frame is finished.
        facts: by frame, its `ODD_FACTS`, until it is finished.
        seconds: by frame, the duration of its stages ("proxy", "engine"), until it is finished.
    """

    def __init__(self, context: JobContext, numbers: Iterable[int]) -> None:
        self.display: Tuple[int, ...] = ()
        self.is_own = self.has_changed = False
        self.children: Dict[int, int] = {}
        self.facts: Dict[int, Dict[str, Any]] = {}
        self.seconds: Dict[int, Dict[str, float]] = {}
        self._context = context
        self._primaries: Dict[str, List[float]] = {}  # of the first frame's images
        self._upcoming: Deque[int] = deque(numbers)
        self._going: Deque[Tuple[int, Future[Reply]]] = deque()

    @property
    def idle(self) -> bool:
        """Whether no proxy is in progress."""
        return not self._going

    @property
    def over(self) -> bool:
        """Whether the last frame has been taken."""
        return not self._going and not self._upcoming

    @property
    def can_take(self) -> bool:
        """Whether `take` would return at once, or every frame has been taken."""
        return self._going[0][1].done() if self._going else not self._upcoming

    def feed(self) -> None:
        """Give the next frames to the codec children, in order, as far as their inputs have arrived."""
        arrivals = self._context.arrivals
        while self._upcoming and len(self._going) < self._context.pool.children + AHEAD:
            number = self._upcoming[0]
            if not arrivals.decided(number):
                return
            self._upcoming.popleft()
            if arrivals.is_absent(number):
                self._context.unseen.update({number} & self._context.done)
            else:
                arrivals.used(number)
                self._going.append((number, self._context.submit("proxy", number)))

    def take(self) -> Optional[ProxyFrame]:
        """Return the oldest proxy; None if its frame has failed (then reported to main), or no frame is left."""
        if not self._going:
            return None
        number, future = self._going.popleft()
        try:
            reply = future.result()
            frame = self._proxy(number, reply)
        except HarmoVidError as error:
            if not is_about_one_frame(error):
                raise
            self._context.fail_frame(number, error)
            return None
        if self._context.plan.keeps_decoded:
            self.children[number] = reply.child
        self.seconds[number] = {"proxy": reply.seconds}
        for name, stated in reply.body["facts"]["primaries"].items():
            if stated != self._primaries.setdefault(name, stated):
                reply.body["facts"]["notes"].append(f"{name}: {OTHER_PRIMARIES}")
        odd = {name: reply.body["facts"][name] for name in ODD_FACTS if reply.body["facts"][name]}
        if odd:
            self.facts[number] = odd
        return frame

    def count_engine(self, number: int, seconds: float) -> None:
        """Add to the time that the engine took for a frame; work between two answers counts for the next one."""
        stages = self.seconds.setdefault(number, {})
        stages["engine"] = stages.get("engine", 0.0) + seconds

    def _proxy(self, number: int, reply: Reply) -> ProxyFrame:
        display: Tuple[int, ...] = tuple(reply.body["facts"]["display"])
        own = number in self._context.own
        self.has_changed = bool(self.display) and display != self.display and own and not self.is_own
        if not self.display or self.has_changed:
            self.display = display
        self.is_own = self.is_own or own
        if display != self.display:
            raise FrameMismatch(
                f"its display window is {size_text(display)}, that of the shot's first frame is "
                f"{size_text(self.display)}.",
                fix="Render the whole shot in one format.",
                layer=self._context.plan.target,
            )
        count = len(reply.body["images"])
        x0, y0, x1, y1 = display
        return ProxyFrame(
            number,
            dict(zip(reply.body["images"], reply.arrays[:count])),
            dict(zip(reply.body["mattes"], reply.arrays[count:])),
            (x0, y0, x1, y1),
        )


class RenderStage:
    """Renders the engine's answers into `out/`.

    Attributes:
        owed: frames that were pushed and not answered yet.
        unsecured: frames finished since the last checkpoint.
        latest: the last results that were reported to main.
    """

    def __init__(self, context: JobContext, proxies: ProxyStage) -> None:
        self.owed: Set[int] = set()
        self.unsecured: List[int] = []
        self.latest: Deque[Result] = deque(maxlen=LATEST)
        self._context = context
        self._proxies = proxies
        self._open: Dict[int, Tuple[Answer, Future[Reply]]] = {}

    @property
    def open(self) -> int:
        """The number of answers being rendered."""
        return len(self._open)

    def answers(self) -> List[Answer]:
        """Return the answers being rendered."""
        return [answer for answer, _ in self._open.values()]

    def take(self, answers: Iterable[Answer]) -> None:
        """Have each answered frame rendered, except those that an earlier attempt has finished.

        Raises:
            EngineFailed: an answer for a frame that is not in `owed`.
        """
        for answer in answers:
            if answer.number not in self.owed:
                raise EngineFailed(
                    f"engine {self._context.spec.engine} gave an answer for frame {answer.number}, which was not "
                    "pushed, or was answered before."
                )
            self.owed.remove(answer.number)
            if answer.number in self._context.done:
                self._leave(answer.number)
                continue
            child = self._proxies.children.get(answer.number, 0)
            future = self._context.submit("finish", answer.number, self._arrays(answer), child)
            self._open[answer.number] = (answer, future)

    def _arrays(self, answer: Answer) -> List[npt.NDArray[Any]]:
        """Return what a codec child needs of an answer."""
        field: npt.NDArray[Any] = np.frombuffer(answer.field.to_bytes(), np.uint8)
        if self._context.plan.mode != PROXY:
            return [field]
        if answer.picture is None:
            raise EngineFailed(
                f"engine {self._context.spec.engine} gave no picture of frame {answer.number}."
            )
        return [field, answer.picture]

    def collect(self) -> None:
        """Report to main the frames that were finished or have failed since the last call."""
        for number, (answer, future) in list(self._open.items()):
            if not future.done():
                continue
            del self._open[number]
            seconds = self._proxies.seconds.get(number, {})
            facts = self._leave(number)
            try:
                reply = future.result()
            except HarmoVidError as error:
                if not is_about_one_frame(error):
                    raise
                self._context.fail_frame(number, error)
                continue
            body = reply.body
            result = Result(number, body["size"], body["crc"])
            self._context.done.add(number)
            self.unsecured.append(number)
            self.latest.append(result)
            report = {**facts, **body["report"], "engine": plain(answer.report), **self._runtime()}
            if self._context.unseen:
                said = f"the engine could not see the frames {FrameRange(self._context.unseen)} beside it"
                report["notes"] = [*report.get("notes", ()), said]
            seconds["finish"] = reply.seconds
            self._context.tell(
                "computed", **result._asdict(), report=report, seconds=seconds,
                preview_bytes=body.get("preview_bytes", 0),
            )  # fmt: skip

    def take_up(self, found: Checkpoint) -> None:
        """Continue from a checkpoint."""
        self.latest.extend(found.results)
        self.owed = {*found.owed, *(answer.number for answer in found.answers)}
        self.take(found.answers)

    def _runtime(self) -> Dict[str, Any]:
        """Return what the engine runs on, for the report; empty if the engine does not say."""
        runtime = dict(self._context.engine.runtime)
        return {"runtime": plain(runtime)} if runtime else {}

    def _leave(self, number: int) -> Dict[str, Any]:
        self._proxies.children.pop(number, None)
        self._proxies.seconds.pop(number, None)
        return self._proxies.facts.pop(number, {})
