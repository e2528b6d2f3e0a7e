"""An endless, seeded series of training batches: clips are drawn, cropped, relit and composited on the fly.

A clip is `frames` crops of one picture with one look on its foreground; the truth is the same crops without the look.
Rendered subjects (`figures.py`, `relight.py`) over views of panoramas give clips whose truth is the subject in the
view's light.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import List, Optional, Sequence, Tuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as fn

from harmovid_training.data.cache import TRAIN, Scenes
from harmovid_training.data.figures import Subjects
from harmovid_training.data.looks import (
    RENDER_KIND,
    Looks,
    apply_looks,
    draw_looks,
    draw_whole,
    film,
    soften,
    undo_tone,
)
from harmovid_training.data.relight import render_pairs, view_odds

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

HEIGHT, WIDTH = 144, 192
"""Size of the pictures in training: crops around the subject, as serving makes them."""
REACH = 2.0
"""Size of serving's crop relative to the subject's box. In training it is drawn around this value."""
REACHES = (1.5, 3.0)
NEAREST = 0.35
"""Smallest height of a crop, as a share of the frame's."""
JITTER, STRETCH = 0.2, 0.08
"""How far a crop's middle strays from the subject's, in shares of the crop; deviation of its aspect, as a logarithm."""
SILHOUETTE_SHARE = 0.08
"""Share of clips whose matte is the silhouette of a subject at a random place, not a region of the picture."""
SLOT_ODDS = (3.0, 1.0, 0.8, 0.8)
"""How often a picture's first, second ... matte is drawn; people and things come before regions of one colour."""
PART_SHARE = 0.12
"""Share of clips of whose plate only a part is to be matched (a second matte)."""
TRIM = 0.1
ANCHOR_RANGE = 16.0


@dataclass(frozen=True)
class Batch:
    """`clips` x `frames` pictures, frames of a clip in consecutive rows; all linear, `(n, 3, h, w)` and `(n, 1, h, w)`.

    Attributes:
        composite: the input: the foreground in the wrong light over the plate.
        truth: the right answer. matte: as an artist delivers it. covered: the exact coverage by the foreground.
        seen: the part of the plate to match. anchor: `(n,)` exposure anchor of the clip, measured on that part.
        kind: `(n,)` uint8, one of `looks.KINDS`. scene: `(n,)` int64, number of the photo or panorama.
    """

    composite: Tensor
    truth: Tensor
    matte: Tensor
    covered: Tensor
    seen: Tensor
    anchor: Tensor
    kind: Tensor
    scene: Tensor

    def to(self, device: torch.device) -> Batch:
        """Return the batch on another device."""
        return Batch(*(getattr(self, part.name).to(device, non_blocking=True) for part in fields(Batch)))

    @staticmethod
    def joined(batches: Sequence[Batch]) -> Batch:
        """Return several batches as one."""
        return Batch(*(torch.cat([getattr(one, part.name) for one in batches]) for part in fields(Batch)))


