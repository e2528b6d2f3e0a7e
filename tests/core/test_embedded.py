"""The embedded server: it starts on demand and always ends, whatever happens to its owner."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import List

import pytest
from fakes.running import alive
from fakes.waiting import wait_until
from harmovid import embedded
from harmovid.client import Client
from harmovid.embedded import PREFIX, EmbeddedServer, delete_leftovers
from harmovid.errors import AuthError, InputError, Unreachable, WireError
from harmovid.keys import new_pair


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the servers' folders into this test's own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def folders(parent: Path) -> List[Path]:
    """Return the folders of embedded servers."""
    return sorted(parent.glob(PREFIX + "*"))


def test_it_answers_its_owner_and_is_gone_afterwards(temporary: Path) -> None:
    """Within the block it serves its client with keys of its own; then process and folder are gone."""
    with EmbeddedServer() as server:
        assert server.address.startswith("tcp://127.0.0.1:")
        with Client(server.address, server.keys) as client:
            assert "null" in [engine.name for engine in client.engines()]
        (folder,) = folders(temporary)
        assert folder.stat().st_mode & 0o077 == 0
        process = server.process
    assert process is not None
    assert process.returncode == 0
    assert folders(temporary) == []


def test_nobody_else_on_the_machine_is_let_in() -> None:
    """Another process on the same loopback, without the key, is refused."""
    with EmbeddedServer() as server:
        with Client(server.address, timeout_s=5.0) as naked, pytest.raises(WireError):
            naked.engines()
        assert server.keys is not None
        other = new_pair("other")
        stranger = type(server.keys)("other", other.public, other.secret, server.keys.server)
        with Client(server.address, stranger) as client, pytest.raises(AuthError):
            client.engines()


def test_a_server_that_does_not_start_shows_its_log(temporary: Path) -> None:
    """A bad setting, or anything else that ends the start, comes back with the log's last lines."""
    with pytest.raises(Unreachable, match="must be from 1 to 64"), EmbeddedServer("--workers", "0"):
        pass
    assert folders(temporary) == []


def test_without_the_server_part_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """A light client gets a sentence with pip's command, not an ImportError."""
    monkeypatch.setattr(embedded, "find_spec", lambda name: None if name == "OpenEXR" else object())
    with (
        pytest.raises(InputError, match=r"there is no OpenEXR.*pip install 'harmovid\[server\]'"),
        EmbeddedServer(),
    ):
        pass


def test_it_dies_with_its_owner(temporary: Path) -> None:
    """kill -9 of the owner ends the server and removes the folder."""
    code = (
        "import tempfile, sys, time\n"
        f"tempfile.tempdir = {str(temporary)!r}\n"
        "from harmovid.embedded import EmbeddedServer\n"
        "with EmbeddedServer() as server:\n"
        "    print(server.process.pid, flush=True)\n"
        "    time.sleep(3600)\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    pid = int(owner.stdout.readline())
    owner.stdout.close()
    owner.kill()
    owner.wait()
    wait_until(lambda: not alive(pid) and folders(temporary) == [])


def test_the_next_start_sweeps_up_after_a_killed_server(temporary: Path) -> None:
    """A folder whose server was killed is removed by the next one; a living server's folder is not."""
    with EmbeddedServer() as living:
        dead = EmbeddedServer().__enter__()
        assert dead.process is not None
        os.killpg(dead.process.pid, signal.SIGKILL)
        dead.process.wait()
        assert len(folders(temporary)) == 2
        delete_leftovers()
        assert folders(temporary) == [Path(living.folder)]
        dead.stop()
        with Client(living.address, living.keys) as client:
            assert client.ping() > 0
        dead.stop()
