"""Training clips on disk: the fixed features of each clip, and the pixels on which the loss is computed.

    make_clips(folder, sampler, encoder, backbone, shards=200)       # resumable: existing shards are kept
    clips = Clips(folder); measured, points, kinds = clips.read(rows)

The compact part and the backbone are not trained here, so they run once for each clip. A shard is an `.npy` file of
`SHARD` records that depend on the sampler's seed and the shard's number alone.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Iterator, List, Sequence, Tuple

import numpy as np
import numpy.typing as npt
import torch
from harmovid.errors import InputError
from harmovid.storage.atomic import replacing
from torch import Tensor
from tqdm import tqdm

from harmovid_training.data.batches import Sampler
from harmovid_training.harmonizer.backbone import CHANNELS
from harmovid_training.harmonizer.constants import (
    BINS,
    CELL,
    CHROMA_BINS,
    GRID_COLUMNS,
    GRID_ROWS,
    LOCAL,
    PLACES,
    QUANTILES,
    STAGES,
    VALUES,
)
from harmovid_training.harmonizer.features import BackboneCall, measure
from harmovid_training.harmonizer.losses import Points, drawn_points
from harmovid_training.harmonizer.network import Encoder, Measured

SHARD, BATCH = 512, 32
POINTS = 192
"""Pixels kept of a clip, drawn by their share of foreground."""
RENDERS = 0.19
"""Share of clips that are rendered."""
HALF, SINGLE = "<f2", "<f4"
RECORD = np.dtype([
    ("pools", HALF, (4 * sum(STAGES) + 2 * (VALUES + 4),)), ("counts", HALF, (2 * (6 * BINS + CHROMA_BINS**2 + 7),)),
    ("facts", HALF, (8 * len(QUANTILES) + 2,)), ("local", HALF, (LOCAL, GRID_ROWS, GRID_COLUMNS)),
    ("cells", HALF, (CELL, *PLACES)), ("box", SINGLE, (4,)), ("stride8", HALF, (CHANNELS[0], *PLACES)),
    ("stride16", HALF, (CHANNELS[1], *PLACES)), ("stride32", HALF, (CHANNELS[2], 5, 6)),
    ("composite", SINGLE, (3, POINTS)), ("truth", SINGLE, (3, POINTS)), ("x", HALF, (POINTS,)), ("y", HALF, (POINTS,)),
    ("anchor", SINGLE), ("kind", "u1"), ("scene", "<u2"),
])  # fmt: skip
MEASURED = tuple(field.name for field in fields(Measured))
PLACED = ("composite", "truth", "x", "y", "anchor")
Records = npt.NDArray[np.void]


def make_clips(
    folder: Path, sampler: Sampler, encoder: Encoder, backbone: BackboneCall, shards: int, keep: int = 0
) -> None:
    """Write the missing ones of shards 0 to `shards` (exclusive) into `folder`.

    If `keep` is not 0, at most that many are kept: the oldest is deleted for each new one. An interrupted call resumes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = [_number(path) for path in shard_files(folder)]
    first = max(made) + 1 if keep and made else 0
    for shard in tqdm(range(first, shards), desc="shards", unit="shard", mininterval=10):
        path = folder / f"{shard:05d}.npy"
        if path.is_file():
            continue
        records = np.concatenate(list(_batches(shard, sampler, encoder, backbone)))
        with replacing(path) as partial, open(partial, "wb") as stream:
            np.save(stream, records)
        if keep:
            for old in shard_files(folder)[:-keep]:
                old.unlink()


def _batches(shard: int, sampler: Sampler, encoder: Encoder, backbone: BackboneCall) -> Iterator[Records]:
    for number in range(SHARD // BATCH):
        step = shard * (SHARD // BATCH) + number
        sampler.at(step)
        torch.manual_seed(step)
        with torch.no_grad():
            batch = sampler.mixed(BATCH, 1, RENDERS)
            seen, points = measure(encoder, backbone, batch), drawn_points(batch, POINTS)
            yield packed(seen, points, batch.kind, batch.scene)


def packed(seen: Measured, points: Points, kind: Tensor, scene: Tensor) -> Records:
    """Return clips as records."""
    records = np.zeros(len(kind), RECORD)
    for source, names in ((seen, MEASURED), (points, PLACED)):
        for name in names:
            limit = np.finfo(RECORD[name].base).max
            records[name] = np.clip(getattr(source, name).numpy(), -limit, limit)
    records["kind"], records["scene"] = kind.numpy(), scene.numpy()
    return records


def unpacked(records: Records) -> Tuple[Measured, Points, Tensor]:
    """Return records as input features, pixels for the loss, and the kinds of look."""
    held = {name: torch.from_numpy(records[name].astype(np.float32)) for name in (*MEASURED, *PLACED)}
    weight = torch.ones_like(held["composite"][:, :1])
    points = Points(weight=weight, **{name: held[name] for name in PLACED})
    return (
        Measured(**{name: held[name] for name in MEASURED}),
        points,
        torch.from_numpy(records["kind"].copy()),
    )


def shard_files(*folders: Path) -> List[Path]:
    """Return the shards in some folders, oldest first in each."""
    return [path for folder in folders for path in sorted(folder.glob("[0-9]*.npy"))]


def _number(path: Path) -> int:
    return int(path.stem)


class Clips:
    """The clips of some shards, mapped from disk; shards that are deleted meanwhile can still be read.

    Attributes:
        files: of the shards, in order.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        if not files:
            raise InputError(
                "there are no clips.", fix="Run python -m harmovid_training.harmonizer clips first."
            )
        self.files = tuple(files)
        self._shards = [np.load(path, mmap_mode="r") for path in self.files]

    def __len__(self) -> int:
        return SHARD * len(self._shards)

    def scenes(self) -> npt.NDArray[np.int64]:
        """Return the number of each clip's scene, a photo or a panorama."""
        return np.concatenate([shard["scene"] for shard in self._shards]).astype(np.int64)

    def read(self, rows: Sequence[int]) -> Tuple[Measured, Points, Tensor]:
        """Return the clips with these numbers."""
        records = np.stack([self._shards[row // SHARD][row % SHARD] for row in rows])
        return unpacked(records)

    def batches(self, size: int) -> Iterator[Tuple[Measured, Points, Tensor]]:
        """Yield all clips in order, `size` at a time."""
        for first in range(0, len(self), size):
            yield self.read(range(first, min(first + size, len(self))))
