"""One job in main's memory: its frames, which of them to request next, which result to send next, its progress.

No sockets, no files, no clock. `state.py` moves frames from state to state; `Job` keeps counts and ordered lists, so
that every question is answered quickly even for a job of 100,000 frames.
"""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Dict, FrozenSet, Iterable, Iterator, List, Optional, Set, Tuple

from harmovid.frames import FrameRange
from harmovid.job import ACTIVE_STATES, QUEUED, EngineInfo, Progress

from harmovid_server import compiled_loops
from harmovid_server.main.store import ACKED, COMPUTED, CONTEXT, DEAD, RECEIVED, WANT, FrameRecord, JobRecord

DELIVERIES_AHEAD = 8
"""Results that the front may have before the client acknowledges the first, so that latency does not slow it down."""

IDLE_ATTACHED_S, IDLE_DETACHED_S = 10.0, 2.0
"""A job without enough input gives its slot in a worker to a waiting job after this long: client there, client away."""

SHOWN_STATES = (COMPUTED, ACKED, CONTEXT)
"""States of frames without an open result that an engine may be shown; it never sees failed ones."""

SHOWING = "the engine is shown frames beside those to make"
"""The message of a job's progress while the inputs of such frames are being requested."""

SIZE_SLACK = 1.25
"""Space reserved for a layer's next file, as a multiple of the largest one so far (grain makes sizes vary)."""


@dataclass(slots=True)
class Frame:
    """One frame: its state, its inputs in the spool (layer to bytes), the requested layers, its result.

    `since_s` is the time of its last step by main's clock; 0 if that was in an earlier server process.
    """

    state: str = WANT
    inputs: Dict[str, int] = field(default_factory=dict)
    asked: FrozenSet[str] = frozenset()
    size: int = 0
    crc: int = 0
    report: Optional[Dict[str, Any]] = None
    error: Optional[Dict[str, Any]] = None
    since_s: float = 0.0

    def record(self) -> FrameRecord:
        """Return its record for the store (its inputs are stored one by one)."""
        return FrameRecord(self.state, self.size, self.crc, self.report, self.error)


_UNTOUCHED = Frame()


class Frames(Dict[int, Frame]):
    """The frames that have left the first state; others are created when they are looked up."""

    def __missing__(self, number: int) -> Frame:
        frame = self[number] = Frame()
        return frame


