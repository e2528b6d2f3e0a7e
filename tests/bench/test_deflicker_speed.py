"""`bench/deflicker_speed.py`: what it counts and times, on small pictures."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest
from harmovid_evaluate.clips import synthetic_clip
from harmovid_server.engines import deflicker
from harmovid_server.runtimes.base import RuntimeSettings


def test_frames_are_counted_and_all_work_is_timed(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The preset's first answer comes after the frames that the engine declares; both costs of a shot are numbers."""
    monkeypatch.syspath_prepend(str(repo / "bench"))
    bench, support = import_module("deflicker_speed"), import_module("support.deflicker_speed")
    monkeypatch.setattr(support, "SHOT_FRAMES", 24)
    engine = deflicker.create()
    engine.activate(RuntimeSettings())

    assert bench._frames_before_an_answer(engine) == engine.info.reach_with["quick"]["lookahead_frames"]
    support.run(engine, synthetic_clip(3, 48))
    found = support.measure(engine, synthetic_clip(3, 48), 1, (96, 54))
    assert min(found["ours_ms"], found["ours_cpu_ms"]) > 0
