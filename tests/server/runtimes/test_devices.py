"""GPUs are counted from the driver's folder, as far as the environment lets this process see them."""

from __future__ import annotations

from pathlib import Path

import pytest
from harmovid_server.runtimes.devices import count_gpus


@pytest.mark.parametrize(
    ("environ", "count"),
    [
        ({}, 2),
        ({"CUDA_VISIBLE_DEVICES": "1"}, 1),
        ({"CUDA_VISIBLE_DEVICES": ""}, 0),
        ({"CUDA_VISIBLE_DEVICES": "-1"}, 0),
    ],
)
def test_gpus_are_counted(tmp_path: Path, environ: dict[str, str], count: int) -> None:
    """Two cards are two, one where only one is visible, none where none is."""
    for name in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / name).mkdir()

    assert count_gpus(environ, tmp_path) == count


def test_no_driver_no_gpu(tmp_path: Path) -> None:
    """Without the driver's folder there is no GPU, whatever the environment says."""
    assert count_gpus({"CUDA_VISIBLE_DEVICES": "0"}, tmp_path / "none") == 0
