"""File transfers over a session: sends inputs when the server needs them; receives and checks results for the sink.

Both work chunk by chunk in the client's loop, within byte credit. Other threads access the disk, so that a slow disk
never looks like a dead client. At any time one input is being sent and one is read ahead, one result is being received
and at most two wait for the sink. So memory is limited to a few frames, or less if the sink takes results in chunks.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Callable, Deque, Dict, List, Mapping, Optional, Set, Tuple

from harmovid.errors import FrameCorrupt, FrameRefused, FrameUnreadable, HarmoVidError
from harmovid.storage.checksums import RunningSum, chunk_sums, crc32
from harmovid.storage.files import Receiver, Sink, Source
from harmovid.transport import wire
from harmovid.transport.connection import Connection
from harmovid.transport.schema import Buffer
from harmovid.transport.waker import DaemonExecutor

Item = Tuple[str, int]  # layer, frame

# Credit is granted in portions of this size: fewer messages, and far from using up the 16 MiB at the start.
CREDIT_PORTION_BYTES = 4 * 1024 * 1024
# Results that may wait for the sink before credit is held back.
WAITING_RESULTS = 2


@dataclass
class _Outgoing:
    """One input that is being sent: its bytes and position."""

    item: Item
    data: memoryview
    sums: List[int]
    sent: int = 0


_Loaded = Tuple[memoryview, List[int], int]
"""A file's bytes, the CRC-32 of each of its chunks and of the whole."""


def _load(source: Source, layer: str, frame: int) -> _Loaded:
    """Read a frame and return its bytes and checksums; runs in the reading thread."""
    try:
        data = memoryview(source.read(layer, frame)).cast("B")
    except OSError as error:  # a host's own source may raise any exception
        raise FrameUnreadable(f"cannot be read: {error}.", frame=frame, layer=layer) from error
    if not data:
        raise FrameUnreadable("is empty.", frame=frame, layer=layer)
    return (data, *chunk_sums(data))


class Uploader:
    """Sends the inputs of one job within one connection."""

    def __init__(
        self,
        connection: Connection,
        job: str,
        source: Source,
        reading: DaemonExecutor,
        wake: Callable[..., None],
    ) -> None:
        """Start with an empty queue.

        Args:
            connection: where to send.
            job: the job's id.
            source: the inputs.
            reading: the thread on which `source.read` is called.
            wake: called when a read is done, to wake the loop.
        """
        self._connection = connection
        self._job = job
        self._source = source
        self._reading = reading
        self._wake = wake
        self._credit = connection.credit
        self._limit = int(connection.welcome["limits"].get("file_bytes", wire.FILE_BYTES))
        self._queue: Deque[Item] = deque()
        self._wanted: Set[Item] = set()
        self._tries: Dict[Item, int] = {}
        self._ahead: Optional[Tuple[Item, Future[_Loaded]]] = None
        self._current: Optional[_Outgoing] = None
        self.bytes_sent = 0

    def need(self, items: Any) -> None:
        """Queue the inputs that the server needs; none is queued twice."""
        for layer, frame in items:
            self._tries.pop((layer, frame), None)
            self._add((layer, frame))

    def _add(self, item: Item) -> None:
        if item not in self._wanted:
            self._wanted.add(item)
            self._queue.append(item)

    def grant(self, size: int) -> None:
        """Add credit granted by the server."""
        self._credit += size

    def refused(self, layer: str, frame: int, error: HarmoVidError) -> None:
        """Queue a file again that arrived damaged; give up after `wire.SEND_TRIES` times."""
        item = (layer, frame)
        if self._current is not None and self._current.item == item:
            self._finish_current()
        self._tries[item] = self._tries.get(item, 1) + 1
        if self._tries[item] > wire.SEND_TRIES:
            self._give_up(item, error)
        else:
            self._add(item)

    def pump(self) -> None:
        """Send as much as credit and socket allow, and read one file ahead."""
        while not self._connection.congested:
            self._read_ahead()
            if self._current is None and not self._begin():
                return
            if self._current is not None and not self._send_chunk(self._current):
                return

    def _read_ahead(self) -> None:
        if self._ahead is None and self._queue:
            item = self._queue.popleft()
            future = self._reading.submit(_load, self._source, *item)
            future.add_done_callback(self._wake)
            self._ahead = (item, future)

    def _begin(self) -> bool:
        """Begin the file that was read ahead; return whether there was one."""
        if self._ahead is None or not self._ahead[1].done():
            return False
        (item, future), self._ahead = self._ahead, None
        layer, frame = item
        try:
            data, sums, crc = future.result()
            if len(data) > self._limit:
                raise FrameRefused(
                    f"the file has {len(data)} bytes, the server takes {self._limit}.",
                    frame=frame,
                    layer=layer,
                )
        except HarmoVidError as error:
            self._give_up(item, error)
            return True
        self._current = _Outgoing(item, data, sums)
        self._send("META", item, size=len(data), crc=crc)
        return True

    def _send_chunk(self, file: _Outgoing) -> bool:
        whole = file.data[file.sent : file.sent + wire.CHUNK_BYTES]
        chunk = whole[: self._credit]
        if not chunk:
            return False
        index, rest = divmod(file.sent, wire.CHUNK_BYTES)
        # With little credit a chunk is sent in fragments; from then on chunk borders differ from those of the
        # checksums.
        crc = crc32(chunk) if rest or len(chunk) < len(whole) else file.sums[index]
        self._send("CHUNK", file.item, off=file.sent, crc=crc, data=chunk)
        self._credit -= len(chunk)
        self.bytes_sent += len(chunk)
        file.sent += len(chunk)
        if file.sent == len(file.data):
            self._finish_current()
        return True

    def _finish_current(self) -> None:
        if self._current is not None:
            self._wanted.discard(self._current.item)
            self._current = None

    def _give_up(self, item: Item, error: HarmoVidError) -> None:
        self._wanted.discard(item)
        self._send("SOURCE_FAILED", item, error=wire.error_body(error))

    def _send(self, kind: str, item: Item, **fields: Any) -> None:
        self._connection.send_data(kind, {"job": self._job, "layer": item[0], "frame": item[1], **fields})


