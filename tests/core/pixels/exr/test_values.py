"""Attribute values: bytes to Python and back, against the bytes that other writers produce."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import exr_files
from harmovid.errors import FrameUnreadable, InputError
from harmovid.pixels import exr
from harmovid.pixels.exr import Attribute
from hypothesis import given, settings
from hypothesis import strategies as st


def test_values_of_another_writer_are_understood() -> None:
    """What the OpenEXR module writes from Python values decodes to the same values."""
    pixels = {"R": np.zeros((2, 2), np.float16)}
    header = exr.read_header(exr_files.by_module(exr_files.module_attributes(), pixels)).main_header

    assert header.get("framesPerSecond") == (24000, 1001)
    assert header.get("owner") == "somebody"
    assert header.get("isoSpeed") == 800.0
    assert header.get("multiView") == ("left", "right")
    assert header.chromaticities == pytest.approx((0.64, 0.33, 0.3, 0.6, 0.15, 0.06, 0.3127, 0.329))
    assert header.get("timeCode") == (0x01020304, 0)


@pytest.mark.parametrize("name", sorted(exr_files.ATTRIBUTES))
def test_value_encodes_back_to_its_bytes(name: str) -> None:
    """Decoding an attribute and encoding the value gives the same bytes, for every type."""
    attribute = exr_files.ATTRIBUTES[name]

    assert Attribute.of(attribute.type, attribute.value) == attribute


@given(st.binary(max_size=40))
@settings(max_examples=50, deadline=None)
def test_text_of_any_bytes_survives(data: bytes) -> None:
    """A string attribute that is not UTF-8 becomes text and goes back unchanged."""
    attribute = Attribute("string", data)

    assert Attribute.of("string", attribute.value) == attribute


def test_rationals_are_not_reduced() -> None:
    """48000/2002 stays 48000/2002, and a denominator of 0 is no error: other readers lose both."""
    assert exr_files.ATTRIBUTES["framesPerSecond"].value == (48000, 2002)
    assert exr_files.ATTRIBUTES["noRate"].value == (1, 0)
    assert Attribute("rational", b"\xff" * 8).value == (-1, 2**32 - 1)


@pytest.mark.parametrize(
    "attribute",
    [
        Attribute("int", b"123"),
        Attribute("stringvector", b"\x05\0\0\0ab"),
        Attribute("floatvector", b"12345"),
    ],
    ids=lambda a: a.type,
)
def test_bytes_that_do_not_fit_are_unreadable(attribute: Attribute) -> None:
    """A value whose bytes do not fit its type is an error that names the type."""
    with pytest.raises(FrameUnreadable, match=attribute.type):
        _ = attribute.value


@pytest.mark.parametrize(("kind", "value"), [("int", "x"), ("v2f", (1.0,)), ("string", 3), ("int", 2**31)])
def test_values_that_do_not_fit_are_input_errors(kind: str, value: object) -> None:
    """Encoding a value of the wrong kind is refused, naming the type."""
    with pytest.raises(InputError, match=kind):
        Attribute.of(kind, value)
