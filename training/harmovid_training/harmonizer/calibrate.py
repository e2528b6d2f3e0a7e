"""The network's confidence: how much of its answer to apply, learned on scenes that the network was not trained on.

A network is overconfident on its training scenes, so a confidence trained together with it would be too high. Here
only the gate is trained, on the validation scenes (`cache.CHOOSE`): from the answer, its size and the predicted error,
it learns the share that gains most. Each variant weighs harm differently.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Dict, List, Tuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from harmovid_training.data.looks import KINDS, NOTHING_KIND
from harmovid_training.harmonizer.clips import Clips
from harmovid_training.harmonizer.constants import GATE_LIMIT, VARIANTS
from harmovid_training.harmonizer.head import Fields, gate_facts
from harmovid_training.harmonizer.losses import NOISE_SQUARE, point_stops, view
from harmovid_training.harmonizer.network import Harmonizer

STEPS = 2000
FIT_CLIPS, FIT_PIXELS = 256, 48
"""Clips of a step, and the pixels of each that are looked at."""
RATE, DECAY = 5e-3, 0.1
COLLECT = 128
KEPT_BACK = 4
"""One clip in this many is used to check the fit only."""


@dataclass(frozen=True)
class Caution:
    """The loss of a variant: `harm` is the extra weight of a dB lost over a dB not gained, `untouched` the cost in dB
    of an RMS change of one stop on a clip that needed no change."""

    harm: float
    untouched: float


CAUTION = {"cautious": Caution(1.0, 40.0), "expected": Caution(0.5, 16.0), "bold": Caution(0.0, 1.0)}


PIXELS = ("composite", "truth", "common", "colour", "local")
"""Fields of `Cases` that have a value per pixel."""


@dataclass
class Cases:
    """Clips and the network's answers to them: inputs of the gate (n, k); pixels (n, 3, p) of the composite and of the
    truth, and the stops that the curve's common part, its colour part and the grid add; the kind of look (n,) and the
    scene (n,)."""

    facts: Tensor
    composite: Tensor
    truth: Tensor
    common: Tensor
    colour: Tensor
    local: Tensor
    kind: Tensor
    scene: Tensor

    def pick(self, chosen: Tensor) -> Cases:
        """Return the clips with these indices."""
        return Cases(**{f.name: getattr(self, f.name)[chosen] for f in fields(Cases)})

    def at(self, pixels: Tensor) -> Cases:
        """Return the clips with these pixels only."""
        parts = {name: getattr(self, name)[:, :, pixels] for name in PIXELS}
        return Cases(self.facts, kind=self.kind, scene=self.scene, **parts)


@torch.no_grad()
def collect(model: Harmonizer, clips: Clips) -> Cases:
    """Return the network's answers to clips."""
    model.eval()
    found: List[Cases] = []
    scenes = torch.split(torch.from_numpy(clips.scenes()), COLLECT)
    for (seen, points, kind), scene in tqdm(
        zip(clips.batches(COLLECT), scenes), total=len(scenes), desc="answers", mininterval=10
    ):
        answer = model(seen)
        mean = answer.coeffs.mean(1, keepdim=True)
        shared = Fields(mean.expand_as(answer.coeffs), answer.grid, answer.gate, answer.need, answer.errors)
        curve = point_stops(points, answer, local=False)
        common = point_stops(points, shared, local=False)
        grid = point_stops(points, answer) - curve
        facts = gate_facts(answer.coeffs, answer.grid, answer.need, answer.errors)
        found.append(Cases(facts, points.composite, points.truth, common, curve - common, grid, kind, scene))
    return Cases(**{f.name: torch.cat([getattr(one, f.name) for one in found]) for f in fields(Cases)})


