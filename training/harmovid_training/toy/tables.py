"""The toy's tables on held-out scenes: the paper's Table 2 and Table 3 in small, and results against sampler steps.

Numbers are of the foreground only, against exact truth, means over scenes. "Field" rows take a network's
picture the way the product does: its change of light is fitted as a lighting field and applied to the input's
own pixels, so a small VAE's blur does not count. Flicker is the roughness of the foreground's mean log2 light
over time (second differences, stops).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from harmovid.pixels.apply_fast import apply_field
from harmovid.pixels.fit import fit_field

from harmovid_training.evaluate.degrade import DEGRADATIONS
from harmovid_training.evaluate.metrics import psnr, psnr_g, stops_rmse
from harmovid_training.evaluate.traces import roughness_stops
from harmovid_training.inference.shot import Settings
from harmovid_training.models.codec import CogVideoXCodec
from harmovid_training.models.model import ConditionedModel
from harmovid_training.stages import paths
from harmovid_training.stages.paths import Float32, Sample, Shot
from harmovid_training.toy.recipe import HELD_OUT, Scale, Toy, run_sample, toy_shot, toy_truth

TRAJECTORY_FRAMES = 6.0
"""Deviation of the Gaussian over time that the classical deflicker follows."""

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


def measures(result: Float32, truth: Float32, mask: Float32) -> tuple[float, ...]:
    """Return PSNR, PSNR after one colour transform, error in stops, and the flicker of a result."""
    quality = psnr(result, truth, mask), psnr_g(result, truth, mask), stops_rmse(result, truth, mask)
    return (*quality, roughness_stops(result, mask))


def through_field(given: Float32, result: Float32, mask: Float32) -> Float32:
    """Return `given` with the change of light that `result` shows, as the product applies it: a field per frame."""
    made = given.copy()
    box = (0, 0, given.shape[2], given.shape[1])
    for index, (before, after, matte) in enumerate(zip(given, result, mask)):
        field = fit_field(before, after, box=box, weights=matte, trusted=False)
        made[index] = apply_field(before, field, origin=(0, 0), mask=matte)[0]
    return made


def trajectory(clip: Float32, mask: Float32) -> Float32:
    """Return the classical deflicker: each frame's mean and deviation of log2 light follow their smoothed course."""
    floor = np.float32(2.0**-14)
    logs = np.log2(np.maximum(clip, floor))
    inside = mask > 0.5
    stats = np.array(
        [
            [(logs[t][inside[t]][:, c].mean(), logs[t][inside[t]][:, c].std()) for c in range(3)]
            for t in range(len(clip))
        ]
    )
    away = np.arange(len(clip))[:, None] - np.arange(len(clip))[None]
    kernel = np.exp(-0.5 * (away / TRAJECTORY_FRAMES) ** 2)
    smooth = np.einsum("st,tck->sck", kernel / kernel.sum(1, keepdims=True), stats)
    gain = smooth[:, :, 1] / np.maximum(stats[:, :, 1], 1e-3)
    moved = (logs - stats[:, None, None, :, 0]) * gain[:, None, None] + smooth[:, None, None, :, 0]
    return np.where(inside[..., None], np.exp2(moved), clip).astype(np.float32)


def table_two(toy: Toy) -> list[Table]:
    """Return Table 2 in small: per-frame LUTs on a real clip, and stage 1's flicker, before and after deflickering."""
    model, student, codec, scale = toy.deflicker(), toy.deflicker_student(), toy.vae(), toy.scale
    once = replace(scale.sampling, sampler="one-step", steps=1)

    def lut(seed: int) -> tuple[Sample, Float32, Float32, Float32]:
        shot = toy_shot(seed, scale.test_frames)
        bad = DEGRADATIONS["curves-fg"].apply(shot.real, shot.mask, seed)
        return paths.deflicker_sample(replace(shot, synthetic=bad)), bad, shot.real, shot.mask

    def harmonized(seed: int) -> tuple[Sample, Float32, Float32, Float32]:
        shot = toy_shot(seed, scale.test_frames)
        return paths.stage_one_sample(shot), shot.synthetic, toy_truth(seed, scale.test_frames), shot.mask

    tables = []
    for title, case in (("per-frame LUT", lut), ("per-frame harmonization", harmonized)):
        rows: dict[str, list[tuple[float, ...]]] = {}
        for seed in _held_out(scale):
            sample, bad, truth, mask = case(seed)
            made = run_sample(model, codec, sample, scale.sampling)
            quick = run_sample(student, codec, sample, once)
            results = {
                "no-op": bad,
                "classical (mean and deviation)": trajectory(bad, mask),
                "deflicker network, pixels": made,
                "deflicker network, field": through_field(bad, made, mask),
                "one-step network, pixels": quick,
                "one-step network, field": through_field(bad, quick, mask),
                "truth": truth,
            }
            for name, result in results.items():
                rows.setdefault(name, []).append(measures(result, truth, mask))
        tables.append(Table(f"Table 2 in small: {title}", _means(rows)))
    return tables


