"""Rules of the data socket that a correct client never triggers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, List, Tuple

import pytest
from harmovid.errors import ProtocolError
from harmovid.transport.wire import Message
from harmovid_server.config import Config
from harmovid_server.front.sender import ClientSender
from harmovid_server.front.sessions import CREDIT_LEAST_BYTES, Sessions
from harmovid_server.front.transfers import FileTransfers
from harmovid_server.ipc import IpcClient, IpcRouter


@pytest.fixture
def sessions() -> Sessions:
    """Return a table of at most 40 sessions that share 32 MiB."""
    return Sessions(40, 32 << 20)


def test_credit_cannot_be_overdrawn(sessions: Sessions, tmp_path: Path) -> None:
    """A chunk longer than the remaining credit is a protocol violation."""
    router = IpcRouter(tmp_path / "link")
    link = IpcClient(router.address, "front.1")
    transfers = FileTransfers(
        Config(state=str(tmp_path)), link, ClientSender(sessions, lambda session, why: None)
    )
    session = sessions.open(b"\0abcd", "anna", 0.0)
    session.credit = 10
    names = {"job": "a" * 32, "layer": "plate", "frame": 1, "crc": 0}
    transfers.handle(session, Message("META", {**names, "size": 100}))
    transfers.handle(session, Message("CHUNK", {**names, "off": 0, "data": b"x" * 10}))
    with pytest.raises(ProtocolError, match="0 bytes of credit"):
        transfers.handle(session, Message("CHUNK", {**names, "off": 10, "data": b"x"}))
    link.close()
    router.close()


def test_all_grants_together_stay_within_the_purse(sessions: Sessions) -> None:
    """The sum of upload credit is bounded whatever the number of clients, and comes back when they go."""
    opened = []
    for index in range(40):
        session = sessions.open(b"\0" + bytes([index]) * 4, "anna", 0.0)
        sessions.attach(session, b"\1" + bytes([index]) * 4, 1)
        opened.append(session)
    grants = [session.grant for session in opened]
    assert grants[0] == 8 << 20
    assert min(grants) == CREDIT_LEAST_BYTES
    assert sum(grants) <= (32 << 20) + 40 * CREDIT_LEAST_BYTES
    for session in opened:
        sessions.close(session)
    again = sessions.open(b"\0abcd", "anna", 0.0)
    sessions.attach(again, b"\1abcd", 1)
    assert again.grant == grants[0]


def test_forgetting_a_job_touches_no_other(sessions: Sessions) -> None:
    """What is on its way for one job is dropped, for another it stays."""
    session = sessions.open(b"\0abcd", "anna", 0.0)
    jobs = ("a" * 32, "b" * 32)
    keys: List[Tuple[Any, ...]] = [(job, "plate", 1) for job in jobs]
    session.needs = dict.fromkeys(keys, 10)  # type: ignore[arg-type]
    session.forget_job(jobs[0])
    assert list(session.needs) == [keys[1]]
