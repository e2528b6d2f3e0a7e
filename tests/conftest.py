"""Fixtures shared by all tests: where the evaluation footage is, and a warm cache for compiled code."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# A property holds or not; how long one example takes says only how busy the machine is.
settings.register_profile("harmovid", deadline=None)
settings.load_profile("harmovid")

# As the server's own children do; numpy reads it when it is imported, and nothing has imported it yet.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

REPO = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def repo() -> Path:
    """Return the repository's root."""
    return REPO


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of evaluation footage, or skip: a newcomer does not have it and needs nothing of it."""
    folder = Path(os.environ.get("HARMOVID_REAL_DATA", REPO.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"evaluation footage is not at {folder}; set HARMOVID_REAL_DATA to have these tests run")
    return folder
