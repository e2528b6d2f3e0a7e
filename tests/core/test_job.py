"""An engine's description: options, layers, presets, and their serialisation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from harmovid.errors import OptionError
from harmovid.job import MATTE, EngineInfo, LayerInfo, Option, Preset

ENGINE = EngineInfo(
    name="steady",
    version="1",
    task="harmonize",
    summary="Keeps the light.",
    target="fg",
    layers=(
        LayerInfo("fg", True, "The foreground.", label="Foreground"),
        LayerInfo("bg", True, "The plate."),
        LayerInfo("matte", False, "Where it is.", MATTE),
    ),
    options=(
        Option("amount", "float", 1.0, "How much.", unit="stops", minimum=0.0, maximum=2.0),
        Option("count", "int", 3, "How many."),
        Option("local", "bool", True, "Local light too.", group="More", advanced=True),
        Option("cause", "choice", "mains", "What flickers.", choices=("mains", "timelapse")),
        Option("trims", "str", "", "Corrections.", names_frames=True),
        Option("reference_frame", "frame", None, "The frame to match."),
    ),
    presets=(Preset("half", "Half", "Half of it.", {"amount": 0.5}),),
    waits_for="reference_frame",
    lookahead_frames=4,
    runtime={"runtime": "onnxruntime", "provider": "CPU"},
)
OF = {option.name: option for option in ENGINE.options}


def test_a_description_survives_the_way_to_a_client() -> None:
    """Layers, options, presets and runtime are the same after `to_dict` and `from_dict`."""
    assert EngineInfo.from_dict(ENGINE.to_dict()) == ENGINE


def test_an_older_servers_description_is_completed() -> None:
    """A layer without kind is an image, what has no label gets one from its name, unknown words are dropped."""
    old: dict[str, Any] = {
        "name": "x", "version": "1", "task": "any", "summary": "", "target": "plate", "novelty": 1,
        "layers": [{"name": "plate", "required": True, "help": ""}],
        "options": [{"name": "keep_skin", "kind": "float", "default": 1.0, "help": "", "colour": "red"}],
    }  # fmt: skip

    info = EngineInfo.from_dict(old)

    assert (info.layers[0].kind, info.layers[0].label) == ("image", "Plate")
    assert (info.options[0].label, info.options[0].group, info.options[0].advanced) == (
        "Keep skin",
        "",
        False,
    )
    assert (info.presets, info.runtime) == ((), {})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("amount", 1), ("count", 4.0), ("local", False), ("cause", "timelapse"), ("trims", "1:+1"),
        ("reference_frame", -12), ("reference_frame", 0), ("reference_frame", None),
    ],
)  # fmt: skip
def test_values_of_their_kind_are_taken(name: str, value: Any) -> None:
    """Each kind takes its values; a frame number may be negative, and None stands for no frame."""
    assert OF[name].check(value) == value


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("amount", 2.5, "from 0.0 to 2.0"), ("amount", float("nan"), "from 0.0"), ("amount", True, "a number"),
        ("count", 1.5, "a whole number"), ("local", 1, "true or false"), ("cause", "sun", "one of mains"),
        ("trims", 3, "text"), ("reference_frame", 1.0, "number of a frame"),
        ("reference_frame", "1001", "number of a frame"), ("reference_frame", True, "number of a frame"),
        ("reference_frame", 2**31, "number of a frame"), ("count", None, "a number"),
    ],
)  # fmt: skip
def test_values_of_another_kind_are_refused(name: str, value: Any, wanted: str) -> None:
    """The error names the option, and its fix says what it must be."""
    with pytest.raises(OptionError, match=name) as caught:
        OF[name].check(value)

    assert wanted in caught.value.fix


def test_options_are_completed_and_no_frame_is_not_sent() -> None:
    """All options come back with their defaults; a frame option without a frame is not among them."""
    assert ENGINE.check_options({"count": 5}) == {
        "amount": 1.0, "count": 5, "local": True, "cause": "mains", "trims": "",
    }  # fmt: skip
    assert ENGINE.check_options({"reference_frame": -3})["reference_frame"] == -3


def test_an_unknown_option_is_refused_with_those_there_are() -> None:
    """The fix lists the engine's options."""
    with pytest.raises(OptionError, match="'speed'") as caught:
        ENGINE.check_options({"speed": 1})

    assert "amount, cause" in caught.value.fix


