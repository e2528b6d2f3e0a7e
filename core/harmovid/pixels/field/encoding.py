"""Lighting fields to bytes and back: a msgpack header, then the raw little-endian arrays in order.

    b"HVLF" | uint32 header length | msgpack header | array | array | ...

The header is `{"v": 1, "parts": [part, ...]}`; a part is a map with `kind` and its numbers, `shape` if it has an array,
and `parts` if it contains others. docs/lighting-field.md, "Saved fields", specifies the format. Counts, sizes and depth
are checked before an array is made, and values must be finite. Nothing is unpickled.
"""

from __future__ import annotations

import struct
from typing import Any, Dict, List, Tuple

import msgpack
import numpy as np
import numpy.typing as npt

from harmovid.errors import InputError, ProtocolError
from harmovid.pixels.field import Curve, Faded, GainMap, Grid, LightingField, Part

MAGIC = b"HVLF"
FORMAT_VERSION = 1
MAX_FIELD_BYTES = 32 << 20
"""The limit for a saved field: enough for a 2K x 1K gain map, or six at 480 lines."""
MAX_HEADER_BYTES = 64 << 10
MAX_PARTS = 64
MAX_DEPTH = 8

_PREFIX = struct.Struct("<4sI")
_DTYPES: Dict[str, str] = {"curve": "<f8", "grid": "<f4", "gain": "<f4"}
_RANKS = {"curve": 2, "grid": 4, "gain": 3}


def pack(field: LightingField) -> bytes:
    """Return `field` as bytes; raise `InputError` if it has too many parts or is larger than the limit."""
    arrays: List[npt.NDArray[Any]] = []
    header = {"v": FORMAT_VERSION, "parts": [_describe(part, arrays, 1) for part in field.parts]}
    head = msgpack.packb(header)
    size = _PREFIX.size + len(head) + sum(array.nbytes for array in arrays)
    if size > MAX_FIELD_BYTES or len(head) > MAX_HEADER_BYTES or _count(field.parts) > MAX_PARTS:
        raise InputError(
            f"a lighting field of {size} bytes and {_count(field.parts)} parts is too large to save.",
            fix=f"At most {MAX_FIELD_BYTES} bytes and {MAX_PARTS} parts: use a smaller gain map.",
        )
    return b"".join([_PREFIX.pack(MAGIC, len(head)), head, *(array.tobytes() for array in arrays)])


def _count(parts: Tuple[Part, ...]) -> int:
    return sum(1 + (_count(part.parts) if isinstance(part, Faded) else 0) for part in parts)


def _describe(part: Part, arrays: List[npt.NDArray[Any]], depth: int) -> Dict[str, Any]:
    """Return one part's map for the header, and append its array to `arrays`."""
    if depth > MAX_DEPTH:
        raise InputError(
            f"a lighting field is nested deeper than {MAX_DEPTH}.", fix="Fade it once, not in steps."
        )
    if isinstance(part, Faded):
        inner = [_describe(each, arrays, depth + 1) for each in part.parts]
        return {"kind": "faded", "strength": part.strength, "parts": inner}
    if isinstance(part, Curve):
        kind, array = "curve", np.asarray(part.coeffs)
        numbers: Dict[str, Any] = {"anchor": part.anchor, "low": part.low, "high": part.high}
    elif isinstance(part, Grid):
        kind, array = "grid", np.asarray(part.stops)
        numbers = {"box": list(part.box), "low": part.low, "high": part.high}
    else:
        kind, array = "gain", np.asarray(part.stops)
        numbers = {"box": list(part.box)}
    arrays.append(array.astype(_DTYPES[kind], copy=False))
    return {"kind": kind, "shape": list(array.shape), **numbers}


def unpack(data: bytes) -> LightingField:
    """Return the field that `pack` encoded; raise `ProtocolError` for anything else."""
    if len(data) > MAX_FIELD_BYTES:
        raise _bad(f"{len(data)} bytes are more than {MAX_FIELD_BYTES}")
    if len(data) < _PREFIX.size:
        raise _bad("it is cut short")
    magic, length = _PREFIX.unpack_from(data)
    if magic != MAGIC or length > min(MAX_HEADER_BYTES, len(data) - _PREFIX.size):
        raise _bad("the first bytes are not those of a field")
    start = _PREFIX.size + length
    reader = _Reader(memoryview(data)[start:])
    try:
        header = msgpack.unpackb(data[_PREFIX.size : start], strict_map_key=True)
        if header["v"] != FORMAT_VERSION:
            raise _bad(f"its version is {header['v']!r}, not {FORMAT_VERSION}")
        parts = reader.parts(header["parts"], 1)
    except InputError as error:
        raise _bad(error.message) from error
    except (KeyError, TypeError, ValueError, msgpack.UnpackException) as error:
        raise _bad(f"its header cannot be read ({error})") from error
    reader.finish()
    return LightingField(parts)


def _bad(why: str) -> ProtocolError:
    return ProtocolError(f"not a lighting field: {why}.", fix="Make it again with LightingField.to_bytes.")


class _Reader:
    """Reads the arrays after the header one by one, within the data."""

    def __init__(self, tail: memoryview) -> None:
        self._tail = tail
        self._at = 0
        self._parts = 0

    def parts(self, items: List[Dict[str, Any]], depth: int) -> Tuple[Part, ...]:
        """Return the parts that the header's list describes."""
        self._parts += len(items)
        if self._parts > MAX_PARTS or depth > MAX_DEPTH:
            raise _bad("it has too many parts")
        return tuple(self._part(item, depth) for item in items)

    def finish(self) -> None:
        """Raise `ProtocolError` if bytes are left over."""
        if self._at != len(self._tail):
            raise _bad(f"{len(self._tail) - self._at} bytes are left over")

    def _part(self, item: Dict[str, Any], depth: int) -> Part:
        kind = item["kind"]
        if kind == "faded":
            return Faded(self.parts(item["parts"], depth + 1), item["strength"])
        if kind not in _RANKS:
            raise _bad(f"it has a part of kind {kind!r}")
        array = self._array(kind, item["shape"])
        if kind == "curve":
            return Curve(array, item["anchor"], item["low"], item["high"])
        if kind == "grid":
            return Grid(array, tuple(item["box"]), item["low"], item["high"])
        return GainMap(array, tuple(item["box"]))

    def _array(self, kind: str, shape: List[int]) -> npt.NDArray[Any]:
        sound = len(shape) == _RANKS[kind] and all(
            type(n) is int and 1 <= n <= MAX_FIELD_BYTES for n in shape
        )
        if not sound:
            raise _bad(f"its {kind} has the shape {shape!r}")
        dtype = np.dtype(_DTYPES[kind])
        count = 1
        for length in shape:  # Python's integers: numpy's would overflow with a malicious shape
            count *= length
        if count * dtype.itemsize > len(self._tail) - self._at:
            raise _bad("it is cut short")
        array = np.frombuffer(self._tail, dtype=dtype, count=count, offset=self._at).reshape(shape)
        self._at += array.nbytes
        return array
