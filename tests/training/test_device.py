"""Each process works on its own GPU."""

from __future__ import annotations

import pytest
import torch
from harmovid_training.device import best_device
from harmovid_training.stages import run


@pytest.mark.parametrize(
    ("there", "rank", "device"), [(False, "3", "cpu"), (True, None, "cuda"), (True, "3", "cuda:3")]
)
def test_a_process_takes_the_gpu_of_its_rank(monkeypatch, there, rank, device):
    """Without a GPU the CPU, alone the first one, among several processes that of the launcher's local rank."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("LOCAL_RANK", rank)
    assert best_device() == device


@pytest.mark.parametrize(
    ("fsdp", "efficient", "sent"), [("true", "true", True), ("true", "false", False), ("", "true", False)]
)
def test_weights_are_read_by_one_process_where_they_are_sent(monkeypatch, fsdp, efficient, sent):
    """Only with FSDP and its efficient loading do the other processes go without weights of their own."""
    monkeypatch.setenv("ACCELERATE_USE_FSDP", fsdp)
    monkeypatch.setenv("FSDP_CPU_RAM_EFFICIENT_LOADING", efficient)
    assert run.sent_weights() is sent
