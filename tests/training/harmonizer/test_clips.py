"""Clips on disk: the same in one run or several, limited in number, and read as they were written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from harmovid.errors import InputError
from harmovid_training.data.batches import Sampler
from harmovid_training.harmonizer import clips as module
from harmovid_training.harmonizer.clips import MEASURED, Clips, packed, shard_files, unpacked
from harmovid_training.harmonizer.features import measure
from harmovid_training.harmonizer.losses import drawn_points
from harmovid_training.harmonizer.network import Encoder
from training.data.world import scenes, subjects
from training.harmonizer.made import backbone, clips


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make shards of four clips."""
    monkeypatch.setattr(module, "SHARD", 4)
    monkeypatch.setattr(module, "BATCH", 2)


def test_clips_made_in_two_goes_are_the_same(tmp_path: Path) -> None:
    """If making stops after one shard and resumes, the shards are bit-identical to those of one run."""
    clips(tmp_path / "whole", 2)
    clips(tmp_path / "parts", 1)
    (tmp_path / "parts" / ".00001.npy.0123abcd.tmp").write_bytes(b"broken off")
    clips(tmp_path / "parts", 2)
    for name in ("00000.npy", "00001.npy"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()
    assert len(Clips(shard_files(tmp_path / "whole", tmp_path / "parts"))) == 16


def test_the_buffer_rolls(tmp_path: Path) -> None:
    """With `keep` 2 of four shards the last two are there, and a resumed run makes the next."""
    clips(tmp_path, 4, keep=2)
    assert [path.stem for path in shard_files(tmp_path)] == ["00002", "00003"]
    clips(tmp_path, 5, keep=2)
    assert [path.stem for path in shard_files(tmp_path)] == ["00003", "00004"]


def test_what_is_read_is_what_was_measured() -> None:
    """Records keep what the network measures within half precision, and the pixels and kinds as they were."""
    sampler = Sampler(scenes(8), subjects(), 3)
    with torch.no_grad():
        batch = sampler.mixed(3, 1, 0.34)
        seen, points = measure(Encoder().eval(), backbone(), batch), drawn_points(batch, module.POINTS)
    again, pixels, kind = unpacked(packed(seen, points, batch.kind, batch.scene))

    for name in MEASURED:
        wanted = getattr(seen, name).numpy()
        np.testing.assert_allclose(getattr(again, name).numpy(), wanted, rtol=1e-3, atol=1e-3)
    assert torch.equal(pixels.truth, points.truth)
    assert torch.equal(kind, batch.kind)


def test_no_clips_are_reported() -> None:
    """A folder without shards is an error with a fix."""
    with pytest.raises(InputError, match="no clips"):
        Clips([])
