"""The HTTP server of the metrics process: three pages, all of them read-only.

listener = Listener(("127.0.0.1", 9464), numbers, make_text)
listener.start(); ...; listener.close()
"""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Callable, Dict, Tuple

from harmovid_server.metrics.numbers import Numbers

TEXT = "text/plain; charset=utf-8"
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
"""The text format that prometheus_client's `generate_latest` writes."""

REQUEST_S = 10.0
"""A connection without a request for this long is closed."""

Page = Tuple[int, str, bytes]


class Listener:
    """Answers GET and HEAD of /metrics, /livez and /readyz in its own threads."""

    def __init__(self, address: Tuple[str, int], numbers: Numbers, metrics: Callable[[], bytes]) -> None:
        """Bind the address.

        Args:
            address: IP address and port; 0 for any free port.
            numbers: the latest numbers of main.
            metrics: returns the text for Prometheus.

        Raises:
            OSError: the address cannot be bound.
        """
        pages: Dict[str, Callable[[], Page]] = {
            "/metrics": lambda: (200, PROMETHEUS, metrics()),
            "/livez": lambda: _live(numbers),
            "/readyz": lambda: _ready(numbers),
        }

        class Handler(_Handler):
            """The handler with this listener's pages."""

            answers = pages

        class Server(ThreadingHTTPServer):
            """A server of the address's family, IPv4 or IPv6."""

            address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
            daemon_threads = True
            request_queue_size = 64

            def server_bind(self) -> None:
                """Bind without looking up the machine's name, which HTTPServer does and which may need the network."""
                TCPServer.server_bind(self)
                self.server_name, self.server_port = address[0], int(self.server_address[1])

        self._server = Server(address, Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)

    @property
    def port(self) -> int:
        """The bound port."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Begin to answer requests."""
        self._thread.start()

    def close(self) -> None:
        """Stop answering requests."""
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    answers: Dict[str, Callable[[], Page]] = {}  # noqa: RUF012  (set once, by the listener)
    timeout = REQUEST_S
    server_version = "harmovid"
    sys_version = ""

    def do_HEAD(self) -> None:
        """Answer without the page's text, as some probes request it."""
        self.do_GET()

    def do_GET(self) -> None:
        """Answer with the page."""
        answer = self.answers.get(self.path.partition("?")[0])
        status, kind, body = answer() if answer is not None else (404, TEXT, b"not found\n")
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: probes come every few seconds."""


def _live(numbers: Numbers) -> Page:
    return (200, TEXT, b"live\n") if numbers.is_live() else (503, TEXT, b"main does not answer\n")


def _ready(numbers: Numbers) -> Page:
    problems = numbers.ready_problems()
    if not problems:
        return 200, TEXT, b"ready\n"
    return 503, TEXT, "".join(f"{problem}\n" for problem in problems).encode()
