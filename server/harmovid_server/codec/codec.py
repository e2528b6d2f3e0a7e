"""A codec child: decodes untrusted frames, measures them, finishes them. It may crash without harm.

It sends an empty message once its rights are limited (`__main__.py`), then runs one task after the other:

| task | fields, arrays | answer |
|---|---|---|
| proxy | job, frame, plan, paths {layer: path} | images, mattes (names), facts; the arrays in that order |
| finish | job, frame, plan, paths, target, history; [field, network's picture] | size, crc, report, preview_bytes |
| forget | job | nothing |

or `{"error": ...}`. Previews are written if `history` is not "". Measured frames are kept until they are finished, if
the plan says so and as far as there is space.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, Sequence, Tuple

import numpy.typing as npt
from harmovid.errors import FrameRefused, HarmoVidError
from harmovid.pixels.exr import DEFAULT_LIMITS
from harmovid.pixels.field import LightingField

from harmovid_server.codec.finish import finish
from harmovid_server.codec.frame_cache import FrameCache, Frames
from harmovid_server.codec.packets import Arrays, Body
from harmovid_server.codec.picture import load
from harmovid_server.codec.plan import Plan
from harmovid_server.codec.preview import write_previews
from harmovid_server.codec.proxy import measure
from harmovid_server.logs import about, of_job

log = logging.getLogger("harmovid.codec")

CACHE_BYTES = 256 << 20
"""Bytes of decoded pixels kept per child: three 4K RGBA half frames, or fifteen at 1080p."""

HEADROOM_BYTES = 3 * DEFAULT_LIMITS.max_decoded_bytes + CACHE_BYTES
"""Address space for the largest supported frame: its file and its pixels, the changed copy, the encoded result."""

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
        """Run one task and return its answer, including errors; errors caused by a file are never raised."""
        with of_job(body.get("job", "")):
            return self._do(body, arrays)

    def _do(self, body: Body, arrays: Arrays) -> Answer:
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
        # The outermost handler: a bug in one frame must not look like a crash of the decoder.
        except Exception as error:
            log.exception("codec task failed", extra=about(task=body["task"], frame=body.get("frame")))
            failed = HarmoVidError(f"the server failed on it ({error!r}).", frame=body["frame"])
            return {"error": failed.to_wire()}, ()

    def _proxy(self, body: Body, arrays: Arrays) -> Answer:
        plan = Plan.from_dict(body["plan"])
        frames = load(_paths(body), plan)
        small = measure(frames, plan)
        if plan.keeps_decoded:
            self._cache.put((body["job"], body["frame"]), {name: frames[name] for name in plan.finish_layers})
        answer = {"images": list(small.images), "mattes": list(small.mattes), "facts": small.facts}
        return answer, [*small.images.values(), *small.mattes.values()]

    def _finish(self, body: Body, arrays: Arrays) -> Answer:
        plan = Plan.from_dict(body["plan"])
        frames = self._cache.take((body["job"], body["frame"])) or self._load_again(body, plan)
        light = LightingField.from_bytes(arrays[0].tobytes())
        picture = arrays[1] if len(arrays) > 1 else None
        done = finish(frames, plan, light, Path(body["target"]), picture)
        answer: Body = {"size": done.size, "crc": done.crc, "report": done.report}
        if body.get("history") and done.relit is not None:
            folder = Path(body["history"])
            answer["preview_bytes"] = write_previews(
                folder, body["frame"], body["job"], frames, plan, done.relit
            )
        return answer, ()

    def _load_again(self, body: Body, plan: Plan) -> Frames:
        paths = _paths(body)
        return load({name: paths[name] for name in plan.finish_layers}, plan)

    def _forget(self, body: Body, arrays: Arrays) -> Answer:
        self._cache.forget(body["job"])
        return {}, ()


def _paths(body: Body) -> Mapping[str, Path]:
    return {layer: Path(path) for layer, path in body["paths"].items()}
