"""The client process: started by the script in Resolve, controlled by lines of JSON, ended with the script.

    with ClientProcess("/opt/harmovid/bin/python") as client:
        for event in client.request("run", **request.to_dict()):
            print(event["event"], event.get("text", ""))

`contract` lists the requests and events. The process has its own environment: variables that Resolve sets for its own
Python (PYTHONHOME, library paths, Qt plugins) are removed, since the other Python would load Resolve's files. It ends
when its standard input is closed, so it never outlives this process. `request` raises nothing: if the process fails,
the last event says why.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import threading
from collections import deque
from typing import IO, Any, Deque, Dict, Iterator, List, Mapping, Optional, Sequence

from harmovid_resolve.contract import ENDS, FAILED

__all__ = ["CODE", "ClientProcess", "LineProcess", "clean_environment"]

MODULE = "harmovid_resolve.serve_client"
CODE = "client"
"""The code of errors of the process itself."""

FOREIGN = ("PYTHON", "DYLD_", "QML", "FUSION_", "RESOLVE_SCRIPT_")
FOREIGN_NAMES = (
    "LD_LIBRARY_PATH", "LD_PRELOAD", "TCL_LIBRARY", "TK_LIBRARY", "SSL_CERT_FILE", "__PYVENV_LAUNCHER__",
    "QT_PLUGIN_PATH", "QT_QPA_PLATFORM_PLUGIN_PATH", "QT_AUTO_SCREEN_SCALE_FACTOR",
)  # fmt: skip
"""Variables that a host sets for what it loads itself."""

LAST_WORDS = 5
STOP_S = 15.0
"""How long the process may take to end by itself; it may have to stop a private server."""

FIX = "Run `harmovid doctor` in a terminal; then close the window and start HarmoVid again."


def clean_environment(environ: Optional[Mapping[str, str]] = None) -> Dict[str, str]:
    """Return an environment without the variables that Resolve sets for its own Python and libraries."""
    given = os.environ if environ is None else environ
    return {
        name: value
        for name, value in given.items()
        if not name.upper().startswith(FOREIGN) and name.upper() not in FOREIGN_NAMES
    }


class LineProcess:
    """A process that exchanges lines of JSON. Received lines are passed to `on_line` in a separate thread.

    Attributes:
        process: the process, None before `start`.
    """

    def __init__(self, command: Sequence[str]) -> None:
        """Store the command, an argument list."""
        self._command = list(command)
        self.process: Optional[subprocess.Popen[bytes]] = None
        self._words: Deque[str] = deque(maxlen=LAST_WORDS)
        self._writing = threading.Lock()
        self._threads: List[threading.Thread] = []

    @property
    def running(self) -> bool:
        """Whether the process runs."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start the process.

        Raises:
            OSError: it cannot be started.
        """
        # No console window on Windows; the constant is not there elsewhere.
        flags = getattr(subprocess, "CREATE_NO_WINDOW", 0)
        self._close_input()
        self._words.clear()
        self.process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=clean_environment(), creationflags=flags,
        )  # fmt: skip
        readers = ((self._listen, self.process.stderr), (self._read, self.process.stdout))
        self._threads = [
            threading.Thread(target=read, args=(stream,), daemon=True) for read, stream in readers
        ]
        for thread in self._threads:
            thread.start()

    def on_line(self, line: Mapping[str, Any]) -> None:
        """Handle a received line."""

    def on_broken(self, why: str) -> None:
        """Handle the end of the process, or a line that is no JSON; called once."""

    def send(self, line: Mapping[str, Any]) -> bool:
        """Send a line; return whether it could be sent."""
        process = self.process
        if process is None or process.stdin is None:
            return False
        try:
            with self._writing:
                process.stdin.write(json.dumps(line).encode("utf-8") + b"\n")
                process.stdin.flush()
        except (OSError, ValueError):  # ValueError: closed meanwhile
            return False
        return True

    def close(self) -> None:
        """End the process: it gets `STOP_S` to end by itself. May be called again."""
        process = self.process
        if process is None:
            return
        self._close_input()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(STOP_S)

    def _close_input(self) -> None:
        """Close the standard input of the last process; data that it has not read is lost."""
        if self.process is not None and self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()

    def _read(self, stream: IO[bytes]) -> None:
        why = "it cannot be read"
        try:
            with stream:
                why = self._lines(stream) or self._ended()
        finally:  # after any error, so that no request waits for ever
            self.on_broken(why)

    def _lines(self, stream: IO[bytes]) -> str:
        """Pass lines to `on_line` until the stream ends; return what is wrong with the last one, "" for nothing."""
        for raw in stream:
            try:
                line = json.loads(raw)
                if not isinstance(line, dict):
                    raise ValueError(line)
            except ValueError:
                return f"it said {raw[:80].decode('utf-8', 'replace').strip()!r}, which is no JSON"
            self.on_line(line)
        return ""

    def _ended(self) -> str:
        """Return why the process ended, with its last messages."""
        if self.process is None:
            return "it was not started"
        code = self.process.wait()
        self._threads[0].join(1.0)
        said = " ".join(self._words)
        return f"it ended with code {code}" + (f": {said}" if said else "")

    def _listen(self, stream: IO[bytes]) -> None:
        with stream:
            for raw in stream:
                words = raw.decode("utf-8", "replace").strip()
                if words:
                    self._words.append(words)


class ClientProcess(LineProcess):
    """The client process. Several threads may send requests; each request has its own events."""

    def __init__(self, python: str) -> None:
        """Store the interpreter, a Python with `harmovid` installed; the first request starts the process."""
        super().__init__([python, "-m", MODULE])
        self._python = python
        self._lock = threading.Lock()
        self._open: Dict[int, queue.SimpleQueue[Dict[str, Any]]] = {}
        self._last = 0
        self._closed = self._sound = False

    def __enter__(self) -> ClientProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def request(self, op: str, **fields: Any) -> Iterator[Dict[str, Any]]:
        """Yield the events of a request, which is sent when the first one is asked for.

        Every request ends with one event of `contract.ENDS`; any error becomes the event `failed`.
        """
        events: queue.SimpleQueue[Dict[str, Any]] = queue.SimpleQueue()
        number, problem = self._begin(events)
        if problem:
            yield problem
            return
        if not self.send({"id": number, "op": op, **fields}):
            # Its end may not have been noticed yet; `on_broken` gives the reason to every open request.
            self._end_reading()
        while True:
            event = events.get()
            yield event
            if event.get("event") in ENDS:
                break
        with self._lock:
            self._open.pop(number, None)

    def _begin(self, events: queue.SimpleQueue[Dict[str, Any]]) -> Any:
        """Start the process if it does not run; return the request's number and, if that failed, a `failed` event."""
        if not self._sound:
            self._settle()
        with self._lock:
            if self._closed:
                return 0, _failed("the client process was closed.", "Start HarmoVid again.")
            if not self._sound:
                try:
                    self.start()
                    self._sound = True
                except OSError as error:
                    return 0, _failed(
                        f"the Python {self._python} cannot be started: {error.strerror or error}.",
                        "Run `harmovid plugin install resolve` again, from the Python that has HarmoVid.",
                    )
            self._last += 1
            self._open[self._last] = events
            return self._last, None

    def _settle(self) -> None:
        """Wait until the reader of an ended process has passed that on to its requests."""
        for thread in list(self._threads):
            thread.join(STOP_S)

    def _end_reading(self) -> None:
        process = self.process
        if process is not None and process.poll() is None:
            process.kill()
            process.wait()

    def on_line(self, line: Mapping[str, Any]) -> None:
        """Pass an event to its request; events of unknown requests are dropped."""
        event = {name: value for name, value in line.items() if name != "id"}
        number = line.get("id")
        with self._lock:
            found = self._open.get(number) if isinstance(number, int) else None
        if found is not None:
            found.put(event)

    def on_broken(self, why: str) -> None:
        """End every open request."""
        self._end_reading()
        with self._lock:
            waiting, self._open, self._sound = self._open, {}, False
        for events in waiting.values():
            events.put(_failed(f"the client process is gone: {why}.", FIX))

    def close(self) -> None:
        """End the process and everything that it does; open requests end with `failed`."""
        with self._lock:
            self._closed = True
        super().close()


def _failed(error: str, fix: str) -> Dict[str, Any]:
    return {"event": FAILED, "error": error, "fix": fix, "code": CODE}
