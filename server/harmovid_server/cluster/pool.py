"""Starts, watches and replaces the engine actors of one worker on a Ray cluster. The only module that imports Ray.

    pool = ActorPool(config)
    actor = pool.take()
    answer = actor.call("push", session, frame)
    actor.leave()

Ray chooses a machine for each actor and reports when the actor is gone. It must never restart an actor or repeat a call
by itself (`max_restarts`, `max_task_retries`), because a frame that is pushed twice gives a wrong picture. Actors
belong to the process that started them and end with it.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from contextlib import suppress
from typing import Any, Dict, List, Optional

import ray
from harmovid import __version__
from harmovid.errors import EngineFailed, from_wire
from ray.exceptions import RayError, RayTaskError

from harmovid_server.cluster.actor import EngineActor
from harmovid_server.config import Config
from harmovid_server.logs import about
from harmovid_server.worker.host import EngineLostError

log = logging.getLogger("harmovid.worker")

BACK_OFF_S = (0.0, 1.0, 1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0)
"""Seconds between the loss of an actor that had not started and the next try, by the number of losses in a row."""

ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1"}
"""As main sets it for workers, so that engines compute the same bits on every backend."""

COMING_S = 20.0
"""How long a job waits for an actor that is being started, before it shares one with other jobs."""

CONNECT_S = 10.0
"""How long the cluster's address may take to accept a connection."""

STRATEGIES = {"spread": "SPREAD", "pack": "DEFAULT"}
"""`Config.ray_placement` to Ray's names: on as many machines as possible, or on few."""


class RayActor:
    """One actor. `sessions` counts those of this worker; `about` is the actor's first answer, None before it."""

    def __init__(self, pool: ActorPool, handle: Any, config: Config) -> None:
        self.sessions = 0
        self.about: Optional[Dict[str, str]] = None
        self.handle = handle
        handle.set_up_log.remote(config.log_level, config.log_json)
        self.hello = handle.about.remote()
        self._pool = pool

    @property
    def machine(self) -> str:
        """Name of the machine it runs on."""
        return (self.about or {}).get("machine", "")

    def call(self, op: str, *arguments: Any) -> Any:
        """Call an operation of `EngineActor`, wait, and return the answer.

        Raises:
            HarmoVidError: the error raised in the actor. EngineLostError: it is gone, or cannot be reached.
        """
        reply = self._ask(self.handle.call, op, *arguments)
        if "error" in reply:
            raise from_wire(reply["error"])
        return reply["answer"]

    def post(self, op: str, *arguments: Any) -> None:
        """Call an operation without waiting for an answer; errors are ignored."""
        with suppress(RayError):
            self.handle.call.remote(op, *arguments)

    def leave(self) -> None:
        """Decrease the number of sessions."""
        self._pool.leave(self)

    def ping(self) -> None:
        """Wait for an answer; raise `EngineLostError` if the actor is gone."""
        self._ask(self.handle.about)

    def _ask(self, method: Any, *arguments: Any) -> Any:
        try:
            return ray.get(method.remote(*arguments))
        except RayTaskError as error:
            log.exception("engine actor broke", extra=about(machine=self.machine))
            raise EngineFailed(f"an engine actor broke ({error.cause!r}).") from error
        except RayError as error:
            reason = first_line(error)
            self._pool.lose(self, reason)
            raise EngineLostError(f"{self.machine}: {reason}") from error


class _Slot:
    """A slot for an actor and its successors: `actor` is None until the next one is due."""

    def __init__(self) -> None:
        self.actor: Optional[RayActor] = None
        self.due_s = time.monotonic()
        self.failures = 0

    def coming(self, now_s: float) -> bool:
        """Return whether an actor is being started and has not failed to start before."""
        is_up = self.actor is not None and self.actor.about is not None
        return not is_up and not self.failures and now_s < self.due_s + COMING_S