class Sampler:
    """Draws batches from cached scenes: those for `use` (`cache.TRAIN`, `CHOOSE` or `TEST`).

    `cut_out` draws only the first matte of each picture, which is a person or a thing and not a region of one colour.
    `at(step)` seeds the random numbers of a step: a batch depends on the seed and its step alone, so clips made in
    several runs are the same as those made in one.
    """

    def __init__(
        self,
        scenes: Scenes,
        subjects: Optional[Subjects],
        seed: int,
        use: int = TRAIN,
        cut_out: bool = False,
    ) -> None:
        self._cut_out = cut_out
        self._scenes, self._subjects, self._seed = scenes, subjects, seed
        chosen = (scenes.use == use) & (scenes.counts > 0)
        self.rows = np.flatnonzero(chosen)
        self._odds = scenes.weights[self.rows] / scenes.weights[self.rows].sum()
        self._views = np.flatnonzero((scenes.use == use) & (scenes.light_of >= 0))
        self._view_odds = view_odds(scenes, self._views)
        self._lights = np.unique(scenes.light_of[self._views])
        count = len(scenes.use)
        self._scene = np.where(scenes.light_of < 0, np.arange(count), count + scenes.light_of)
        self._rng = self.at(0)

    def at(self, step: int) -> np.random.Generator:
        """Seed the random numbers for `step` and return the generator."""
        self._rng = np.random.default_rng([self._seed, step])
        self._torch = torch.Generator().manual_seed(int(self._rng.integers(1 << 60)))
        return self._rng

    def regions(self, clips: int, frames: int) -> Batch:
        """Return a batch of regions of pictures under random looks."""
        rows = self._rng.choice(self.rows, clips, p=self._odds)
        mattes = self._scenes.mattes[rows, self._slots(rows)].astype(np.float32) / np.float32(255)
        if self._subjects is not None and not self._cut_out:
            self._put_silhouettes(mattes, self._subjects)
        framed, covered = self._framed(rows, mattes, frames)
        photo = torch.from_numpy(np.repeat(self._scenes.light_of[rows] < 0, frames))
        truth = torch.empty_like(framed)
        truth[photo] = undo_tone(framed[photo], self._torch, frames)
        truth[~photo] = film(framed[~photo], self._torch, frames)
        truth = apply_looks(truth, _each(draw_whole(clips, self._torch), frames))
        looks = _each(draw_looks(clips, self._torch), frames)
        covered = (
            fn.avg_pool2d(covered, 3, 1, 1) * 0.5 + covered * 0.5 if self._rng.random() < 0.3 else covered
        )
        composite = truth + (apply_looks(truth, looks) - truth) * covered
        return self._finished(composite, truth, covered, frames, looks.kind, rows)

    def mixed(self, clips: int, frames: int, renders: float) -> Batch:
        """Return a batch of which the share `renders` is rendered: normalisation needs both kinds in every batch."""
        rendered = round(clips * renders)
        if not rendered:
            return self.regions(clips, frames)
        return Batch.joined([self.regions(clips - rendered, frames), self.renders(rendered, frames)])

    def _slots(self, rows: npt.NDArray[np.int64]) -> List[int]:
        """Return which matte of each picture is drawn."""
        most = 1 if self._cut_out else self._scenes.mattes.shape[1]
        odds = np.cumsum(SLOT_ODDS[:most])
        counts = np.minimum(self._scenes.counts[rows], most)
        drawn = self._rng.random(len(rows)) * odds[counts - 1]
        return [int(slot) for slot in np.searchsorted(odds, drawn, side="right")]

    def renders(self, clips: int, frames: int = 1) -> Batch:
        """Return a batch of rendered subjects over plates, in the light of other panoramas; needs `Subjects`."""
        if self._subjects is None:
            raise ValueError("this sampler has no subjects")
        rows = self._rng.choice(self._views, clips, p=self._view_odds)
        composite, truth, covered = render_pairs(
            self._scenes, self._subjects, rows, self._lights, self._rng, (HEIGHT, WIDTH), frames
        )
        kind = torch.full((clips * frames,), RENDER_KIND, dtype=torch.uint8)
        return self._finished(composite, truth, covered, frames, kind, rows)

    def _finished(
        self,
        composite: Tensor,
        truth: Tensor,
        covered: Tensor,
        frames: int,
        kind: Tensor,
        rows: npt.NDArray[np.int64],
    ) -> Batch:
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
        scene = torch.from_numpy(self._scene[rows]).repeat_interleave(frames, 0)
        anchor = anchors(composite, matte, seen, frames)
        return Batch(composite, truth, matte, covered, seen, anchor, kind, scene)

    def _put_silhouettes(self, mattes: Float32, subjects: Subjects) -> None:
        """Replace some of the mattes `(n, h, w)` by silhouettes of subjects."""
        for index in np.flatnonzero(self._rng.random(len(mattes)) < SILHOUETTE_SHARE):
            shape = subjects.silhouette(self._rng, mattes.shape[1:])
            if shape.mean() > 0.01:
                mattes[index] = shape.numpy()

    def _framed(self, rows: npt.NDArray[np.int64], mattes: Float32, frames: int) -> Tuple[Tensor, Tensor]:
        """Return crops around the foreground of pictures and mattes, flipped or not."""
        pictures = np.empty((len(rows) * frames, HEIGHT, WIDTH, 3), np.float32)
        covered = np.empty((len(rows) * frames, HEIGHT, WIDTH), np.float32)
        flips = self._rng.random(len(rows)) < 0.5
        low, high = (math.log(reach) for reach in REACHES)
        reaches = np.exp(self._rng.uniform(low, high, (len(rows), frames)))
        jitters = self._rng.uniform(-JITTER, JITTER, (len(rows), frames, 2))
        stretches = np.exp(self._rng.normal(0, STRETCH, len(rows)))
        for clip, row in enumerate(rows):
            whole, matte = self._scenes.pictures[row].astype(np.float32), mattes[clip]
            box = subject_box(torch.from_numpy(matte)[None, None])[0].numpy().astype(np.float64)
            for frame in range(frames):
                window = crop_window(
                    box, matte.shape, reaches[clip, frame], stretches[clip], jitters[clip, frame]
                )
                place, at = _place(window, matte.shape, bool(flips[clip])), clip * frames + frame
                pictures[at], covered[at] = _read(whole, place), _read(matte, place)
        return torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(covered)[:, None]


