"""The main process: start, serve, drain, stop. It supervises the other processes and schedules the jobs.

    from harmovid_server.config import load
    raise SystemExit(serve(load(sys.argv[1:], os.environ)))

A start opens the store, then the link, then the children; the public sockets are bound last, when an engine is ready.
The first SIGTERM (or Ctrl-C) drains: no new jobs, running ones continue while their clients are connected, at most
`drain_s`; a second one stops at once. Jobs are kept: the next server continues them.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import socket
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Dict, Optional

import zmq
from harmovid import __version__, bundle
from harmovid.errors import EngineFailed, HarmoVidError, InputError, from_wire
from harmovid.keys import AuthorizedKeys, load_secret
from harmovid.storage import atomic
from harmovid.storage.locks import lock_file

from harmovid_server import logs, metric_list
from harmovid_server.config import Config, is_loopback
from harmovid_server.ipc import BEAT_S, IPC_PATH_BYTES, IpcRouter, Message
from harmovid_server.logs import about
from harmovid_server.main.children import Child
from harmovid_server.main.dispatcher import LinkDispatcher
from harmovid_server.main.numbers import numbers
from harmovid_server.main.recovery import recover
from harmovid_server.main.state import ServerState
from harmovid_server.main.store import Store
from harmovid_server.spool import Spool

log = logging.getLogger("harmovid.main")

WORKER_MODULES = {"local": "harmovid_server.worker", "ray": "harmovid_server.cluster"}
"""The module that a worker slot runs, by `Config.backend`."""

METRICS = "metrics"
POLL_MS = 100
GOODBYE_S = 1.0
"""Time for the front to send BYE to its clients."""

START_TRIES = 3
SAME_SIGNAL_S = 1.0
"""Signals closer together than this count as one."""


def serve(config: Config) -> int:
    """Run a server until it is told to stop; return the process's exit code.

    Raises:
        InputError: settings, keys, folders or ports cannot be used; raised before anything is bound.
    """
    logs.set_up(config.log_level, config.log_json)
    # Only this user may read frames, jobs and logs, whatever the umask of the shell; children inherit it.
    os.umask(0o077)
    check_exposure(config)
    check_bundles(config)
    check_metrics(config)
    check_backend(config)
    with Server(config) as server:
        server.start()
        while not server.stopping:
            server.turn()
        return server.exit_code


def check_exposure(config: Config) -> None:
    """Refuse an address that other machines can reach without keys, and a key without a list of clients.

    Raises:
        InputError: the settings are refused, or the address is not an IP address.
        KeyFileError: a key file is invalid.
    """
    if not config.server_key:
        if not is_loopback(config.bind):
            raise InputError(
                f"without keys the server listens on this machine only, not on {config.bind}.",
                fix="Make keys with `harmovid keys new`, then give --server-key and --authorized-keys.",
            )
        return
    is_loopback(config.bind)
    load_secret(config.server_key)
    if not config.authorized_keys:
        raise InputError(
            "--server-key needs --authorized-keys: who may connect?", fix="Name the list's file."
        )
    if not AuthorizedKeys(config.authorized_keys).load():
        log.warning("nobody is on the list of authorized keys yet", extra=about(file=config.authorized_keys))


def check_bundles(config: Config) -> None:
    """Refuse a start with an engine folder that holds no readable bundle; hashes are checked when one is loaded.

    Raises:
        BundleError: the message names the folder or file.
    """
    for folder in config.engine_folders:
        for one in bundle.find(folder):
            bundle.read(one)


def check_metrics(config: Config) -> None:
    """Refuse a metrics port that cannot be served here; log a warning if other machines may read it.

    Raises:
        InputError: prometheus_client is not installed, or the address is not an IP address.
    """
    if not config.metrics_port:
        return
    if not is_loopback(config.metrics_bind):
        log.warning("anybody who reaches %s may read the metrics", config.metrics_bind)
    if find_spec("prometheus_client") is None:
        raise InputError(
            "--metrics-port needs prometheus_client, which is not installed.",
            fix="Run pip install 'harmovid[metrics]', or leave the port out.",
        )


def check_backend(config: Config) -> None:
    """Refuse a backend that is not installed here.

    Raises:
        InputError: Ray is missing.
    """
    if config.backend == "ray" and find_spec("ray") is None:
        raise InputError(
            "--backend ray needs Ray, which is not installed.",
            fix="Run pip install 'harmovid[server,cluster]', or leave the backend out.",
        )


class Server:
    """The main process: its folders, store, link, child processes and clock."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.stopping = False
        self.exit_code = 0
        self._signals = 0
        self._first_signal_s = 0.0
        self._deadline_s: Optional[float] = None
        self._ports = (config.port, config.data_port)
        self._open_sent_to = ""
        self._announced = False
        self._reload = False
        self._started_s = time.monotonic()
        self._notify_s = 0.0
        self._turned_s = time.monotonic()

    def __enter__(self) -> Server:
        """Lock the state folder, open store and spool, bind the link."""
        state = Path(self.config.state)
        try:
            state.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = _claim(state)
            self._run = _run_folder(state)
        except OSError as error:
            raise InputError(f"the state folder {state} cannot be used: {error.strerror}.") from error
        store = Store.open(self.config.store_file)
        self.state = ServerState(self.config, store, Spool(self.config.spool_folder, self.config.spool_bytes))
        recover(self.state)
        self.dispatcher = LinkDispatcher(self.state)
        self.router = IpcRouter(self._run / "link")
        settings = self._run / "settings.json"
        self.config.save(settings)
        slots = [("front", "harmovid_server.front")]
        slots += [(f"worker-{n}", WORKER_MODULES[self.config.backend]) for n in range(self.config.workers)]
        slots += [("fetch", "harmovid_server.fetch")] if self.config.roots else []
        slots += [(METRICS, "harmovid_server.metrics")] if self.config.metrics_port else []
        self.children = [Child(slot, module, self.router.address, settings) for slot, module in slots]
        self._wake, self._waker = socket.socketpair()
        self._wake.setblocking(False)
        self._waker.setblocking(False)
        signal.set_wakeup_fd(self._waker.fileno())
        self._handlers = {
            number: signal.signal(number, self._on_signal)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        }
        self._poller = zmq.Poller()
        self._poller.register(self.router.socket, zmq.POLLIN)
        self._poller.register(self._wake, zmq.POLLIN)
        return self

    def __exit__(self, *_: object) -> None:
        """End the children and close everything; the jobs stay in the store and the spool."""
        notify("STOPPING=1")
        for child in self.children:
            child.kill()
        self.router.close()
        self.state.flush()
        self.state.delete_unused()
        self.state.store.close()
        signal.set_wakeup_fd(-1)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._wake.close()
        self._waker.close()
        shutil.rmtree(self._run, ignore_errors=True)
        if self.config.ready_file:
            Path(self.config.ready_file).unlink(missing_ok=True)
        if self.config.temporary:
            shutil.rmtree(self.config.state, ignore_errors=True)
        os.close(self._lock)
        log.info("stopped")

    def start(self) -> None:
        """Start all children; each sends `hello` on the link when it is ready."""
        for child in self.children:
            child.start()

    def turn(self) -> None:
        """Run one round: read the children's messages, replace dead ones, decide, store, then send."""
        self._poller.poll(POLL_MS)
        self._drain_wakeups()
        named = {child.name: child for child in self.children}
        for name, message in self.router.receive():
            if name in named:
                named[name].heard()
                self._hear(named[name], message)
        now = time.monotonic()
        # A machine that was suspended, or is far too busy, must not cost the children their jobs.
        away_s, self._turned_s = now - self._turned_s - BEAT_S, now
        for child in self.children:
            name = child.name
            if away_s > 0:
                child.excuse(now, away_s)
            if child.tend(now):
                self.state.tally.count(metric_list.LOST, child.slot)
                self.dispatcher.lost(name)
                self._give_up_on(child)
        self.dispatcher.pump()
        self._speak()
        self._act_on_signals(now)
        if self.config.parent and os.getppid() != self.config.parent:
            log.info("parent is gone")
            self.stopping = True
        if now >= self._notify_s:
            self._notify_s = now + 1.0
            notify("WATCHDOG=1")
            self.state.read_keys()
            self._tell_metrics()

    def _speak(self) -> None:
        """Store the changes, then send the messages, then delete files that are no longer needed."""
        for name, op, fields in self.state.flush():
            self.router.send(name, op, **fields)
        self.state.delete_unused()

    def _tell_metrics(self) -> None:
        """Send the current figures to the metrics process, if there is one."""
        for child in self.children:
            if child.slot == METRICS and child.running:
                pids = {"main": os.getpid(), **{one.slot: one.pid for one in self.children if one.running}}
                self.router.send(child.name, "numbers", **numbers(self.state, pids))

    def _give_up_on(self, child: Child) -> None:
        """Stop the server if a child keeps dying during the start; later it is restarted less and less often."""
        if not self._announced and child.deaths >= START_TRIES:
            raise EngineFailed(
                f"the server's {child.slot} process died {START_TRIES} times before it was ready.",
                fix="Its log lines above say why; `harmovid doctor` checks the installation.",
            )

    def _hear(self, child: Child, message: Message) -> None:
        if message["op"] == "cannot_open":
            self._cannot_open(from_wire(message["error"]))
        if message["op"] == "cannot_show":
            self._cannot_show(from_wire(message["error"]))
        self.dispatcher.handle(child.name, message)
        if child.slot == "front":
            if message["op"] == "hello":
                self._opened(message)
            elif self._open_sent_to != child.name and self.state.engines:
                # An engine is ready, so the ports may be bound; a new front gets the ports of the old one.
                self._open_sent_to = child.name
                self.router.send(child.name, "open", port=self._ports[0], data_port=self._ports[1])

    def _opened(self, message: Message) -> None:
        self._ports = (message["port"], message["data_port"])
        if self._announced:
            return
        self._announced = True
        host = f"[{self.config.bind}]" if ":" in self.config.bind else self.config.bind
        facts = {
            "endpoint": f"tcp://{host}:{self._ports[0]}",
            "data_port": self._ports[1],
            "pid": os.getpid(),
            "version": __version__,
            "engines": list(self.state.engines),
        }
        if self.config.ready_file:
            _write_ready(Path(self.config.ready_file), facts)
        notify(f"READY=1\nSTATUS=serving at {facts['endpoint']}")
        seconds = round(time.monotonic() - self._started_s, 2)
        log.info(
            "ready", extra=about(endpoint=facts["endpoint"], engines=",".join(self.state.engines), s=seconds)
        )

    def _cannot_open(self, error: HarmoVidError) -> None:
        """The ports are in use. During the start that ends the server; later the front tries again."""
        if not self._announced:
            raise InputError(error.message, fix=error.fix)
        log.error("the ports cannot be bound again: %s", error)
        self._open_sent_to = ""

    def _cannot_show(self, error: HarmoVidError) -> None:
        """The metrics port is in use. During the start that ends the server; later the process tries again."""
        if not self._announced:
            raise InputError(error.message, fix=error.fix)
        log.error("the metrics cannot be shown: %s", error)

    def _on_signal(self, number: int, _frame: Optional[FrameType]) -> None:
        if number == signal.SIGHUP:
            self._reload = True
        else:
            # A terminal, `timeout` or a wrapper may send one signal twice, to the process and to its group.
            now = time.monotonic()
            if not self._signals or now - self._first_signal_s > SAME_SIGNAL_S:
                self._signals += 1
            if self._signals == 1:
                self._first_signal_s = now

    def _drain_wakeups(self) -> None:
        try:
            while self._wake.recv(64):
                pass
        except BlockingIOError:
            return

    def _act_on_signals(self, now: float) -> None:
        if self._reload:
            self._reload = False
            self.state.read_keys(force=True)
            self._tell_front("reload")
        if self._signals and self._deadline_s is None:
            log.info("draining", extra=about(drain_s=self.config.drain_s))
            self._deadline_s = now + self.config.drain_s
            self.dispatcher.drain(self.config.drain_s)
        elif self._signals > 1:
            log.warning("second signal: stopping now")
            self.stopping, self.exit_code = True, 1
        elif self._deadline_s is not None and (self.dispatcher.quiet() or now >= self._deadline_s):
            self._say_goodbye()
            self.stopping = True

    def _say_goodbye(self) -> None:
        """Let the front send BYE to its clients, and wait a moment for that."""
        self._speak()
        self._tell_front("bye")
        front = self.children[0]
        until = time.monotonic() + GOODBYE_S
        while front.alive() and time.monotonic() < until:
            time.sleep(0.01)

    def _tell_front(self, op: str) -> None:
        if self.state.front is not None:
            self.router.send(self.state.front, op)


def _claim(state: Path) -> int:
    """Lock the state folder for this server; the kernel releases the lock when the process ends."""
    handle = os.open(state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        lock_file(handle)
    except BlockingIOError as error:
        os.close(handle)
        raise InputError(
            f"another server uses the state folder {state}.", fix="Stop it, or name another --state folder."
        ) from error
    return handle


def _run_folder(state: Path) -> Path:
    """Return a new private folder for the link: in the state folder, unless its path is too long."""
    folder = state / "run"
    if len(os.fsencode(folder / "link")) > IPC_PATH_BYTES:
        return Path(tempfile.mkdtemp(prefix="harmovid-"))
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    return folder


def _write_ready(path: Path, facts: Dict[str, object]) -> None:
    atomic.write_whole(str(path), json.dumps(facts).encode())


def notify(message: str) -> None:
    """Send a message to systemd (sd_notify(3)) if it expects them; otherwise do nothing."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        try:
            sender.sendto(message.encode(), address)
        except OSError as error:
            log.warning("systemd cannot be told %s: %s", message.split("\n", maxsplit=1)[0], error)
