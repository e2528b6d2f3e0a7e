"""Distillation from a many-step network: the samples stay the same, their targets are the teacher's results.

batches = TeacherBatches(batches, load_checkpoint(folder), Settings("ddim", 50))
"""

from __future__ import annotations

from dataclasses import replace
from typing import Callable, Sequence

import torch

from harmovid_training.inference.shot import Settings, sample
from harmovid_training.models.model import ConditionedModel
from harmovid_training.stages.batches import LatentBatch


class TeacherBatches:
    """Batches whose clean latents are the teacher's samples for their conditions; a function of the sample indices."""

    def __init__(
        self, batches: Callable[[Sequence[int]], LatentBatch], teacher: ConditionedModel, settings: Settings
    ) -> None:
        self._batches, self._teacher, self._settings = batches, teacher.eval(), settings

    def __call__(self, indices: Sequence[int]) -> LatentBatch:
        """Return the batch; the noise of a sample is seeded by its index."""
        batch = self._batches(indices)
        made = [
            sample(self._teacher, conditions[None], replace(self._settings, seed=index))
            for conditions, index in zip(batch.conditions, batch.indices)
        ]
        return replace(batch, clean=torch.cat(made).to(batch.clean))
