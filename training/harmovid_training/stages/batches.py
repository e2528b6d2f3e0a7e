"""Samples to batches of latents: sample `i` is a function of the seed and `i`, so any step can be repeated.

    batches = Encoded(samples, codec, conditioning, geometry)
    batch = batches(indices)

Every rank and every resumed run requests samples by index, not "the next one"; so a run resumes exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Iterator, Protocol, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from harmovid_training.models.backbone import Geometry
from harmovid_training.models.codec import Codec
from harmovid_training.models.conditioning import Conditioning, latent_mask
from harmovid_training.stages.pairs import Float32, Sample


@dataclass(frozen=True)
class LatentBatch:
    """The batch of a training step.

    Attributes:
        clean: `(B, C, T, h, w)` latents of the targets.
        conditions: `(B, channels - C, T, h, w)`.
        composite: `(B, C, T, h, w)` latents of the composite, from which a one-step student starts.
        indices: of the samples; they seed the noise.
        padding: number of added latents in front that stand for no frame (`Geometry.front_padding`).
    """

    clean: Tensor
    conditions: Tensor
    composite: Tensor
    indices: tuple[int, ...]
    padding: int = 0


class Samples(Protocol):
    """An endless dataset: a sample for every index, always the same one for the same index."""

    def __call__(self, index: int) -> Sample:
        """Return sample `index`."""


class Encoded:
    """Encodes samples with the frozen VAE on demand."""

    def __init__(
        self, samples: Samples, codec: Codec, conditioning: Conditioning, geometry: Geometry
    ) -> None:
        self.samples = samples
        self._codec = codec
        self._conditioning = conditioning
        self._geometry = geometry

    def __call__(self, indices: Sequence[int], made: Sequence[Sample] | None = None) -> LatentBatch:
        """Return a batch.

        Args:
            indices: of the samples.
            made: the samples, where a loader has read them already.
        """
        samples = [self.samples(index) for index in indices] if made is None else made
        latents = {
            name: self._encode([sample.pictures[name] for sample in samples])
            for name in self._conditioning.pictures
        }
        mask = torch.from_numpy(np.stack([sample.mask for sample in samples]))[:, None]
        clean = self._encode([sample.target for sample in samples])
        conditions = self._conditioning.assemble(latents, latent_mask(mask, self._geometry).to(clean))
        padding = self._geometry.front_padding(clean.shape[2])
        clean, conditions, composite = (
            front_padded(each, padding) for each in (clean, conditions, latents["composite"])
        )
        return LatentBatch(clean, conditions, composite, tuple(indices), padding)

    def _encode(self, clips: Sequence[Float32]) -> Tensor:
        video = torch.from_numpy(np.stack(clips)).permute(0, 4, 1, 2, 3)
        return torch.cat(list(self._codec.encode([video])), dim=2).float()


def front_padded(latents: Tensor, count: int) -> Tensor:
    """Return `(B, C, T, h, w)` with the first latent repeated `count` times in front, as diffusers pads 1.5."""
    return torch.cat([latents[:, :, :1]] * count + [latents], dim=2) if count else latents


class CachedBatches:
    """A fixed number of samples, encoded once and kept in memory: for small sets of clips, where encoding costs more
    than training. Index `i` is sample `i % count`."""

    def __init__(
        self, encoded: Encoded, count: int, progress: Callable[[Sequence[int]], Sequence[int]] = list
    ) -> None:
        rows = [encoded([index]) for index in progress(range(count))]
        self._clean = torch.cat([row.clean for row in rows])
        self._conditions = torch.cat([row.conditions for row in rows])
        self._padding = rows[0].padding if rows else 0

    def __call__(self, indices: Sequence[int]) -> LatentBatch:
        """Return a batch."""
        rows = [index % len(self._clean) for index in indices]
        conditions = self._conditions[rows]
        # The composite is the first picture of both networks (`conditioning.py`).
        return LatentBatch(
            self._clean[rows],
            conditions,
            conditions[:, : self._clean.shape[1]],
            tuple(indices),
            self._padding,
        )


class _Prepared(Dataset["tuple[tuple[int, ...], list[Sample]]"]):
    def __init__(self, samples: Samples, steps: list[tuple[int, ...]]) -> None:
        self._samples = samples
        self._steps = steps

    def __len__(self) -> int:
        return len(self._steps)

    def __getitem__(self, number: int) -> tuple[tuple[int, ...], list[Sample]]:
        indices = self._steps[number]
        return indices, [self._samples(index) for index in indices]


def prefetched(encoded: Encoded, steps: list[tuple[int, ...]], workers: int) -> Iterator[LatentBatch]:
    """Yield the batches of `steps` in order; worker processes read clips ahead, this process encodes them."""
    loader = DataLoader(
        _Prepared(encoded.samples, steps), batch_size=None, shuffle=False, num_workers=workers,
        multiprocessing_context="spawn" if workers else None,
    )  # fmt: skip
    for indices, samples in loader:
        yield encoded(indices, samples)


def step_indices(step: int, batch: int, accumulate: int, rank: int, world: int) -> list[tuple[int, ...]]:
    """Return the sample indices of one optimizer step for one process, a tuple per backward pass.

    All processes together take samples `step * batch` to `(step + 1) * batch - 1`, each once.
    """
    share = batch // (accumulate * world)
    start = step * batch + rank * share * accumulate
    return [tuple(range(start + part * share, start + (part + 1) * share)) for part in range(accumulate)]


class PrefetchedBatches:
    """Batches of a run in its own order, prefetched by worker processes.

    Args:
        encoded: makes the batches.
        iterations, batch, accumulate: of the run.
        rank, world: this process's number, and the number of processes.
        workers: processes that read and prepare clips.
    """

    def __init__(
        self,
        encoded: Encoded,
        iterations: int,
        batch: int,
        accumulate: int,
        rank: int,
        world: int,
        workers: int,
    ) -> None:
        self._encoded, self._iterations, self._workers = encoded, iterations, workers
        self._sharing = (batch, accumulate, rank, world)
        self._stream: Iterator[LatentBatch] | None = None

    def __call__(self, indices: Sequence[int]) -> LatentBatch:
        """Return the next batch; the first call sets the position at which the run starts or resumes."""
        if self._stream is None:
            first = indices[0] // self._sharing[0]
            plan = [
                part for step in range(first, self._iterations) for part in step_indices(step, *self._sharing)
            ]
            self._stream = prefetched(self._encoded, plan, self._workers)
        return next(self._stream)
