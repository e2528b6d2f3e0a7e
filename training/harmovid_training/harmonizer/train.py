"""Training of the harmonizer on clips from disk: resumable, seeded, validated on the validation scenes."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import numpy as np
import torch
from harmovid.errors import InputError
from harmovid.storage.atomic import replacing
from torch import Tensor
from tqdm import tqdm

from harmovid_training.data.looks import KINDS, NOTHING_KIND, RENDER_KIND
from harmovid_training.harmonizer.clips import SHARD, Clips, shard_files
from harmovid_training.harmonizer.losses import gain_db, loss, point_stops
from harmovid_training.harmonizer.network import Harmonizer

CHECKPOINT = "checkpoint.pt"
LOG = "log.jsonl"
WARM_STEPS = 100
GRADIENT_LIMIT = 1.0
VALIDATION_BATCH = 128
STANDARD_CLIPS = 512
"""Number of clips from which mean and deviation of the backbone's features are computed."""
NEVER = 1 << 40
"""Number of steps for a run that its time limit ends."""
FROZEN = (
    "encoder.stem", "encoder.fine", "encoder.middle", "encoder.coarse", "encoder.likeness", "encoder.local",
    "head.gate",
)  # fmt: skip
"""Frozen parameters: those whose features are cached in clips, and the confidence, which is fitted afterwards."""
NEW = ("encoder.semantic", "encoder.facts", "encoder.plain_facts", "head.errors")
"""Parameters that start at random when a run starts from the compact part's weights; trained at the full rate."""


@dataclass(frozen=True)
class Recipe:
    """Hyperparameters of a run; stored with its checkpoint. A resumed run with other ones is refused.

    Attributes:
        steps: number of steps of `clips` clips each. minutes: if not 0, the duration of the run instead; the learning
            rate then falls with the elapsed time, so it does not depend on the speed of the machine.
        rate: learning rate of AdamW, with weight `decay`. old_share: factor of the rate for parameters not in `NEW`.
        average: decay per step of the averaged network, which is the one that ships.
        decay_from: share of the run after which the rate falls to zero, as a cosine.
        seed: of everything random.
    """

    steps: int = 12000
    minutes: float = 0.0
    clips: int = 32
    rate: float = 5e-4
    old_share: float = 0.5
    decay: float = 0.1
    average: float = 0.997
    decay_from: float = 0.4
    seed: int = 7


@dataclass
class Run:
    """A run in progress: the content of the checkpoint. `files` are the shards of the current epoch, `at` is the
    position in it, `rounds` the number of epochs started."""

    model: Harmonizer
    average: Harmonizer
    optimizer: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0
    files: List[str] = field(default_factory=list)
    rounds: int = 0
    at: int = 0

    def share(self, recipe: Recipe) -> float:
        """Return the finished share of the run, 0..1, by elapsed time or by steps."""
        if recipe.minutes:
            return min(1.0, self.seconds / (60 * recipe.minutes))
        return self.step / recipe.steps


def train(
    out: Path,
    folders: Sequence[Path],
    checks: Clips,
    recipe: Recipe,
    *,
    resume: bool = False,
    start: Optional[Path] = None,
    save_every: int = 500,
    until: Optional[int] = None,
) -> Harmonizer:
    """Train for `recipe.steps` steps or `recipe.minutes` on the clips of `folders`; return the averaged network.

    An epoch ("round") uses each clip that exists at its start once; clips that are made meanwhile are used in the next
    one. Writes `checkpoint.pt` and `log.jsonl` into `out`. A resumed run continues with the same clips; `start` names
    initial weights; `until` stops at that step, as if interrupted.
    """
    out.mkdir(parents=True, exist_ok=True)
    run = _started(recipe, folders, start)
    if resume:
        _resume(out / CHECKPOINT, run, recipe)
    steps = NEVER if recipe.minutes else recipe.steps
    began = time.monotonic() - run.seconds
    recent: List[float] = []
    bar = tqdm(total=None if recipe.minutes else steps, initial=run.step, unit="step", mininterval=10)
    source = _Rounds(folders, run, recipe)
    while run.step < min(steps, until or steps) and run.share(recipe) < 1:
        recent.append(_step(run, recipe, source))
        run.seconds = time.monotonic() - began
        bar.update()
        if run.step % save_every == 0 or run.share(recipe) >= 1:
            facts = {
                "step": run.step, "minutes": round(run.seconds / 60, 1), "clips": SHARD * len(run.files),
                "loss": round(float(np.mean(recent)), 4), **validate(run.average, checks),
            }  # fmt: skip
            recent = []
            bar.set_postfix_str(json.dumps(facts))
            with (out / LOG).open("a") as log:
                log.write(json.dumps(facts) + "\n")
            _save(out / CHECKPOINT, run, recipe)
    _save(out / CHECKPOINT, run, recipe)
    bar.close()
    return run.average.eval()


class _Rounds:
    """The clips of a run, epoch by epoch, in an order that depends on the seed and the epoch alone."""

    def __init__(self, folders: Sequence[Path], run: Run, recipe: Recipe) -> None:
        self._folders, self._run, self._recipe = folders, run, recipe
        self._clips: Optional[Clips] = None
        self._order: List[int] = []

    def next(self) -> Any:
        """Return the next clips, as `Clips.read`."""
        run, size = self._run, self._recipe.clips
        if not run.files or run.at + size > SHARD * len(run.files):
            run.files = [str(path) for path in shard_files(*self._folders)]
            run.rounds, run.at = run.rounds + 1, 0
            self._clips = None
        if self._clips is None:
            self._clips = Clips([Path(name) for name in run.files])
            rng = np.random.default_rng([self._recipe.seed, run.rounds])
            self._order = rng.permutation(len(self._clips)).tolist()
        rows = self._order[run.at : run.at + size]
        run.at += size
        return self._clips.read(rows)


