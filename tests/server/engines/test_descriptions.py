"""The descriptions of the shipped engines are complete enough to build a panel."""

from __future__ import annotations

from itertools import groupby

import pytest
from harmovid.job import EngineInfo
from harmovid_server import engines

INFOS = [engine.info for engine in engines.load()]
KINDS = ("float", "int", "bool", "choice", "str", "frame")


@pytest.mark.parametrize("info", INFOS, ids=lambda info: info.name)
def test_layers_are_described(info: EngineInfo) -> None:
    """Each layer has a kind, a label of its own and a sentence; the target is the first and an image."""
    assert info.layers[0].name == info.target
    assert info.layers[0].kind == "image"
    assert info.layers[0].required
    for layer in info.layers:
        assert layer.kind in ("image", "matte", "panorama", "vectors")
        assert layer.help.endswith(".")
    labels = [layer.label for layer in info.layers]
    assert len(set(labels)) == len(labels)


@pytest.mark.parametrize("info", INFOS, ids=lambda info: info.name)
def test_options_are_described(info: EngineInfo) -> None:
    """Each option has a known kind, a valid default, a sentence, and is listed next to its group's others."""
    for option in info.options:
        assert option.kind in KINDS
        assert option.check(option.default) == option.default
        assert option.help.endswith(".")
        assert (option.kind == "choice") == bool(option.choices)
    groups = [group for group, _ in groupby(option.group for option in info.options)]
    assert len(set(groups)) == len(groups)
    labels = [option.label for option in info.options]
    assert len(set(labels)) == len(labels)


@pytest.mark.parametrize("info", INFOS, ids=lambda info: info.name)
def test_presets_can_be_used(info: EngineInfo) -> None:
    """Each preset names options of the engine with values that they take, and differs from the defaults."""
    for preset in info.presets:
        assert info.check_options(preset.options) != info.check_options({})


@pytest.mark.parametrize("task", ["deflicker", "harmonize"])
def test_a_reference_frame_has_one_name(task: str) -> None:
    """Every engine of a task names its reference frame alike, and offers none by default."""
    for info in INFOS:
        if info.task == task:
            option = {option.name: option for option in info.options}["reference_frame"]
            assert (option.kind, option.default) == ("frame", None)
