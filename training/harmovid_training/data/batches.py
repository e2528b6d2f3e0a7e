"""Batches of training clips: drawn, framed, relit and composited on the fly, seeded, without end.

A clip is `frames` crops of one picture with one look on its foreground; truth is the same crops untouched. Rendered
subjects (`figures.py`, `relight.py`) over views of panoramas give clips whose truth is the subject in the view's light.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Iterator, List, Optional, Sequence, Tuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as fn
from torch.utils.data import DataLoader, Dataset

from harmovid_training.data.cache import Scenes
from harmovid_training.data.figures import Subjects
from harmovid_training.data.looks import Looks, apply_looks, draw_looks, draw_whole, film, soften, undo_tone
from harmovid_training.data.relight import render_pairs

HEIGHT, WIDTH = 48, 64
"""Size of the network's pictures in training."""
SILHOUETTE_SHARE = 0.08
"""Share of clips whose matte is the silhouette of a subject at a random place, not a region of the picture."""
SLOT_ODDS = (2.5, 1.5, 1.0, 0.8, 0.8)
"""How often a picture's first, second ... matte is drawn: people and things come before fragments of a colour."""
PART_SHARE = 0.12
"""Share of clips of whose plate only a part is to be matched (a second matte)."""
TRIM = 0.1
ANCHOR_RANGE = 16.0


@dataclass(frozen=True)
class Batch:
    """`clips` x `frames` pictures, frames of a clip in consecutive rows; all linear, `(n, 3, h, w)` and `(n, 1, h, w)`.

    Attributes:
        composite: what the compositor has: foreground in the wrong light.
        truth: what it should be. matte: as delivered. covered: the true share of foreground.
        seen: the part of the plate to match. anchor: `(n,)` exposure anchor of the clip, of that part.
    """

    composite: Tensor
    truth: Tensor
    matte: Tensor
    covered: Tensor
    seen: Tensor
    anchor: Tensor

    def to(self, device: torch.device) -> Batch:
        """Return the batch on another device."""
        return Batch(*(getattr(self, part.name).to(device, non_blocking=True) for part in fields(Batch)))

    @staticmethod
    def joined(batches: Sequence[Batch]) -> Batch:
        """Return several batches as one."""
        return Batch(*(torch.cat([getattr(one, part.name) for one in batches]) for part in fields(Batch)))


