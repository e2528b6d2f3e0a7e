"""Training of the harmonizer: resumable, seeded, with held-out validation. `python -m harmovid_training.harmonizer`."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional

import numpy as np
import torch
from harmovid.errors import InputError
from torch import Tensor
from tqdm import tqdm

from harmovid_training.data.batches import Batch, Mix, Sampler, draws
from harmovid_training.data.cache import Scenes
from harmovid_training.data.figures import Subjects
from harmovid_training.harmonizer.losses import field_stops, gain_db, loss, predict
from harmovid_training.harmonizer.network import Harmonizer

CHECKPOINT = "checkpoint.pt"
LOG = "log.jsonl"
WARM_STEPS = 200
GRADIENT_LIMIT = 1.0
VALIDATION_CLIPS = 256
NEVER = 1 << 40
"""Steps of a run that the clock ends."""


@dataclass(frozen=True)
class Recipe:
    """How a run is trained; stored with its checkpoint, and refused if a resumed run asks for another one.

    Attributes:
        steps: of `clips` clips each. minutes: how long the run takes instead, by the clock, if not 0: the rate then
            falls with the time that has passed, however fast or slow the machine is.
        rate: of AdamW, with `decay` of the weights. average: kept per step of the mean network that is shipped.
        decay_from: share of the run after which the rate falls, as a cosine, to nothing.
        renders: share of rendered clips. pairs: share of steps with two frames a clip. seed: of everything.
    """

    steps: int = 14500
    minutes: float = 0.0
    clips: int = 16
    rate: float = 1.5e-3
    decay: float = 0.03
    average: float = 0.998
    decay_from: float = 0.3
    renders: float = 0.19
    pairs: float = 0.1
    seed: int = 7


@dataclass
class Run:
    """A run in progress: what the checkpoint holds."""

    model: Harmonizer
    average: Harmonizer
    optimizer: torch.optim.Optimizer
    device: torch.device
    step: int = 0
    seconds: float = 0.0

    def share(self, recipe: Recipe) -> float:
        """Return how much of the run is over, 0..1, by the clock or by steps."""
        if recipe.minutes:
            return min(1.0, self.seconds / (60 * recipe.minutes))
        return self.step / recipe.steps


def train(
    out: Path,
    scenes: Scenes,
    subjects: Optional[Subjects],
    recipe: Recipe,
    *,
    resume: bool = False,
    start: Optional[Path] = None,
    save_every: int = 250,
    loaders: int = 1,
    until: Optional[int] = None,
    device: str = "cpu",
) -> Harmonizer:
    """Train for `recipe.steps` steps or `recipe.minutes`; return the averaged network, on the processor.

    Writes `checkpoint.pt` and `log.jsonl` into `out`. A resumed run continues with the same batches; `start` names a
    checkpoint whose weights a new run begins with; `until` stops at that step, as if broken off. `loaders` processes
    make batches: one keeps up with one thread, a graphics processor (`device` "cuda") wants eight and more.
    """
    out.mkdir(parents=True, exist_ok=True)
    run = _started(recipe, torch.device(device))
    if start is not None:
        # The gate is fitted afterwards (calibrate.py): older files may have another one.
        held = read_checkpoint(start)
        begun = {k: v for k, v in held.get("model", held).items() if not k.startswith("head.gate")}
        run.model.load_state_dict(begun, strict=False)
        run.average.load_state_dict(run.model.state_dict())
    if resume:
        _resume(out / CHECKPOINT, run, recipe)
    steps = NEVER if recipe.minutes else recipe.steps
    checks = {k: v.to(run.device) for k, v in validation_batches(scenes, subjects, recipe.seed + 1).items()}
    began = time.monotonic() - run.seconds
    recent: List[float] = []
    bar = tqdm(total=None if recipe.minutes else steps, initial=run.step, unit="step", mininterval=10)
    mix = Mix(recipe.clips, recipe.renders if subjects is not None else 0.0, recipe.pairs)
    sampler = Sampler(scenes, subjects, recipe.seed)
    for batch, frames in draws(sampler, mix, run.step, min(steps, until or steps), loaders):
        recent.append(_step(run, recipe, batch.to(run.device), frames))
        run.seconds = time.monotonic() - began
        bar.update()
        over = run.share(recipe) >= 1
        if run.step % save_every == 0 or over:
            facts = {
                "step": run.step, "minutes": round(run.seconds / 60, 1), "loss": round(float(np.mean(recent)), 4),
                **validate(run.average, checks),
            }  # fmt: skip
            recent = []
            bar.set_postfix_str(json.dumps(facts))
            with (out / LOG).open("a") as log:
                log.write(json.dumps(facts) + "\n")
            _save(out / CHECKPOINT, run, recipe)
        if over:
            break
    _save(out / CHECKPOINT, run, recipe)
    bar.close()
    return run.average.cpu().eval()


def _started(recipe: Recipe, device: torch.device) -> Run:
    torch.manual_seed(recipe.seed)
    model, average = Harmonizer().to(device), Harmonizer().to(device)
    average.load_state_dict(model.state_dict())
    for parameter in model.parameters():
        if parameter.dim() == 4:
            # Faster on processors: channels lie together.
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.rate, weight_decay=recipe.decay)
    return Run(model, average.eval(), optimizer, device)


def _step(run: Run, recipe: Recipe, batch: Batch, frames: int) -> float:
    """Take one step; return its loss."""
    for group in run.optimizer.param_groups:
        group["lr"] = recipe.rate * _rate(run, recipe)
    run.model.train()
    torch.manual_seed(recipe.seed * 1_000_003 + run.step)  # dropout, and which pixels are judged
    value = loss(batch, predict(run.model, batch, frames), frames)
    run.optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward([value])
    torch.nn.utils.clip_grad_norm_(run.model.parameters(), GRADIENT_LIMIT)
    run.optimizer.step()
    run.step += 1
    _follow(run.average, run.model, min(recipe.average, 1 - 1 / (run.step + 1)))
    return float(value.detach())


def _rate(run: Run, recipe: Recipe) -> float:
    """Return the share of the learning rate: up over `WARM_STEPS`, level, down to nothing."""
    warm = min(1.0, (run.step + 1) / WARM_STEPS)
    late = max(0.0, run.share(recipe) - recipe.decay_from) / (1 - recipe.decay_from)
    return float(warm * 0.5 * (1 + np.cos(np.pi * late)))


@torch.no_grad()
def _follow(average: Harmonizer, model: Harmonizer, keep: float) -> None:
    """Move the average a little towards the model: weights and normalisation statistics."""
    for mean, now in zip(average.state_dict().values(), model.state_dict().values()):
        if mean.dtype.is_floating_point:
            mean.lerp_(now, 1 - keep)
        else:
            mean.copy_(now)


def validation_batches(scenes: Scenes, subjects: Optional[Subjects], seed: int) -> Dict[str, Batch]:
    """Return fixed batches of held-out scenes: regions and, if there are subjects, renders."""
    sampler = Sampler(scenes, subjects, seed, held=True)
    batches = {"regions": sampler.regions(VALIDATION_CLIPS, 1)}
    if subjects is not None:
        batches["renders"] = sampler.renders(VALIDATION_CLIPS)
    return batches


@torch.no_grad()
def validate(model: Harmonizer, batches: Dict[str, Batch]) -> Dict[str, float]:
    """Return mean dB gained on each batch at scale 1, 0.7, without grid, gated; gated stops where none were needed."""
    model.eval()
    facts: Dict[str, float] = {}
    for name, batch in batches.items():
        fields = predict(model, batch, 1)
        stops = field_stops(batch, fields, 1)
        wrong = (batch.composite - batch.truth).abs().amax((1, 2, 3)) > 0
        for scale in (1.0, 0.7):
            facts[f"{name}@{scale}"] = _mean(gain_db(batch, stops * scale, 1)[wrong])
        facts[f"{name}-global"] = _mean(gain_db(batch, field_stops(batch, fields, 1, local=False), 1)[wrong])
        gated = field_stops(batch, fields.gated(), 1)
        facts[f"{name}-gated"] = _mean(gain_db(batch, gated, 1)[wrong])
        if (~wrong).any():
            changed = (gated.square() * batch.covered).sum((1, 2, 3)) / (3 * batch.covered.sum((1, 2, 3)))
            facts[f"{name}-right"] = _mean(changed.sqrt()[~wrong])
    return facts


def _mean(values: Tensor) -> float:
    return round(float(values.mean()), 3) if values.numel() else 0.0


def _save(path: Path, run: Run, recipe: Recipe) -> None:
    partial = path.with_suffix(".partial")
    torch.save(
        {
            "model": run.model.state_dict(), "average": run.average.state_dict(),
            "optimizer": run.optimizer.state_dict(), "step": run.step, "seconds": run.seconds,
            "recipe": asdict(recipe),
        },
        partial,
    )  # fmt: skip
    os.replace(partial, path)


def save_weights(path: Path, model: Harmonizer) -> None:
    """Write a network's weights alone, under a temporary name first."""
    partial = path.with_suffix(".partial")
    torch.save(model.state_dict(), partial)
    os.replace(partial, path)


def read_checkpoint(path: Path) -> Dict[str, Any]:
    """Return what a checkpoint holds; `InputError` where there is none."""
    if not path.is_file():
        raise InputError(f"{path} is not there.", fix="Train first, or leave out --resume.")
    held: Dict[str, Any] = torch.load(path, weights_only=True)
    return held


def _resume(path: Path, run: Run, recipe: Recipe) -> None:
    held = read_checkpoint(path)
    if held["recipe"] != asdict(recipe):
        raise InputError(
            f"{path} was trained by another recipe: {held['recipe']}.", fix="Give the same options."
        )
    run.model.load_state_dict(held["model"])
    run.average.load_state_dict(held["average"])
    run.optimizer.load_state_dict(held["optimizer"])
    run.step, run.seconds = held["step"], held["seconds"]
