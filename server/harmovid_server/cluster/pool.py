"""The engine actors of one worker on a Ray cluster: started, watched, replaced. The only module that imports Ray.

    pool = ActorPool(config)
    actor = pool.take()
    answer = actor.call("push", session, frame)
    actor.leave()

Ray is asked to run each actor somewhere and to tell when it is gone. It must never restart one or call it again by
itself (`max_restarts`, `max_task_retries`): a frame that is pushed twice is a wrong picture. Actors belong to the
process that started them and end with it.
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
"""Between the loss of an actor that had not come up and the next try in its place, as main does it with processes."""

ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1"}
"""As main sets it for workers: engines compute the same bits here and there."""

COMING_S = 20.0
"""So long a job waits for an actor of its own that is just being started, before it shares one."""

CONNECT_S = 10.0
"""How long the cluster's address may take to accept a connection."""

STRATEGIES = {"spread": "SPREAD", "pack": "DEFAULT"}
"""`Config.ray_placement` to Ray's words: on as many machines as there are, or on few."""


class RayActor:
    """One actor. `sessions` counts those of this worker; `about` is what it has said of itself, None before."""

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
        """Have it do something, wait, and return the answer.

        Raises:
            HarmoVidError: what was raised there. EngineLostError: it is gone, or cannot be reached.
        """
        reply = self._ask(self.handle.call, op, *arguments)
        if "error" in reply:
            raise from_wire(reply["error"])
        return reply["answer"]

    def post(self, op: str, *arguments: Any) -> None:
        """Have it do something some time; what becomes of that is not heard of."""
        with suppress(RayError):
            self.handle.call.remote(op, *arguments)

    def leave(self) -> None:
        """Count one session less."""
        self._pool.leave(self)

    def ping(self) -> None:
        """Wait until it says something; raise `EngineLostError` where it is gone."""
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


class _Seat:
    """A place for an actor and its successors: `actor` is None until the next one is due."""

    def __init__(self) -> None:
        self.actor: Optional[RayActor] = None
        self.due_s = time.monotonic()
        self.failures = 0

    def coming(self, now_s: float) -> bool:
        """Whether an actor will most likely be there in a moment."""
        is_up = self.actor is not None and self.actor.about is not None
        return not is_up and not self.failures and now_s < self.due_s + COMING_S


class ActorPool:
    """The actors of this process. Every method may be called from any thread.

    Attributes:
        problem: why the last actor was lost or could not be used; "" where none was.
    """

    def __init__(self, config: Config) -> None:
        """Join the cluster and ask for the actors.

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
            "providers": config.providers,
        }  # fmt: skip
        self._arguments = (config.engines, config.engine_folders, settings)
        self._lock = threading.Lock()
        self._seats = [_Seat() for _ in range(config.ray_actors)]
        with self._lock:
            self._tend()

    def take(self) -> Optional[RayActor]:
        """Return the living actor with the fewest sessions, for one more; None while there is none.

        Where all have one already and another is coming, it is waited for: a job stays where it begins.
        """
        while True:
            with self._lock:
                self._tend()
                now_s = time.monotonic()
                actor = min(self._ready(), key=lambda each: each.sessions, default=None)
                if actor is None or (actor.sessions and any(seat.coming(now_s) for seat in self._seats)):
                    return None
                actor.sessions += 1
            # One that died while it was idle is no job's fault.
            with suppress(EngineLostError):
                actor.ping()
                return actor

    def leave(self, actor: RayActor) -> None:
        """Count one session less of an actor, there or lost."""
        with self._lock:
            actor.sessions -= 1

    def ready(self) -> List[RayActor]:
        """Return the actors that are there, as far as is known."""
        with self._lock:
            return self._ready()

    def _ready(self) -> List[RayActor]:
        return [seat.actor for seat in self._seats if seat.actor is not None and seat.actor.about]

    def lose(self, actor: RayActor, reason: str) -> None:
        """Let go of an actor for good, also of one that is only out of reach: it might come back with old sessions."""
        with self._lock:
            for seat in self._seats:
                if seat.actor is actor:
                    self._empty(seat, reason)

    def close(self) -> None:
        """End all actors, and leave the cluster."""
        with self._lock:
            self._seats.clear()
        ray.shutdown()

    def _tend(self) -> None:
        """Start what is due, and look which of the started ones are there."""
        for seat in self._seats:
            if seat.actor is None and time.monotonic() >= seat.due_s:
                seat.actor = RayActor(self, self._remote.remote(*self._arguments), self._config)
            if seat.actor is not None and seat.actor.about is None:
                self._welcome(seat, seat.actor)

    def _welcome(self, seat: _Seat, actor: RayActor) -> None:
        done, _ = ray.wait([actor.hello], timeout=0)
        if not done:
            return
        try:
            said: Dict[str, str] = ray.get(actor.hello)
        except RayError as error:
            self._empty(seat, first_line(error))
            return
        if said["version"] != __version__:
            text = f"{said['machine']} has HarmoVid {said['version']} installed, this server is {__version__}"
            self._empty(seat, text)
            return
        actor.about = said
        log.info("engine actor ready", extra=about(machine=said["machine"], engine_pid=said["pid"]))

    def _empty(self, seat: _Seat, reason: str) -> None:
        """Drop the actor of a seat; the next one is due at once, or later and later while none comes up."""
        actor, seat.actor = seat.actor, None
        if actor is None:
            return
        self.problem = reason
        # One that had been up says nothing about the next one.
        seat.failures = 0 if actor.about else seat.failures + 1
        seat.due_s = time.monotonic() + BACK_OFF_S[min(seat.failures, len(BACK_OFF_S) - 1)]
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
    """Return what an error of Ray says, without the pages that follow."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    causes = [line for line in lines if "died because" in line or "Error:" in line]
    return f"{type(error).__name__}: {(causes or lines or [''])[0]}"