class ActorPool:
    """The actors of this process. Every method may be called from any thread.

    Attributes:
        problem: why the last actor was lost or could not be used; "" where none was.
    """

    def __init__(self, config: Config) -> None:
        """Connect to the cluster and request the actors.

        Raises:
            ConnectionError: there is no cluster at that address.
        """
        self.problem = ""
        self._config = config
        check_reachable(config.ray_address)
        ray.init(address=config.ray_address, log_to_driver=False, configure_logging=False)
        self._remote = ray.remote(EngineActor).options(
            num_cpus=config.ray_cpus, num_gpus=config.ray_gpus, max_restarts=0, max_task_retries=0,
            scheduling_strategy=STRATEGIES[config.ray_placement], runtime_env={"env_vars": ENVIRONMENT},
        )  # fmt: skip
        settings = {
            "device": config.device, "precision": config.precision, "memory": config.gpu_bytes,
            "providers": config.providers, "graphs": config.cuda_graphs,
        }  # fmt: skip
        self._arguments = (config.engines, config.engine_folders, settings)
        self._lock = threading.Lock()
        self._slots = [_Slot() for _ in range(config.ray_actors)]
        with self._lock:
            self._update()

    def take(self) -> Optional[RayActor]:
        """Return the running actor with the fewest sessions, and count one more; None if a job has to wait for one.

        If every actor has a session already and another actor is being started, jobs wait for that, because a job
        stays with its actor.
        """
        while True:
            with self._lock:
                self._update()
                now_s = time.monotonic()
                actor = min(self._ready(), key=lambda each: each.sessions, default=None)
                if actor is None or (actor.sessions and any(slot.coming(now_s) for slot in self._slots)):
                    return None
                actor.sessions += 1
            # An actor that has died while idle must not count as a crash of this job.
            with suppress(EngineLostError):
                actor.ping()
                return actor

    def leave(self, actor: RayActor) -> None:
        """Decrease the number of sessions of an actor, running or lost."""
        with self._lock:
            actor.sessions -= 1

    def ready(self) -> List[RayActor]:
        """Return the running actors, as far as is known."""
        with self._lock:
            return self._ready()

    def _ready(self) -> List[RayActor]:
        return [slot.actor for slot in self._slots if slot.actor is not None and slot.actor.about]

    def lose(self, actor: RayActor, reason: str) -> None:
        """Remove and kill an actor, also one that only cannot be reached: it might come back with old sessions."""
        with self._lock:
            for slot in self._slots:
                if slot.actor is actor:
                    self._empty(slot, reason)

    def close(self) -> None:
        """End all actors, and leave the cluster."""
        with self._lock:
            self._slots.clear()
        ray.shutdown()

    def _update(self) -> None:
        """Start the actors that are due, and check which of the started ones are running."""
        for slot in self._slots:
            if slot.actor is None and time.monotonic() >= slot.due_s:
                slot.actor = RayActor(self, self._remote.remote(*self._arguments), self._config)
            if slot.actor is not None and slot.actor.about is None:
                self._check_started(slot, slot.actor)

    def _check_started(self, slot: _Slot, actor: RayActor) -> None:
        done, _ = ray.wait([actor.hello], timeout=0)
        if not done:
            return
        try:
            said: Dict[str, str] = ray.get(actor.hello)
        except RayError as error:
            self._empty(slot, first_line(error))
            return
        if said["version"] != __version__:
            text = f"{said['machine']} has HarmoVid {said['version']} installed, this server is {__version__}"
            self._empty(slot, text)
            return
        actor.about = said
        log.info("engine actor ready", extra=about(machine=said["machine"], engine_pid=said["pid"]))

    def _empty(self, slot: _Slot, reason: str) -> None:
        """Remove the actor of a slot; the next one is due at once, or after `BACK_OFF_S` if actors do not start."""
        actor, slot.actor = slot.actor, None
        if actor is None:
            return
        self.problem = reason
        # The loss of an actor that was running does not mean that the next one cannot start.
        slot.failures = 0 if actor.about else slot.failures + 1
        slot.due_s = time.monotonic() + BACK_OFF_S[min(slot.failures, len(BACK_OFF_S) - 1)]
        log.warning("engine actor lost", extra=about(machine=actor.machine, reason=reason))
        with suppress(RayError):
            ray.kill(actor.handle)


def check_reachable(address: str) -> None:
    """Try to connect: Ray itself tries for a minute, longer than main waits, and says little.

    Raises:
        ConnectionError: nothing listens there.
    """
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_S).close()
    except OSError as error:
        raise ConnectionError(f"there is no Ray cluster at {address}: {error}") from error


def first_line(error: BaseException) -> str:
    """Return the line of a Ray error that states the cause, without the rest of its text."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    causes = [line for line in lines if "died because" in line or "Error:" in line]
    return f"{type(error).__name__}: {(causes or lines or [''])[0]}"
