"""The real server with a worker that returns each input as its result: the protocol alone, without codec.

    python bench/support/mirror_server.py [flags of the server]

This file is its own worker module. It hard-links each file instead of copying it, and computes one checksum for all
frames, which therefore must be equal; so only sockets, spool and dispatcher are measured.
"""

from __future__ import annotations

import os
import sys
import zlib
from pathlib import Path
from typing import Any, Dict, Tuple

from harmovid.job import EngineInfo, LayerInfo
from harmovid_server.__main__ import main as serve
from harmovid_server.child import enter
from harmovid_server.ipc import IpcClient
from harmovid_server.main import server

INFO = EngineInfo(
    "mirror", "1", "any", "Returns the very file.", "plate", (LayerInfo("plate", True, "Any."),)
)


def mirror(link: IpcClient, start: Dict[str, Any], frame: int, known: Dict[int, int]) -> None:
    """Make one frame's input its result."""
    source = Path(start["folder"]) / "in" / f"plate.{frame}.exr"
    size = source.stat().st_size
    if size not in known:
        known[size] = zlib.crc32(source.read_bytes())
    os.link(source, Path(start["folder"]) / "out" / f"{frame}.exr")
    about = {"job": start["job"], "attempt": start["attempt"]}
    link.send("computed", **about, frame=frame, size=size, crc=known[size], report={})
    link.send("release", **about, frames=[frame])


def work(arguments: list[str]) -> None:
    """Run as the worker."""
    _, link = enter(arguments)
    link.send("hello", role="worker", engines=[INFO.to_dict()])
    jobs: Dict[str, Tuple[Dict[str, Any], Dict[int, int]]] = {}
    while True:
        link.beat_if_due()
        message = link.receive(100)
        if message is None:
            continue
        if message["op"] == "start":
            jobs[message["job"]] = (message, {})
        elif message["op"] == "ready":
            start, known = jobs[message["job"]]
            mirror(link, start, message["frame"], known)


if __name__ == "__main__":
    if "--link" in sys.argv:
        work(sys.argv[1:])
    else:
        # The server starts the worker by module name; this file is found in its own folder.
        os.environ["PYTHONPATH"] = os.pathsep.join(
            filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")])
        )
        server.WORKER_MODULES = {"local": "mirror_server"}
        sys.exit(serve())
