"""The front with real sockets: sessions, credit, uploads, results, and violations of the wire protocol."""

from __future__ import annotations

import stat
import time
import zlib
from pathlib import Path
from typing import Iterator

import pytest
import zmq
from fakes.peer import Peer, frame_bytes, spec
from fakes.running import RunningServer
from fakes.waiting import wait_until
from harmovid.client import Client
from harmovid.frames import FramePattern, FrameRange
from harmovid.job import JobSpec, new_job_id
from harmovid.storage.files import DirectorySink, DirectorySource
from harmovid.transport import wire
from harmovid.transport.connection import Connection


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Yield a server with the echo worker, for all tests of this file."""
    flags = ("--sessions", "12", "--frame-bytes", "8MiB", "--credit-bytes", "1MiB")
    with RunningServer(tmp_path_factory.mktemp("front"), *flags) as running:
        yield running


@pytest.fixture
def peer(server: RunningServer) -> Iterator[Peer]:
    """Yield a client with a session and a data socket."""
    with Peer(server.endpoint) as made:
        yield made.start()
        made.send("BYE")
        made.control.setsockopt(zmq.LINGER, 60_000)  # closing waits until it is sent


def test_a_job_goes_there_and_back(peer: Peer) -> None:
    """Every frame comes back once, byte by byte, and the counts are right."""
    job = spec("1-30")
    assert peer.submit(job).type == "ACCEPT"
    state = peer.run_to_end(job["job_id"])
    assert (state["state"], state["received"], state["computed"], state["delivered"]) == ("DONE", 30, 30, 30)
    assert peer.results == {(job["job_id"], frame): frame_bytes(frame) for frame in range(1, 31)}
    assert peer.doubled == []


def test_large_files_travel_in_many_chunks_under_credit(peer: Peer) -> None:
    """Files larger than a chunk and together larger than the credit arrive whole, both ways."""
    peer.source = lambda layer, frame: frame_bytes(frame, 5_000_001)
    job = spec("-3-4")
    peer.submit(job)
    assert peer.run_to_end(job["job_id"])["state"] == "DONE"
    assert all(data == frame_bytes(frame, 5_000_001) for (_, frame), data in peer.results.items())
    assert len(peer.results) == 8


def test_a_client_on_this_machine_takes_the_shorter_way(server: RunningServer, tmp_path: Path) -> None:
    """Files of a local client go through a Unix socket that only its user may enter, and come back the same."""
    (folder,) = (server.folder / "state").glob("run")
    (way,) = folder.glob("data-*")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    with Connection.open(server.endpoint, None, timeout_s=300.0, data=True) as connection:
        assert connection.welcome["data_local"] == str(way)
        unix = [line for line in Path("/proc/net/unix").read_text().splitlines() if line.endswith(str(way))]
        assert len(unix) > 1, "nobody is connected there"
    for number in range(1, 6):
        (tmp_path / f"plate.{number}.exr").write_bytes(
            b"\x76\x2f\x31\x01\2\0\0\0" + frame_bytes(number, 3_000_001)
        )
    source = DirectorySource({"plate": FramePattern.parse(str(tmp_path / "plate.#.exr"))})
    sink = DirectorySink(
        FramePattern.parse(str(tmp_path / "out" / "out.#.exr")), FrameRange.parse("1-5"), source
    )
    Client(server.endpoint).run(JobSpec(new_job_id(), "echo", "1-5", ("plate",)), source, sink)
    for number in range(1, 6):
        result = tmp_path / "out" / f"out.{number}.exr"
        assert result.read_bytes() == (tmp_path / f"plate.{number}.exr").read_bytes()


def test_credit_comes_back_for_what_nobody_wants_too(server: RunningServer) -> None:
    """The credit of an ignored file is granted again as well, so that a client cannot stall."""
    with Peer(server.endpoint).start() as peer:
        assert peer.credit == 2 << 20
        names = {"job": "a" * 32, "layer": "plate", "frame": 1, "crc": 0}
        peer.send_data("META", {**names, "size": 8 << 20})
        for off in range(8):
            peer.send_data("CHUNK", {**names, "off": off << 20, "data": b"x" * (1 << 20)})
            assert peer.wait(lambda m: m.type == "CREDIT").body["bytes"] == 1 << 20


def test_a_damaged_chunk_is_answered_and_the_frame_can_be_sent_again(peer: Peer) -> None:
    """FRAME_BAD for the file, the rest of it ignored, and the second try is taken."""
    peer.submit(job := spec("1"))
    peer.wait(lambda m: m.type == "NEED")
    names = {"job": job["job_id"], "layer": "plate", "frame": 1}
    data = frame_bytes(1, 3000)
    peer.send_data("META", {**names, "size": 3000, "crc": zlib.crc32(data)})
    for off in (0, 1000, 2000):
        part = data[off : off + 1000]
        crc = zlib.crc32(part) ^ (off == 1000)
        peer.send_data("CHUNK", {**names, "off": off, "crc": crc, "data": part})
    bad = peer.wait(lambda m: m.type == "FRAME_BAD").body
    assert bad["error"]["code"] == "frame_corrupt"
    assert bad["frame"] == 1
    peer.upload(job["job_id"], "plate", 1)
    assert peer.wait(lambda m: m.type == "FRAME_OK").body["frame"] == 1
    assert peer.run_to_end(job["job_id"])["state"] == "DONE"


def test_a_file_beyond_the_limit_fails_its_frame_alone(peer: Peer) -> None:
    """A frame larger than the server takes is a clear frame error; the others come back."""
    peer.source = lambda layer, frame: frame_bytes(frame, 9 << 20 if frame == 2 else 1000)
    peer.submit(job := spec("1-3"))
    assert peer.run_to_end(job["job_id"])["state"] == "DONE"
    assert peer.failed[job["job_id"], 2]["code"] == "frame_refused"
    assert sorted(frame for _, frame in peer.results) == [1, 3]


def test_a_frame_that_outgrows_its_promise_is_sent_twice_and_arrives(peer: Peer) -> None:
    """Sizes that jump are asked for again with more room, until they fit."""
    peer.source = lambda layer, frame: frame_bytes(frame, 1000 * (1 + 900 * (frame % 3 == 0)))
    peer.submit(job := spec("1-12"))
    assert peer.run_to_end(job["job_id"])["state"] == "DONE"
    assert len(peer.results) == 12


def test_a_missing_source_is_reported_as_a_failed_frame(peer: Peer) -> None:
    """SOURCE_FAILED comes back as FRAME_FAILED with the client's own error."""
    peer.submit(job := spec("1"))
    peer.wait(lambda m: m.type == "NEED")
    error = {"code": "frame_missing", "message": "no plate.0001.exr", "retryable": False}
    names = {"job": job["job_id"], "layer": "plate", "frame": 1}
    peer.send_data("SOURCE_FAILED", {**names, "error": error})
    assert peer.run_to_end(job["job_id"])["state"] == "FAILED"
    assert peer.failed[job["job_id"], 1]["message"] == "no plate.0001.exr"


