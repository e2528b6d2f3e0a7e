"""The backbone: shapes, TensorFlow's padding, and weights of another network refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from harmovid.errors import InputError
from harmovid_training.harmonizer.backbone import (
    CHANNELS,
    PICTURE_SIZE,
    Backbone,
    _Convolution,
    _pairs,
    load_backbone,
)
from harmovid_training.harmonizer.constants import PLACES


def test_features_lie_on_the_places() -> None:
    """Strides 8 and 16 give the rows and columns of the places, stride 32 half as many, rounded up."""
    with torch.no_grad():
        found = Backbone().eval()(torch.rand(1, 3, *PICTURE_SIZE))
    assert [one.shape[1] for one in found] == list(CHANNELS)
    assert [tuple(one.shape[2:]) for one in found] == [PLACES, PLACES, (5, 6)]


def test_padding_puts_the_odd_pixel_last() -> None:
    """A stride of 2 over an even size pads one pixel, at the end: the first result sees the first three pixels."""
    layer = _Convolution(1, 1, 3, 2, bent=False).eval()
    torch.nn.init.constant_(layer.convolution.weight, 1.0)
    with torch.no_grad():
        found = layer(torch.arange(36.0).reshape(1, 1, 6, 6))[0, 0]
    assert found.shape == (3, 3)
    assert float(found[0, 0]) == pytest.approx(sum((0, 1, 2, 6, 7, 8, 12, 13, 14)), rel=1e-3)
    assert float(found[2, 2]) == pytest.approx(sum((28, 29, 34, 35)), rel=1e-3)


def test_the_packages_names_are_ours(tmp_path: Path) -> None:
    """Weights under the package's names come back under ours, one by one; another file and a missing one are errors."""
    model, held = Backbone(), {}
    state = model.state_dict()
    for ours, theirs, normal in _pairs(model):
        held[f"{theirs}.weight"] = torch.randn_like(state[f"{ours}.convolution.weight"])
        for name in ("weight", "bias", "running_mean", "running_var"):
            held[f"{normal}.{name}"] = torch.rand_like(state[f"{ours}.normal.{name}"])
    torch.save(held, tmp_path / "weights.pth")
    loaded = load_backbone(tmp_path / "weights.pth").state_dict()
    assert torch.equal(loaded["stem.convolution.weight"], held["_conv_stem.weight"])
    assert torch.equal(loaded["stages.0.0.filter.normal.bias"], held["_blocks.0._bn1.bias"])
    assert torch.equal(
        loaded["stages.6.0.narrow.convolution.weight"], held["_blocks.15._project_conv.weight"]
    )

    torch.save({"other": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(InputError, match="another network"):
        load_backbone(tmp_path / "other.pth")
    with pytest.raises(InputError, match="is not there"):
        load_backbone(tmp_path / "none.pth")