class Sampler:
    """Draws batches from cached scenes; `held` picks the held-out scenes instead of those for training, `cut_out` only
    the first matte of each picture: a person or thing, as people cut out, and no fragment of a colour.

    `at(step)` sets the random numbers of a step: a batch depends on the seed and its step alone, so that a resumed
    run, and any number of loading processes, see the same batches.
    """

    def __init__(
        self,
        scenes: Scenes,
        subjects: Optional[Subjects],
        seed: int,
        held: bool = False,
        cut_out: bool = False,
    ) -> None:
        self._cut_out = cut_out
        self._scenes, self._subjects, self._seed = scenes, subjects, seed
        chosen = (scenes.held == held) & (scenes.counts > 0)
        self.rows = np.flatnonzero(chosen)
        self._odds = scenes.weights[self.rows] / scenes.weights[self.rows].sum()
        self._views = np.flatnonzero((scenes.held == held) & (scenes.light_of >= 0))
        self._lights = np.unique(scenes.light_of[self._views])
        self._torch = torch.Generator()
        self._rng = self.at(0)

    def at(self, step: int) -> np.random.Generator:
        """Begin the random numbers of `step` and return them."""
        self._rng = np.random.default_rng([self._seed, step])
        self._torch.manual_seed(int(self._rng.integers(1 << 60)))
        return self._rng

    def regions(self, clips: int, frames: int) -> Batch:
        """Return a batch of regions of pictures under random looks."""
        rows = self._rng.choice(self.rows, clips, p=self._odds)
        pictures = torch.from_numpy(self._scenes.pictures[rows].astype(np.float32)).permute(0, 3, 1, 2)
        mattes = torch.from_numpy(self._scenes.mattes[rows, self._slots(rows)].astype(np.float32) / 255)[
            :, None
        ]
        if self._subjects is not None and not self._cut_out:
            mattes = self._with_silhouettes(mattes, self._subjects)
        framed, covered = self._framed(pictures, mattes, frames)
        photo = torch.from_numpy(np.repeat(self._scenes.light_of[rows] < 0, frames))[:, None, None, None]
        truth = torch.where(photo, undo_tone(framed, self._torch, frames), film(framed, self._torch, frames))
        truth = apply_looks(truth, _each(draw_whole(clips, self._torch), frames))
        looks = _each(draw_looks(clips, self._torch), frames)
        covered = (
            fn.avg_pool2d(covered, 3, 1, 1) * 0.5 + covered * 0.5 if self._rng.random() < 0.3 else covered
        )
        composite = truth + (apply_looks(truth, looks) - truth) * covered
        return self._finished(composite, truth, covered, frames)

    def mixed(self, clips: int, frames: int, renders: float) -> Batch:
        """Return a batch of both kinds, `renders` of it rendered: normalisation sees what it will see in use."""
        rendered = round(clips * renders)
        return Batch.joined([self.regions(clips - rendered, frames), self.renders(rendered, frames)])

    def _slots(self, rows: npt.NDArray[np.int64]) -> List[int]:
        """Return which matte of each picture is drawn."""
        most = 1 if self._cut_out else self._scenes.mattes.shape[1]
        odds = np.cumsum(SLOT_ODDS[:most])
        counts = np.minimum(self._scenes.counts[rows], most)
        drawn = self._rng.random(len(rows)) * odds[counts - 1]
        return [int(slot) for slot in np.searchsorted(odds, drawn, side="right")]

    def renders(self, clips: int, frames: int = 1) -> Batch:
        """Return a batch of rendered subjects over plates, lit by another place; `Subjects` must be there."""
        if self._subjects is None:
            raise ValueError("this sampler has no subjects")
        rows = self._rng.choice(self._views, clips)
        composite, truth, covered = render_pairs(
            self._scenes, self._subjects, rows, self._lights, self._rng, (HEIGHT, WIDTH), frames
        )
        return self._finished(composite, truth, covered, frames)

    def _finished(self, composite: Tensor, truth: Tensor, covered: Tensor, frames: int) -> Batch:
        """Return the batch, with mattes as delivered and, for some clips, a part of the plate to match."""
        matte = soften(covered, self._torch)
        clips, (h, w) = len(matte) // frames, matte.shape[2:]
        seen = torch.ones(clips, 1, h, w)
        for index in np.flatnonzero(self._rng.random(clips) < PART_SHARE):
            share, edge = self._rng.uniform(0.35, 0.75), self._rng.integers(4)
            seen[index] = 0
            plane = seen[index, 0] if edge < 2 else seen[index, 0].T
            length = round(share * plane.shape[0])
            plane[:length] = 1
            if edge % 2:
                seen[index, 0] = seen[index, 0].flip((0, 1))
        seen = seen.repeat_interleave(frames, 0)
        return Batch(composite, truth, matte, covered, seen, anchors(composite, matte, seen, frames))

    def _with_silhouettes(self, mattes: Tensor, subjects: Subjects) -> Tensor:
        """Return mattes, some replaced by silhouettes of subjects."""
        result = mattes.clone()
        for index in range(len(mattes)):
            if self._rng.random() < SILHOUETTE_SHARE:
                shape = subjects.silhouette(self._rng, mattes.shape[2:])
                if shape.mean() > 0.01:
                    result[index, 0] = shape
        return result

    def _framed(self, pictures: Tensor, mattes: Tensor, frames: int) -> Tuple[Tensor, Tensor]:
        """Return random crops of pictures and mattes, flipped or not, that keep the foreground in sight."""
        count = len(pictures) * frames
        zoom = torch.from_numpy(self._rng.uniform(0.62, 1.0, count)).float()
        flip = torch.from_numpy(np.repeat(self._rng.choice([-1.0, 1.0], len(pictures)), frames)).float()
        rows = torch.linspace(-1, 1, mattes.shape[2])
        columns = torch.linspace(-1, 1, mattes.shape[3])
        total = mattes.sum((1, 2, 3)).clamp_min(1)
        middle_y = ((mattes.sum((1, 3)) @ rows) / total).repeat_interleave(frames)
        middle_x = ((mattes.sum((1, 2)) @ columns) / total).repeat_interleave(frames)
        jitter = torch.from_numpy(self._rng.uniform(-0.35, 0.35, (2, count))).float()
        reach = 1 - zoom
        shift_y, shift_x = (middle_y + jitter[0]).clamp(-1, 1), (middle_x + jitter[1]).clamp(-1, 1)
        theta = torch.zeros(count, 2, 3)
        theta[:, 0, 0], theta[:, 1, 1] = zoom * flip, zoom
        theta[:, 0, 2] = torch.maximum(torch.minimum(shift_x, reach), -reach)
        theta[:, 1, 2] = torch.maximum(torch.minimum(shift_y, reach), -reach)
        both = torch.cat([pictures, mattes], 1).repeat_interleave(frames, 0)
        # Two samples across and down per pixel: reading the cache more coarsely than it is would alias.
        grid = fn.affine_grid(theta, [count, 4, HEIGHT * 2, WIDTH * 2], align_corners=False)
        seen = fn.avg_pool2d(fn.grid_sample(both, grid, padding_mode="border", align_corners=False), 2)
        return seen[:, :3].contiguous(), seen[:, 3:].contiguous()


