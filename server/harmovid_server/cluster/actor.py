"""The engines of one actor. Ray starts this class on a machine of the cluster, once for each actor.

    actor = EngineActor(("deflicker",), (), {"device": "auto"})
    actor.call("open", session, "deflicker", packed_shot)
    actor.call("push", session, packed_frame)["answer"]

Ray calls one method at a time; this module does not import it. If a worker loses a session, it ends the whole actor, so
no session is left behind.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence

from harmovid import __version__
from harmovid.errors import EngineFailed, HarmoVidError

from harmovid_server import engines, logs
from harmovid_server.cluster.messages import (
    PackedAnswer,
    Plain,
    frame_of,
    job_of,
    own_state,
    pack_answers,
    shot_of,
)
from harmovid_server.config import default_state_folder
from harmovid_server.engines.base import Answer, ShotSession, State
from harmovid_server.runtimes.base import RuntimeSettings
from harmovid_server.worker.host import EngineHost

OPS = ("open", "push", "finish", "next", "state", "restore", "close", "close_idle")


class _Open(NamedTuple):
    engine: str
    session: ShotSession


class EngineActor:
    """Engines on one machine, and the sessions of the jobs that use them."""

    def __init__(self, names: Sequence[str], folders: Sequence[str], settings: Plain) -> None:
        """Find the engines; each is loaded when a job first needs it.

        Args:
            names: the engines to offer; all if empty.
            folders: bundles, or folders of bundles, on this machine.
            settings: fields of `RuntimeSettings` but `cache`, which is in this machine's own state folder.
        """
        cache = Path(default_state_folder(os.environ)) / "runtimes"
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._host = EngineHost(
            engines.load(names or None, folders), RuntimeSettings(**settings, cache=str(cache))
        )
        self._sessions: Dict[str, _Open] = {}
        self._endings: Dict[str, Iterator[Optional[Answer]]] = {}

    def about(self) -> Dict[str, str]:
        """Return the version of HarmoVid, the machine's name, and the process id."""
        return {"version": __version__, "machine": socket.gethostname(), "pid": str(os.getpid())}

    def set_up_log(self, level: str, as_json: bool) -> None:
        """Log in the server's format to stderr, which Ray keeps in a file."""
        logs.set_up(level, as_json)

    def call(self, op: str, *arguments: Any) -> Plain:
        """Do one of `OPS`; return {"answer": ...}, or {"error": ...} for an error of HarmoVid or of an engine."""
        if op not in OPS:
            raise ValueError(f"{op!r} is no operation of an engine actor")
        try:
            with logs.of_job(job_of(arguments[0]) if arguments else ""):
                return {"answer": getattr(self, "_" + op)(*arguments)}
        except HarmoVidError as error:
            return {"error": error.to_wire()}

    def _open(self, session: str, name: str, shot: Plain) -> Plain:
        """Open a session; return the engine's description, which states what it runs on once it is loaded."""
        engine = self._host.engine(name)
        self._sessions[session] = _Open(name, self._host.start(engine, shot_of(shot)))
        return {
            "info": engine.info.to_dict(), "proxy_lines": engine.proxy_lines, "runtime": dict(engine.runtime),
        }  # fmt: skip

    def _push(self, session: str, packed: Plain) -> List[PackedAnswer]:
        found, frame = self._session(session), frame_of(packed)
        with self._host.turn(found.engine, f"on frame {frame.number}"):
            return pack_answers(found.session.push(frame))

    def _finish(self, session: str) -> Optional[List[PackedAnswer]]:
        """Return the last answers; None if the session makes them one by one, then `next` returns them."""
        found = self._session(session)
        with self._host.turn(found.engine, "at the end of the shot"):
            answers = found.session.finish()
            if isinstance(answers, Iterator):
                self._endings[session] = answers
                return None
            return pack_answers(answers)

    def _next(self, session: str) -> Optional[List[PackedAnswer]]:
        """Return the next of the last answers, or an empty list for a part of the work; None after the last one."""
        found = self._session(session)
        with self._host.turn(found.engine, "at the end of the shot"):
            for answer in self._endings[session]:
                return pack_answers([answer])
            return None

    def _state(self, session: str) -> State:
        found = self._session(session)
        with self._host.turn(found.engine, "while its state was saved"):
            return found.session.state()

    def _restore(self, session: str, state: State) -> None:
        found = self._session(session)
        with self._host.turn(found.engine, "while it was restored"):
            found.session.restore(own_state(state))

    def _close(self, session: str) -> None:
        found = self._sessions.pop(session, None)
        self._endings.pop(session, None)
        if found is not None:
            self._host.end(found.engine, found.session)

    def _close_idle(self) -> None:
        self._host.close_idle()

    def _session(self, session: str) -> _Open:
        if session not in self._sessions:
            raise EngineFailed("this engine actor does not know the job's session.")
        return self._sessions[session]