class Job:
    """A job that has not ended.

    Attributes:
        record: the job's record in the store.
        numbers: the frames that get results.
        context: further frames that the engine sees. all_numbers: both, in order.
        to_show: frames without an open result that the engine has still to see, and that lack an input in the spool.
    """

    def __init__(self, record: JobRecord, info: Optional[EngineInfo]) -> None:
        self.record = record
        self.spec = record.spec
        self.info = info
        self.numbers = FrameRange.parse(record.spec.frames)
        context = FrameRange.parse(record.spec.context) if record.spec.context else ()
        self.context = FrameRange(set(context).difference(self.numbers))
        self.all_numbers = FrameRange([*self.numbers, *self.context]) if self.context else self.numbers
        self.to_show: Set[int] = set()
        self.frames = Frames((number, Frame(CONTEXT)) for number in self.context)
        self.counts: Counter[str] = Counter({WANT: len(self.numbers)})
        self.session: Optional[bytes] = None
        self.worker: Optional[str] = None
        self.proven = True
        self.moved_s = 0.0
        self.placed_s = 0.0
        self.full_since_s: Optional[float] = None
        self.compiling = False
        self.paused_until_s = 0.0
        self.asks_at_s = 0.0
        self.position = 0
        self.dirty = False
        self.reported_s = 0.0
        self.layer_bytes: Dict[str, int] = {}
        self.result_bytes = 0
        self.delivering: Set[int] = set()
        self._next = 0
        self._again: List[int] = []
        self._flight: Set[int] = set()
        self._to_send: List[int] = []

    @property
    def id(self) -> str:
        """The job's id."""
        return self.spec.job_id

    @property
    def active(self) -> bool:
        """Whether the job has not ended."""
        return self.record.state in ACTIVE_STATES

    @property
    def owes(self) -> int:
        """The number of frames that still have to be computed."""
        return self.counts[WANT] + self.counts[RECEIVED]

    @property
    def not_back(self) -> int:
        """The number of frames that have neither failed nor been delivered."""
        return len(self.numbers) - self.counts[ACKED] - self.counts[DEAD]

    @property
    def over(self) -> bool:
        """Whether every frame has been delivered or has failed."""
        return self.not_back == 0

    @property
    def lookahead(self) -> int:
        """The number of later frames that the engine may need before it answers a frame."""
        return self.info.lookahead(self.spec.options, self.all_numbers) if self.info else 0

    @property
    def starved(self) -> bool:
        """Whether the worker may have to wait for more frames."""
        if not self.to_show:
            return self.counts[RECEIVED] <= self.lookahead and self.counts[WANT] > 0
        return sum(not self.wants(number) for number in self._flight) <= self.lookahead

    @property
    def waits_for_first(self) -> bool:
        """Whether a frame has been requested or is uncomputed: until sizes are known, one at a time is enough."""
        return bool(self._flight)

    def missing(self, number: int) -> List[str]:
        """Return the layers of a frame that are neither in the spool nor requested."""
        frame = self.frames[number]
        return [layer for layer in self.spec.layers if layer not in frame.inputs and layer not in frame.asked]

    def set_state(self, number: int, state: str) -> None:
        """Move a frame to a state, and update the counts and lists."""
        frame = self.frames[number]
        self.counts[frame.state] -= 1
        self.counts[state] += 1
        was, frame.state = frame.state, state
        if state == WANT:
            self.to_show.discard(number)
            self.ask_again(number, self.spec.layers)
        elif state != RECEIVED and number not in self.to_show:
            frame.asked = frozenset()
            self._flight.discard(number)
        if state == RECEIVED:
            self._flight.add(number)
        if state == COMPUTED and was != COMPUTED:
            heapq.heappush(self._to_send, number)
        elif state != COMPUTED:
            self.delivering.discard(number)
            frame.report = None

    def around_open(self) -> List[int]:
        """Return the frames without an open result that an engine with a state sees if the job begins anew."""
        numbers = self.all_numbers
        last = max((i for i, number in enumerate(numbers) if self._is_open(number)), default=-1)
        ahead = numbers[: last + 1 + self.lookahead]
        return [number for number in ahead if self.frames.get(number, _UNTOUCHED).state in SHOWN_STATES]

    def show(self, numbers: Iterable[int]) -> List[int]:
        """Set which frames without an open result the engine has to see.

        Args:
            numbers: all of them, including those whose inputs are in the spool.

        Returns:
            The frames that were to be shown before, and are no longer.
        """
        wanted = {number for number in numbers if not self._is_open(number)}
        dropped = [number for number in {*self.to_show, *self._flight} - wanted if not self._is_open(number)]
        for number in dropped:
            self.shown(number)
        for number in wanted:
            if self.missing(number) or self.frames[number].asked:
                self.to_show.add(number)
                heapq.heappush(self._again, number)
            else:
                self._flight.add(number)
        return dropped

    def shown(self, number: int) -> None:
        """Record that the engine has seen a frame without an open result, or will not see it."""
        self.to_show.discard(number)
        self._flight.discard(number)
        self.frames[number].asked = frozenset()

    def wants(self, number: int) -> bool:
        """Return whether inputs of a frame are still missing: for its result, or to show it to the engine."""
        return number in self.to_show or self.frames[number].state == WANT

    def _is_open(self, number: int) -> bool:
        return self.frames.get(number, _UNTOUCHED).state in (WANT, RECEIVED)

    def ask_again(self, number: int, layers: Iterable[str]) -> None:
        """Have a frame requested again, because these layers will not arrive as requested."""
        self.frames[number].asked -= frozenset(layers)
        self._flight.discard(number)
        heapq.heappush(self._again, number)

    def next_to_ask(self, prefetch: int, results: int) -> Optional[int]:
        """Return the lowest frame that should be requested now, or None.

        Args:
            prefetch: number of frames beyond the engine's lookahead that may be requested or uncomputed.
            results: number of results that may wait for the client.
        """
        window = self.lookahead + prefetch
        if len(self._flight) + self.counts[COMPUTED] >= window + results:
            return None
        number = self._lowest_wanted()
        if number is None:
            return None
        # Only frames before it count: one that is requested again must not wait for later frames, which the engine
        # cannot get before it.
        before = sum(1 for other in self._flight if other < number)
        return number if before < window else None

    def _lowest_wanted(self) -> Optional[int]:
        """Return the lowest frame that is neither in the spool nor requested: a new one, or one to request again."""
        while self._again and not self._wanted(self._again[0]):
            heapq.heappop(self._again)
        while self._next < len(self.all_numbers) and not self._wanted(self.all_numbers[self._next]):
            self._next += 1
        candidates = [*self._again[:1], *self.all_numbers[self._next : self._next + 1]]
        return min(candidates, default=None)

    def _wanted(self, number: int) -> bool:
        is_open = self.frames.get(number, _UNTOUCHED).state == WANT
        return (is_open or number in self.to_show) and number not in self._flight

    def ask(self, number: int) -> List[str]:
        """Count a frame as requested, and return its layers that were missing."""
        layers = self.missing(number)
        self.frames[number].asked |= frozenset(layers)
        self._flight.add(number)
        return layers

    def detach(self) -> List[Tuple[int, str]]:
        """Record that the client is away: requests to it are void, and results sent to it may not have arrived.

        Returns:
            The (frame, layer) pairs that were requested from it.
        """
        self.delivering.clear()
        void: List[Tuple[int, str]] = []
        for number in [number for number in self._flight if self.wants(number)]:
            sent = [layer for layer in self.frames[number].asked if layer not in self.spec.shared]
            void += [(number, layer) for layer in sent]
            self.ask_again(number, sent)
        self._to_send = sorted(number for number, frame in self.frames.items() if frame.state == COMPUTED)
        return void

    def next_to_send(self) -> Optional[int]:
        """Return the lowest result to give to the front now, and count it as given; None if there is none."""
        while self._to_send and len(self.delivering) < DELIVERIES_AHEAD:
            number = heapq.heappop(self._to_send)
            if self.frames[number].state == COMPUTED and number not in self.delivering:
                self.delivering.add(number)
                return number
        return None

    def guess_bytes(self, layer: str) -> int:
        """Return the space to reserve for the next file of a layer; 0 if none has arrived yet."""
        return int(self.layer_bytes.get(layer, 0) * SIZE_SLACK)

    def guess_result_bytes(self) -> int:
        """Return the space to reserve for the next result, from the largest one so far or the target's inputs."""
        target = self.info.target if self.info else self.spec.layers[0]
        return int((self.result_bytes or self.layer_bytes.get(target, 0)) * SIZE_SLACK)

    def frames_at_once(self) -> int:
        """Return how many frames the engine has to see at once."""
        return min(len(self.all_numbers), self.lookahead + 1)

    def bytes_of(self, frames: int) -> int:
        """Return the space that so many frames need with their results.

        0 while no size is known; less than is needed while only some are.
        """
        return frames * (sum(map(self.guess_bytes, self.spec.layers)) + self.guess_result_bytes())

    def in_states(self, *states: str) -> Iterator[int]:
        """Yield the frames in one of these states, in order."""
        return (n for n in self.numbers if self.frames.get(n, _UNTOUCHED).state in states)

    def progress(self) -> Progress:
        """Return the progress that the job's owner sees."""
        counts = self.counts
        return Progress(
            job_id=self.id,
            state=self.record.state,
            total=len(self.numbers),
            received=counts[RECEIVED] + counts[COMPUTED] + counts[ACKED],
            computed=counts[COMPUTED] + counts[ACKED],
            delivered=counts[ACKED],
            failed=counts[DEAD],
            queue_position=self.position if self.record.state == QUEUED else 0,
            message=self._message(),
        )

    def _message(self) -> str:
        if self.full_since_s is not None:
            return "waiting for room in the server's spool"
        if self.record.crashes:
            return f"the engine process died {self.record.crashes} times on this job; trying again"
        waits = self.compiling and not (self.counts[COMPUTED] or self.counts[ACKED] or self.counts[DEAD])
        if waits:
            return compiled_loops.COMPILING
        return SHOWING if self.to_show else ""


def restore_frames(job: Job, records: Dict[int, FrameRecord]) -> None:
    """Restore a stored job's frames in memory, as far as their files are still in the spool."""
    for number, record in records.items():
        if number not in job.all_numbers:
            continue
        frame = job.frames[number]
        frame.inputs = {layer: size for layer, (size, _) in record.inputs.items()}
        frame.size, frame.crc, frame.error = record.size, record.crc, record.error
        frame.report = record.report
        for layer, size in frame.inputs.items():
            job.layer_bytes[layer] = max(size, job.layer_bytes.get(layer, 0))
        if record.state != WANT and number in job.numbers:
            job.set_state(number, record.state)
