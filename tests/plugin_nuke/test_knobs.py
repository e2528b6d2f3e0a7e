"""Knobs as data: the same from a script's text and from Nuke's objects, packed state, options of an engine."""

from __future__ import annotations

from typing import Any

import pytest
from fakes.nuke_host.host import Host
from fakes.nuke_host.nodes import _user_lines, read_body
from harmovid.errors import OptionError
from harmovid.job import EngineInfo, LayerInfo, Option
from harmovid_nuke import knobs
from hypothesis import given
from hypothesis import strategies as st

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize("kind", ["harmonize", "deflicker"])
def test_text_and_object_are_the_same_knob(host: Host, kind: str) -> None:
    """A knob read from script lines and one made by Nuke's own class are saved as the same text."""
    nuke = host.module
    for spec in knobs.own_knobs(kind):
        by_text, by_object = nuke.nodes.NoOp(), nuke.nodes.NoOp()
        read_body(by_text, "\n".join(spec.lines()))
        by_object.addKnob(spec.make(nuke))
        assert _user_lines(by_text[spec.name]) == _user_lines(by_object[spec.name]), spec.name


@given(JSON)
def test_packed_state_comes_back(data: Any) -> None:
    """Any plain data survives as text without brackets, spaces or dollars."""
    text = knobs.pack(data)
    assert text.replace("-", "").replace("_", "").replace("=", "").isalnum()
    assert knobs.unpack(text) == data


@given(st.text(max_size=60))
def test_damaged_state_is_none(text: str) -> None:
    """Reading a hidden knob never raises, whatever its text."""
    knobs.unpack(text)


ENGINE = EngineInfo(
    name="e", version="1", task="any", summary="", target="plate", layers=(LayerInfo("plate", True, ""),),
    options=(
        Option("f", "float", 0.5, "", minimum=0, maximum=1, unit="stops"), Option("i", "int", 3, ""),
        Option("b", "bool", True, ""), Option("c", "choice", "x", "", choices=("x", "y z")), Option("s", "str", "", ""),
        Option("n", "frame", None, ""), Option("secret", "int", 1, "", advanced=True),
    ),
)  # fmt: skip


def test_options_go_out_as_the_engine_wants_them() -> None:
    """Values of knobs become the options' types; an empty frame is not sent, a negative one is."""
    read = {
        "o_f": 1,
        "o_i": 4.0,
        "o_b": 0,
        "o_c": "y z",
        "o_s": "t",
        "o_n": " ",
        "o_secret": 2,
        "strength": 9,
    }
    assert knobs.option_values(ENGINE, read) == {
        "f": 1.0,
        "i": 4,
        "b": False,
        "c": "y z",
        "s": "t",
        "secret": 2,
    }
    assert knobs.option_values(ENGINE, {**read, "o_n": "-12"})["n"] == -12
    with pytest.raises(OptionError, match="option f"):
        knobs.option_values(ENGINE, {**read, "o_f": 7})
    with pytest.raises(OptionError, match="frame"):
        knobs.option_values(ENGINE, {**read, "o_n": "soon"})


def test_advanced_options_come_last_under_a_heading() -> None:
    """Labels contain the unit; advanced options are at the end."""
    made = knobs.engine_knobs(ENGINE)
    assert made[0].label == "F (stops)"
    assert [each.kind for each in made[-2:]] == ["text", "int"]
    assert made[-1].name == "o_secret"
