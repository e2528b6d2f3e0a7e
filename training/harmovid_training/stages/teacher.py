"""A student taught by a many-step network instead of by the pairs: the same samples, the teacher's answers as targets.

batches = Taught(batches, load_checkpoint(folder), Settings("ddim", 50))
"""

from __future__ import annotations

from dataclasses import replace
from typing import Callable, Sequence

import torch

from harmovid_training.inference.shot import Settings, sample
from harmovid_training.models.model import ConditionedModel
from harmovid_training.stages.batches import LatentBatch


class Taught:
    """Batches whose clean latents are what the teacher makes of their conditions; a function of the sample numbers."""

    def __init__(
        self, batches: Callable[[Sequence[int]], LatentBatch], teacher: ConditionedModel, settings: Settings
    ) -> None:
        self._batches, self._teacher, self._settings = batches, teacher.eval(), settings

    def __call__(self, indices: Sequence[int]) -> LatentBatch:
        """Return the batch; every sample has noise of its own number."""
        batch = self._batches(indices)
        made = [
            sample(self._teacher, conditions[None], replace(self._settings, seed=index))
            for conditions, index in zip(batch.conditions, batch.indices)
        ]
        return replace(batch, clean=torch.cat(made).to(batch.clean))
