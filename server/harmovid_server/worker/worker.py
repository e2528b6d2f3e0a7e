"""The engine process: gets jobs from main and runs each in its own thread.

The main thread owns the link: it passes main's messages to the jobs and theirs to main, and sends heartbeats, so that
a long engine call does not look like a dead worker.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import socket
import sys
import threading
from dataclasses import dataclass
from typing import Any, Dict, NoReturn, Optional, Tuple

import zmq
from harmovid.errors import HarmoVidError

from harmovid_server.config import Config
from harmovid_server.ipc import IpcClient, Message
from harmovid_server.logs import about
from harmovid_server.runtimes.base import RuntimeSettings
from harmovid_server.runtimes.devices import count_gpus
from harmovid_server.worker.codec_pool import COMMAND, COMMAND_LOG_JSON, CodecPool
from harmovid_server.worker.host import Host
from harmovid_server.worker.job_run import JobRun

log = logging.getLogger("harmovid.worker")

POLL_MS = 200
"""Longest sleep of the link's thread: several times per beat."""


@dataclass
class Running:
    """One job in this worker, and the thread that runs it."""

    job_run: JobRun
    thread: threading.Thread


class Outbox:
    """Messages from the jobs' threads to the link's thread, which is woken by a byte in a socket."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[Tuple[str, Message]] = queue.SimpleQueue()
        self.wake, self._waker = socket.socketpair()
        self.wake.setblocking(False)
        self._waker.setblocking(False)

    def send(self, op: str, **fields: Any) -> None:
        """Queue one message; called from any thread."""
        self._waiting.put((op, fields))
        # If the socket is full, the reader wakes up anyway.
        with contextlib.suppress(BlockingIOError):
            self._waker.send(b"!")

    def close(self) -> None:
        """Close both ends of the socket pair."""
        self.wake.close()
        self._waker.close()

    def pass_on(self, link: IpcClient) -> None:
        """Send all queued messages; called from the link's thread."""
        with contextlib.suppress(BlockingIOError):
            self.wake.recv(1 << 16)
        while True:
            try:
                op, fields = self._waiting.get_nowait()
            except queue.Empty:
                return
            link.send(op, **fields)


class Worker:
    """The jobs of this process, by id."""

    def __init__(self, link: IpcClient, host: Host, pool: CodecPool) -> None:
        self._link = link
        self._host = host
        self._pool = pool
        self._outbox = Outbox()
        self._runs: Dict[str, Running] = {}
        host.on_activated = lambda info: self._outbox.send("activated", engine=info.to_dict())
        self._poller = zmq.Poller()
        self._poller.register(link.socket, zmq.POLLIN)
        self._poller.register(self._outbox.wake, zmq.POLLIN)

    def turn(self) -> None:
        """Wait for messages in either direction, at most `POLL_MS`, and forward all of them."""
        self._link.beat_if_due()
        self._host.close_idle()
        self._poller.poll(POLL_MS)
        while (message := self._link.receive()) is not None:
            self.take(message)
        self._outbox.pass_on(self._link)

    def close(self) -> None:
        """Stop all jobs, wait for their threads, and close the link and the codec children."""
        for run in self._runs.values():
            run.job_run.arrivals.stop()
        for run in self._runs.values():
            run.thread.join()
        self._host.close()
        self._pool.close()
        self._outbox.close()
        self._link.close()

    def take(self, message: Message) -> None:
        """Handle one message of main."""
        job = str(message.get("job", ""))
        if message["op"] == "start":
            self._start(job, message)
            return
        run = self._runs.get(job)
        if run is None:
            return
        if message["op"] == "ready":
            run.job_run.arrivals.ready(message["frame"])
        elif message["op"] == "absent":
            run.job_run.arrivals.absent(message["frame"])
        elif message["op"] == "stop":
            run.job_run.arrivals.stop()

    def _start(self, job: str, message: Message) -> None:
        self._runs = {
            other: run for other, run in self._runs.items() if run.thread.is_alive() or other == job
        }
        before = self._runs.pop(job, None)
        try:
            job_run = JobRun(message, self._host, self._pool, self._outbox.send)
        except HarmoVidError as error:
            self._outbox.send("job_failed", job=job, attempt=message["attempt"], error=error.to_wire())
            return
        log.info("job starts", extra=about(job=job, attempt=message["attempt"], done=len(message["done"])))
        thread = threading.Thread(target=_run, args=(job_run, before), name=f"job-{job[:8]}", daemon=True)
        self._runs[job] = Running(job_run, thread)
        thread.start()


def _run(job_run: JobRun, before: Optional[Running]) -> None:
    """Run a job once its earlier attempt in this process, if any, has ended."""
    if before is not None:
        before.job_run.arrivals.stop()
        before.thread.join()
    job_run.run()


def work(config: Config, link: IpcClient, host: Host) -> NoReturn:
    """Run as a worker with this engine host until main is gone, or until codec children do not start any more.

    Raises:
        SystemExit: always, with the failure, if any; main then starts another worker.
    """
    pool = CodecPool(codec_children(config), COMMAND_LOG_JSON if config.log_json else COMMAND)
    worker = Worker(link, host, pool)
    link.send("hello", role="worker", engines=[info.to_dict() for info in host.infos()])
    try:
        while pool.failure is None:
            worker.turn()
    finally:
        worker.close()
    sys.exit(str(pool.failure))


def runtime_settings(config: Config, worker: str) -> RuntimeSettings:
    """Return the devices for the engines of one worker; if no GPU is named in the settings, each worker gets its own.

    Args:
        worker: the process's name, "worker-SLOT.START".
    """
    device = config.device
    if device in ("auto", "cuda") and config.workers > 1 and (gpus := count_gpus(os.environ)) > 1:
        slot = int(worker.partition("-")[2].partition(".")[0] or 0)
        device = f"{device}:{slot % gpus}"
    config.runtime_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return RuntimeSettings(
        device,
        config.precision,
        config.gpu_bytes,
        config.providers,
        str(config.runtime_folder),
        config.cuda_graphs,
    )


def codec_children(config: Config) -> int:
    """Return how many codec children to start: the setting, or one for each core that this process may use."""
    return config.codecs or len(os.sched_getaffinity(0))
