"""Stage 1 of the toy: a per-frame harmonizer of the toy's own class, trained on other scenes.

    model = ...                                            # trained on `frame_sample(0)`, `frame_sample(1)`, ...
    synthetic = FrameByFrame(model, codec, steps, seed)(shot, number)

It stands for the pretrained image harmonizer that the paper uses: a diffusion network with the paper's loss that sees
one frame and was trained on pairs of other scenes. Each frame is sampled with noise of its own, so the clip flickers
without any added error; the network is not given the light.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from harmovid_training.inference.windows import over_windows
from harmovid_training.models.codec import Codec
from harmovid_training.models.model import ConditionedModel
from harmovid_training.stages import pairs
from harmovid_training.stages.batches import Encoded
from harmovid_training.stages.pairs import Float32, Sample, Shot
from harmovid_training.toy.shots import STAGE_ONE, toy_shot, toy_truth


def frame_sample(index: int) -> Sample:
    """Return training sample `index`: a composite of one frame, and the figure in the set's light."""
    seed = STAGE_ONE + index
    return pairs.real_to_synthetic(replace(toy_shot(seed, 1), steady=toy_truth(seed, 1)))


class FrameByFrame:
    """Harmonizes a shot frame by frame.

    Args:
        model: trained on single frames.
        codec: the VAE.
        steps: of the DDIM sampler.
        seed: of the noise; each frame of each shot has noise of its own.
    """

    def __init__(self, model: ConditionedModel, codec: Codec, steps: int, seed: int) -> None:
        self._model, self._codec, self._steps, self._seed = model, codec, steps, seed

    @torch.no_grad()
    def __call__(self, shot: Shot, number: int) -> Float32:
        """Return stage 1's clip `(T, H, W, 3)`, scene-linear; outside the mask the new background."""
        count = len(shot.real)
        samples = [pairs.real_to_synthetic(_frame(shot, index)) for index in range(count)]
        encoded = Encoded(
            lambda index: samples[index], self._codec, self._model.conditioning, self._model.geometry
        )
        latents = self._sampled(encoded(range(count)).conditions, number)
        pictures = torch.cat(list(self._codec.decode([latents])), dim=2)[:, :, 0].permute(0, 2, 3, 1).numpy()
        made = [sample.light(one) for one, sample in zip(pictures, samples)]
        return pairs.composite(np.stack(made), shot.background, shot.mask)

    def _sampled(self, conditions: Tensor, number: int) -> Tensor:
        channels = self._model.geometry.channels
        noise = torch.stack(
            [
                self._noise((channels, *conditions.shape[2:]), number, index)
                for index in range(len(conditions))
            ]
        )
        sampler = self._model.schedule.sampler("ddim", self._steps)
        predict = over_windows(self._model, conditions, [slice(0, 1)])
        timeline = sampler.start(noise, conditions[:, :channels])
        for index, time in enumerate(sampler.times):
            timeline = sampler.step(index, predict(timeline, time), timeline)
        return timeline

    def _noise(self, shape: tuple[int, ...], number: int, index: int) -> Tensor:
        seed = int(np.random.default_rng([self._seed, 31, number, index]).integers(2**62))
        return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _frame(shot: Shot, index: int) -> Shot:
    one = slice(index, index + 1)
    return Shot(
        shot.real[one], shot.mask[one], shot.background[one], shot.real[one], shot.plate[one], shot.alpha[one],
        steady=shot.real[one],
    )  # fmt: skip
