"""The stand-in for processes of their own: `outside/fusionscript.py` connects to it as scripts do to Resolve.

with serving.served(host) as environment:                 # RESOLVE_SCRIPT_LIB, RESOLVE_SCRIPT_API, FAKE_RESOLVE
    subprocess.run([sys.executable, serving.FUSCRIPT, door], env={**os.environ, **environment})
"""

from __future__ import annotations

import contextlib
import json
import socketserver
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Iterator, List

from fakes.resolve_host import api
from fakes.resolve_host.base import HostFrozen, Remote
from fakes.resolve_host.tool import FusionObject

if TYPE_CHECKING:
    from fakes.resolve_host.host import Host

OUTSIDE = Path(__file__).with_name("outside")
FUSCRIPT = str(OUTSIDE / "fuscript.py")


@contextlib.contextmanager
def served(host: Host) -> Iterator[Dict[str, str]]:
    """Yield the environment of a process that shall find this host; after it, the host is gone for them."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Handler, bind_and_activate=False) as server:
        server.daemon_threads, server.block_on_close = True, False
        server.host = host  # type: ignore[attr-defined]
        server.server_bind()
        server.server_activate()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        address, port = server.server_address[:2]
        try:
            yield {
                "FAKE_RESOLVE": f"{address!s}:{port}",
                "RESOLVE_SCRIPT_LIB": str(OUTSIDE / "fusionscript.py"),
                "RESOLVE_SCRIPT_API": str(OUTSIDE),
            }
        finally:
            server.shutdown()
            thread.join()


class _Handler(socketserver.StreamRequestHandler):
    """One script's connection; objects that it was given are numbered."""

    def handle(self) -> None:
        self.things: List[Any] = []
        self.host: Host = self.server.host  # type: ignore[attr-defined]
        for line in self.rfile:
            try:
                answer = {"value": self.encoded(self.answer(json.loads(line)))}
            except HostFrozen as error:
                answer = {"frozen": str(error)}
            except Exception as error:
                answer = {"error": str(error), "kind": _kind(error)}
            self.wfile.write(json.dumps(answer).encode("utf-8") + b"\n")

    def answer(self, question: Dict[str, Any]) -> Any:
        if "scriptapp" in question:
            return self.host.scriptapp(question["scriptapp"])
        if "menu" in question:
            return self.host.fusion() if question["menu"] == "fusion" else self.host.resolve()
        thing = self.things[question["on"]]
        args = [self.decoded(each) for each in question["args"]]
        named = {key: self.decoded(value) for key, value in question["named"].items()}
        return getattr(thing, question["call"])(*args, **named)

    def encoded(self, value: Any) -> Any:
        if isinstance(value, (Remote, FusionObject)):
            self.things.append(value)
            kind = type(value).__name__
            constants = api.constants(self.host.version) if kind == "Resolve" else {}
            names = [name for name in dir(value) if name not in constants and name != "UIManager"]
            return {"remote": len(self.things) - 1, "kind": kind, "names": names, "constants": constants}
        if isinstance(value, dict):
            return {"pairs": [[self.encoded(key), self.encoded(each)] for key, each in value.items()]}
        return [self.encoded(each) for each in value] if isinstance(value, (list, tuple)) else value

    def decoded(self, value: Any) -> Any:
        if not isinstance(value, dict):
            return [self.decoded(each) for each in value] if isinstance(value, list) else value
        if "remote" in value:
            return self.things[value["remote"]]
        return {self.decoded(key): self.decoded(each) for key, each in value["pairs"]}


def _kind(error: Exception) -> str:
    return next((each.__name__ for each in (TypeError, NotImplementedError) if isinstance(error, each)), "")
