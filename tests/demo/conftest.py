"""A tiny rendering of the demo shot, shared by the demo's tests."""

from __future__ import annotations

import pytest
from harmovid_demo.shot import Shot, ShotFiles, generate


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> ShotFiles:
    """Return five small frames of the demo shot on disk."""
    return generate(tmp_path_factory.mktemp("shot"), Shot(width=192, height=108, count=5))
