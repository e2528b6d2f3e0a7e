"""The toy's tables: Table 2 in small (deflickering), Table 3 in small (what each stage gives), a table of sampler
steps, and where real clips are given the first two tests on them.

Numbers are of the foreground only, means over clips, against exact truth. "Field" rows take a network's picture the way
the product does (`classical.through_field`). Flicker is the roughness of the foreground's mean log2 light over time
(second differences, stops).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Iterable, Mapping

import numpy as np
import torch
from harmovid.pixels.colour.model_space import from_model

from harmovid_training.clips.index import Index
from harmovid_training.inference.shot import Settings
from harmovid_training.metrics.degrade import DEGRADATIONS, curves
from harmovid_training.models.codec import Codec
from harmovid_training.models.model import ConditionedModel
from harmovid_training.models.space import from_vae
from harmovid_training.stages import pairs
from harmovid_training.stages.pairs import Float32, Sample, Shot
from harmovid_training.toy.classical import measures, through_field, trajectory
from harmovid_training.toy.recipe import Scale, Toy, run_sample
from harmovid_training.toy.shots import (
    HELD_OUT,
    RealShots,
    matched_statistics,
    toy_shot,
    toy_steady,
    toy_truth,
)

COLUMNS = ("PSNR", "PSNR-g", "stops", "flicker")


@dataclass(frozen=True)
class Table:
    """A title, and rows of name and one value per column."""

    title: str
    rows: list[tuple[str, tuple[float, ...]]]
    columns: tuple[str, ...] = COLUMNS

    def markdown(self) -> str:
        """Return the table as Markdown."""
        lines = [f"### {self.title}", "", "| method | " + " | ".join(self.columns) + " |", "|---" * 5 + "|"]
        lines += [
            f"| {name} | " + " | ".join(f"{value:.3f}" for value in values) + " |"
            for name, values in self.rows
        ]
        return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Case:
    """A held-out clip.

    Attributes:
        truth, mask: what is compared with, and where.
        plain: results of methods that are no networks, by name.
        task: what networks are given: the sample, and the clip that a field is applied to.
        other: the same for networks of the other kind, the deflicker network in Table 3.
    """

    truth: Float32
    mask: Float32
    plain: Mapping[str, Float32]
    task: tuple[Sample, Float32]
    other: tuple[Sample, Float32] | None = None


@dataclass(frozen=True)
class Row:
    """A network in a table; `other` says which of a case's tasks is its own."""

    name: str
    model: ConditionedModel
    settings: Settings
    other: bool = False


def compared(title: str, cases: Iterable[Case], codec: Codec, networks: Iterable[Row]) -> Table:
    """Return the table of plain methods and networks, each network's pixels and through the field."""
    rows: dict[str, list[tuple[float, ...]]] = {}
    chosen = list(networks)
    for case in cases:
        results = dict(case.plain)
        for row in chosen:
            task = case.other if row.other else case.task
            if task is not None:
                made = run_sample(row.model, codec, task[0], row.settings)
                results[f"{row.name}, pixels"] = made
                results[f"{row.name}, field"] = through_field(task[1], made, case.mask)
        for name, result in results.items():
            rows.setdefault(name, []).append(measures(result, case.truth, case.mask))
    return Table(title, [(name, tuple(np.mean(values, axis=0).tolist())) for name, values in rows.items()])


def lut_case(shot: Shot, seed: int) -> Case:
    """A clip whose foreground a random curve throws off in every frame: the paper's per-frame LUT set."""
    bad = DEGRADATIONS["curves-fg"].apply(shot.real, shot.mask, seed)
    task = pairs.deflicker_sample(replace(shot, synthetic=bad)), bad
    return Case(shot.real, shot.mask, _deflickered(bad, shot.mask), task)


def stage_one_case(shot: Shot, steady: Float32) -> Case:
    """Stage 1's clip against what it would be without the error of single frames: the paper's second set."""
    task = pairs.stage_one_sample(shot), pairs.composite(shot.synthetic, shot.background, shot.mask)
    return Case(steady, shot.mask, _deflickered(task[1], shot.mask), task)


def harmonizing_case(shot: Shot, truth: Float32, codec: Codec) -> Case:
    """A composite against the figure in the new set's light, and stage 1's answer beside it."""
    given = pairs.composite(shot.real, shot.background, shot.mask)
    stage_one = pairs.composite(shot.synthetic, shot.background, shot.mask)
    plain = {
        "composite as it is": given,
        "mean and deviation of the background": matched_statistics(given, shot.background, shot.mask),
        "stage 1 as it is": stage_one,
        "the VAE's picture of the truth": _reconstructed(codec, truth, harmonizing_task(shot).anchor),
    }
    task, other = (harmonizing_task(shot), given), (pairs.stage_one_sample(shot), stage_one)
    return Case(truth, shot.mask, plain, task, other)


