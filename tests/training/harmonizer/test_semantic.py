"""The semantic branch: it finds similar places, ignores places outside both masks, and starts with almost no effect."""

from __future__ import annotations

import torch
from harmovid_training.harmonizer.backbone import CHANNELS
from harmovid_training.harmonizer.constants import LOCAL, PLACES, VECTOR
from harmovid_training.harmonizer.layers import quantiles
from harmovid_training.harmonizer.semantic import FEATURES, HEADS, Semantic, cells_of, light_of


def scene() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return colours, matte and plate of one picture: a dark subject left of a bright half and a dim half."""
    z = torch.zeros(1, 3, 72, 96)
    z[:, :, :, 48:72], z[:, :, :, 72:] = 1.0, -1.0
    matte = torch.zeros(1, 1, 72, 96)
    matte[..., :24] = 1
    away = torch.zeros(1, 1, 72, 96)
    away[..., 48:] = 1
    return z, matte, away


def test_places_find_the_plate_that_is_like_them() -> None:
    """Where keys say that the subject is like the bright half, the bright half is read, and the dim one otherwise."""
    torch.manual_seed(0)
    branch, light = Semantic().eval(), light_of(cells_of(*scene()))
    for layer in (branch.query, branch.key):
        torch.nn.init.constant_(layer.weight, 0.0)
        torch.nn.init.constant_(layer.bias, 0.0)
        layer.weight.data[:, 0] = 3.0
    known = torch.zeros(1, PLACES[0] * PLACES[1], FEATURES)
    columns = known.reshape(1, *PLACES, FEATURES)
    columns[:, :, 6:9, 0], columns[:, :, 9:, 0] = 2.0, -2.0
    for side, wanted in ((2.0, 1.0), (-2.0, -1.0)):
        columns[:, :, :3, 0] = side
        with torch.no_grad():
            found = branch.likeness(known, light).reshape(1, *PLACES, HEADS, 4)
        assert abs(float(found[0, 4, 1, :, :3].mean()) - wanted) < 0.1


def test_a_new_branch_adds_next_to_nothing_and_standardises() -> None:
    """Its last layers start small, so a trained compact part keeps its answers; features get mean 0 and deviation 1."""
    torch.manual_seed(1)
    branch, (z, matte, away) = Semantic().eval(), scene()
    features = tuple(5 + 3 * torch.randn(4, c, *size) for c, size in zip(CHANNELS, (PLACES, PLACES, (5, 6))))
    branch.standardise(features)
    known = branch.standardised(features)
    assert abs(float(known.mean())) < 0.05
    assert 0.8 < float(known[..., : CHANNELS[0]].std()) < 1.1
    cells = cells_of(z, matte, away).expand(4, -1, -1, -1)
    with torch.no_grad():
        box = torch.tensor([[0.0, 0.1, 0.3, 0.9]]).expand(4, -1)
        mixture, vector, local = branch(features, cells, box)
    assert mixture.shape == vector.shape == (4, VECTOR)
    assert local.shape == (4, LOCAL, 8, 8)
    assert max(float(one.abs().max()) for one in (mixture, vector, local)) < 0.2


def test_quantiles_are_those_of_what_is_covered() -> None:
    """The median of the subject and of the plate are their own colours; a change elsewhere changes neither."""
    z, matte, away = scene()
    before = quantiles(z, matte, away).reshape(2, 4, -1)
    assert float(before[0, 0].abs().max()) == 0
    assert float(before[1, 0, 0]) == -1.0
    assert float(before[1, 0, -1]) == 1.0
    z[..., 24:48] = 9
    assert torch.equal(quantiles(z, matte, away).reshape(2, 4, -1), before)
