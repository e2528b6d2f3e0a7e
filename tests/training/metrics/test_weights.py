"""Weights of perceptual measures: found by name or by path; missing ones are an error that says where to get them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from harmovid_training.metrics.weights import MetricUnavailable, named_files, read_tensors


def test_published_weights_are_found_by_name(tmp_path, monkeypatch):
    """A name leads to torch's hub folder; a path is itself; what is not on this machine says where to fetch it."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    there = tmp_path / "checkpoints" / "raft_large_C_T_SKHT_V2-ff5fadd5.pth"
    there.parent.mkdir()
    there.touch()
    assert named_files("raft-large") == (there,)
    assert named_files("my/own.pth") == (Path("my/own.pth"),)
    with pytest.raises(MetricUnavailable, match="raft_small") as told:
        named_files("raft-small")
    assert "https://" in told.value.fix


def test_damaged_weights_are_reported(tmp_path):
    """A file that is no state dict ends in a sentence that names it, whatever its reader stumbles over."""
    for name in ("a.pth", "a.safetensors"):
        (tmp_path / name).write_bytes(b"no weights at all")
        with pytest.raises(MetricUnavailable, match="cannot be read as weights"):
            read_tensors((tmp_path / name,))
