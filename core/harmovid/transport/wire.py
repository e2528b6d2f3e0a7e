"""The messages of the wire protocol, version 1, as specified in docs/wire.md. Used by client and server; no sockets.

    parts = encode("CANCEL", {"job": job_id}, ref=7)    # [header, payload], ready for send_multipart
    message = decode(parts, TO_SERVER_CONTROL)          # Message("CANCEL", {"job": ...}, ref=7)

A message is two parts: a msgpack header of at most 16 KiB and a payload of at most 1 MiB, often empty.
`Message.body` holds the checked fields of both; the payload appears under its own name ("spec", "data",
"items", ...). Messages that do not match the table `TYPES` raise `ProtocolError`
(`decode` may also raise `VersionError`, and nothing else).
"""

from __future__ import annotations

import struct
from dataclasses import asdict, dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from harmovid.errors import HarmoVidError, ProtocolError, VersionError
from harmovid.frames import MAX_NUMBER, MIN_NUMBER
from harmovid.job import ACTIVE_STATES, FINAL_STATES, Progress
from harmovid.storage import checksums
from harmovid.transport.schema import (
    PLAIN_ITEMS,
    Buffer,
    Check,
    binary,
    boolean,
    choice,
    integer,
    list_of,
    map_of,
    number,
    one_of,
    pack,
    plain_map,
    record,
    text,
    tuple_of,
    unpack,
)

VERSION = 1
VERSIONS = (1, 1)  # oldest and newest version supported

# Limits of the format itself (docs/wire.md, "Limits"); a server may set lower ones and says so in WELCOME.
HEADER_BYTES = 16 * 1024
PAYLOAD_BYTES = 1024 * 1024
CHUNK_BYTES = checksums.CHUNK_BYTES
MAX_MESSAGE_BYTES = PAYLOAD_BYTES + 64 * 1024  # ZMQ_MAXMSGSIZE, per part
CREDIT_BYTES = 16 * 1024 * 1024  # at the start of a session, in each direction
CREDIT_MAX_BYTES = 1 << 30  # granting more than this is an error
FILE_BYTES = (1 << 32) - 1
FRAMES_PER_JOB = 100_000  # 69 minutes at 24 frames/s; keeps RESUME within one message
LAYERS_PER_JOB = 16
NEED_ITEMS = 1024
HEADER_ITEMS = 256  # fields of a header, or of a map or list in it
JOBS_LISTED = 1000
TOKEN_BYTES = 16

# Liveness and patience, in seconds.
PING_S = 1.0
SILENT_S = 4.0
RECONNECT_FIRST_S, RECONNECT_LAST_S = 0.1, 2.0
SEND_TRIES = 3  # a file that fails its checksum this often is given up

# Socket options that both sides set (docs/wire.md, "Sockets").
HIGH_WATER_MARK = 64
HEARTBEAT_IVL_MS, HEARTBEAT_TIMEOUT_MS, HEARTBEAT_TTL_MS = 2000, 6000, 6000
HANDSHAKE_IVL_MS = 5000

TO_SERVER_CONTROL, TO_SERVER_DATA = "control to server", "data to server"
TO_CLIENT_CONTROL, TO_CLIENT_DATA = "control to client", "data to client"

SESSION_UNKNOWN = "session"  # the ERROR code for: send HELLO again
SCOPES = ("message", "session", "job")

LABEL_BYTES = 256
JOB_ID = text(32, "[0-9a-f]{32}")
LAYER = text(32, "[a-z][a-z0-9_]{0,31}")
FRAME = integer(MIN_NUMBER, MAX_NUMBER)
CRC = integer(0, 2**32 - 1)
COUNT = integer(0, 2**31 - 1)
CREDIT = integer(1, CREDIT_MAX_BYTES)

