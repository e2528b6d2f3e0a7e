"""Saved fields are restored bit for bit, and no other data is accepted as a field."""

from __future__ import annotations

import struct

import msgpack
import numpy as np
import pytest
from fakes import lighting
from harmovid.errors import InputError, ProtocolError
from harmovid.pixels.field import NULL, Curve, Faded, GainMap, LightingField
from harmovid.pixels.field.encoding import MAX_DEPTH, MAX_FIELD_BYTES, MAX_HEADER_BYTES, MAX_PARTS
from hypothesis import given, settings
from hypothesis import strategies as st


def made(header, tail=b""):
    """Bytes with any header."""
    head = msgpack.packb(header)
    return struct.pack("<4sI", b"HVLF", len(head)) + head + tail


@settings(max_examples=30, deadline=None)
@given(lighting.seeds, lighting.kinds, st.sampled_from([0.0, 0.3, 1.0]))
def test_every_field_comes_back(seed, kinds, strength):
    """Bytes to field to bytes is the identity, faded groups included."""
    field = lighting.field(seed, kinds).scaled(strength).then(lighting.field(seed + 1, "c"))
    data = field.to_bytes()
    again = LightingField.from_bytes(data)
    assert again.to_bytes() == data
    assert [type(part) for part in again.parts] == [type(part) for part in field.parts]


def test_values_survive_exactly():
    """Curves keep float64, maps float32; the null field is a few bytes."""
    coeffs = np.random.default_rng(0).normal(size=(3, 10))
    (curve,) = LightingField.from_bytes(LightingField((Curve(coeffs, 0.3, -5, 4),)).to_bytes()).parts
    assert (curve.coeffs == coeffs).all()
    assert (curve.anchor, curve.low, curve.high) == (0.3, -5.0, 4.0)
    assert LightingField.from_bytes(NULL.to_bytes()).is_null
    assert len(NULL.to_bytes()) < 32


def test_too_large_a_field_is_not_saved():
    """The documented size is a limit for the writer too."""
    side = int((MAX_FIELD_BYTES / 12) ** 0.5) + 1
    with pytest.raises(InputError, match="too large"):
        LightingField((GainMap(np.zeros((side, side, 3)), (0, 0, 1, 1)),)).to_bytes()
    with pytest.raises(InputError):
        LightingField((Curve.gain(1, 1, 1),) * (MAX_PARTS + 1)).to_bytes()


def test_too_deep_a_field_is_not_saved():
    """Nesting is bounded."""
    part = Curve.gain(1, 1, 1)
    for _ in range(MAX_DEPTH):
        part = Faded((part,), 0.5)
    with pytest.raises(InputError, match="nested"):
        LightingField((part,)).to_bytes()


CURVE = {"kind": "curve", "shape": [3, 10], "anchor": 0.18, "low": -8.0, "high": 4.0}
DEEP = {"kind": "faded", "strength": 1.0, "parts": []}
for _ in range(MAX_DEPTH + 1):
    DEEP = {"kind": "faded", "strength": 1.0, "parts": [DEEP]}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HVLF",
        b"HVLE" + NULL.to_bytes()[4:],
        NULL.to_bytes() + b"x",
        struct.pack("<4sI", b"HVLF", 2**31),
        struct.pack("<4sI", b"HVLF", MAX_HEADER_BYTES + 1) + bytes(MAX_HEADER_BYTES + 1),
        struct.pack("<4sI", b"HVLF", 1) + b"\xc1",
        bytes(MAX_FIELD_BYTES + 1),
        made([]),
        made({"v": 2, "parts": []}),
        made({"v": 1}),
        made({"v": 1, "parts": [{"kind": "lut"}]}),
        made({"v": 1, "parts": [3]}),
        made({"v": 1, "parts": [DEEP]}),
        made({"v": 1, "parts": [{**CURVE, "shape": [3, 9]}]}, bytes(240)),
        made({"v": 1, "parts": [{**CURVE, "shape": [-3, -10]}]}, bytes(240)),
        made({"v": 1, "parts": [{**CURVE, "shape": [3, 2**33]}]}, bytes(240)),
        made({"v": 1, "parts": [{**CURVE, "shape": [True, 10]}]}, bytes(240)),
        made({"v": 1, "parts": [{**CURVE, "anchor": "x"}]}, bytes(240)),
        made({"v": 1, "parts": [{**CURVE, "low": float("nan")}]}, bytes(240)),
        made({"v": 1, "parts": [CURVE]}, b"\xff" * 240),
        made({"v": 1, "parts": [CURVE]}, bytes(239)),
        made({"v": 1, "parts": [{"kind": "gain", "shape": [2**20, 2**20, 3], "box": [0, 0, 1, 1]}]}),
        made({"v": 1, "parts": [{"kind": "gain", "shape": [1, 1, 3], "box": [0, 0]}]}, bytes(12)),
    ],
)
def test_other_bytes_are_refused(data):
    """Everything that is not a saved field raises ProtocolError before memory is spent on it."""
    with pytest.raises(ProtocolError, match="not a lighting field"):
        LightingField.from_bytes(data)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_bytes_never_raise_anything_else(data):
    """A flipped byte or a cut gives another sound field or ProtocolError."""
    good = lighting.field(data.draw(lighting.seeds), "cm").scaled(0.5).to_bytes()
    at = data.draw(st.integers(0, min(len(good) - 1, 400)))
    flipped = bytes([data.draw(st.integers(0, 255))]) + good[at + 1 :]
    bad = good[:at] + data.draw(st.sampled_from([b"", flipped]))
    try:
        field = LightingField.from_bytes(bad)
    except ProtocolError:
        return
    assert LightingField.from_bytes(field.to_bytes()).to_bytes() == field.to_bytes()