def subject_box(matte: Tensor) -> Tensor:
    """Return (n, 4): boxes of two standard deviations about the centres of mattes (n, 1, h, w), in shares of the
    frame."""
    h, w = matte.shape[2:]
    total = matte.sum((1, 2, 3)).clamp_min(1e-3)
    rows = (torch.arange(h, device=matte.device) + 0.5) / h
    columns = (torch.arange(w, device=matte.device) + 0.5) / w
    along_y, along_x = matte.sum((1, 3)), matte.sum((1, 2))
    y, x = (along_y @ rows) / total, (along_x @ columns) / total
    dy = ((along_y @ rows**2) / total - y**2).clamp_min(1e-4).sqrt() * 2
    dx = ((along_x @ columns**2) / total - x**2).clamp_min(1e-4).sqrt() * 2
    return torch.stack([x - dx, y - dy, x + dx, y + dy], 1)


def crop_window(
    box: Float64,
    shape: Tuple[int, ...],
    reach: float = REACH,
    stretch: float = 1.0,
    jitter: Sequence[float] = (0, 0),
) -> Float64:
    """Return the crop `(4,)` x0, y0, x1, y1 in shares of a frame of `shape` (rows, columns) around a subject's `box`.

    It is `reach` times as large as the box, has the aspect ratio of the training pictures where the frame allows, and
    lies inside the frame.
    """
    frame = shape[1] / shape[0] / (WIDTH / HEIGHT)
    middle, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 * reach
    tall = max(half[1], half[0] * frame, NEAREST / 2)
    half = np.minimum([tall / frame * stretch, tall], 0.5)
    middle = np.clip(middle + 2 * half * np.asarray(jitter), half, 1 - half)
    return np.concatenate([middle - half, middle + half])


def _place(window: Float64, shape: Tuple[int, ...], flip: bool) -> Float64:
    """Return the matrix `(2, 3)` from pixels of a crop to pixels of the picture."""
    x0, y0, x1, y1 = window * [shape[1], shape[0], shape[1], shape[0]]
    if flip:
        x0, x1 = x1, x0
    across, down = (x1 - x0) / WIDTH, (y1 - y0) / HEIGHT
    return np.array([[across, 0, x0 + across / 2 - 0.5], [0, down, y0 + down / 2 - 0.5]])


def _read(plane: Float32, place: Float64) -> Float32:
    """Return a crop by bilinear sampling: it shrinks by 1.5 at most, so there is hardly any aliasing."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    read = cv2.warpAffine(plane, place, (WIDTH, HEIGHT), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(read, np.float32)


def _each(looks: Looks, frames: int) -> Looks:
    """Return one look per frame from one per clip."""
    return Looks(**{name: value.repeat_interleave(frames, 0) for name, value in vars(looks).items()})


def anchors(composite: Tensor, matte: Tensor, seen: Tensor, frames: int) -> Tensor:
    """Return `(n,)` the exposure anchor of each clip, repeated for each frame: `exposure_anchor` of the plate to match.

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
