"""The dispatcher of the link: what main does with each message of its children, and after each batch of them.

    dispatcher = LinkDispatcher(state)
    dispatcher.handle("worker-0.1", {"op": "computed", ...})
    dispatcher.pump()
    for child, op, fields in state.flush(): router.send(child, op, **fields)
    state.delete_unused()

No sockets and no processes here (`server.py` has them), so that every decision can be tested by itself.
"""

from __future__ import annotations

import logging
from typing import Any, Callable, Dict, Optional

from harmovid.errors import EngineFailed, from_wire
from harmovid.job import FAILED, QUEUED, EngineInfo

from harmovid_server import metric_list as names
from harmovid_server.logs import about
from harmovid_server.main import placement
from harmovid_server.main.jobs import Job
from harmovid_server.main.prefetch import Prefetcher, disk_was_full
from harmovid_server.main.requests import Requester, answer
from harmovid_server.main.state import ServerState, WorkerSlot
from harmovid_server.main.store import COMPUTED, RECEIVED, WANT

log = logging.getLogger("harmovid.main")

Message = Dict[str, Any]

SPOOL_FULL = "spool_full"


class LinkDispatcher:
    """Turns link messages into changes of the state, and gives out work after each batch."""

    def __init__(self, state: ServerState) -> None:
        self.state = state
        self.prefetcher = Prefetcher(state)
        self._ops: Dict[str, Callable[[str, Message], None]] = {
            "hello": self._hello,
            "activated": self._activated,
            "request": self._request,
            "received": self._received,
            "source_failed": self._source_failed,
            "receive_failed": self._receive_failed,
            "acked": self._acked,
            "gone": self._gone,
            "clients": self._clients,
            "result_lost": self._result_lost,
            "computed": self._computed,
            "frame_failed": self._frame_failed,
            "release": self._release,
            "show": self._show,
            "finished": self._finished,
            "job_failed": self._job_failed,
            "engine_lost": self._engine_lost,
        }

    def handle(self, name: str, message: Message) -> None:
        """Do what one message of the child `name` asks for. A malformed one is logged and dropped."""
        handler = self._ops.get(message["op"])
        if handler is None:
            return
        try:
            handler(name, message)
        # A process boundary: a bug in a child must not stop main, whose death would stop everybody's jobs.
        except (KeyError, TypeError, ValueError, AttributeError):
            log.exception(
                "a message of a child could not be handled", extra=about(child=name, op=message["op"])
            )

    def pump(self) -> None:
        """Give out work, ask for frames, send results, tell clients, end what has timed out."""
        placement.assign(self.state)
        self.prefetcher.request_inputs()
        self.prefetcher.deliver_results()
        self.prefetcher.report_progress()
        self.prefetcher.expire()

    def lost(self, name: str) -> None:
        """Handle the end of a child process."""
        state = self.state
        if name in state.workers:
            placement.worker_lost(state, name)
        elif name == state.front:
            state.front, state.clients = None, 0
            for job in [job for job in state.jobs.values() if job.session is not None]:
                state.detach(job)
        elif name == state.fetcher:
            state.fetcher = None
            self._fetches_lost()

    def drain(self, deadline_s: float) -> None:
        """Take no new jobs and start none; tell the clients how long the server will still be there."""
        self.state.draining = True
        self.state.send(self.state.front, "drain", deadline_s=deadline_s)

    def quiet(self) -> bool:
        """Return whether no client waits for a running job any more."""
        return not any(
            job.session is not None and job.record.state != QUEUED for job in self.state.jobs.values()
        )

    def _fetches_lost(self) -> None:
        for job in self.state.jobs.values():
            for number, frame in job.frames.items():
                if shared := [layer for layer in frame.asked if layer in job.spec.shared]:
                    job.ask_again(number, shared)

    def _hello(self, name: str, message: Message) -> None:
        role = message["role"]
        if role == "front":
            self.state.front = name
        elif role == "fetch":
            self.state.fetcher = name
        elif role == "worker":
            infos = [EngineInfo.from_dict(item) for item in message["engines"]]
            self.state.workers[name] = WorkerSlot({info.name: info for info in infos})
            self.state.engines.update(self.state.workers[name].engines)
            for job in self.state.jobs.values():
                job.info = job.info or self.state.engines.get(job.spec.engine)
        log.info("child ready", extra=about(child=name))

    def _activated(self, name: str, message: Message) -> None:
        """Store the description of an engine that was loaded or has a new version: it says what the engine runs on."""
        slot = self.state.workers.get(name)
        info = EngineInfo.from_dict(message["engine"])
        if slot is not None and info.name in slot.engines:
            slot.engines[info.name] = self.state.engines[info.name] = info
            told = (info.runtime.get(fact, "") for fact in ("runtime", "device"))
            self.state.tally.count(names.LOADS, info.name, *told)

    # From the front (and, for shared inputs, from the fetch process).

    def _request(self, _name: str, message: Message) -> None:
        requester = Requester(message["session"], message["user"])
        said_before = self.state.outbox_size()
        answered = answer(self.state, requester, message["type"], message["body"])
        if answered is not None and message.get("ref") is not None:
            kind, body = answered
            # The answer goes first; what it sets off (failed frames, a state) comes after it.
            self.state.send(
                self.state.front, "reply", session=requester.session, ref=message["ref"], type=kind, body=body,
                at=said_before,
            )  # fmt: skip

    def _asked(self, message: Message) -> Optional[Job]:
        """Return the job that a message about a frame belongs to, if both are known."""
        job = self.state.jobs.get(message["job"])
        return job if job is not None and message["frame"] in job.all_numbers else None

    def _received(self, _name: str, message: Message) -> None:
        if job := self._asked(message):
            self.state.receive(job, message["layer"], message["frame"], message["size"], message["crc"])

    def _source_failed(self, _name: str, message: Message) -> None:
        if job := self._asked(message):
            self.state.fail_frame(job, message["frame"], message["error"])

    def _receive_failed(self, _name: str, message: Message) -> None:
        """Request an input again that could not be stored: it is larger than expected, or the disk is full."""
        job = self._asked(message)
        if job is None:
            return
        number, layer, size = message["frame"], message["layer"], message.get("size", 0)
        self.state.void(job, number, layer)
        if not job.wants(number):
            return
        if message["error"].get("code") != SPOOL_FULL:
            self.state.fail_frame(job, number, message["error"])
        elif size > job.layer_bytes.get(layer, 0):
            job.layer_bytes[layer] = size
        else:
            disk_was_full(self.state, job)

    def _acked(self, _name: str, message: Message) -> None:
        if job := self._asked(message):
            self.state.ack(job, message["frame"])

    def _gone(self, _name: str, message: Message) -> None:
        for job in list(self.state.jobs.values()):
            if job.session == message["session"]:
                self.state.detach(job)

    def _clients(self, _name: str, message: Message) -> None:
        self.state.clients = int(message["count"])
        for code, count in message["refused"].items():
            self.state.tally.count(names.ERRORS, "session", code, by=count)

    def _result_lost(self, _name: str, message: Message) -> None:
        """Have a result made again that cannot be read any more (something else has changed the spool)."""
        job = self._asked(message)
        if job is not None and job.frames[message["frame"]].state == COMPUTED:
            self.state.want_again(job, message["frame"])
            placement.restart(self.state, job)

    # From workers. A message of an earlier attempt is dropped: that worker no longer runs the job.

    def _of_worker(self, name: str, message: Message) -> Optional[Job]:
        job = self.state.jobs.get(message["job"])
        if job is None or job.worker != name or job.record.attempt != message["attempt"]:
            return None
        return job

    def _computed(self, name: str, message: Message) -> None:
        job = self._of_worker(name, message)
        if job is not None and message["frame"] in job.numbers:
            for stage, seconds in message.get("seconds", {}).items():
                self.state.tally.time(names.STAGES, seconds, stage, job.spec.engine)
            self.state.compute(
                job, message["frame"], message["size"], message["crc"], message["report"],
                message.get("preview_bytes", 0),
            )  # fmt: skip

    def _frame_failed(self, name: str, message: Message) -> None:
        job = self._of_worker(name, message)
        if job is not None and message["frame"] in job.numbers:
            self.state.fail_frame(job, message["frame"], message["error"], by_worker=True)

    def _release(self, name: str, message: Message) -> None:
        job = self._of_worker(name, message)
        for number in message["frames"] if job else ():
            if job is not None and number in job.all_numbers:
                self.state.release_if_done(job, number)

    def _show(self, name: str, message: Message) -> None:
        """Store which frames the worker's engine has to see although they get no result now."""
        if job := self._of_worker(name, message):
            self.state.show(job, [number for number in message["frames"] if number in job.all_numbers])

    def _finished(self, name: str, message: Message) -> None:
        job = self._of_worker(name, message)
        if job is None:
            return
        self.state.workers[name].jobs.discard(job.id)
        job.worker = None
        if job.owes:
            number = next(iter(job.in_states(WANT, RECEIVED)))
            error = EngineFailed(f"the engine finished without an answer for frame {number}.")
            self.state.end(job, FAILED, error)

    def _job_failed(self, name: str, message: Message) -> None:
        job = self._of_worker(name, message)
        if job is None:
            return
        self.state.workers[name].jobs.discard(job.id)
        job.worker = None
        if message["error"].get("code") == SPOOL_FULL:
            disk_was_full(self.state, job)
        else:
            self.state.end(job, FAILED, from_wire(message["error"]))

    def _engine_lost(self, name: str, message: Message) -> None:
        """Handle the loss of the actor that ran a job's engine; the worker itself goes on."""
        if job := self._of_worker(name, message):
            self.state.workers[name].jobs.discard(job.id)
            placement.engine_lost(self.state, job)