def _started(recipe: Recipe, folders: Sequence[Path], start: Optional[Path]) -> Run:
    torch.manual_seed(recipe.seed)
    model, average = Harmonizer(), Harmonizer()
    if start is not None:
        held = read_checkpoint(start)
        model.load_state_dict(held.get("average", held))
    if bool((model.encoder.semantic.get_buffer("spread0") == 1).all()):
        clips = Clips(shard_files(*folders))
        rng = np.random.default_rng(recipe.seed)
        seen = clips.read(rng.choice(len(clips), min(STANDARD_CLIPS, len(clips)), replace=False).tolist())[0]
        model.encoder.semantic.standardise((seen.stride8, seen.stride16, seen.stride32))
    average.load_state_dict(model.state_dict())
    groups: Dict[bool, List[Tensor]] = {False: [], True: []}
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not name.startswith(FROZEN))
        if parameter.requires_grad:
            groups[name.startswith(NEW)].append(parameter)
    parts = [
        {"params": groups[new], "lr": 0.0, "share": 1.0 if new else recipe.old_share} for new in (False, True)
    ]
    return Run(model, average.eval(), torch.optim.AdamW(parts, weight_decay=recipe.decay))


def _step(run: Run, recipe: Recipe, source: _Rounds) -> float:
    """Take one step; return its loss."""
    for group in run.optimizer.param_groups:
        group["lr"] = recipe.rate * group["share"] * _rate(run, recipe)
    run.model.train()
    run.model.head.gate.eval()
    torch.manual_seed(recipe.seed * 1_000_003 + run.step)  # dropout
    seen, points, _ = source.next()
    value = loss(points, run.model(seen))
    run.optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward([value])
    torch.nn.utils.clip_grad_norm_(run.model.parameters(), GRADIENT_LIMIT)
    run.optimizer.step()
    run.step += 1
    _update_average(run.average, run.model, min(recipe.average, 1 - 1 / (run.step + 1)))
    return float(value.detach())


def _rate(run: Run, recipe: Recipe) -> float:
    """Return the factor of the learning rate: linear warm-up over `WARM_STEPS`, constant, then decay to zero."""
    warm = min(1.0, (run.step + 1) / WARM_STEPS)
    late = max(0.0, run.share(recipe) - recipe.decay_from) / (1 - recipe.decay_from)
    return float(warm * 0.5 * (1 + np.cos(np.pi * late)))


@torch.no_grad()
def _update_average(average: Harmonizer, model: Harmonizer, keep: float) -> None:
    """Update the averaged weights with the model's."""
    for mean, now in zip(average.parameters(), model.parameters()):
        if now.requires_grad:
            mean.lerp_(now, 1 - keep)


@torch.no_grad()
def validate(model: Harmonizer, clips: Clips) -> Dict[str, float]:
    """Return mean dB gained on each kind of look at scale 1, and on all regions at 1, at 0.7 and without the grid.

    `local spread` is the grid's deviation over places, in stops: 0 if the local part is dead.
    """
    model.eval()
    kinds, gains, spreads = [], [], []
    for seen, points, kind in clips.batches(VALIDATION_BATCH):
        fields = model(seen)
        stops = point_stops(points, fields)
        plain = point_stops(points, fields, local=False)
        gains.append(torch.stack([gain_db(points, one) for one in (stops, 0.7 * stops, plain)], 1))
        kinds.append(kind)
        spreads.append(fields.grid.flatten(3).std(3).mean((1, 2)))
    kind, gain = torch.cat(kinds), torch.cat(gains)
    regions = (kind != NOTHING_KIND) & (kind != RENDER_KIND)
    facts = {name: _mean(gain[kind == number, 0]) for number, name in enumerate(KINDS)}
    facts.update(
        zip(("regions", "regions at 0.7", "curve only"), (_mean(gain[regions, i]) for i in range(3)))
    )
    facts["local spread"] = _mean(torch.cat(spreads))
    return facts


def _mean(values: Tensor) -> float:
    return round(float(values.mean()), 3) if values.numel() else 0.0


def _save(path: Path, run: Run, recipe: Recipe) -> None:
    held = {
        "model": run.model.state_dict(), "average": run.average.state_dict(),
        "optimizer": run.optimizer.state_dict(), "step": run.step, "seconds": run.seconds,
        "files": run.files, "rounds": run.rounds, "at": run.at, "recipe": asdict(recipe),
    }  # fmt: skip
    with replacing(path) as partial:
        torch.save(held, partial)


def save_weights(path: Path, model: Harmonizer) -> None:
    """Write a network's weights alone, atomically."""
    with replacing(path) as partial:
        torch.save(model.state_dict(), partial)


def mean_of(models: Sequence[Harmonizer]) -> Harmonizer:
    """Return the network whose weights are the means of those of `models`."""
    states = [model.state_dict() for model in models]
    mean = Harmonizer()
    mean.load_state_dict({
        name: torch.stack([state[name].double() for state in states]).mean(0).to(value.dtype)
        for name, value in states[0].items()
    })  # fmt: skip
    return mean.eval()


def read_checkpoint(path: Path) -> Dict[str, Any]:
    """Return the content of a checkpoint; `InputError` if the file does not exist."""
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
    for name in ("step", "seconds", "files", "rounds", "at"):
        setattr(run, name, held[name])
