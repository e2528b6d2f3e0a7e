"""Checks for received values: each returns the checked value, or raises `ProtocolError`.

A check is a function `(value, where) -> value`; the functions below build checks from limits. `unpack` reads
one msgpack value of limited size and refuses what msgpack itself accepts: duplicate keys, NaN and infinities,
extension types, keys that are not text.
"""

from __future__ import annotations

import math
import re
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

import msgpack

from harmovid.errors import ProtocolError
from harmovid.storage import checksums

Check = Callable[[Any, str], Any]

Buffer = checksums.Buffer

INT64_MIN, UINT64_MAX = -(2**63), 2**64 - 1
PLAIN_DEPTH = 8
PLAIN_ITEMS = 4096


def bad(value: Any, where: str, wanted: str) -> ProtocolError:
    """Return the error for one wrong value, showing at most 60 characters of it."""
    shown = repr(value)
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    return ProtocolError(f"{where} is {shown}.", fix=f"It must be {wanted}.")


def integer(low: int, high: int) -> Check:
    """Return a check for a whole number from `low` to `high` inclusive; True and False are refused."""

    def check(value: Any, where: str) -> Any:
        if type(value) is not int or not low <= value <= high:
            raise bad(value, where, f"a whole number from {low} to {high}")
        return value

    return check


def number(low: float, high: float) -> Check:
    """Return a check for a finite number from `low` to `high`; whole numbers become float."""

    def check(value: Any, where: str) -> Any:
        if type(value) not in (int, float) or not low <= value <= high:
            raise bad(value, where, f"a number from {low} to {high}")
        return float(value)

    return check


def boolean(value: Any, where: str) -> Any:
    """Check for true or false."""
    if not isinstance(value, bool):
        raise bad(value, where, "true or false")
    return value


def text(max_bytes: int, pattern: str = "") -> Check:
    """Return a check for UTF-8 text of at most `max_bytes` that fully matches `pattern`, if given."""
    compiled = re.compile(pattern) if pattern else None

    def check(value: Any, where: str) -> Any:
        if not isinstance(value, str) or len(value.encode("utf-8", "surrogatepass")) > max_bytes:
            raise bad(value, where, f"text of at most {max_bytes} bytes")
        if compiled is not None and not compiled.fullmatch(value):
            raise bad(value, where, f"text of the form {pattern}")
        return value

    return check


def binary(min_bytes: int, max_bytes: int) -> Check:
    """Return a check for a byte string of `min_bytes` to `max_bytes`."""

    def check(value: Any, where: str) -> Any:
        if not isinstance(value, (bytes, bytearray, memoryview)) or not min_bytes <= len(value) <= max_bytes:
            raise bad(value, where, f"{min_bytes} to {max_bytes} bytes")
        return value

    return check


def choice(*values: str) -> Check:
    """Return a check for one of the given texts."""

    def check(value: Any, where: str) -> Any:
        if not isinstance(value, str) or value not in values:
            raise bad(value, where, "one of " + ", ".join(values))
        return value

    return check


def one_of(*checks: Check) -> Check:
    """Return a check that accepts a value if one of `checks` does, tried in order."""

    def check(value: Any, where: str) -> Any:
        for candidate in checks:
            try:
                return candidate(value, where)
            except ProtocolError as error:
                last = error
        raise last

    return check


def list_of(item: Check, max_items: int) -> Check:
    """Return a check for a list of at most `max_items` values, each checked by `item`."""

    def check(value: Any, where: str) -> Any:
        if not isinstance(value, (list, tuple)) or len(value) > max_items:
            raise bad(value, where, f"a list of at most {max_items}")
        return [item(one, f"{where}[{index}]") for index, one in enumerate(value)]

    return check


def tuple_of(*items: Check) -> Check:
    """Return a check for a list of exactly these values in this order."""

    def check(value: Any, where: str) -> Any:
        if not isinstance(value, (list, tuple)) or len(value) != len(items):
            raise bad(value, where, f"a list of exactly {len(items)}")
        return [item(one, f"{where}[{index}]") for index, (item, one) in enumerate(zip(items, value))]

    return check