def look_case(shot: Shot, seed: int) -> Case:
    """A clip whose foreground one random curve throws off in all frames, over its own background: the paper's
    uniform LUT set."""
    shape = shot.real.shape
    bent = curves(shot.real.reshape(1, -1, *shape[2:]), np.random.default_rng(seed)).reshape(shape)
    given = pairs.composite(bent, shot.real, shot.mask)
    plain = {
        "composite as it is": given,
        "mean and deviation of the background": matched_statistics(given, shot.plate, shot.mask),
    }
    task = harmonizing_task(replace(shot, real=bent, background=shot.plate))
    return Case(shot.real, shot.mask, plain, (task, given))


def table_two(toy: Toy) -> list[Table]:
    """Return Table 2 in small: per-frame LUTs, and stage 1's flicker, before and after deflickering."""
    scale, codec = toy.scale, toy.vae()
    shots = _held_out(scale)
    rows = _deflickers(toy)
    luts = (lut_case(shot, seed) for seed, shot in shots)
    steady = (stage_one_case(shot, toy_steady(seed, scale.test_frames)) for seed, shot in shots)
    return [
        compared("Table 2 in small: per-frame LUT", luts, codec, rows),
        compared("Table 2 in small: per-frame harmonization", steady, codec, rows),
    ]


def table_three(toy: Toy) -> list[Table]:
    """Return Table 3 in small: the ablation of stages 2 and 3 on rendered composites with exact truth."""
    scale, codec = toy.scale, toy.vae()
    cases = (
        harmonizing_case(shot, toy_truth(seed, scale.test_frames), codec) for seed, shot in _held_out(scale)
    )
    rows = [
        Row(
            "without stage 3: stage 1 + deflicker network, one step",
            toy.deflicker_student(),
            scale.once,
            True,
        ),
        Row("without stage 2, one step", toy.no_stage_two(), scale.once),
        Row(f"without stage 2, {scale.steps} steps", toy.no_stage_two_many(), scale.sampling),
        Row("full, one step", toy.student(), scale.once),
        Row(f"full, {scale.steps} steps", toy.harmovid(), scale.sampling),
    ]
    return [compared("Table 3 in small: what each stage gives", cases, codec, rows)]


def table_steps(toy: Toy) -> list[Table]:
    """Return the many-step network at several numbers of steps and the student, through the same door."""
    scale, codec, model = toy.scale, toy.vae(), toy.harmovid()
    shots = _held_out(scale)[: max(scale.test_scenes // 2, 1)]
    cases = (harmonizing_case(shot, toy_truth(seed, scale.test_frames), codec) for seed, shot in shots)
    rows = [
        Row(f"DDIM, {steps} steps", model, replace(scale.sampling, steps=steps))
        for steps in scale.compared_steps
    ]
    return [compared("Steps", cases, codec, [*rows, Row("student, 1 step", toy.student(), scale.once)])]


def tables_real(toy: Toy, clips: Index) -> list[Table]:
    """Return the paper's two LUT sets on held-out real clips, a window of each; networks as they are trained."""
    scale, codec = toy.scale, toy.vae()
    made = RealShots(clips, scale.test_frames, scale.seed)
    shots = [(number, made(number)) for number in range(len(clips.clips))]
    looks = (look_case(shot, seed) for seed, shot in shots)
    full = [Row(f"full, {scale.steps} steps", toy.harmovid(), scale.sampling),
            Row("full, one step", toy.student(), scale.once)]  # fmt: skip
    luts = (lut_case(shot, seed) for seed, shot in shots)
    return [
        compared("Real clips: per-frame LUT", luts, codec, _deflickers(toy)),
        compared("Real clips: one LUT", looks, codec, full),
    ]


def harmonizing_task(shot: Shot) -> Sample:
    """Return what HarmoVid is given at test time: the first path's input; its target is not looked at."""
    return pairs.real_to_synthetic(replace(shot, steady=shot.real))


def _deflickers(toy: Toy) -> list[Row]:
    many, once = toy.scale.sampling, toy.scale.once
    return [
        Row(f"deflicker network, {many.steps} steps", toy.deflicker(), many),
        Row("deflicker network, one step", toy.deflicker_student(), once),
    ]


def _deflickered(bad: Float32, mask: Float32) -> dict[str, Float32]:
    return {"no-op": bad, "classical (mean and deviation)": trajectory(bad, mask)}


def _reconstructed(codec: Codec, truth: Float32, anchor: float) -> Float32:
    video = torch.from_numpy(pairs.encoded(truth, anchor)).permute(3, 0, 1, 2)[None]
    made = torch.cat(list(codec.decode(codec.encode([video]))), dim=2)[0].permute(1, 2, 3, 0)
    return from_model(from_vae(np.ascontiguousarray(made.numpy())), anchor)


def _held_out(scale: Scale) -> list[tuple[int, Shot]]:
    seeds = range(HELD_OUT, HELD_OUT + scale.test_scenes)
    return [(seed, toy_shot(seed, scale.test_frames)) for seed in seeds]
