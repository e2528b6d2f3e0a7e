"""Fixtures of the pixel tests."""

from __future__ import annotations

import pytest
from harmovid.pixels.exr import reading


@pytest.fixture
def no_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail the test if a pixel decoder is started."""

    def started(*_: object, **__: object) -> None:
        raise AssertionError("a decoder was started")

    monkeypatch.setattr(reading.OpenEXR, "File", started)