def test_a_refused_result_is_sent_again_and_given_up_the_third_time(peer: Peer) -> None:
    """RESULT_BAD twice brings the result again, the third fails the frame."""
    peer.ack = False
    peer.submit(job := spec("1"))
    error = {"code": "frame_corrupt", "message": "checksum", "retryable": True}
    for _ in range(3):
        peer.results.clear()
        peer.run(lambda: bool(peer.results))
        peer.send_data("RESULT_BAD", {"job": job["job_id"], "frame": 1, "error": error})
    assert peer.run_to_end(job["job_id"])["state"] == "FAILED"
    assert peer.failed[job["job_id"], 1]["code"] == "frame_corrupt"


def test_results_wait_for_credit(server: RunningServer) -> None:
    """A client that grants little gets little at a time, and everything in the end."""
    with Peer(server.endpoint) as peer:
        peer.hello()
        peer.attach(credit=1000)
        peer.source = lambda layer, frame: frame_bytes(frame, 50_000)
        peer.submit(job := spec("1-2"))
        assert peer.run_to_end(job["job_id"])["state"] == "DONE"
        assert peer.results[job["job_id"], 2] == frame_bytes(2, 50_000)


def test_a_stalled_client_does_not_hold_others_up(server: RunningServer) -> None:
    """While one client takes nothing, another's job runs to its end, and control answers."""
    with Peer(server.endpoint) as stalled, Peer(server.endpoint) as quick:
        stalled.hello()
        stalled.attach(credit=1)
        stalled.source = lambda layer, frame: frame_bytes(frame, 200_000)
        stalled.submit(slow := spec("1-10"))
        stalled.run(lambda: stalled.state.get(slow["job_id"], {}).get("computed", 0) >= 3)
        quick.start()
        quick.submit(job := spec("1-20"))
        assert quick.run_to_end(job["job_id"])["state"] == "DONE"
        assert quick.request("PING").type == "PONG"
        quick.request("CANCEL", {"job": slow["job_id"]})