def _each(looks: Looks, frames: int) -> Looks:
    """Return one look per frame from one per clip."""
    return Looks(**{name: value.repeat_interleave(frames, 0) for name, value in vars(looks).items()})


def anchors(composite: Tensor, matte: Tensor, seen: Tensor, frames: int) -> Tensor:
    """Return `(n,)` the exposure anchor of each clip, once per frame: `exposure_anchor` of the plate to match.

    The trimmed mean of log luma per frame, then the median over frames; matches harmovid.pixels.model_space.
    """
    weights = torch.tensor([0.2126, 0.7152, 0.0722])[:, None, None]
    luma = (composite * weights).sum(1)[:, ::2, ::2].flatten(1)
    plate = (matte < 0.05) & (seen > 0.5)
    counts = (plate[:, 0, ::2, ::2].flatten(1) & (luma > 0)).float()
    logs = torch.log2(luma.clamp_min(2.0**-30))
    order = torch.where(counts > 0, logs, torch.full_like(logs, 99.0)).sort(1)
    total = counts.sum(1, keepdim=True)
    rank = torch.arange(logs.shape[1])[None] + 0.5
    inside = ((rank > TRIM * total) & (rank < (1 - TRIM) * total)).float()
    mean = (order.values * inside).sum(1) / inside.sum(1).clamp_min(1)
    middle = mean.reshape(-1, frames).median(1).values.repeat_interleave(frames)
    empty = total[:, 0] < 1
    return torch.where(
        empty, torch.full_like(middle, 0.18), torch.exp2(middle.clamp(-ANCHOR_RANGE, ANCHOR_RANGE))
    )


@dataclass(frozen=True)
class Mix:
    """What the steps of a run draw: `clips` per batch, the share of rendered clips in each, the share of batches of two
    frames a clip (half as many clips)."""

    clips: int
    renders: float
    pairs: float


class Draws(Dataset[Tuple[Batch, int]]):
    """Step number to (batch, frames per clip); for a `DataLoader`."""

    def __init__(self, sampler: Sampler, mix: Mix) -> None:
        self._sampler, self._mix = sampler, mix

    def __getitem__(self, step: int) -> Tuple[Batch, int]:
        frames = 2 if self._sampler.at(step).random() < self._mix.pairs else 1
        clips = self._mix.clips // frames
        if self._mix.renders:
            return self._sampler.mixed(clips, frames, self._mix.renders), frames
        return self._sampler.regions(clips, frames), frames


def draws(sampler: Sampler, mix: Mix, first: int, last: int, workers: int) -> Iterator[Tuple[Batch, int]]:
    """Yield the batches of steps `first` to `last` (exclusive), loaded ahead by `workers` processes (0: none)."""
    loader: DataLoader[Tuple[Batch, int]] = DataLoader(
        Draws(sampler, mix), batch_size=None, sampler=range(first, last), num_workers=workers,
        collate_fn=_as_it_is, prefetch_factor=4 if workers else None,
    )  # fmt: skip
    yield from loader


def _as_it_is(item: Any) -> Any:
    return item
