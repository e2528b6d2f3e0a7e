"""A running server whose key list changes, and what lies in its folder: real processes, sockets, keys and files."""

from __future__ import annotations

import contextlib
import os
import stat
import zlib
from pathlib import Path
from typing import Dict, Iterator, Tuple

import pytest
from core.tiny_exr import tiny_exr
from fakes.peer import Peer, spec
from fakes.running import RunningServer
from fakes.waiting import wait_until
from harmovid.keys import AuthorizedKeys, KeyPair, new_pair, save_secret


class Keys:
    """A server's pair, a list with anna and ben, and the flags of a server that uses them."""

    def __init__(self, folder: Path) -> None:
        self.server = new_pair("server")
        save_secret(folder / "server.secret", self.server)
        self.list = AuthorizedKeys(folder / "keys")
        self.pairs = {name: new_pair(name) for name in ("anna", "ben")}
        for name, pair in self.pairs.items():
            self.list.add(name, pair.public)
        self.flags = ("--server-key", str(folder / "server.secret"), "--authorized-keys", self.list.path)

    def peer(self, server: RunningServer, pair: KeyPair) -> Peer:
        """Return a client with a pair."""
        return Peer(server.endpoint, pair, self.server.public)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Tuple[RunningServer, Keys]]:
    """Yield a server with keys."""
    keys = Keys(tmp_path)
    with RunningServer(tmp_path, *keys.flags) as server:
        yield server, keys


def test_a_revoked_key_loses_its_session_and_gets_no_other(running: Tuple[RunningServer, Keys]) -> None:
    """The session ends with `auth`; HELLO on the open connection is refused, a new connection too; others go on.

    Without a signal and without a restart.
    """
    server, keys = running
    anna, ben = keys.pairs["anna"], keys.pairs["ben"]
    with keys.peer(server, anna).start() as revoked, keys.peer(server, ben).start() as other:
        revoked.submit(job := spec("1-40", options={"delay_s": 0.2}))
        other.submit(his := spec("1-5"))
        revoked.run(lambda: len(revoked.results) >= 1)
        keys.list.remove("anna")
        ended = revoked.wait(lambda m: m.type == "ERROR" and m.body["scope"] == "session")
        assert ended.body["error"]["code"] == "auth"
        again = revoked.request("HELLO", {"versions": [1, 1], "client": "peer"})
        assert (again.type, again.body["error"]["code"]) == ("REJECT", "auth")
        with keys.peer(server, anna) as anew, pytest.raises(TimeoutError):
            anew.hello(1.0)
        assert other.run_to_end(his["job_id"])["state"] == "DONE"
        assert {row["job"] for row in other.request("STATUS", {}).body["jobs"]} == {his["job_id"]}
        assert job["job_id"] not in str(other.request("STATUS", {}).body)


def test_a_rotated_key_goes_on_with_the_jobs_of_the_old_one(running: Tuple[RunningServer, Keys]) -> None:
    """Under the same name a new key is let in at once, resumes the running job, and gets every frame once."""
    server, keys = running
    new = new_pair("anna")
    with keys.peer(server, keys.pairs["anna"]).start() as old:
        old.submit(job := spec("1-12", options={"delay_s": 0.1}))
        old.run(lambda: len(old.results) >= 2)
        keys.list.add("anna", new.public)
        ended = old.wait(lambda m: m.type == "ERROR" and m.body["scope"] == "session")
        assert ended.body["error"]["code"] == "auth"
    with keys.peer(server, new).start() as peer:
        # Main reads the list within a second; until then the new key is a user without jobs.
        wait_until(lambda: bool(peer.request("STATUS", {}).body["jobs"]))
        assert peer.request("STATUS", {}).body["jobs"][0]["job"] == job["job_id"]
        assert peer.resume(job["job_id"], checksums(old.results)).type == "ACCEPT"
        assert peer.run_to_end(job["job_id"])["state"] == "DONE"
        frames = {frame for _, frame in old.results} | {frame for _, frame in peer.results}
        assert frames == set(range(1, 13))
        assert not peer.doubled


def checksums(results: Dict[Tuple[str, int], bytes]) -> Dict[int, int]:
    """Return what RESUME says of results that are there."""
    return {frame: zlib.crc32(data) for (_, frame), data in results.items()}


def test_what_lies_in_the_state_folder_is_its_owners_alone(tmp_path: Path) -> None:
    """With a shell that gives everything away, and a spool that was open before: folders 0700, files 0600."""
    (tmp_path / "state" / "spool").mkdir(parents=True)
    for folder in (tmp_path / "state", tmp_path / "state" / "spool"):
        folder.chmod(0o777)
    server = RunningServer(tmp_path, "--codecs", "1", echo=False)
    umask = os.umask(0)
    try:
        server.start()
    finally:
        os.umask(umask)
    seen: Dict[str, int] = {}

    def look() -> bool:
        for path in (tmp_path / "state").rglob("*"):
            try:
                facts = path.lstat()
            except FileNotFoundError:
                continue
            if not stat.S_ISSOCK(facts.st_mode):
                seen[str(path.relative_to(tmp_path))] = stat.S_IMODE(facts.st_mode) & 0o077
        kinds = {Path(name).parts[-2] for name in seen if name.endswith(".exr")}
        return kinds >= {"in", "out"} and any(name.endswith("state.npz") for name in seen)

    with contextlib.ExitStack() as at_the_end:
        at_the_end.callback(server.kill)
        peer = at_the_end.enter_context(Peer(server.endpoint).start())
        peer.source = lambda layer, frame: tiny_exr(value=frame / 64)
        peer.ack = False
        peer.submit(spec("1-40", engine="null"))
        peer.run(look)
    open_to_others = {name for name, bits in seen.items() if bits}
    assert open_to_others == set()
    assert {"state/spool", "state/jobs.sqlite", "state/audit.ndjson"} <= set(seen)
