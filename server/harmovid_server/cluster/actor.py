"""The engines of one actor: what Ray starts on a machine of the cluster, once for each actor.

    actor = EngineActor(("deflicker",), (), {"device": "auto"})
    actor.call("open", session, "deflicker", packed_shot)
    actor.call("push", session, packed_frame)["answer"]

A session that its worker has lost is never asked for again: the worker then ends the whole actor. Nothing here knows
Ray, which calls one method at a time.
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
            names: the engines to offer; all where empty.
            folders: bundles, or folders of bundles, on this machine.
            settings: fields of `RuntimeSettings` but `cache`, which is in this machine's own state folder.
        """
        cache = Path(default_state_folder(os.environ)) / "runtimes"
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._host = EngineHost(
            engines.load(names or None, folders), RuntimeSettings(**settings, cache=str(cache))
        )
        self._sessions: Dict[str, _Open] = {}
        self._endings: Dict[str, Iterator[Answer]] = {}

    def about(self) -> Dict[str, str]:
        """Return where it runs, and which HarmoVid it is."""
        return {"version": __version__, "machine": socket.gethostname(), "pid": str(os.getpid())}

    def set_up_log(self, level: str, as_json: bool) -> None:
        """Log as the server does, to what Ray keeps of this process's stderr."""
        logs.set_up(level, as_json)

    def call(self, op: str, *arguments: Any) -> Plain:
        """Do one of `OPS`; return {"answer": ...} or, for an error of ours or an engine's, {"error": ...}."""
        if op not in OPS:
            raise ValueError(f"{op!r} is no operation of an engine actor")
        try:
            with logs.of_job(job_of(arguments[0]) if arguments else ""):
                return {"answer": getattr(self, "_" + op)(*arguments)}
        except HarmoVidError as error:
            return {"error": error.to_wire()}

    def _open(self, session: str, name: str, shot: Plain) -> Plain:
        """Open a session; return what the engine now is: a loaded one knows what it runs on."""
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
        """Return what is owed; None where it is made one by one: `next` then gives them."""
        found = self._session(session)
        with self._host.turn(found.engine, "at the end of the shot"):
            answers = found.session.finish()
            if isinstance(answers, Iterator):
                self._endings[session] = answers
                return None
            return pack_answers(answers)

    def _next(self, session: str) -> List[PackedAnswer]:
        """Return the next answer of an end that is made one by one; nothing after the last one."""
        found = self._session(session)
        with self._host.turn(found.engine, "at the end of the shot"):
            answer = next(self._endings[session], None)
            return pack_answers([answer] if answer else [])

    def _state(self, session: str) -> State:
        found = self._session(session)
        with self._host.turn(found.engine, "while its state was kept"):
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
