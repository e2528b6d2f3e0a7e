"""One valid message of every type, for golden bytes and as seeds of the fuzz tests.

`python tests/core/wire_samples.py FOLDER` writes them as golden files; do that only with a new wire version.
"""

from __future__ import annotations

import struct
import sys
import zlib
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from harmovid.job import JobSpec, Progress
from harmovid.transport import wire

JOB = "0123456789abcdef0123456789abcdef"
TOKEN = bytes(range(16))
DATA = b"HarmoVid"
ERROR = {
    "code": "frame_missing",
    "message": "there is no file plate.1003.exr.",
    "retryable": False,
    "fix": "The nearest is plate.1002.exr.",
    "frame": 1003,
    "layer": "plate",
}
SPEC = JobSpec(
    job_id=JOB,
    engine="deflicker",
    frames="1001-1100x2,1150",
    layers=("plate", "mask"),
    options={"amount": 0.5, "window": 9, "local": True, "mode": "exposure"},
    colorspace={"plate": "ACES - ACEScg"},
    label="sh010",
).to_dict()
PROGRESS = wire.progress_body(Progress(JOB, "RUNNING", 51, 20, 10, 8, 1, 0, "computing"))
_IN = {"job": JOB, "layer": "plate", "frame": 1001}
_OUT = {"job": JOB, "frame": -5}
_FILE = {"size": 8, "crc": zlib.crc32(DATA)}
_PART = {"off": 0, "crc": zlib.crc32(DATA), "data": DATA}
_UP, _DOWN = wire.TO_SERVER_CONTROL, wire.TO_CLIENT_CONTROL
_DATA_UP, _DATA_DOWN = wire.TO_SERVER_DATA, wire.TO_CLIENT_DATA

