"""Frames of a few pixels: every engine answers every frame, with a reason where it changes nothing."""

from __future__ import annotations

import numpy as np
import pytest
from harmovid.job import FOREGROUND_MATTE, IMAGE
from harmovid_server import engines
from harmovid_server.engines.base import ProxyFrame, ShotInfo
from harmovid_server.runtimes.base import RuntimeSettings

SIZES = [
    (1, 1),
    (1, 2),
    (2, 1),
    (2, 2),
    (1, 40),
    (40, 1),
    (3, 3),
    (8, 8),
    (11, 11),
    (11, 40),
    (12, 12),
    (13, 5),
]
FLICKER_STOPS = (0.0, 0.35, -0.25, 0.1, 0.3, -0.3)


@pytest.mark.parametrize("name", [name for name in engines.OURS if name != "null"])
def test_every_engine_answers_tiny_frames(name: str) -> None:
    """Flickering frames of 1 to 40 pixels a side: one finite answer each, whose field can be serialised."""
    (engine,) = engines.load([name])
    engine.activate(RuntimeSettings())
    options = engine.info.check_options({})
    for height, width in SIZES:
        base = (
            np.random.default_rng(height * 64 + width).random((height, width, 3)).astype(np.float32) * 0.5
            + 0.05
        )
        frames = tuple(range(1, len(FLICKER_STOPS) + 1))
        session = engine.start(ShotInfo(frames, options, engine.info.layers_of(IMAGE)))
        answers = []
        for number, stops in zip(frames, FLICKER_STOPS):
            images = {layer: base * np.float32(2**stops) for layer in engine.info.layers_of(IMAGE)}
            mattes = {"coverage": np.ones((height, width), np.float32)}
            if any(layer.name == FOREGROUND_MATTE for layer in engine.info.layers):
                mattes[FOREGROUND_MATTE] = np.ones((height, width), np.float32)
            answers += session.push(ProxyFrame(number, images, mattes, (0, 0, width, height)))
        answers += session.finish()
        assert [answer.number for answer in answers] == list(frames), (height, width)
        for answer in answers:
            assert answer.field.to_bytes()
            assert answer.report.get("reason") or answer.report["decision"] != "nothing", (height, width)