def table_three(toy: Toy) -> list[Table]:
    """Return Table 3 in small: the ablation of stages 2 and 3 on rendered composites with exact truth."""
    full, without, deflicker, codec = toy.harmovid(), toy.no_stage_two(), toy.deflicker(), toy.vae()
    rows: dict[str, list[tuple[float, ...]]] = {}
    for seed in _held_out(toy.scale):
        shot, truth = toy_shot(seed, toy.scale.test_frames), toy_truth(seed, toy.scale.test_frames)
        given = paths.composite(shot.real, shot.background, shot.mask)
        task = _task(shot)
        results = {"composite as it is": given, "stage 1 as it is (knows the light)": shot.synthetic}
        results["without stage 3: stage 1 + deflicker (knows the light)"] = run_sample(
            deflicker, codec, paths.stage_one_sample(shot), toy.scale.sampling
        )
        for name, model in (("without stage 2", without), ("full", full)):
            made = run_sample(model, codec, task, toy.scale.sampling)
            results[f"{name}, pixels"] = made
            results[f"{name}, field"] = through_field(given, made, shot.mask)
        results["VAE of the truth, pixels"] = _reconstructed(codec, truth, task)
        results["truth"] = truth
        for name, result in results.items():
            rows.setdefault(name, []).append(measures(result, truth, shot.mask))
    return [Table("Table 3 in small: what each stage gives", _means(rows))]


def table_steps(toy: Toy) -> list[Table]:
    """Return the multi-step network at several numbers of steps and the one-step student, through the same door."""
    model, student, codec = toy.harmovid(), toy.student(), toy.vae()
    window = toy.scale.sampling
    methods: list[tuple[str, ConditionedModel, Settings]] = [
        (f"DDIM, {steps} steps", model, replace(window, steps=steps)) for steps in toy.scale.compared_steps
    ]
    methods.append(("student, 1 step", student, replace(window, sampler="one-step", steps=1)))
    rows: dict[str, list[tuple[float, ...]]] = {}
    for seed in _held_out(toy.scale)[: max(toy.scale.test_scenes // 2, 1)]:
        shot, truth = toy_shot(seed, toy.scale.test_frames), toy_truth(seed, toy.scale.test_frames)
        for name, chosen, settings in methods:
            made = run_sample(chosen, codec, _task(shot), settings)
            rows.setdefault(f"{name}, pixels", []).append(measures(made, truth, shot.mask))
            given = paths.composite(shot.real, shot.background, shot.mask)
            fielded = through_field(given, made, shot.mask)
            rows.setdefault(f"{name}, field", []).append(measures(fielded, truth, shot.mask))
    return [Table("Steps", _means(rows))]


def _task(shot: Shot) -> Sample:
    """What HarmoVid is given at test time: the first path's input; its target is not looked at."""
    return paths.real_to_synthetic(replace(shot, steady=shot.real))


def _reconstructed(codec: CogVideoXCodec, truth: Float32, task: Sample) -> Float32:
    import torch
    from harmovid.pixels.model_space import from_model

    from harmovid_training.models.space import from_vae

    video = torch.from_numpy(paths.encoded(truth, task.anchor)).permute(3, 0, 1, 2)[None]
    made = torch.cat(list(codec.decode(codec.encode([video]))), dim=2)[0].permute(1, 2, 3, 0)
    return from_model(from_vae(np.ascontiguousarray(made.numpy())), task.anchor)


def _held_out(scale: Scale) -> list[int]:
    return list(range(HELD_OUT, HELD_OUT + scale.test_scenes))


def _means(rows: dict[str, list[tuple[float, ...]]]) -> list[tuple[str, tuple[float, ...]]]:
    return [(name, tuple(float(value) for value in np.mean(values, axis=0))) for name, values in rows.items()]
