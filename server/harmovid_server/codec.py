"""A codec child: decodes other people's frames, measures them, finishes them. Run by the pool, expendable.

    python -m harmovid_server.codec SOCKET_FD PARENT_PID

It greets with an empty message once it is confined, then answers one task after the other:

| task | fields, arrays | answer |
|---|---|---|
| proxy | job, frame, plan, paths {layer: path} | images, mattes (names), facts; the arrays in that order |
| finish | job, frame, plan, paths, target; [field's bytes] | size, crc, report |
| forget | job | nothing |

or `{"error": ...}`. Frames that were measured are held until they are finished, as far as there is room.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Sequence, Tuple

import numpy.typing as npt
from harmovid.errors import FrameRefused, HarmoVidError
from harmovid.pixels.apply_fast import best_kernels
from harmovid.pixels.exr import DEFAULT_LIMITS
from harmovid.pixels.field import LightingField

from harmovid_server import logs, packets, reduce, sandbox
from harmovid_server.finish import finish
from harmovid_server.frame_cache import FrameCache, Frames
from harmovid_server.link import die_with_parent
from harmovid_server.packets import Arrays, Body, PeerGoneError
from harmovid_server.picture import load
from harmovid_server.plan import Plan
from harmovid_server.proxy import measure

log = logging.getLogger("harmovid.codec")

CACHE_BYTES = 256 << 20
"""Decoded pixels held per child: three 4K RGBA half frames, or fifteen at 1080p."""

HEADROOM_BYTES = 3 * DEFAULT_LIMITS.max_decoded_bytes + CACHE_BYTES
"""Address space for the largest frame taken: its file and its pixels, the relit copy, the encoded result."""

Answer = Tuple[Body, Sequence[npt.NDArray[Any]]]


class Codec:
    """The tasks of a child, one at a time."""

    def __init__(self, cache_bytes: int = CACHE_BYTES) -> None:
        self._cache = FrameCache(cache_bytes)
        self._tasks: Dict[str, Callable[[Body, Arrays], Answer]] = {
            "proxy": self._proxy,
            "finish": self._finish,
            "forget": self._forget,
        }

    def do(self, body: Body, arrays: Arrays) -> Answer:
        """Do one task and return its answer, errors included; nothing that a file causes is raised."""
        try:
            return self._tasks[body["task"]](body, arrays)
        except HarmoVidError as error:
            error.frame = body["frame"]
            return {"error": error.to_wire()}, ()
        except MemoryError:
            refused = FrameRefused(
                "it needs more memory than one frame may have.",
                fix="Send fewer channels.",
                frame=body["frame"],
            )
            return {"error": refused.to_wire()}, ()
        # The door of the process: a fault of ours in one frame must not look like a crash of the decoder.
        except Exception as error:
            log.exception("codec task failed")
            failed = HarmoVidError(f"the server failed on it ({error!r}).", frame=body["frame"])
            return {"error": failed.to_wire()}, ()

    def _proxy(self, body: Body, arrays: Arrays) -> Answer:
        plan = Plan.from_dict(body["plan"])
        frames = load(_paths(body), plan)
        small = measure(frames, plan)
        self._cache.put((body["job"], body["frame"]), {name: frames[name] for name in plan.finish_layers})
        answer = {"images": list(small.images), "mattes": list(small.mattes), "facts": small.facts}
        return answer, [*small.images.values(), *small.mattes.values()]

    def _finish(self, body: Body, arrays: Arrays) -> Answer:
        plan = Plan.from_dict(body["plan"])
        frames = self._cache.take((body["job"], body["frame"])) or self._load_again(body, plan)
        light = LightingField.from_bytes(arrays[0].tobytes())
        done = finish(frames, plan, light, Path(body["target"]))
        return {"size": done.size, "crc": done.crc, "report": done.report}, ()

    def _load_again(self, body: Body, plan: Plan) -> Frames:
        paths = _paths(body)
        return load({name: paths[name] for name in plan.finish_layers}, plan)

    def _forget(self, body: Body, arrays: Arrays) -> Answer:
        self._cache.forget(body["job"])
        return {}, ()


def _paths(body: Body) -> Mapping[str, Path]:
    return {layer: Path(path) for layer, path in body["paths"].items()}


def main(arguments: List[str]) -> None:
    """Confine this process, greet, and serve until the pool closes the socket."""
    descriptor, parent = int(arguments[0]), int(arguments[1])
    die_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logs.set_up("info", as_json=False)
    os.umask(0o077)
    # Libraries are loaded, and compiled code is read from disk, before the limits: both map memory.
    best_kernels()
    reduce.best_kernels()
    sandbox.confine(HEADROOM_BYTES)
    codec = Codec()
    with socket.socket(fileno=descriptor) as sock:
        packets.send(sock, {})
        while True:
            try:
                body, arrays = packets.receive(sock)
            except PeerGoneError:
                return
            packets.send(sock, *codec.do(body, arrays))


if __name__ == "__main__":
    main(sys.argv[1:])
