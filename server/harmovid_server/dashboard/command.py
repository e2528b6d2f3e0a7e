"""`harmovid dashboard`: serve the pages until told to stop."""

from __future__ import annotations

import argparse
import signal
import socket
from contextlib import suppress
from pathlib import Path
from typing import Sequence

import uvicorn
from harmovid.cli import exits
from harmovid.cli.console import Console
from harmovid.cli.parser import Parser
from harmovid.client import connect
from harmovid.errors import InputError, KeyFileError
from harmovid.keys import open_to_others
from harmovid.settings import load_settings

from harmovid_server.dashboard.app import create
from harmovid_server.dashboard.guard import Gate
from harmovid_server.dashboard.source import Source

LOOPBACK = ("127.0.0.1", "::1")
PORT = 5580
TOKEN_CHARACTERS = 20
"""Shorter tokens can be guessed."""


def parser() -> Parser:
    """Return the command line."""
    result = Parser(
        prog="harmovid dashboard",
        description="A server's queue, jobs, frames and engines in a web browser. docs/deploy.md",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument("--server", metavar="ADDR", help="server address")
    result.add_argument("--key", metavar="FILE", help="key file to show to the server")
    result.add_argument(
        "--bind", default=LOOPBACK[0], metavar="IP", help="address to listen on (default 127.0.0.1)"
    )
    result.add_argument(
        "--port", type=int, default=PORT, metavar="N", help=f"port; 0 a free one (default {PORT})"
    )
    result.add_argument(
        "--token-file", metavar="FILE", help="file with the token that the login page asks for; mode 0600"
    )
    result.add_argument("--tls-certificate", metavar="FILE", help="PEM file; the port then speaks HTTPS")
    result.add_argument("--tls-key", metavar="FILE", help="PEM file of its private key")
    result.add_argument("--json", action="store_true", help=argparse.SUPPRESS)
    result.add_argument("--debug", action="store_true", help=argparse.SUPPRESS)
    return result


def run(words: Sequence[str], console: Console) -> int:
    """Serve the dashboard; return the exit code.

    Raises:
        InputError: flags that exclude or need each other, or no server named. KeyFileError: an invalid token file.
    """
    args = parser().parse_args(list(words))
    settings = load_settings(args.server, args.key)
    if not settings.server:
        raise InputError("no server is named.", fix="Name one with --server or HARMOVID_SERVER.")
    token = read_token(args.token_file) if args.token_file else ""
    local = args.bind in LOOPBACK
    if not local and not token:
        raise InputError(
            f"on {args.bind} other machines could see the dashboard without a token.",
            fix="Give --token-file FILE.",
        )
    if bool(args.tls_certificate) != bool(args.tls_key):
        raise InputError(
            "only one of certificate and key is given.", fix="Give --tls-certificate and --tls-key."
        )
    secure = bool(args.tls_certificate)
    if not local and not secure:
        console.note(
            "Without TLS others can read the token on the network: use --tls-certificate, or a proxy with TLS."
        )
    with bound(args.bind, args.port) as listener, connect(settings) as client:
        app = create(Source(client), Gate(token, local, secure), settings.server)
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False, lifespan="off",
            ssl_certfile=args.tls_certificate, ssl_keyfile=args.tls_key,
        )  # fmt: skip
        console.text(_address(listener, secure))
        console.flush()
        # A supervisor's SIGTERM ends it as Ctrl-C does; uvicorn raises again what it has caught.
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.default_int_handler)
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])
    return exits.OK


def bound(ip: str, port: int) -> socket.socket:
    """Return a socket that listens there.

    Raises:
        InputError: it is taken, or there is no such address.
    """
    if not 0 <= port <= 65535:
        raise InputError(f"port {port} cannot be served.", fix="It must be from 0 to 65535.")
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    try:
        return socket.create_server((ip, port), family=family)
    except OSError as error:
        raise InputError(
            f"{ip}:{port} cannot be served: {error}.", fix="Name another --bind or --port."
        ) from error


def _address(listener: socket.socket, secure: bool) -> str:
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if secure else 'http'}://{shown}:{port}/"


def read_token(name: str) -> str:
    """Return the token in a file.

    Raises:
        KeyFileError: it cannot be read, others can read it, or it is too short.
    """
    path = Path(name)
    try:
        if open_to_others(path):
            raise KeyFileError(f"{path} can be read by others.", fix=f"Run: chmod 600 {path}")
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise KeyFileError(f"the token file {path} cannot be read: {error}.") from error
    if len(token) < TOKEN_CHARACTERS:
        raise KeyFileError(
            f"the token in {path} has {len(token)} characters.",
            fix=f"It needs {TOKEN_CHARACTERS} at least: openssl rand -hex 24 > {path}",
        )
    return token
