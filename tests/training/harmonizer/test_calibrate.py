"""The confidence: fitting changes nothing else, and the bold variant applies more than the cautious one."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from harmovid_training.data.cache import CHOOSE
from harmovid_training.harmonizer import calibrate as calibration
from harmovid_training.harmonizer import clips as clip_module
from harmovid_training.harmonizer.calibrate import Cases, calibrate, collect, error_of_mean, shares_of
from harmovid_training.harmonizer.clips import Clips, shard_files
from harmovid_training.harmonizer.constants import GATE_FACTS, VARIANTS
from harmovid_training.harmonizer.network import Harmonizer
from training.harmonizer.made import clips


def test_the_confidence_changes_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fitting changes the gate's weights only, and returns the gain of each variant and of constant shares."""
    monkeypatch.setattr(clip_module, "SHARD", 8)
    monkeypatch.setattr(clip_module, "BATCH", 8)
    monkeypatch.setattr(calibration, "STEPS", 12)
    clips(tmp_path, 2, use=CHOOSE)
    torch.manual_seed(1)
    model = Harmonizer().eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    facts = calibrate(model, collect(model, Clips(shard_files(tmp_path))))
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}

    assert changed
    assert all(name.startswith("head.gate") for name in changed)
    assert {*VARIANTS, "share 1.0"} <= set(facts)


def test_the_bold_dares_more_than_the_cautious(monkeypatch: pytest.MonkeyPatch) -> None:
    """If three answers in four are right and the fourth harms, the cautious variant applies least and the bold most."""
    monkeypatch.setattr(calibration, "STEPS", 300)
    monkeypatch.setattr(calibration, "FIT_PIXELS", 8)  # of 16, which have the same answer
    rng = torch.Generator().manual_seed(2)
    count = 400
    composite = 0.1 + 0.2 * torch.rand(count, 3, 16, generator=rng)
    right = (torch.rand(count, 1, 1, generator=rng) < 0.75).float() * 2 - 1
    answer, none = torch.full((count, 3, 16), 1.0), torch.zeros(count, 3, 16)
    facts = torch.randn(count, GATE_FACTS, generator=rng)
    kind = torch.ones(count, dtype=torch.uint8)
    model = Harmonizer().eval()
    scene = torch.arange(count)
    cases = Cases(facts, composite, composite * torch.exp2(answer * right), answer, none, none, kind, scene)
    calibrate(model, cases)
    cautious, expected, bold = shares_of(model, cases)[:, :, 0].mean(0).tolist()

    assert cautious < expected < bold


def test_clips_of_one_scene_do_not_count_as_many() -> None:
    """Values that repeat within each scene have the error of the scenes' means; independent ones the usual error."""
    rng = torch.Generator().manual_seed(4)
    means = torch.randn(300, generator=rng)
    usual = float(means.std(unbiased=False)) / 300**0.5
    repeated, scenes = means.repeat_interleave(10), torch.arange(300).repeat_interleave(10)

    assert error_of_mean(means, torch.arange(300)) == pytest.approx(usual, rel=1e-4)
    assert error_of_mean(repeated, scenes) == pytest.approx(usual, rel=1e-4)
    assert math.isnan(error_of_mean(repeated, torch.zeros_like(scenes)))
