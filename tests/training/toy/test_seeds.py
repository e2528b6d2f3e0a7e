"""Several seeds of the toy come together clip by clip."""

from __future__ import annotations

import pytest
from harmovid_training.toy.classical import COLUMNS
from harmovid_training.toy.seeds import merged


def test_seeds_are_averaged_clip_by_clip() -> None:
    """Two seeds' values of two clips give their means, intervals over clips, and the deviation of the seeds' means."""
    count = len(COLUMNS)
    one, other = {"full": [[1.0] * count, [3.0] * count]}, {"full": [[3.0] * count, [5.0] * count]}
    text = merged("Table 3", [one, other])
    assert "(2 clips)" in text
    assert "| full | 3.000 (2.000, 4.000) |" in text
    assert float(text.splitlines()[-1].split("|")[2]) == pytest.approx(2**0.5, abs=1e-3)
