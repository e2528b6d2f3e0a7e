"""Batches of training clips: drawn, framed, relit and composited on the fly, seeded, without end.

A clip is `frames` crops of one picture with one look on its foreground; truth is the same crops untouched. Rendered
subjects (`figures.py`, `relight.py`) over views of panoramas give clips whose truth is the subject in the view's light.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as fn
from torch.utils.data import DataLoader, Dataset

from harmovid_training.data.cache import Scenes
from harmovid_training.data.figures import Subjects
from harmovid_training.data.looks import Looks, apply_looks, draw_looks, draw_whole, film, soften, undo_tone
from harmovid_training.data.relight import render_pairs, view_odds

Float32 = npt.NDArray[np.float32]

HEIGHT, WIDTH = 72, 96
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
        self._view_odds = view_odds(scenes, self._views)
        self._lights = np.unique(scenes.light_of[self._views])
        self._rng = self.at(0)

    def at(self, step: int) -> np.random.Generator:
        """Begin the random numbers of `step` and return them."""
        self._rng = np.random.default_rng([self._seed, step])
        self._torch = torch.Generator().manual_seed(int(self._rng.integers(1 << 60)))
        return self._rng

    def __getstate__(self) -> Dict[str, Any]:
        """Leave torch's generator behind, which cannot go to another process; `at` makes another."""
        return {name: value for name, value in vars(self).items() if name != "_torch"}

    def regions(self, clips: int, frames: int) -> Batch:
        """Return a batch of regions of pictures under random looks."""
        rows = self._rng.choice(self.rows, clips, p=self._odds)
        mattes = self._scenes.mattes[rows, self._slots(rows)].astype(np.float32) / np.float32(255)
        if self._subjects is not None and not self._cut_out:
            self._put_silhouettes(mattes, self._subjects)
        framed, covered = self._framed(rows, mattes, frames)
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
        rows = self._rng.choice(self._views, clips, p=self._view_odds)
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

    def _put_silhouettes(self, mattes: Float32, subjects: Subjects) -> None:
        """Replace some of the mattes `(n, h, w)` by silhouettes of subjects."""
        for index in np.flatnonzero(self._rng.random(len(mattes)) < SILHOUETTE_SHARE):
            shape = subjects.silhouette(self._rng, mattes.shape[1:])
            if shape.mean() > 0.01:
                mattes[index] = shape.numpy()

    def _framed(self, rows: npt.NDArray[np.int64], mattes: Float32, frames: int) -> Tuple[Tensor, Tensor]:
        """Return random crops of pictures and mattes, flipped or not, that keep the foreground in sight."""
        pictures = np.empty((len(rows) * frames, HEIGHT, WIDTH, 3), np.float32)
        covered = np.empty((len(rows) * frames, HEIGHT, WIDTH), np.float32)
        flips = self._rng.choice([-1.0, 1.0], len(rows))
        zooms = self._rng.uniform(0.55, 1.0, (len(rows), frames))
        jitters = self._rng.uniform(-0.35, 0.35, (len(rows), frames, 2))
        for clip, row in enumerate(rows):
            whole, matte = self._scenes.pictures[row].astype(np.float32), mattes[clip]
            middle = _middle(matte)
            for frame in range(frames):
                place = _crop(middle + jitters[clip, frame], zooms[clip, frame], flips[clip], matte.shape)
                at = clip * frames + frame
                pictures[at], covered[at] = _read(whole, place), _read(matte, place)
        return torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(covered)[:, None]


def _middle(matte: Float32) -> npt.NDArray[np.float64]:
    """Return y, x of a matte's middle, -1..1 over the picture."""
    h, w = matte.shape
    total = max(float(matte.sum()), 1.0)
    y = float(matte.sum(axis=1) @ np.linspace(-1, 1, h)) / total
    return np.array([y, float(matte.sum(axis=0) @ np.linspace(-1, 1, w)) / total])


def _crop(
    middle: npt.NDArray[np.float64], zoom: float, flip: float, shape: Tuple[int, ...]
) -> npt.NDArray[np.float64]:
    """Return the matrix `(2, 3)` from pixels of a crop to pixels of the picture."""
    reach = 1 - zoom
    y, x = np.clip(np.clip(middle, -1, 1), -reach, reach)
    h, w = shape
    across, down = zoom * w / WIDTH, zoom * h / HEIGHT
    centre_x, centre_y = (x + 1) / 2 * w - 0.5, (y + 1) / 2 * h - 0.5
    return np.array([
        [flip * across, 0, centre_x - flip * across * (WIDTH - 1) / 2], [0, down, centre_y - down * (HEIGHT - 1) / 2],
    ])  # fmt: skip


def _read(plane: Float32, place: npt.NDArray[np.float64]) -> Float32:
    """Return a crop: at most two pixels of the cache fall on one of it, so plain reading hardly aliases."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    read = cv2.warpAffine(plane, place, (WIDTH, HEIGHT), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(read, np.float32)


def _each(looks: Looks, frames: int) -> Looks:
    """Return one look per frame from one per clip."""
    return Looks(**{name: value.repeat_interleave(frames, 0) for name, value in vars(looks).items()})


def anchors(composite: Tensor, matte: Tensor, seen: Tensor, frames: int) -> Tensor:
    """Return `(n,)` the exposure anchor of each clip, once per frame: `exposure_anchor` of the plate to match.

    The trimmed mean of log luma per frame, then the median over frames; matches harmovid.pixels.colour.model_space.
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
    """Yield the batches of steps `first` to `last` (exclusive), loaded ahead by `workers` processes (0: none).

    They are started afresh, each with the sampler's pictures of its own: OpenCV's threads do not survive a fork.
    """
    loader: DataLoader[Tuple[Batch, int]] = DataLoader(
        Draws(sampler, mix), batch_size=None, sampler=range(first, last), num_workers=workers,
        collate_fn=_as_it_is, prefetch_factor=4 if workers else None, worker_init_fn=_alone,
        multiprocessing_context="spawn" if workers else None,
    )  # fmt: skip
    yield from loader


def _as_it_is(item: Any) -> Any:
    return item


def _alone(_: int) -> None:
    """Begin a loading process: one thread, there are as many processes as wanted."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
