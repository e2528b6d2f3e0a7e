"""The client process: does the requests of the part in Resolve through HarmoVid's host API, in its own Python.

    python -m harmovid_resolve.serve_client

It reads a request per line from standard input and writes an event per line to standard output (`contract`). It ends
when standard input is closed, and then cancels its jobs and stops a private server. Nothing else is ever written to
standard output; text that libraries print goes to standard error, whose last lines the part in Resolve shows if the
process fails.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import traceback
from typing import IO, Any, Callable, Dict, Iterable, List, Mapping, Tuple

from harmovid import Client, HarmoVidError, JobHandle, connect, load_settings
from harmovid.errors import InputError

from harmovid_resolve import history
from harmovid_resolve.contract import (
    DESCRIBED,
    DONE,
    FAILED,
    FRAME,
    PROGRESS,
    QUEUED,
    WARNING,
    RunRequest,
)
from harmovid_resolve.errors import HostError
from harmovid_resolve.serve_run import Run

BROKEN = "client"
TELL_S = 0.5
"""Longest time between two events of a run (`contract`)."""

Say = Callable[..., None]


class Servers:
    """The clients in use, by the requested address; "" is the server in the user's settings, or a private one."""

    def __init__(self) -> None:
        self._clients: Dict[str, Client] = {}
        self._lock = threading.Lock()

    def client(self, address: str) -> Client:
        """Return the client of an address; it is kept.

        Raises:
            InputError, KeyFileError: the address, the settings or the key cannot be read.
        """
        with self._lock:
            if address not in self._clients:
                self._clients[address] = connect(load_settings(address or None))
            return self._clients[address]

    def close(self) -> None:
        """Cancel all jobs, and stop a private server."""
        with self._lock:
            clients, self._clients = list(self._clients.values()), {}
        for client in clients:
            client.close()


class Serving:
    """Answers requests, each in its own thread, so that one can cancel another."""

    def __init__(self, out: IO[str]) -> None:
        """Take the stream that events are written to."""
        self._out, self._writing = out, threading.Lock()
        self._servers = Servers()
        self._runs: Dict[str, Run] = {}
        self._threads: List[threading.Thread] = []
        self._ops: Dict[str, Callable[[Mapping[str, Any], Say], None]] = {
            "engines": self._engines,
            "check": self._check,
            "run": self._run,
            "cancel": self._cancel,
            "history": self._history,
        }

    def serve(self, lines: Iterable[bytes]) -> None:
        """Answer the requests of a stream until it ends; then cancel all jobs and close."""
        for raw in lines:
            try:
                line = json.loads(raw)
                number, op = int(line.pop("id")), str(line.pop("op"))
            except (ValueError, KeyError, TypeError, AttributeError):
                sys.stderr.write(f"not a request: {raw[:80]!r}\n")
                continue
            thread = threading.Thread(target=self._answer, args=(number, op, line), daemon=True)
            thread.start()
            self._threads = [each for each in self._threads if each.is_alive()] + [thread]
        for run in list(self._runs.values()):
            run.cancel()
        self._servers.close()

    def _answer(self, number: int, op: str, fields: Mapping[str, Any]) -> None:
        """Answer one request; any error becomes its last event."""

        def say(event: str, **values: Any) -> None:
            with self._writing:
                self._out.write(json.dumps({"id": number, "event": event, **values}) + "\n")
                self._out.flush()

        try:
            if op not in self._ops:
                raise InputError(
                    f"there is no request {op!r}.", fix="It is one of: " + ", ".join(self._ops) + "."
                )
            self._ops[op](fields, say)
        except HarmoVidError as error:
            say(FAILED, error=_sentence(error), fix=error.fix, code=error.code)
        except HostError as error:
            say(FAILED, error=error.message, fix=error.fix, code=error.code)
        except BrokenPipeError:
            pass  # the reader is gone: standard input ends as well
        except Exception as error:  # a bug must end this request only, not the process
            traceback.print_exc()
            say(FAILED, error=f"something went wrong: {error!r}.", fix="Run `harmovid doctor`.", code=BROKEN)

    # Requests.

    def _engines(self, fields: Mapping[str, Any], say: Say) -> None:
        client = self._servers.client(str(fields.get("server", "")))
        say(DESCRIBED, engines=[engine.to_dict() for engine in client.engines()])

    def _check(self, fields: Mapping[str, Any], say: Say) -> None:
        run = self._prepared(fields)
        for warning in run.warnings:
            say(WARNING, text=warning)
        say(DONE, report={"frames": {}, "wanted": run.frames_text}, missing_frames="")

    def _run(self, fields: Mapping[str, Any], say: Say) -> None:
        run = self._prepared(fields)
        if run.request.job in self._runs:
            raise InputError(f"a run {run.request.job} goes on already.", fix="Wait for it, or cancel it.")
        self._runs[run.request.job] = run
        try:
            self._follow(run, say)
        finally:
            del self._runs[run.request.job]

    def _follow(self, run: Run, say: Say) -> None:
        for warning in run.warnings:
            say(WARNING, text=warning)
        handle = run.start(lambda frame, path: say(FRAME, frame=frame, path=path))
        say(QUEUED, text="sent to the server")
        while not handle.wait(TELL_S):
            say(PROGRESS, **_progress(handle))
        report, failed, warnings = run.finish(
            handle, lambda done, total, text: say(PROGRESS, done=done, total=total, text=text)
        )
        for warning in warnings:
            say(WARNING, text=warning)
        history.note(os.path.dirname(run.request.out), run.line("done", failed))
        say(DONE, report=report, missing_frames=failed)

    def _cancel(self, fields: Mapping[str, Any], say: Say) -> None:
        run = self._runs.get(str(fields.get("job", "")))
        if run is not None:
            run.cancel()
        say(DONE, report={"found": run is not None}, missing_frames="")

    def _history(self, fields: Mapping[str, Any], say: Say) -> None:
        say(DONE, report={"versions": history.versions(str(fields["folder"]))}, missing_frames="")

    def _prepared(self, fields: Mapping[str, Any]) -> Run:
        request = RunRequest.from_dict(fields)
        client = self._servers.client(request.server)
        return Run(client, client.engine(request.engine), request)


def _progress(handle: JobHandle) -> Dict[str, Any]:
    now = handle.progress
    where = (
        f"{now.queue_position} jobs are before it" if now.queue_position else f"{now.received} frames sent"
    )
    return {"done": now.delivered, "total": now.total, "text": now.message or where}


def _sentence(error: HarmoVidError) -> str:
    """Return an error's message without the fix, which is sent separately."""
    text = str(error)
    return text[: -len(error.fix)].strip() if error.fix and text.endswith(error.fix) else text


def main(streams: Tuple[IO[bytes], IO[str]] = (sys.stdin.buffer, sys.stdout)) -> int:
    """Serve standard input until it ends."""
    given, out = streams
    # Text that libraries print must not get between the events.
    sys.stdout = sys.stderr
    Serving(out).serve(iter(given.readline, b""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