ERROR_BODY = record(
    {"code": text(32, "[a-z][a-z_]*"), "message": text(4096), "retryable": boolean},
    {"fix": text(4096), "frame": FRAME, "layer": text(128), "retry_after_s": number(0, 86400)},
)
_PROGRESS = {
    "job": JOB_ID,
    "state": choice(*ACTIVE_STATES, *FINAL_STATES),
    "total": COUNT,
    "received": COUNT,
    "computed": COUNT,
    "delivered": COUNT,
    "failed": COUNT,
    "queue_position": COUNT,
    "message": text(1024),
}
OPTION = one_of(boolean, integer(-(2**53), 2**53), number(-1e300, 1e300), text(1024))
_OUTPUT = {"mode": text(16), "strength": number(-1e6, 1e6), "field_layers": boolean, "premultiplied": boolean}
SPEC = record(
    {
        "job_id": JOB_ID,
        "engine": text(64, "[a-z0-9][a-z0-9._-]*"),
        "frames": text(512 * 1024),
        "layers": list_of(LAYER, LAYERS_PER_JOB),
    },
    {
        "options": map_of(text(64), OPTION, 256),
        "colorspace": map_of(LAYER, text(128), LAYERS_PER_JOB),
        "output": record({}, _OUTPUT),
        "shared": map_of(LAYER, text(1024), LAYERS_PER_JOB),
        "label": text(LABEL_BYTES),
        "exr_layers": map_of(LAYER, text(256), LAYERS_PER_JOB),
        "matte_channels": map_of(LAYER, text(512), LAYERS_PER_JOB),
        "context": text(256 * 1024),
    },
)  # fmt: skip
JOB_ROW = record(
    _PROGRESS,
    {
        "engine": text(64), "label": text(LABEL_BYTES), "age_s": number(0, 1e12), "user": text(64),
        "connected": boolean, "spec": SPEC,
    },
)  # fmt: skip
SIDES = ("before", "after")


def _have(value: Any, where: str) -> Any:
    data = bytes(value)
    if len(data) % _HAVE.size or len(data) > FRAMES_PER_JOB * _HAVE.size:
        raise ProtocolError(f"{where} has {len(data)} bytes.", fix=f"It is records of {_HAVE.size} bytes.")
    numbers = [number for number, _ in _HAVE.iter_unpack(data)]
    if any(a >= b for a, b in zip(numbers, numbers[1:])):
        raise ProtocolError(f"{where} is not in ascending frame order.")
    return data


_HAVE = struct.Struct("<iI")  # frame number, CRC-32 of the whole result file


@dataclass(frozen=True)
class Type:
    """One message type: sender and socket, header fields, and payload.

    `payload` is None (must be empty), or `(name, check, packed)`: packed payloads are one msgpack value, the
    others are raw bytes.
    """

    channels: Tuple[str, ...]
    required: Mapping[str, Check] = field(default_factory=dict)
    optional: Mapping[str, Check] = field(default_factory=dict)
    payload: Optional[Tuple[str, Check, bool]] = None


_UP, _DOWN = (TO_SERVER_CONTROL,), (TO_CLIENT_CONTROL,)
_DATA_UP, _DATA_DOWN = (TO_SERVER_DATA,), (TO_CLIENT_DATA,)
_IN = {"job": JOB_ID, "layer": LAYER, "frame": FRAME}
_OUT = {"job": JOB_ID, "frame": FRAME}
_FILE = {"size": integer(1, FILE_BYTES), "crc": CRC}
_PART = {"off": integer(0, FILE_BYTES - 1), "crc": CRC}
_BYTES = ("data", binary(1, CHUNK_BYTES), False)
_ITEMS = ("items", list_of(tuple_of(LAYER, FRAME), NEED_ITEMS), True)
_ERROR = {"error": ERROR_BODY}
_AT = integer(0, 2**53)

