"""Messages between the pool and a codec child over a socketpair: a msgpack map, then raw arrays.

    send(sock, {"task": "proxy", ...}, [field_bytes])
    body, arrays = receive(sock, deadline_s=time.monotonic() + 60)

Format: uint32 length | msgpack `{"body": map, "arrays": [[dtype, shape], ...]}` | array | array | ...
A child decodes untrusted files and may be compromised by them, so the size of its messages is limited, and they are
checked before an array is made. Nothing is unpickled.
"""

from __future__ import annotations

import math
import socket
import struct
import time
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
import numpy.typing as npt
from harmovid.errors import ProtocolError
from harmovid.transport import schema

Body = Dict[str, Any]
Arrays = List[npt.NDArray[Any]]

HEAD_BYTES = 1 << 20
"""Limit of the msgpack map: task, paths, facts and warnings of one frame take a few KiB."""

ARRAYS_BYTES = 1 << 30
"""Limit of all arrays of one message together; a proxy of six layers at 1080 lines takes 100 MiB."""

_PREFIX = struct.Struct("<I")
_DTYPES = ("<f4", "|u1")
_MAX_RANK = 4
_HEAD = schema.record(
    {
        "body": schema.plain_map,
        "arrays": schema.list_of(
            schema.tuple_of(
                schema.choice(*_DTYPES), schema.list_of(schema.integer(0, ARRAYS_BYTES), _MAX_RANK)
            ),
            64,
        ),
    }
)


class PeerGoneError(EOFError):
    """The other end of the socketpair is closed: its process is dead or dying."""


def send(sock: socket.socket, body: Body, arrays: Sequence[npt.NDArray[Any]] = ()) -> None:
    """Send one message; raise `PeerGoneError` if the other end is closed.

    Args:
        arrays: float32 or uint8, any shape up to four axes; copied only if not contiguous.
    """
    whole = [np.ascontiguousarray(array) for array in arrays]
    described = [[array.dtype.str, list(array.shape)] for array in whole]
    head = schema.pack({"body": body, "arrays": described}, HEAD_BYTES, "a codec message")
    try:
        sock.sendall(_PREFIX.pack(len(head)) + head)
        for array in whole:
            if array.nbytes:
                sock.sendall(array.reshape(-1).view(np.uint8).data)
    except (BrokenPipeError, ConnectionResetError) as error:
        raise PeerGoneError("the codec socket is closed") from error


def receive(sock: socket.socket, deadline_s: Optional[float] = None) -> Tuple[Body, Arrays]:
    """Return the next message.

    Args:
        deadline_s: `time.monotonic()` by which the whole message must have arrived; None waits for ever.

    Raises:
        PeerGoneError: the other end closed.
        TimeoutError: the deadline passed.
        ProtocolError: the message does not have the form that `send` makes.
    """
    (length,) = _PREFIX.unpack(_take(sock, _PREFIX.size, deadline_s))
    if length > HEAD_BYTES:
        raise ProtocolError(f"a codec message has a head of {length} bytes.")
    where = "a codec message"
    head = _HEAD(
        schema.unpack(bytes(_take(sock, length, deadline_s)), HEAD_BYTES, schema.PLAIN_ITEMS, where), where
    )
    sizes = [np.dtype(dtype).itemsize * math.prod(shape) for dtype, shape in head["arrays"]]
    if sum(sizes) > ARRAYS_BYTES:
        raise ProtocolError(f"a codec message holds {sum(sizes)} bytes of arrays.")
    arrays = [
        np.frombuffer(_take(sock, size, deadline_s), dtype=dtype).reshape(shape)
        for (dtype, shape), size in zip(head["arrays"], sizes)
    ]
    return head["body"], arrays


def _take(sock: socket.socket, count: int, deadline_s: Optional[float]) -> bytearray:
    data = bytearray(count)
    view = memoryview(data)
    while view:
        if deadline_s is not None:
            # A timeout of 0 would mean "do not block", which raises another error.
            sock.settimeout(max(deadline_s - time.monotonic(), 1e-3))
        try:
            got = sock.recv_into(view)
        except ConnectionResetError as error:
            raise PeerGoneError("the codec socket is closed") from error
        if got == 0:
            raise PeerGoneError("the codec socket is closed")
        view = view[got:]
    return data