def test_two_clients_share_the_engine_fairly(server: RunningServer) -> None:
    """Two equal jobs, begun one after the other, are at no time far apart, and end together."""
    with Peer(server.endpoint).start() as anna, Peer(server.endpoint).start() as ben:
        jobs = []
        for peer in (anna, ben):
            peer.submit(job := spec("1-40", options={"delay_s": 0.01}))
            jobs.append(job["job_id"])
        apart = 0
        until = time.monotonic() + 300
        while time.monotonic() < until and len(ben.results) < 40:
            anna.step(0.001)
            ben.step(0.001)
            if len(ben.results) > 3:
                apart = max(apart, abs(len(anna.results) - len(ben.results)))
        anna.run_to_end(jobs[0])
        ben.run_to_end(jobs[1])
        assert apart <= 8


def test_a_stranger_is_sent_back_to_hello(server: RunningServer) -> None:
    """A good message without a session is answered ERROR session on either socket."""
    with Peer(server.endpoint) as peer:
        peer.send("STATUS", {}, 1)
        assert peer.wait(lambda m: m.type == "ERROR").body["error"]["code"] == "session"
        welcome = peer.hello()
        assert welcome["limits"]["file_bytes"] == 8 << 20
        peer.send("BYE")
        peer.send("STATUS", {}, 2)
        assert peer.wait(lambda m: m.type == "ERROR").body["error"]["code"] == "session"
        peer.data = peer._socket(f"tcp://127.0.0.1:{server.ready['data_port']}")
        peer.send_data("ATTACH", {"session": b"\0" * 16, "credit": 1})
        assert peer.wait(lambda m: m.type == "ERROR").body["error"]["code"] == "session"


def test_a_job_needs_a_data_socket_first(server: RunningServer) -> None:
    """SUBMIT before ATTACH is REJECTed, and the session lives on."""
    with Peer(server.endpoint) as peer:
        peer.hello()
        assert peer.submit(spec()).body["error"]["code"] == "protocol"
        assert peer.request("STATUS").type == "JOBS"


def test_no_common_version_is_said_so(server: RunningServer) -> None:
    """A client of another protocol is REJECTed with both version ranges."""
    with Peer(server.endpoint) as peer:
        answer = peer.request("HELLO", {"versions": [2, 7], "client": "future"})
        assert answer.body["error"]["code"] == "version"
        assert "2 to 7" in answer.body["error"]["message"]


