"""The server as a process: keys, ports, drain, signals, children that die, what it leaves behind."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Iterator, Tuple

import pytest
from fakes.peer import Peer, frame_bytes, spec
from fakes.running import ECHO, RunningServer, alive
from fakes.waiting import wait_until
from harmovid.errors import BundleError, InputError, KeyFileError
from harmovid.keys import AuthorizedKeys, KeyPair, new_pair, save_secret
from harmovid_server.config import Config
from harmovid_server.ipc import BEAT_S, MISSED_BEATS
from harmovid_server.main.children import Child
from harmovid_server.main.server import SAME_SIGNAL_S, check_bundles, check_exposure, notify


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    """Yield a server of this test's own."""
    with RunningServer(tmp_path) as running:
        yield running


def keys(folder: Path) -> Tuple[KeyPair, KeyPair, list[str]]:
    """Return the server's and a listed client's keys, and the flags of a server that uses them."""
    server, anna = new_pair("server"), new_pair("anna")
    save_secret(folder / "server.secret", server)
    AuthorizedKeys(folder / "keys").add("anna", anna.public)
    flags = ["--server-key", str(folder / "server.secret"), "--authorized-keys", str(folder / "keys")]
    return server, anna, flags


@pytest.mark.parametrize("bind", ["0.0.0.0", "::", "192.0.2.1"])  # noqa: S104
def test_without_keys_only_loopback_is_bound(bind: str) -> None:
    """Being reachable from other machines without keys is refused, with the fix."""
    with pytest.raises(InputError, match="harmovid keys"):
        check_exposure(Config(bind=bind, state="/nowhere"))


def test_a_name_is_not_an_address_to_bind(tmp_path: Path) -> None:
    """Only IP addresses are bound: a name could resolve to anything."""
    with pytest.raises(InputError, match="IP address"):
        check_exposure(Config(bind="localhost"))


def test_keys_that_cannot_be_used_are_reported_before_anything_starts(tmp_path: Path) -> None:
    """A missing key file, or a key without a list, ends the start."""
    save_secret(tmp_path / "server.secret", new_pair("server"))
    with pytest.raises(KeyFileError):
        check_exposure(Config(server_key=str(tmp_path / "other.secret")))
    with pytest.raises(InputError, match="authorized-keys"):
        check_exposure(Config(server_key=str(tmp_path / "server.secret")))


def test_the_command_refuses_and_says_why(tmp_path: Path) -> None:
    """The process ends with code 2 and one line on stderr."""
    command = [sys.executable, "-m", "harmovid_server", "--bind", "0.0.0.0", "--state", str(tmp_path)]  # noqa: S104
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2
    assert "without keys" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_engine_folder_without_a_bundle_ends_the_start(tmp_path: Path) -> None:
    """A folder with no bundle, or one whose manifest cannot be read, is refused before anything is started."""
    with pytest.raises(BundleError, match="holds no engine bundle"):
        check_bundles(Config(engine_folders=(str(tmp_path),)))
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(BundleError, match="no manifest of schema 1"):
        check_bundles(Config(engine_folders=(str(tmp_path),)))


