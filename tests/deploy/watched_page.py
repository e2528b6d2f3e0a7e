"""Run docs/deploy.md in a namespace of its own while every packet is looked at; print what was seen as JSON.

    unshare --net ... python tests/deploy/watched_page.py

There is only loopback, and it is the way to everywhere: what a process sends to any other address, by any protocol,
passes here and is seen, name lookups among it. Two packets of our own at the end show that the watching works.
"""

from __future__ import annotations

import contextlib
import importlib.util
import ipaddress
import json
import socket
import subprocess
import sys
import threading
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
ALL_PROTOCOLS = 3  # ETH_P_ALL
IPV4, IPV6 = 0x0800, 0x86DD
CONTROL = ("192.0.2.1", "2001:db8::1")  # documentation's addresses, RFC 5737 and RFC 3849
OWN_IPV6 = "fd00::1"
"""A source that packets to other IPv6 addresses need; nothing else uses it."""


def ends(kind: int, data: bytes) -> tuple[str, str] | None:
    """Return source and destination of an IP packet; None for other packets."""
    if kind == IPV4 and len(data) >= 20:
        return str(ipaddress.ip_address(data[12:16])), str(ipaddress.ip_address(data[16:20]))
    if kind == IPV6 and len(data) >= 40:
        return str(ipaddress.ip_address(data[8:24])), str(ipaddress.ip_address(data[24:40]))
    return None


def text(data: bytes) -> str:
    """Return the printable bytes of a packet: of a name lookup it shows the name."""
    return "".join(chr(byte) if 32 <= byte < 127 else "." for byte in data)


class Watch:
    """Collects the packets that leave loopback's own addresses: source, destination and what can be read in them."""

    def __init__(self) -> None:
        self.foreign: set[tuple[str, str, str]] = set()
        self.seen = 0
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ALL_PROTOCOLS))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
        self._socket.settimeout(0.5)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                data, address = self._socket.recvfrom(256)
            except TimeoutError:
                if self._stop.is_set():
                    return
                continue
            self.seen += 1
            found = ends(address[1], data)
            if found and not all(ipaddress.ip_address(end).is_loopback for end in found):
                self.foreign.add((*found, text(data)))

    def close(self) -> None:
        """Take in what is still on its way, and stop."""
        self._stop.set()
        self._thread.join()
        self._socket.close()


def page_module() -> object:
    """Return deploy/try_page.py as a module."""
    found = importlib.util.spec_from_file_location("try_page", REPO / "deploy" / "try_page.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules["try_page"] = module
    found.loader.exec_module(module)
    return module


def main() -> None:
    """Watch while the page runs, then send what must be seen."""
    page = page_module()
    page.raise_loopback()  # type: ignore[attr-defined]
    for words in (
        ("route", "add", "default", "dev", "lo"),
        ("-6", "addr", "add", f"{OWN_IPV6}/128", "dev", "lo"),
        ("-6", "route", "add", "default", "dev", "lo"),
    ):
        subprocess.run(["ip", *words], check=True)  # noqa: S607
    first = Watch()
    code = page.inside(None, None)  # type: ignore[attr-defined]
    first.close()
    second = Watch()
    for address in CONTROL:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as sender, contextlib.suppress(OSError):
            sender.sendto(b"seen?", (address, 9))
    second.close()
    told = {
        "code": code,
        "packets": first.seen,
        "foreign": sorted(first.foreign),
        "control": sorted(second.foreign),
    }
    sys.stdout.write("\n" + json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
