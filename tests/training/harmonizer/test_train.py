"""Training: it learns, a resumed run repeats an unbroken one, and the confidence is fitted on held-out scenes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from harmovid.errors import InputError
from harmovid_training.data.batches import Sampler
from harmovid_training.harmonizer import calibrate as calibration
from harmovid_training.harmonizer import train as training
from harmovid_training.harmonizer.calibrate import calibrate, collect
from harmovid_training.harmonizer.grid import validation_grid
from harmovid_training.harmonizer.network import Harmonizer
from harmovid_training.harmonizer.train import (
    Recipe,
    read_checkpoint,
    save_weights,
    train,
    validation_batches,
)
from training.data.world import scenes, subjects

RECIPE = Recipe(steps=6, clips=4, renders=0.3, pairs=0.3)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Validate on few clips, on one thread."""
    monkeypatch.setattr(training, "VALIDATION_CLIPS", 4)
    torch.set_num_threads(1)


def run(out: Path, steps_until: int = 6, **more: Any) -> list[float]:
    """Train in this process; return the logged losses."""
    train(out, scenes(), subjects(), RECIPE, save_every=2, loaders=0, **more)
    return [json.loads(line)["loss"] for line in (out / "log.jsonl").read_text().splitlines()]


def test_a_resumed_run_repeats_an_unbroken_one(tmp_path: Path) -> None:
    """Broken off after four steps and resumed, the losses and the weights are those of a run that was not."""
    unbroken = run(tmp_path / "whole")
    train(tmp_path / "broken", scenes(), subjects(), RECIPE, save_every=2, loaders=0, until=4)
    resumed = run(tmp_path / "broken", resume=True)

    assert resumed == unbroken
    first, second = (
        read_checkpoint(tmp_path / name / "checkpoint.pt")["average"] for name in ("whole", "broken")
    )
    assert all(torch.equal(first[name], second[name]) for name in first)
    with pytest.raises(InputError, match="another recipe"):
        train(tmp_path / "broken", scenes(), subjects(), Recipe(steps=9), resume=True, loaders=0)


def test_the_clock_ends_a_run(tmp_path: Path) -> None:
    """A run of a hundredth of a minute ends by itself, its rate falls with the clock, and it can be begun with."""
    recipe = replace(RECIPE, minutes=0.01)
    train(tmp_path / "first", scenes(), subjects(), recipe, loaders=0)
    held = read_checkpoint(tmp_path / "first" / "checkpoint.pt")
    save_weights(tmp_path / "weights.pt", Harmonizer())
    train(tmp_path / "second", scenes(), subjects(), recipe, loaders=0, start=tmp_path / "weights.pt")

    assert held["seconds"] >= 0.6
    assert held["step"] >= 1
    assert held["optimizer"]["param_groups"][0]["lr"] < recipe.rate
    assert (tmp_path / "second" / "log.jsonl").read_text().count("minutes") == 1


def test_the_confidence_changes_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calibration moves the gate's weights only, says what it gains, and the grid of pictures is written."""
    for name, value in (("STEPS", 12), ("CLIPS", 6), ("FIT_CLIPS", 16)):
        monkeypatch.setattr(calibration, name, value)
    torch.manual_seed(1)
    model = Harmonizer().eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    cases = collect(model, Sampler(scenes(), subjects(), 3, held=True), 0.3, batches=4)
    facts = calibrate(model, cases)
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}

    assert changed
    assert all(name.startswith("head.gate") for name in changed)
    assert {"gated", "harmed", "at 1.0"} <= set(facts)
    validation_grid(tmp_path / "grid.png", model, validation_batches(scenes(), subjects(), 2))
    assert (tmp_path / "grid.png").stat().st_size > 1000