def test_help_lists_the_flags() -> None:
    """`python -m harmovid_server --help` works and is quick to say everything."""
    done = subprocess.run(
        [sys.executable, "-m", "harmovid_server", "--help"], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0
    assert "--authorized-keys" in done.stdout


def test_with_keys_only_listed_clients_are_served(tmp_path: Path) -> None:
    """A listed key runs a job; another key gets nothing, on either socket; a removed key loses its session."""
    pair, anna, flags = keys(tmp_path)
    with RunningServer(tmp_path, *flags) as server:
        for wrong in (Peer(server.endpoint, new_pair("mallory"), pair.public), Peer(server.endpoint)):
            with wrong, pytest.raises(TimeoutError):
                wrong.hello(1.0)
        with Peer(server.endpoint, anna, pair.public).start() as peer:
            peer.submit(job := spec("1-5"))
            assert peer.run_to_end(job["job_id"])["state"] == "DONE"
            AuthorizedKeys(tmp_path / "keys").remove("anna")
            os.kill(server.process.pid, signal.SIGHUP)  # type: ignore[union-attr]
            assert peer.wait(lambda m: m.type == "ERROR").body["error"]["code"] == "auth"
        log = server.log
    assert anna.secret not in log
    assert pair.secret not in log
    assert anna.public not in log, "a user is named by a part of the key only"


def test_a_wrong_key_is_reported(tmp_path: Path) -> None:
    """The product's own client turns a refused key into AuthError, and not into an unreachable server."""
    from harmovid.client import Client
    from harmovid.errors import AuthError
    from harmovid.keys import trust_server

    pair, _, flags = keys(tmp_path)
    save_secret(tmp_path / "mallory.secret", new_pair("mallory"))
    mallory = trust_server(tmp_path / "mallory.secret", pair.public)
    with (
        RunningServer(tmp_path, *flags) as server,
        Client(server.endpoint, mallory) as client,
        pytest.raises(AuthError),
    ):
        client.engines()


def test_sigterm_drains(server: RunningServer) -> None:
    """A running job is finished, new ones are refused, clients are told, the exit code is 0."""
    with Peer(server.endpoint).start() as peer:
        peer.submit(job := spec("1-12", options={"delay_s": 0.1}))
        peer.run(lambda: len(peer.results) >= 2)
        assert server.process is not None
        server.process.terminate()
        assert peer.wait(lambda m: m.type == "DRAIN").body["deadline_s"] == 60.0
        answer = peer.submit(spec("1-5"))
        assert answer.body["error"]["code"] == "draining"
        assert peer.run_to_end(job["job_id"])["state"] == "DONE"
        assert len(peer.results) == 12
        assert peer.wait(lambda m: m.type == "BYE")
        assert server.process.wait(300) == 0
    assert server.pids() == []


def test_a_drain_ends_at_its_deadline_and_the_next_server_goes_on(tmp_path: Path) -> None:
    """A job too long for the drain is kept, and the next start finishes it without a loss."""
    server = RunningServer(tmp_path, "--drain-s", "0.5")
    server.start()
    with Peer(server.endpoint).start() as peer:
        peer.submit(job := spec("1-10", options={"delay_s": 0.2}))
        peer.run(lambda: len(peer.results) >= 1)
        assert server.terminate() == 0
        have = dict(peer.results)
    server.start()
    with Peer(server.endpoint).start() as peer:
        peer.results = have
        peer.submit(job)
        assert peer.resume(job["job_id"]).type == "ACCEPT"
        assert peer.run_to_end(job["job_id"])["state"] == "DONE"
        assert peer.results == {(job["job_id"], frame): frame_bytes(frame) for frame in range(1, 11)}
    server.kill()


def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    """Whoever asks twice, a moment apart, does not wait for running jobs."""
    with RunningServer(tmp_path, "--drain-s", "3600") as server, Peer(server.endpoint).start() as peer:
        peer.submit(spec("1-50", options={"delay_s": 0.5}))
        peer.run(lambda: bool(peer.state))
        assert server.process is not None
        server.process.send_signal(signal.SIGINT)
        peer.wait(lambda m: m.type == "DRAIN")
        time.sleep(SAME_SIGNAL_S + 0.1)  # sooner it is the same signal, delivered twice
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(300) == 1  # and not after the hour of a drain
        assert server.pids() == []


def test_two_servers_do_not_share_a_state_folder(server: RunningServer, tmp_path: Path) -> None:
    """The second one is refused, and the first goes on."""
    state = str(tmp_path / "state")
    command = [sys.executable, "-m", "harmovid_server", "--port", "0", "--state", state]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2
    assert "another server uses" in done.stderr
    with Peer(server.endpoint) as peer:
        assert peer.hello()


def test_a_taken_port_ends_the_start_clearly(tmp_path: Path) -> None:
    """The start fails with the address and the fix, and leaves no process behind."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = RunningServer(tmp_path, "--port", str(taken.getsockname()[1]))
        server.start(wait=False)
        assert server.process is not None
        assert server.process.wait(300) == 2
    assert "cannot be listened on" in server.log
    assert server.pids() == []


def test_a_worker_that_never_starts_ends_the_start(tmp_path: Path) -> None:
    """When the engine process dies three times before it is ready, the server says so and ends."""
    (tmp_path / "echo_worker.py").write_text("raise SystemExit('no engine here')\n")
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    server = RunningServer(tmp_path, environ={"PYTHONPATH": path})
    server.start(wait=False)
    assert server.process is not None
    assert server.process.wait(300) == 1
    assert "died 3 times before it was ready" in server.log


def test_a_suspended_main_does_not_count_its_own_pause_as_its_childrens_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a pause of main, as of a suspended machine, a child is lost only when it stays silent from then on."""
    (tmp_path / "sleeper.py").write_text("import time\ntime.sleep(300)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    limit_s = MISSED_BEATS * BEAT_S
    child = Child("front", "sleeper", "ipc:///nowhere", tmp_path / "settings.json")
    child.start()
    try:
        child.heard()
        now_s = time.monotonic() + 100.0
        child.excuse(now_s, 100.0)
        assert not child.tend(now_s)
        assert child.alive()
        assert not child.tend(now_s + limit_s - 1.0)
        assert child.tend(now_s + limit_s + 1.0)
    finally:
        child.kill()


@pytest.mark.parametrize("name", ["front", "worker-0"])
def test_a_hung_child_is_replaced(server: RunningServer, name: str) -> None:
    """A child that misses three beats is killed, another one takes its name, and jobs run again."""
    hung = server.child(name)
    os.kill(hung, signal.SIGSTOP)
    wait_until(lambda: server.child(name) != hung)
    assert "reason=silent" in server.log
    with Peer(server.endpoint).start() as peer:
        peer.submit(job := spec("1-5"))
        assert peer.run_to_end(job["job_id"])["state"] == "DONE"


def test_two_workers_share_the_jobs(tmp_path: Path) -> None:
    """With two workers two jobs run at the same time in two processes, and both come back whole."""
    with RunningServer(tmp_path, "--workers", "2", "--active-jobs", "1") as server:
        with Peer(server.endpoint).start() as anna, Peer(server.endpoint).start() as ben:
            jobs = [spec("1-10", options={"delay_s": 0.05}) for _ in range(2)]
            anna.submit(jobs[0])
            ben.submit(jobs[1])
            until = time.monotonic() + 300
            while time.monotonic() < until and len(anna.results) + len(ben.results) < 20:
                anna.step(0.001)
                ben.step(0.001)
            assert anna.run_to_end(jobs[0]["job_id"])["state"] == "DONE"
            assert ben.run_to_end(jobs[1]["job_id"])["state"] == "DONE"
        started = re.findall(r"job started .*worker=(worker-\d)", server.log)
    assert sorted(started) == ["worker-0", "worker-1"]


def test_children_die_with_main(server: RunningServer) -> None:
    """kill -9 of main alone leaves no orphan."""
    children = server.pids()[1:]
    assert len(children) == 2
    os.kill(server.process.pid, signal.SIGKILL)  # type: ignore[union-attr]
    server.process.wait()  # type: ignore[union-attr]
    wait_until(lambda: server.pids() == [])


def test_a_server_without_its_parent_stops(tmp_path: Path) -> None:
    """With `parent` set the server ends with that process, and removes a temporary state folder."""
    state = tmp_path / "state"
    code = (
        "import os, subprocess, sys, time\n"
        f"subprocess.Popen([sys.executable, {str(ECHO)!r}, '--port', '0',"
        f" '--state', {str(state)!r}, '--ready-file', {str(tmp_path / 'ready')!r}, '--temporary',"
        " '--parent', str(os.getpid())])\n"
        "time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    wait_until((tmp_path / "ready").exists, 120.0)
    pid = json.loads((tmp_path / "ready").read_text())["pid"]
    parent.kill()
    parent.wait()
    wait_until(lambda: not state.exists() and not alive(pid))


def test_a_long_state_path_still_works(tmp_path: Path) -> None:
    """Unix socket paths end at 107 bytes; a deeper state folder must not stop the server."""
    folder = tmp_path / ("deep" * 20) / ("er" * 30)
    with RunningServer(folder) as server:
        with Peer(server.endpoint) as peer:
            assert peer.hello()
        assert server.terminate() == 0


def test_log_lines_are_json_when_wanted(tmp_path: Path) -> None:
    """With --log-json every line of every process is one JSON object with the job, the user and the event."""
    with RunningServer(tmp_path, "--log-json") as server:
        with Peer(server.endpoint).start() as peer:
            peer.submit(job := spec("1-5", options={"fail_at": 3}))
            peer.run_to_end(job["job_id"])
        lines = [json.loads(line) for line in server.log.splitlines()]
    events = [line["event"] for line in lines if line.get("job") == job["job_id"]]
    assert events == ["job taken", "job started", "frame failed", "job done"]
    assert {"time", "level", "process"} <= set(lines[0])
    assert next(line for line in lines if line["event"] == "frame failed")["frame"] == 3


def test_systemd_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where NOTIFY_SOCKET is set, readiness is sent there; elsewhere nothing happens."""
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(path)
        listener.settimeout(60.0)
        notify("READY=0")
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        notify("READY=1")
        assert listener.recv(100) == b"READY=1"