def map_of(key: Check, item: Check, max_items: int) -> Check:
    """Return a check for a map of at most `max_items`, with every key checked by `key` and every value by `item`."""

    def check(value: Any, where: str) -> Any:
        if not isinstance(value, dict) or len(value) > max_items:
            raise bad(value, where, f"a map of at most {max_items}")
        return {key(k, f"a key of {where}"): item(v, f"{where}.{k}") for k, v in value.items()}

    return check


def record(required: Mapping[str, Check], optional: Optional[Mapping[str, Check]] = None) -> Check:
    """Return a check for a map with these fields; unknown ones are dropped, since newer peers may send more."""
    optional = optional or {}

    def check(value: Any, where: str) -> Any:
        if not isinstance(value, dict):
            raise bad(value, where, "a map")
        for name in required:
            if name not in value:
                raise ProtocolError(f"{where} has no field {name!r}.")
        fields = {name: item(value[name], f"{where}.{name}") for name, item in required.items()}
        for name, item in optional.items():
            if name in value:
                fields[name] = item(value[name], f"{where}.{name}")
        return fields

    return check


def plain(value: Any, where: str, depth: int = PLAIN_DEPTH) -> Any:
    """Check for any plain value: None, booleans, 64-bit integers, finite floats, text, bytes, lists, maps with text
    keys.

    Nesting is at most `PLAIN_DEPTH`, each list or map holds at most `PLAIN_ITEMS`.
    """
    if depth < 0:
        raise ProtocolError(f"{where} is nested too deeply.", fix=f"At most {PLAIN_DEPTH} levels.")
    if value is None or isinstance(value, (bool, str, bytes)):
        return value
    if isinstance(value, int) and INT64_MIN <= value <= UINT64_MAX:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, (list, tuple)) and len(value) <= PLAIN_ITEMS:
        return [plain(one, where, depth - 1) for one in value]
    if isinstance(value, dict) and len(value) <= PLAIN_ITEMS and all(isinstance(k, str) for k in value):
        return {k: plain(v, f"{where}.{k}", depth - 1) for k, v in value.items()}
    raise bad(value, where, "a plain value (finite numbers, text, bytes, short lists and maps)")


def plain_map(value: Any, where: str) -> Any:
    """Check for a map of plain values."""
    if not isinstance(value, dict):
        raise bad(value, where, "a map")
    return plain(value, where)


def _no_duplicates(pairs: List[Tuple[Any, Any]]) -> Dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ProtocolError("a map holds the same key twice.")
    if not all(isinstance(key, str) for key in result):
        raise ProtocolError("a map has a key that is not text.")
    return result


def _no_extensions(code: int, data: bytes) -> Any:
    raise ProtocolError(f"extension type {code} is not allowed.")


def unpack(data: Buffer, max_bytes: int, max_items: int, where: str) -> Any:
    """Return the one msgpack value in `data`.

    Args:
        data: the message part as received.
        max_bytes: the limit for the whole part, and for every text and byte string in it.
        max_items: the limit for every list and map in it, so that a short part cannot claim a huge one.
        where: what the part is called in errors.

    Raises:
        ProtocolError: anything but exactly one well-formed value within the limits.
    """
    if len(data) > max_bytes:
        raise ProtocolError(f"{where} has {len(data)} bytes.", fix=f"At most {max_bytes} are allowed.")
    try:
        return msgpack.unpackb(
            data,
            raw=False,
            strict_map_key=True,
            object_pairs_hook=_no_duplicates,
            ext_hook=_no_extensions,
            max_str_len=max_bytes,
            max_bin_len=max_bytes,
            max_array_len=max_items,
            max_map_len=max_items,
            max_ext_len=0,
        )
    # msgpack's own exceptions are ValueErrors or UnpackExceptions; a bad key or text raises the other two.
    except (ValueError, TypeError, OverflowError, RecursionError, msgpack.UnpackException) as error:
        reason = str(error) or type(error).__name__
        raise ProtocolError(f"{where} is not well-formed msgpack: {reason}") from error


def pack(value: Any, max_bytes: int, where: str) -> bytes:
    """Return `value` as msgpack; raise `ProtocolError` when it is longer than `max_bytes`."""
    data: bytes = msgpack.packb(value, use_bin_type=True)
    if len(data) > max_bytes:
        raise ProtocolError(f"{where} would have {len(data)} bytes.", fix=f"At most {max_bytes} are allowed.")
    return data