class _Store:
    """Writes one result to the sink; all methods run in the writing thread.

    If the sink takes only whole results, the chunks are collected here. After an error further chunks are ignored, and
    `commit` raises the error.
    """

    def __init__(self, sink: Sink, frame: int, size: int) -> None:
        self._sink = sink
        self._frame, self._size = frame, size
        self._receiver: Optional[Receiver] = None
        self._data = bytearray()
        self._error: Optional[BaseException] = None

    def write(self, data: Buffer) -> None:
        """Add the next chunk."""
        receive = getattr(self._sink, "receive", None)
        try:
            if self._error is not None:
                return
            if receive is None:
                self._data += data
                return
            self._receiver = self._receiver or receive(self._frame, self._size)
            self._receiver.write(data)
        except BaseException as error:  # a host's own sink may raise any exception; the job's caller gets it
            self._error = error
            self.drop()

    def commit(self, report: Mapping[str, Any]) -> None:
        """Give the complete result to the sink."""
        if self._error is not None:
            raise self._error
        if self._receiver is None:
            self._sink.write(self._frame, self._data, report)
            return
        try:
            self._receiver.commit(report)
        except BaseException:
            self.drop()
            raise

    def drop(self) -> None:
        """Discard the incomplete result."""
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.drop()


@dataclass
class _Incoming:
    """One result that is being received: what was announced and what has arrived. `store` is None if it is not
    needed.
    """

    frame: int
    size: int
    crc: int
    report: Mapping[str, Any]
    store: Optional[_Store]
    arrived: int = 0
    sums: RunningSum = field(default_factory=RunningSum)


