"""Held-out clips of the toy as tasks with known truth: the networks' inputs, and the results of simple methods."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Iterable, Iterator, Mapping

import numpy as np
import torch

from harmovid_training.metrics.degrade import DEGRADATIONS
from harmovid_training.models.codec import Codec
from harmovid_training.models.space import decode, encode
from harmovid_training.stages import pairs
from harmovid_training.stages.engine_frames import Servers
from harmovid_training.stages.pairs import Float32, Sample, Shot
from harmovid_training.toy.classical import by_engine, trajectory
from harmovid_training.toy.comparisons import CLASSICAL, ENGINE, GIVEN, NO_OP
from harmovid_training.toy.shots import looked, matched_statistics, toy_shot, toy_truth
from harmovid_training.toy.stage_one import FrameByFrame


@dataclass(frozen=True)
class Case:
    """A held-out clip.

    Attributes:
        truth, mask: the right answer, and where it is compared.
        given: the clip that a change of light is applied to.
        sample: a network's input.
        plain: results of methods that are not networks, by name.
        stage_two: a deflicker network's input where the task is to harmonize: stage 1's clip.
    """

    truth: Float32
    mask: Float32
    given: Float32
    sample: Sample
    plain: Mapping[str, Float32] = field(default_factory=dict)
    stage_two: Sample | None = None


def relit_case(seed: int, frames: int, stage_one: FrameByFrame, codec: Codec) -> Case:
    """A composite over a set in another light; the truth is the figure in that light."""
    case = _harmonizing(toy_shot(seed, frames), toy_truth(seed, frames), stage_one, seed)
    picture = {"the VAE's picture of the truth": reconstructed(codec, case.truth, case.sample.anchor)}
    return replace(case, plain={**case.plain, **picture})


def look_case(seed: int, frames: int, stage_one: FrameByFrame, strong: bool) -> Case:
    """A clip whose foreground has one look in all frames, over its own background: the paper's uniform LUT set."""
    shot = toy_shot(seed, frames)
    given = replace(shot, real=looked(shot, seed, strong), background=shot.plate)
    return _harmonizing(given, pairs.composite(shot.real, shot.plate, shot.mask), stage_one, seed)


def lut_case(shot: Shot, seed: int) -> Case:
    """A clip whose foreground gets another random curve in every frame: the paper's per-frame LUT set."""
    bad = DEGRADATIONS["curves-fg"].apply(shot.real, shot.mask, seed)
    sample = pairs.deflicker_sample(replace(shot, synthetic=bad))
    return Case(shot.real, shot.mask, bad, sample, _deflickered(bad, shot.mask))


def stage_one_case(seed: int, frames: int, stage_one: FrameByFrame) -> Case:
    """Stage 1's clip, the paper's second set; here the truth is known: the figure in the new light."""
    shot = toy_shot(seed, frames)
    bad = stage_one(shot, seed)
    sample = pairs.stage_one_sample(replace(shot, synthetic=bad))
    return Case(toy_truth(seed, frames), shot.mask, bad, sample, _deflickered(bad, shot.mask))


def with_engine(cases: Iterable[Case], servers: Servers) -> Iterator[Case]:
    """Yield flickering clips with the result of the product's deflicker engine among their simple methods."""
    for case in cases:
        calm = by_engine(case.given, case.mask, servers)
        yield replace(case, plain={**case.plain, ENGINE: calm})


def reconstructed(codec: Codec, truth: Float32, anchor: float) -> Float32:
    """Return a clip after the VAE's encoder and decoder: an upper bound for a network's pixels."""
    video = torch.from_numpy(encode(truth, anchor)).permute(3, 0, 1, 2)[None]
    made = torch.cat(list(codec.decode(codec.encode([video]))), dim=2)[0].permute(1, 2, 3, 0)
    return decode(np.ascontiguousarray(made.numpy()), anchor)


def _harmonizing(shot: Shot, truth: Float32, stage_one: FrameByFrame, seed: int) -> Case:
    given = pairs.composite(shot.real, shot.background, shot.mask)
    first = stage_one(shot, seed)
    plain = {
        GIVEN: given,
        "mean and deviation of the background": matched_statistics(given, shot.background, shot.mask),
        "stage 1 as it is": first,
    }
    sample = pairs.real_to_synthetic(replace(shot, steady=shot.real))
    return Case(
        truth, shot.mask, given, sample, plain, pairs.stage_one_sample(replace(shot, synthetic=first))
    )


def _deflickered(bad: Float32, mask: Float32) -> dict[str, Float32]:
    return {NO_OP: bad, CLASSICAL: trajectory(bad, mask)}