TYPES: Dict[str, Type] = {
    "HELLO": Type(_UP, {"versions": tuple_of(integer(1, 65535), integer(1, 65535)), "client": text(256)}),
    "ENGINES": Type(_UP),
    "SUBMIT": Type(_UP, payload=("spec", SPEC, True)),
    "RESUME": Type(_UP, {"job": JOB_ID}, payload=("have", _have, False)),
    "STATUS": Type(_UP, optional={"job": JOB_ID}),
    "CANCEL": Type(_UP, {"job": JOB_ID}),
    "RETRY": Type(_UP, {"job": JOB_ID}),
    "FRAMES": Type(_UP, {"job": JOB_ID}, {"at": _AT}),
    "PREVIEW": Type(_UP, {**_OUT, "side": choice(*SIDES)}),
    "WORKERS": Type(_UP),
    "PING": Type(_UP),
    "BYE": Type(_UP + _DOWN),
    "WELCOME": Type(
        _DOWN,
        {
            "version": integer(1, 65535),
            "server": text(256),
            "session": binary(TOKEN_BYTES, TOKEN_BYTES),
            "data_port": integer(1, 65535),
            "draining": boolean,
            "limits": map_of(text(64), integer(0, 2**63 - 1), 64),
        },
        {"data_local": text(256)},
    ),
    "ENGINE_LIST": Type(_DOWN, payload=("engines", list_of(plain_map, 256), True)),
    "JOBS": Type(_DOWN, payload=("jobs", list_of(JOB_ROW, JOBS_LISTED), True)),
    "FRAME_LIST": Type(
        _DOWN, {"job": JOB_ID, "at": _AT}, payload=("frames", list_of(plain_map, PLAIN_ITEMS), True)
    ),
    "PREVIEW_DATA": Type(_DOWN, _OUT, payload=("data", binary(1, PAYLOAD_BYTES), False)),
    "WORKER_LIST": Type(_DOWN, payload=("workers", list_of(plain_map, 256), True)),
    "ACCEPT": Type(_DOWN, _PROGRESS),
    "REJECT": Type(_DOWN, _ERROR),
    "STATE": Type(_DOWN, _PROGRESS, _ERROR),
    "FRAME_FAILED": Type(_DOWN, {**_OUT, **_ERROR}),
    "PONG": Type(_DOWN),
    "DRAIN": Type(_DOWN, {"deadline_s": number(0, 1e6)}),
    "ERROR": Type(_DOWN + _DATA_DOWN, {"scope": choice(*SCOPES), **_ERROR}, {"job": JOB_ID}),
    "ATTACH": Type(_DATA_UP, {"session": binary(TOKEN_BYTES, TOKEN_BYTES), "credit": CREDIT}),
    "META": Type(_DATA_UP, {**_IN, **_FILE}),
    "CHUNK": Type(_DATA_UP, {**_IN, **_PART}, payload=_BYTES),
    "SOURCE_FAILED": Type(_DATA_UP, {**_IN, **_ERROR}),
    "ACK": Type(_DATA_UP, _OUT),
    "RESULT_BAD": Type(_DATA_UP, {**_OUT, **_ERROR}),
    "CREDIT": Type(_DATA_UP + _DATA_DOWN, {"bytes": CREDIT}),
    "ATTACHED": Type(_DATA_DOWN, {"credit": CREDIT}),
    "NEED": Type(_DATA_DOWN, {"job": JOB_ID}, payload=_ITEMS),
    "FRAME_OK": Type(_DATA_DOWN, _IN),
    "FRAME_BAD": Type(_DATA_DOWN, {**_IN, **_ERROR}),
    "RESULT_META": Type(_DATA_DOWN, {**_OUT, **_FILE}, payload=("report", plain_map, True)),
    "RESULT_CHUNK": Type(_DATA_DOWN, {**_OUT, **_PART}, payload=_BYTES),
}  # fmt: skip

_REF = integer(0, 2**32 - 1)
_HEADERS = {name: record(kind.required, kind.optional) for name, kind in TYPES.items()}


@dataclass(frozen=True)
class Message:
    """One checked message: its type, its fields (including the payload), and its request number.

    All three are passed unchanged over the server's internal link (docs/architecture.md 4.1: request, reply, push).
    """

    type: str
    body: Dict[str, Any]
    ref: Optional[int] = None


def encode(kind: str, body: Optional[Mapping[str, Any]] = None, ref: Optional[int] = None) -> List[Buffer]:
    """Return the two parts of a message, after the same checks as in `decode`.

    Args:
        kind: a key of `TYPES`.
        body: its fields, the payload under its own name.
        ref: the client's number of a request, also in its reply.

    Raises:
        ProtocolError: a field is missing, of the wrong type or beyond its limit.
    """
    if kind not in TYPES:
        raise ProtocolError(f"there is no message type {kind!r}.")
    body = dict(body or {})
    payload = _encode_payload(kind, body)
    header: Dict[str, Any] = {"v": VERSION, "t": kind}
    if ref is not None:
        header["ref"] = _REF(ref, "ref")
    header.update(_HEADERS[kind](body, kind))
    return [pack(header, HEADER_BYTES, f"{kind} header"), payload]


def _encode_payload(kind: str, body: Dict[str, Any]) -> Buffer:
    payload = TYPES[kind].payload
    if payload is None:
        return b""
    name, check, packed = payload
    if name not in body:
        raise ProtocolError(f"{kind} has no payload {name!r}.")
    value = check(body.pop(name), f"{kind}.{name}")
    return pack(value, PAYLOAD_BYTES, f"{kind}.{name}") if packed else value  # type: ignore[no-any-return]