def test_a_late_reference_frame_lengthens_the_lookahead() -> None:
    """A job that waits for its 10th frame needs 10 more than the engine's own lookahead."""
    numbers = range(-4, 100)

    assert ENGINE.lookahead({}, numbers) == ENGINE.lookahead({"reference_frame": None}, numbers) == 4
    assert ENGINE.lookahead({"reference_frame": 5}, numbers) == 14


def test_an_option_may_shorten_lookahead_and_handles() -> None:
    """With the option on its own numbers count; a frame that is waited for is added to them."""
    quick = replace(
        ENGINE, handle_frames=80, reach_with={"local": {"lookahead_frames": 2, "handle_frames": 7}}
    )
    assert (quick.handles_for({"local": False}), quick.handles_for({"local": True})) == (80, 7)
    assert quick.lookahead({"local": True, "reference_frame": 5}, range(-4, 100)) == 12
    assert EngineInfo.from_dict(quick.to_dict()) == quick


def test_a_named_frame_counts_as_an_option_that_is_on() -> None:
    """`reach_with` of a frame option applies to every frame, 0 included, and not to none."""
    info = replace(ENGINE, handle_frames=80, reach_with={"reference_frame": {"handle_frames": 7}})
    found = [info.handles_for({"reference_frame": frame}) for frame in (None, 0, 5)]
    assert found == [80, 7, 7]


def test_frames_that_the_shot_does_not_have_are_refused_by_name() -> None:
    """An entry outside the shot, reaching beyond it, or in a gap is a slip; one within it is not."""
    shot = (1001, 1002, 1003, 1010, 1012)
    ENGINE.check_named_frames({"trims": "1001:+1, 1002-1011 : -0.5,1012:1"}, shot)
    ENGINE.check_named_frames({}, shot)
    with pytest.raises(OptionError, match="trims names 1042, 1003-1013, 1005, which") as caught:
        ENGINE.check_named_frames({"trims": "1042:1,1003-1013:1,1001:1,1005:1"}, shot)
    assert "1001-1003,1010,1012" in caught.value.fix


def test_entries_for_frames_that_are_not_made_are_found() -> None:
    """Of a part of a shot those entries count that touch none of its frames."""
    named = {"trims": "1001:+1,1003-1010:1,1012:1"}
    assert ENGINE.unused_frames(named, (1004, 1005)) == {"trims": ["1001", "1012"]}
    assert ENGINE.unused_frames({"trims": ""}, (1004,)) == {}


def test_a_frame_that_is_in_the_shot_but_not_seen_is_told_apart() -> None:
    """In the shot: how many handles show it; elsewhere: which frames there are."""
    with pytest.raises(OptionError, match="does not see") as caught:
        ENGINE.check_frames({"reference_frame": 1001}, range(1011, 1020), range(1001, 1100))
    assert "10 more frames to either side (--handles)" in caught.value.fix
    with pytest.raises(OptionError, match="no frame of the shot"):
        ENGINE.check_frames({"reference_frame": 900}, range(1011, 1020), range(1001, 1100))


def test_layers_are_known_by_kind_and_make_a_composite() -> None:
    """The description distinguishes images and mattes; a background and a matte make a composite."""
    assert ENGINE.layers_of("image") == ("fg", "bg")
    assert ENGINE.layers_of("matte") == ("matte",)
    assert ENGINE.composites
    assert not EngineInfo("x", "1", "any", "", "plate", (LayerInfo("plate", True, ""),)).composites


def test_presets_are_found_by_name() -> None:
    """A preset gives its options; an unknown name is refused with those there are."""
    assert ENGINE.preset("half").options == {"amount": 0.5}
    with pytest.raises(OptionError, match="full") as caught:
        ENGINE.preset("full")
    assert "half" in caught.value.fix