def test_too_many_clients_are_told_to_wait(server: RunningServer) -> None:
    """The thirteenth session is REJECTed busy; one that ends makes room."""
    peers = [Peer(server.endpoint) for _ in range(13)]
    try:
        answers = []
        for count, peer in enumerate(peers):
            answers.append(peer.request("HELLO", {"versions": [1, 1], "client": "crowd"}))
            for earlier in peers[:count]:
                earlier.send("PING")  # a machine that is slow here must not make them silent
        assert [answer.type for answer in answers].count("WELCOME") <= 12
        assert answers[-1].body["error"]["code"] == "busy"
        for peer in peers:
            peer.send("BYE")
        assert peers[-1].hello(patience_s=60.0)
        peers[-1].send("BYE")
    finally:
        for peer in peers:
            peer.close()


def test_a_silent_client_is_gone(tmp_path: Path) -> None:
    """A silent session ends, its job is kept, and the client gets ERROR session at its next message."""
    with RunningServer(tmp_path) as server, Peer(server.endpoint).start() as peer:
        peer.submit(job := spec("1-3"))
        wait_until(lambda: "reason=silent" in server.log)
        peer.seen.clear()
        peer.send("STATUS", {}, 99)
        assert peer.wait(lambda m: m.type == "ERROR").body["error"]["code"] == "session"
        peer.session = b""
        peer.hello()
        peer.attach()
        peer.needs.clear()
        assert peer.resume(job["job_id"]).type == "ACCEPT"
        assert peer.run_to_end(job["job_id"])["state"] == "DONE"


def test_a_peer_with_an_identity_of_its_own_is_a_stranger(server: RunningServer) -> None:
    """A routing id that the client chose, such as another client's, is never served."""
    context = zmq.Context()
    socket = context.socket(zmq.DEALER)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.ROUTING_ID, b"anna!")
    socket.connect(server.endpoint)
    socket.send_multipart(wire.encode("HELLO", {"versions": [1, 1], "client": "x"}, 1))
    assert not socket.poll(500)
    socket.close()
    context.term()


def test_hello_again_begins_anew(server: RunningServer) -> None:
    """A second HELLO on the same connection makes a new session in place of the old."""
    with Peer(server.endpoint).start() as peer:
        first = peer.session
        peer.hello()
        assert peer.session != first
        peer.send_data("ATTACH", {"session": first, "credit": 1})
        assert peer.wait(lambda m: m.type == "ERROR").body["error"]["code"] == "session"


@pytest.mark.parametrize(
    "parts",
    [
        [b""], [b"", b""], [b"\xc1", b""], [b"x" * 20_000, b""], [b"\x80", b""], [b"\x80", b"", b""],
        [b"\x82\xa1v\x01\xa1t\xa4PING", b"payload"], [b"\x82\xa1v\x01\xa1t\xa4NOPE", b""],
        [b"\x82\xa1v\x02\xa1t\xa4PING", b""],
    ],
)  # fmt: skip
def test_a_breach_ends_the_session_and_only_that(
    server: RunningServer, peer: Peer, parts: list[bytes]
) -> None:
    """A refused message is answered ERROR with scope session; other clients notice nothing."""
    with Peer(server.endpoint) as wrong:
        wrong.hello()
        wrong.control.send_multipart(parts)
        error = wrong.wait(lambda m: m.type == "ERROR").body
        assert error["scope"] == "session"
        assert error["error"]["code"] in ("protocol", "version")
        wrong.send("STATUS", {}, 5)
        assert wrong.wait(lambda m: m.type == "ERROR").body["error"]["code"] == "session"
    assert peer.request("PING").type == "PONG"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("CHUNK", {"job": "a" * 32, "layer": "plate", "frame": 1, "off": 0, "crc": 0, "data": b"x"}),
        ("CREDIT", {"bytes": 1 << 30}),
    ],
)
def test_a_good_message_at_a_wrong_moment_is_a_breach_too(
    server: RunningServer, kind: str, body: dict[str, object]
) -> None:
    """A chunk without META, and more than 1 GiB of credit, end the session."""
    with Peer(server.endpoint).start() as peer:
        peer.send_data(kind, body)
        assert peer.wait(lambda m: m.type == "ERROR").body["error"]["code"] == "protocol"
