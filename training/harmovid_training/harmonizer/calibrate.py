"""The network's confidence: how much of its answer is worth applying, learned on scenes the answer never saw.

A network is surer on what it was trained on than it should be, so a confidence trained beside it would be too bold.
Here everything but the gate stays as it is, and the gate learns from held-out scenes to gain as many dB as it can,
counting harm a fifth more. The answers are computed once, on a few pixels of each clip; the gate is then fitted in a
minute.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Dict, List

import torch
from torch import Tensor
from tqdm import tqdm

from harmovid_training.data.batches import Batch, Sampler
from harmovid_training.harmonizer.losses import NOISE_SQUARE, field_stops, to_codes, view
from harmovid_training.harmonizer.network import GATE_LIMIT, Fields, Harmonizer, gate_facts, subject_box

BATCHES = 80
CLIPS, FRAMES = 16, 4
PIXELS = 96
STEPS = 600
FIT_CLIPS = 128
RATE, DECAY = 5e-3, 0.3
HARM = 0.2
"""How much a dB lost counts beyond a dB not gained."""
UNTOUCHED = 10.0
"""What an RMS stop on a clip that needed nothing costs, in dB."""
KEPT_BACK = 4
"""Every so many-th batch checks the fit and takes no part in it."""


@dataclass
class Cases:
    """Clips and the network's answers to them: facts (n, k) for the gate; pixels (n, PIXELS, 3) of the composite and
    of truth, and the stops that the curve's common part, its colour part and the grid give them."""

    facts: Tensor
    composite: Tensor
    truth: Tensor
    common: Tensor
    colour: Tensor
    local: Tensor

    def pick(self, chosen: Tensor) -> Cases:
        """Return the clips with these indices."""
        return Cases(**{f.name: getattr(self, f.name)[chosen] for f in fields(Cases)})


@torch.no_grad()
def collect(model: Harmonizer, sampler: Sampler, renders: float, batches: int = BATCHES) -> List[Cases]:
    """Return the network's answers to `batches` batches of held-out clips."""
    model.eval()
    found = []
    for step in tqdm(range(batches), desc="held-out clips"):
        sampler.at(step)
        found.append(_cases(model, sampler.mixed(CLIPS, FRAMES, renders), FRAMES))
    return found


def _cases(model: Harmonizer, batch: Batch, frames: int) -> Cases:
    codes = to_codes(batch.composite, batch.anchor)
    vector, local = model.averaged(codes, batch.matte, batch.seen, subject_box(batch.matte), frames)
    answer = Fields(*model.head(vector, local))
    mean = answer.coeffs.mean(1, keepdim=True)
    shared = Fields(mean.expand_as(answer.coeffs), answer.grid, answer.gate, answer.need)
    curve = field_stops(batch, answer, frames, local=False)
    common = field_stops(batch, shared, frames, local=False)
    grid = field_stops(batch, answer, frames) - curve
    planes = [batch.composite, batch.truth, common, curve - common, grid]
    first = slice(None, None, frames)
    odds = batch.covered[first].flatten(1) + 1e-6
    spots = torch.multinomial(odds, PIXELS, replacement=True)[:, None].expand(-1, 3, -1)
    picked = [plane[first].flatten(2).gather(2, spots).transpose(1, 2).contiguous() for plane in planes]
    return Cases(gate_facts(answer.coeffs, answer.grid, answer.need), *picked)


def calibrate(model: Harmonizer, cases: List[Cases], seed: int = 5) -> Dict[str, float]:
    """Fit `model.head.gate` in place; return what the confidence gains on clips kept back, in dB."""
    back = _joined([case for i, case in enumerate(cases) if i % KEPT_BACK == 0])
    seen = _joined([case for i, case in enumerate(cases) if i % KEPT_BACK])
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
        part = seen.pick(torch.randint(len(seen.facts), (FIT_CLIPS,), generator=rng))
        value = _cost(part, GATE_LIMIT * torch.sigmoid(gate(part.facts))).mean()
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward([value])
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        share = GATE_LIMIT * torch.sigmoid(gate(back.facts))
        wrong = ~_right(back)
        result = {
            f"at {scale}": float(_gain(back, torch.full_like(share, scale))[wrong].mean())
            for scale in (0.5, 0.75, 1.0, 1.25)
        }
        gains = _gain(back, share)[wrong]
        result.update({
            "gated": float(gains.mean()), "harmed": float((gains < -0.5).float().mean()),
            "untouched stops": float(_change(back, share)[~wrong].mean()),
            **{f"mean gate {i}": float(share[:, i].mean()) for i in range(3)},
        })  # fmt: skip
    return {name: round(value, 3) for name, value in result.items()}


def _joined(cases: List[Cases]) -> Cases:
    return Cases(**{f.name: torch.cat([getattr(case, f.name) for case in cases]) for f in fields(Cases)})


def _stops(cases: Cases, share: Tensor) -> Tensor:
    luma, colour, local = share[:, :, None, None].unbind(1)
    return cases.common * luma + cases.colour * colour + cases.local * local


def _gain(cases: Cases, share: Tensor) -> Tensor:
    wanted = view(cases.truth)
    after = (view(cases.composite * torch.exp2(_stops(cases, share))) - wanted).square().mean((1, 2))
    before = (view(cases.composite) - wanted).square().mean((1, 2))
    return 10 * torch.log10((before + NOISE_SQUARE) / (after + NOISE_SQUARE))


def _right(cases: Cases) -> Tensor:
    return (cases.composite - cases.truth).abs().amax((1, 2)) == 0


def _change(cases: Cases, share: Tensor) -> Tensor:
    return (_stops(cases, share).square().mean((1, 2)) + 1e-4).sqrt()


def _cost(cases: Cases, share: Tensor) -> Tensor:
    gain = _gain(cases, share)
    return torch.where(_right(cases), UNTOUCHED * _change(cases, share), -gain + HARM * (-gain).clamp_min(0))
