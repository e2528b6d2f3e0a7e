"""Training: a resumed run equals an uninterrupted one, the compact part is fixed, new clips join in the next epoch."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from harmovid.errors import InputError
from harmovid_training.data.cache import CHOOSE
from harmovid_training.harmonizer import clips as clip_module
from harmovid_training.harmonizer import train as training
from harmovid_training.harmonizer.__main__ import main
from harmovid_training.harmonizer.clips import Clips, shard_files
from harmovid_training.harmonizer.network import Harmonizer
from harmovid_training.harmonizer.train import (
    FROZEN,
    Recipe,
    read_checkpoint,
    save_weights,
    train,
    validate,
)
from training.harmonizer.made import clips

RECIPE = Recipe(steps=6, clips=3)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make shards of four clips."""
    for module in (clip_module, training):
        monkeypatch.setattr(module, "SHARD", 4)
    monkeypatch.setattr(clip_module, "BATCH", 4)


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """Return a folder with clips to train on, and to check by."""
    clips(tmp_path / "train", 2)
    clips(tmp_path / "choose", 1, use=CHOOSE)
    return tmp_path


def run(folder: Path, name: str, recipe: Recipe = RECIPE, **more: Any) -> list[float]:
    """Train; return the logged losses."""
    checks = Clips(shard_files(folder / "choose"))
    train(folder / name, [folder / "train"], checks, recipe, save_every=2, **more)
    return [json.loads(line)["loss"] for line in (folder / name / "log.jsonl").read_text().splitlines()]


def test_a_resumed_run_repeats_an_unbroken_one(made: Path) -> None:
    """A run that stops after four steps and resumes has the losses and weights of an uninterrupted one."""
    unbroken = run(made, "whole")
    run(made, "broken", until=4)
    resumed = run(made, "broken", resume=True)

    assert resumed == unbroken
    first, second = (
        read_checkpoint(made / name / "checkpoint.pt")["average"] for name in ("whole", "broken")
    )
    assert all(torch.equal(first[name], second[name]) for name in first)
    with pytest.raises(InputError, match="another recipe"):
        run(made, "broken", replace(RECIPE, steps=9), resume=True)


def test_what_measured_the_clips_stays(made: Path) -> None:
    """A run from given weights changes the semantic branch and the head, but not the parts that computed the
    features."""
    torch.manual_seed(9)
    save_weights(made / "weights.pt", Harmonizer())
    run(made, "out", start=made / "weights.pt")
    before, after = (
        read_checkpoint(made / "weights.pt"),
        read_checkpoint(made / "out" / "checkpoint.pt")["average"],
    )

    same = {name for name in before if torch.equal(before[name], after[name])}
    assert {name for name in before if name.startswith(FROZEN)} <= same
    assert not {"encoder.semantic.read.weight", "head.curve.weight", "encoder.semantic.mean0"} & same


def test_new_clips_come_in_with_the_next_round(made: Path) -> None:
    """An epoch uses the clips that existed at its start; clips made meanwhile are used in the next one."""
    run(made, "out", until=2)
    clips(made / "train", 3)
    run(made, "out", resume=True)
    held = read_checkpoint(made / "out" / "checkpoint.pt")

    assert held["rounds"] >= 2
    assert len(held["files"]) == 3


def test_the_clock_ends_a_run(made: Path) -> None:
    """A run with a time limit ends by itself, and its learning rate falls with the elapsed time."""
    run(made, "out", replace(RECIPE, minutes=0.01))
    held = read_checkpoint(made / "out" / "checkpoint.pt")

    assert held["seconds"] >= 0.6
    assert held["step"] >= 1
    assert held["optimizer"]["param_groups"][0]["lr"] < RECIPE.rate


def test_runs_are_averaged(made: Path) -> None:
    """`average` writes the means of the weights of several runs, where `calibrate` finds them."""
    torch.manual_seed(9)
    save_weights(made / "weights.pt", Harmonizer())
    for seed in (1, 2):
        run(made, f"run{seed}", replace(RECIPE, seed=seed), start=made / "weights.pt")
    runs = [made / f"run{seed}" for seed in (1, 2)]
    assert main(["average", *map(str, runs), "--out", str(made / "mean")]) == 0

    first, second = (read_checkpoint(folder / "checkpoint.pt")["average"] for folder in runs)
    mean = read_checkpoint(made / "mean" / "checkpoint.pt")
    for name in ("encoder.semantic.read.weight", "head.curve.weight"):
        assert not torch.equal(first[name], second[name])
        torch.testing.assert_close(mean[name], (first[name] + second[name]) / 2)


def test_a_dead_local_part_is_seen(made: Path) -> None:
    """The grid's deviation over places is logged: 0 where no unit of its hidden layer is ever above 0."""
    torch.manual_seed(9)
    model, checks = Harmonizer(), Clips(shard_files(made / "choose"))
    hidden, last = model.head.places[0], model.head.places[2]
    torch.nn.init.normal_(last.weight, std=1.0)
    assert validate(model, checks)["local spread"] > 0.01

    torch.nn.init.constant_(hidden.bias, -1e4)
    assert validate(model, checks)["local spread"] == 0
