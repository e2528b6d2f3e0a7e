"""Attribute values of an EXR header: raw bytes with a type name, and their values in Python.

An `Attribute` keeps the bytes of the file, so writing it back is exact for every type, known or not: rationals are not
reduced, text is not re-encoded, unknown types stay unchanged. `value` decodes the
types of the table below on demand and `of` encodes them; both follow "OpenEXR File Layout", section
"Predefined Attribute Types" (openexr.com, read 2026-11). All numbers are little-endian.

| type | Python value |
|---|---|
| int, float, double | int, float, float |
| string, stringvector | str, tuple of str (UTF-8; other bytes become surrogates and go back unchanged) |
| v2i v2f v2d v3i v3f v3d, m33f m33d m44f m44d, floatvector | tuple of numbers, matrices row by row |
| box2i, box2f | (x min, y min, x max, y max), both ends inclusive, as stored |
| chromaticities | (red x, y, green x, y, blue x, y, white x, y) |
| rational | (numerator, denominator) |
| timecode, keycode | (time and flags, user data), seven ints |
| compression, lineOrder, envmap, deepImageState | int |
| tiledesc | (x size, y size, mode byte: level mode + 16 * rounding mode) |
| any other | the bytes |
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, Dict, Tuple

from harmovid.errors import FrameUnreadable, InputError

_STRUCTS: Dict[str, str] = {
    "int": "<i",
    "float": "<f",
    "double": "<d",
    "v2i": "<2i",
    "v2f": "<2f",
    "v2d": "<2d",
    "v3i": "<3i",
    "v3f": "<3f",
    "v3d": "<3d",
    "m33f": "<9f",
    "m33d": "<9d",
    "m44f": "<16f",
    "m44d": "<16d",
    "box2i": "<4i",
    "box2f": "<4f",
    "chromaticities": "<8f",
    "rational": "<iI",
    "timecode": "<2I",
    "keycode": "<7i",
    "compression": "<B",
    "lineOrder": "<B",
    "envmap": "<B",
    "deepImageState": "<B",
    "tiledesc": "<2IB",
}
_SCALARS = ("int", "float", "double", "compression", "lineOrder", "envmap", "deepImageState")
_TEXT = "utf-8"
_TEXT_ERRORS = "surrogateescape"


@dataclass(frozen=True)
class Attribute:
    """One header attribute: its type name and its bytes, exactly as in the file."""

    type: str
    data: bytes

    @property
    def value(self) -> Any:
        """The Python value, by the table of the module.

        Raises:
            FrameUnreadable: the bytes do not match the type.
        """
        try:
            return _decode(self.type, self.data)
        except (struct.error, ValueError) as error:
            raise FrameUnreadable(
                f"An EXR attribute of type {self.type} holds {len(self.data)} bytes that do not fit: {error}."
            ) from error

    @classmethod
    def of(cls, type_name: str, value: Any) -> Attribute:
        """Encode a Python value, by the table of the module.

        Raises:
            InputError: the value does not match the type.
        """
        try:
            return cls(type_name, _encode(type_name, value))
        except (struct.error, TypeError, AttributeError, OverflowError) as error:
            raise InputError(f"{value!r} is no value of an EXR attribute of type {type_name}.") from error


def _decode(type_name: str, data: bytes) -> Any:
    layout = _STRUCTS.get(type_name)
    if layout is not None:
        numbers = struct.unpack(layout, data)
        return numbers[0] if type_name in _SCALARS else numbers
    if type_name == "string":
        return data.decode(_TEXT, _TEXT_ERRORS)
    if type_name == "stringvector":
        return _decode_strings(data)
    if type_name == "floatvector":
        return struct.unpack(f"<{len(data) // 4}f", data)
    return data


def _decode_strings(data: bytes) -> Tuple[str, ...]:
    texts = []
    at = 0
    while at < len(data):
        (length,) = struct.unpack_from("<i", data, at)
        at += 4
        if length < 0 or at + length > len(data):
            raise ValueError("a string runs over the end")
        texts.append(data[at : at + length].decode(_TEXT, _TEXT_ERRORS))
        at += length
    return tuple(texts)


def _encode(type_name: str, value: Any) -> bytes:
    layout = _STRUCTS.get(type_name)
    if layout is not None:
        return struct.pack(layout, value) if type_name in _SCALARS else struct.pack(layout, *value)
    if type_name == "string":
        return bytes(value.encode(_TEXT, _TEXT_ERRORS))
    if type_name == "stringvector":
        texts = [text.encode(_TEXT, _TEXT_ERRORS) for text in value]
        return b"".join(struct.pack("<i", len(text)) + text for text in texts)
    if type_name == "floatvector":
        return struct.pack(f"<{len(value)}f", *value)
    return bytes(value)