class Downloader:
    """Receives the results of one job, over one session after another."""

    def __init__(
        self,
        job: str,
        sink: Sink,
        have: Mapping[int, int],
        writing: DaemonExecutor,
        wake: Callable[..., None],
    ) -> None:
        """Start with the results that the sink already has.

        Args:
            job: the job's id.
            sink: where the results go.
            have: `{frame: crc}` of results that are stored safely.
            writing: the thread on which `sink.write` is called.
            wake: called when a write is done, to wake the loop.
        """
        self._job = job
        self._sink = sink
        self._writing = writing
        self._wake = wake
        self._connection: Optional[Connection] = None
        self._current: Optional[_Incoming] = None
        self._waiting: Deque[Tuple[_Incoming, Future[None]]] = deque()
        self._owed = 0
        self.have: Dict[int, int] = dict(have)
        self.reports: Dict[int, Mapping[str, Any]] = {}
        self.bytes_received = 0

    def attach(self, connection: Connection) -> None:
        """Continue with a new session: a half-received result is discarded, credit starts again."""
        self._connection = connection
        self.abandon()
        self._owed = 0

    def abandon(self) -> None:
        """Discard a half-received result."""
        if self._current is not None:
            self._discard(self._current)
        self._current = None

    def meta(self, body: Mapping[str, Any]) -> None:
        """Begin a result; if it is already stored, acknowledge it at once and ignore its bytes."""
        frame, crc = body["frame"], body["crc"]
        safe = self.have.get(frame) == crc
        in_work = any(one.frame == frame and one.crc == crc for one, _ in self._waiting)
        self.abandon()
        store = None if safe or in_work else _Store(self._sink, frame, body["size"])
        self._current = _Incoming(frame, body["size"], crc, body["report"], store)
        if safe:
            self._send("ACK", {"frame": frame})

    def chunk(self, body: Mapping[str, Any]) -> None:
        """Take one chunk; a complete result goes to the sink, a damaged one is requested again."""
        data: Buffer = body["data"]
        self.bytes_received += len(data)
        self._owed += len(data)
        file = self._current
        if file is not None and file.store is not None and file.frame == body["frame"]:
            problem = self._append(file, file.store, body["off"], body["crc"], data)
            if problem:
                self._discard(file)
                error = FrameCorrupt(f"the result arrived damaged: {problem}.", frame=file.frame)
                self._send("RESULT_BAD", {"frame": file.frame, "error": wire.error_body(error)})
            elif file.arrived == file.size:
                self._hand_over(file, file.store)
        self._grant_credit()

    def _append(self, file: _Incoming, store: _Store, off: int, crc: int, data: Buffer) -> str:
        """Add one chunk to the file; return what is wrong with it, "" if nothing."""
        if off != file.arrived:
            return f"byte {off} came where {file.arrived} was due"
        if off + len(data) > file.size:
            return f"it is longer than its {file.size} bytes"
        if file.sums.add(data) != crc:
            return f"the checksum at byte {off} does not fit"
        file.arrived += len(data)
        if file.arrived == file.size and file.sums.whole != file.crc:
            return "the checksum of the whole does not fit"
        self._writing.submit(store.write, data)
        return ""

    def _discard(self, file: _Incoming) -> None:
        """Discard what has arrived of a file, and ignore the rest of it."""
        store, file.store = file.store, None
        if store is not None:
            self._writing.submit(store.drop)

    def _hand_over(self, file: _Incoming, store: _Store) -> None:
        self._current = None
        future = self._writing.submit(store.commit, {**file.report, "crc": file.crc})
        future.add_done_callback(self._wake)
        self._waiting.append((file, future))

    def settle(self) -> Dict[int, Mapping[str, Any]]:
        """Acknowledge the results that the sink has stored since the last call; return `{frame: report}` of them.

        Raises:
            OutputError: the sink could not write. Other errors that its `write` raised are passed on.
        """
        done: Dict[int, Mapping[str, Any]] = {}
        while self._waiting and self._waiting[0][1].done():
            file, future = self._waiting.popleft()
            future.result()
            self.have[file.frame] = file.crc
            self.reports[file.frame] = done[file.frame] = file.report
            self._send("ACK", {"frame": file.frame})
        if done:
            self._grant_credit()
        return done

    def _grant_credit(self) -> None:
        """Grant credit for what has been received, unless the sink is behind."""
        behind = len(self._waiting) >= WAITING_RESULTS
        if self._connection is not None and self._owed >= CREDIT_PORTION_BYTES and not behind:
            self._connection.send_data("CREDIT", {"bytes": self._owed})
            self._owed = 0

    def _send(self, kind: str, fields: Mapping[str, Any]) -> None:
        if self._connection is not None:
            self._connection.send_data(kind, {"job": self._job, **fields})