# name of the golden file, channel, type, body, ref
SAMPLES: List[Tuple[str, str, str, Dict[str, Any], Optional[int]]] = [
    ("hello", _UP, "HELLO", {"versions": [1, 1], "client": "harmovid/0.1.0"}, 1),
    ("engines", _UP, "ENGINES", {}, 2),
    ("submit", _UP, "SUBMIT", {"spec": SPEC}, 3),
    ("resume", _UP, "RESUME", {"job": JOB, "have": wire.pack_have({1001: 1, -5: 2**32 - 1})}, 4),
    ("status", _UP, "STATUS", {}, 5),
    ("status_of_job", _UP, "STATUS", {"job": JOB}, 6),
    ("cancel", _UP, "CANCEL", {"job": JOB}, 7),
    ("retry", _UP, "RETRY", {"job": JOB}, 11),
    ("frames", _UP, "FRAMES", {"job": JOB, "at": 4096}, 8),
    ("preview", _UP, "PREVIEW", {**_OUT, "side": "after"}, 9),
    ("workers", _UP, "WORKERS", {}, 10),
    ("ping", _UP, "PING", {}, 2**32 - 1),
    ("bye", _UP, "BYE", {}, None),
    (
        "welcome",
        _DOWN,
        "WELCOME",
        {
            "version": 1,
            "server": "render01",
            "session": TOKEN,
            "data_port": 5571,
            "draining": False,
            "limits": {"file_bytes": 2**30, "detach_ttl_s": 3600},
        },
        1,
    ),
    (
        "welcome_local",
        _DOWN,
        "WELCOME",
        {
            "version": 1,
            "server": "render01",
            "session": TOKEN,
            "data_port": 5571,
            "data_local": "/run/harmovid/data-0123456789abcdef",
            "draining": False,
            "limits": {},
        },
        1,
    ),
    ("engine_list", _DOWN, "ENGINE_LIST", {"engines": [{"name": "null", "options": []}]}, 2),
    ("accept", _DOWN, "ACCEPT", PROGRESS, 3),
    ("reject", _DOWN, "REJECT", {"error": {**ERROR, "retry_after_s": 2.5}}, 3),
    ("jobs", _DOWN, "JOBS", {"jobs": [{**PROGRESS, "engine": "null", "label": "", "age_s": 1.5}]}, 5),
    ("jobs_of_all", _DOWN, "JOBS", {"jobs": [{**PROGRESS, "user": "anna"}]}, 5),
    (
        "job_in_full",
        _DOWN,
        "JOBS",
        {"jobs": [{**PROGRESS, "connected": True, "spec": {**SPEC, "layers": ["plate", "mask"]}}]},
        6,
    ),
    (
        "frame_list",
        _DOWN,
        "FRAME_LIST",
        {"job": JOB, "at": 8192, "frames": [{"frame": 1001, "state": "computed", "report": {"gain": 0.25}}]},
        8,
    ),
    ("preview_data", _DOWN, "PREVIEW_DATA", {**_OUT, "data": DATA}, 9),
    (
        "worker_list",
        _DOWN,
        "WORKER_LIST",
        {"workers": [{"name": "worker-0.1", "engines": ["null"], "running": 1, "jobs": [JOB]}]},
        10,
    ),
    ("state", _DOWN, "STATE", PROGRESS, None),
    ("state_failed", _DOWN, "STATE", {**PROGRESS, "state": "FAILED", "error": ERROR}, None),
    ("frame_failed", _DOWN, "FRAME_FAILED", {"job": JOB, "frame": 1003, "error": ERROR}, None),
    ("pong", _DOWN, "PONG", {}, 2**32 - 1),
    ("drain", _DOWN, "DRAIN", {"deadline_s": 30.0}, None),
    ("server_bye", _DOWN, "BYE", {}, None),
    ("error", _DOWN, "ERROR", {"scope": "session", "error": {**ERROR, "code": "session"}}, None),
    ("attach", _DATA_UP, "ATTACH", {"session": TOKEN, "credit": wire.CREDIT_BYTES}, None),
    ("meta", _DATA_UP, "META", {**_IN, **_FILE}, None),
    ("chunk", _DATA_UP, "CHUNK", {**_IN, **_PART}, None),
    ("source_failed", _DATA_UP, "SOURCE_FAILED", {**_IN, "error": ERROR}, None),
    ("ack", _DATA_UP, "ACK", _OUT, None),
    ("result_bad", _DATA_UP, "RESULT_BAD", {**_OUT, "error": ERROR}, None),
    ("credit", _DATA_UP, "CREDIT", {"bytes": 4 << 20}, None),
    ("attached", _DATA_DOWN, "ATTACHED", {"credit": wire.CREDIT_BYTES}, None),
    ("need", _DATA_DOWN, "NEED", {"job": JOB, "items": [["plate", 1001], ["mask", -5]]}, None),
    ("frame_ok", _DATA_DOWN, "FRAME_OK", _IN, None),
    ("frame_bad", _DATA_DOWN, "FRAME_BAD", {**_IN, "error": ERROR}, None),
    (
        "result_meta",
        _DATA_DOWN,
        "RESULT_META",
        {**_OUT, **_FILE, "report": {"gain": 0.25, "why": None}},
        None,
    ),
    ("result_chunk", _DATA_DOWN, "RESULT_CHUNK", {**_OUT, **_PART}, None),
    ("server_credit", _DATA_DOWN, "CREDIT", {"bytes": 1 << 20}, None),
]


def to_file(parts: List[Any]) -> bytes:
    """Return a golden file: uint32 little-endian length of the header, header, payload."""
    return struct.pack("<I", len(parts[0])) + bytes(parts[0]) + bytes(parts[1])


def from_file(data: bytes) -> List[bytes]:
    """Return the two parts in a golden file."""
    (length,) = struct.unpack_from("<I", data)
    return [data[4 : 4 + length], data[4 + length :]]


if __name__ == "__main__":
    for name, _, kind, body, ref in SAMPLES:
        (Path(sys.argv[1]) / f"{name}.bin").write_bytes(to_file(wire.encode(kind, body, ref)))