def calibrate(model: Harmonizer, cases: Cases, seed: int = 5) -> Dict[str, Any]:
    """Fit `model.head.gate` in place; return each variant's gain on held-out clips, in dB, by kind of look."""
    number = torch.arange(len(cases.kind))
    seen, back = cases.pick(number[number % KEPT_BACK != 0]), cases.pick(number[number % KEPT_BACK == 0])
    gate, rng = model.head.gate, torch.Generator().manual_seed(seed)
    gate.train()
    with torch.no_grad():
        # The facts' scale is set once, from all clips; momentum None takes plain means.
        scale = gate[0]
        if isinstance(scale, torch.nn.BatchNorm1d):
            scale.reset_running_stats()
            scale.momentum = None
        gate(seen.facts)
    gate.eval()
    optimizer = torch.optim.AdamW(gate.parameters(), lr=RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in tqdm(range(STEPS), desc="confidence", mininterval=10):
        pixels = torch.randint(seen.truth.shape[2], (FIT_PIXELS,), generator=rng)
        part = seen.pick(torch.randint(len(seen.kind), (FIT_CLIPS,), generator=rng)).at(pixels)
        shares = shares_of(model, part)
        costs = [_cost(part, shares[:, i], CAUTION[name]).mean() for i, name in enumerate(VARIANTS)]
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward([torch.stack(costs).sum()])
        optimizer.step()
        schedule.step()
    return judge(back, model)


def shares_of(model: Harmonizer, cases: Cases) -> Tensor:
    """Return the confidence `(n, len(VARIANTS), 3)` in the answers."""
    return GATE_LIMIT * torch.sigmoid(model.head.gate(cases.facts)).reshape(-1, len(VARIANTS), 3)


@torch.no_grad()
def judge(cases: Cases, model: Harmonizer) -> Dict[str, Any]:
    """Return figures for each variant and for constant shares of the answer.

    By kind of look: the mean gain and its standard error in dB (`error_of_mean`), and the loss of the worst 5 %. For
    clips that need no change: by how many stops they are changed.
    """
    shares = shares_of(model, cases)
    ways = {name: shares[:, i] for i, name in enumerate(VARIANTS)}
    ways.update({f"share {part}": torch.full_like(shares[:, 0], part) for part in (0.5, 0.75, 1.0)})
    return {name: _judged(cases, share) for name, share in ways.items()}


def _judged(cases: Cases, share: Tensor) -> Dict[str, Any]:
    gains, right = _gain(cases, share), _right(cases)
    facts: Dict[str, Any] = {}
    for number, kind in enumerate(KINDS):
        picked = (cases.kind == number) & ~right
        chosen = gains[picked]
        if number != NOTHING_KIND and len(chosen) > 1:
            error = error_of_mean(chosen, cases.scene[picked])
            low = float(np.quantile(chosen.numpy(), 0.05))
            facts[kind] = (round(float(chosen.mean()), 3), round(error, 3), round(low, 3))
    facts["untouched stops"] = round(float(_change(cases, share)[right].mean()), 3)
    facts["mean share"] = [round(float(value), 3) for value in share.mean(0)]
    return facts


def error_of_mean(values: Tensor, scenes: Tensor) -> float:
    """Return the standard error of the mean of `values` `(n,)`, where values of one scene may depend on each other; NaN
    if there is one scene only."""
    if bool((scenes == scenes[0]).all()):
        return float("nan")
    apart = (values - values.mean()).double()
    of_scene = torch.zeros(int(scenes.max()) + 1, dtype=torch.float64).index_add_(0, scenes, apart)
    return float(of_scene.square().sum().sqrt()) / len(values)


def _stops(cases: Cases, share: Tensor) -> Tensor:
    luma, colour, local = share[:, :, None, None].unbind(1)
    return cases.common * luma + cases.colour * colour + cases.local * local


def _gain(cases: Cases, share: Tensor) -> Tensor:
    before, after = _errors(cases, share)
    return 10 * torch.log10((before + NOISE_SQUARE) / (after + NOISE_SQUARE))


def _errors(cases: Cases, share: Tensor) -> Tuple[Tensor, Tensor]:
    wanted = view(cases.truth)
    after = (view(cases.composite * torch.exp2(_stops(cases, share))) - wanted).square().mean((1, 2))
    return (view(cases.composite) - wanted).square().mean((1, 2)), after


def _right(cases: Cases) -> Tensor:
    return (cases.composite - cases.truth).abs().amax((1, 2)) == 0


def _change(cases: Cases, share: Tensor) -> Tensor:
    return (_stops(cases, share).square().mean((1, 2)) + 1e-4).sqrt()


def _cost(cases: Cases, share: Tensor, caution: Caution) -> Tensor:
    gain = _gain(cases, share)
    return torch.where(
        _right(cases), caution.untouched * _change(cases, share), -gain + caution.harm * (-gain).clamp_min(0)
    )
