"""Settings for tiny networks: one thread, because a second one costs more than it saves."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

HERE = Path(__file__).resolve().parent
PATIENCE_S = 900
"""Time limit that distinguishes a hanging test from one on a very busy machine."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Raise the time limit of the tests in this folder, as the time of a training depends on the machine's load."""
    for item in items:
        if HERE in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(PATIENCE_S))


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Let torch work on one thread while these tests run."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