def decode(parts: Sequence[Buffer], channel: str) -> Message:
    """Return the message in `parts`, every field checked.

    Args:
        parts: the message parts after the routing id, as bytes or as `zmq.Frame.buffer`. A CHUNK's `data` is
            the second part itself, not a copy.
        channel: the socket that it arrived on: TO_SERVER_CONTROL, TO_SERVER_DATA, TO_CLIENT_CONTROL or TO_CLIENT_DATA.

    Raises:
        ProtocolError: the table does not allow the message on this channel.
        VersionError: the header has another protocol version.
    """
    if len(parts) != 2:
        raise ProtocolError(f"a message of {len(parts)} parts.", fix="It has two: header and payload.")
    header = unpack(parts[0], HEADER_BYTES, HEADER_ITEMS, "header")
    plain_map(header, "header")
    version, kind, ref = header.get("v"), header.get("t"), header.get("ref")
    if type(version) is not int:
        raise ProtocolError("the header has no version.")
    if version != VERSION:
        raise VersionError(f"a message of protocol version {version}.", fix=f"This side speaks {VERSION}.")
    spec = TYPES.get(kind) if isinstance(kind, str) else None
    if spec is None or channel not in spec.channels:
        raise ProtocolError(f"there is no message {str(kind)[:40]!r} on {channel}.")
    body = _HEADERS[kind](header, kind)
    _decode_payload(kind, spec, parts[1], body)
    return Message(kind, body, None if ref is None else _REF(ref, "ref"))


def _decode_payload(kind: str, spec: Type, part: Buffer, body: Dict[str, Any]) -> None:
    if len(part) > PAYLOAD_BYTES:
        raise ProtocolError(f"{kind} has a payload of {len(part)} bytes.", fix=f"At most {PAYLOAD_BYTES}.")
    if spec.payload is None:
        if len(part):
            raise ProtocolError(f"{kind} has a payload of {len(part)} bytes.", fix="It must be empty.")
        return
    name, check, packed = spec.payload
    value = unpack(part, PAYLOAD_BYTES, PLAIN_ITEMS, f"{kind}.{name}") if packed else part
    body[name] = check(value, f"{kind}.{name}")


def pack_have(have: Mapping[int, int]) -> bytes:
    """Return RESUME's payload: 8 bytes per frame (int32 number, uint32 CRC, little-endian), ascending."""
    if len(have) > FRAMES_PER_JOB:
        raise ProtocolError(f"{len(have)} frames are too many for one job.", fix=f"At most {FRAMES_PER_JOB}.")
    return b"".join(_HAVE.pack(frame, have[frame]) for frame in sorted(have))


def unpack_have(data: Buffer) -> Dict[int, int]:
    """Return `{frame: crc}` from RESUME's payload, after `decode` has checked its form."""
    return dict(_HAVE.iter_unpack(data))


def progress_body(progress: Progress) -> Dict[str, Any]:
    """Return `Progress` as the fields of ACCEPT, STATE and a row of JOBS."""
    body = asdict(progress)
    body["job"] = body.pop("job_id")
    body["message"] = clip_text(body["message"], 1024)
    return body


def progress_from(body: Mapping[str, Any]) -> Progress:
    """Return the `Progress` in an ACCEPT, STATE or JOBS body."""
    fields = {name: body[name] for name in _PROGRESS if name != "job"}
    return Progress(job_id=body["job"], **fields)


def error_body(error: HarmoVidError) -> Dict[str, Any]:
    """Return an error as the body of an ERROR message, with long texts cut to fit the header."""
    body = error.to_wire()
    for name, limit in (("message", 4096), ("fix", 4096), ("layer", 128)):
        if name in body:
            body[name] = clip_text(str(body[name]), limit)
    return body


def clip_text(value: str, max_bytes: int) -> str:
    """Return `value` cut to at most `max_bytes` of UTF-8, never within a character."""
    return value.encode("utf-8", "replace")[:max_bytes].decode("utf-8", "ignore")


def common_version(versions: Union[Sequence[int], Tuple[int, int]]) -> int:
    """Return the newest version that both sides support, given the other side's (oldest, newest).

    Raises:
        VersionError: there is none.
    """
    newest = min(VERSIONS[1], versions[1])
    if newest < max(VERSIONS[0], versions[0]):
        raise VersionError(
            f"the other side speaks protocol {versions[0]} to {versions[1]}, "
            f"this side {VERSIONS[0]} to {VERSIONS[1]}.",
            fix="Install the same release of HarmoVid on both.",
        )
    return newest
