"""`bench/deflicker_bound.py`: a clip's own light is read right, methods leave what theory says, the table holds."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from fakes.benches import run_bench
from harmovid_evaluate.clips import synthetic_clip
from harmovid_server.engines import deflicker
from harmovid_server.engines.base import Engine
from harmovid_server.runtimes.base import RuntimeSettings
from harmovid_training.metrics.degrade import EXPOSURE_STOPS, exposure_course, gained

COUNT = 40


@pytest.fixture
def bound(repo: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the bench's module."""
    monkeypatch.syspath_prepend(str(repo / "bench"))
    return importlib.import_module("support.deflicker_bound")


@pytest.fixture
def engine() -> Engine:
    """Return the deflicker."""
    made = deflicker.create()
    made.activate(RuntimeSettings())
    return made


def drift(count: int, stops: float) -> np.ndarray:
    """Return a course `(T, 3)` of mean 0: a bow of the brightness, less of it in blue."""
    course = stops * np.sin(np.linspace(0, np.pi, count))[:, None] * np.array([1.0, 1.0, 0.7])
    return course - course.mean(0)


def left_stops(bound: ModuleType, name: str, own: np.ndarray, draws: int = 400) -> float:
    """Return the RMS brightness that a method leaves over many flickers."""
    flickers = [exposure_course(len(own), np.random.default_rng(seed)) for seed in range(draws)]
    left = [bound.remaining(bound.METHODS[name], own, each).mean(1) for each in flickers]
    return float(np.sqrt(np.mean(np.square(left))))


def test_own_light_is_read_from_the_picture(bound: ModuleType, engine: Engine) -> None:
    """Light that bows by a fifth of a stop over a moving picture comes back to 0.01 stops; a steady one has none."""
    count = 16
    clip = synthetic_clip(count, 72).frames
    wanted = drift(count, 0.2)
    steady = bound.own_course(engine, clip)
    assert np.sqrt((steady**2).mean()) < 0.01

    moving = bound.own_course(engine, gained(clip, wanted[:, None, None, :]))
    np.testing.assert_allclose(moving - steady, wanted, atol=0.01)


def test_what_is_no_single_shot_is_refused(bound: ModuleType, engine: Engine) -> None:
    """A cut, and more frames than the engine keeps links of, are said instead of measured wrongly."""
    clip = synthetic_clip(6, 72).frames
    noise = np.random.default_rng(0).lognormal(-2, 1, clip[0].shape).astype(np.float32)
    with pytest.raises(ValueError, match="a cut"):
        bound.own_course(engine, np.concatenate([clip, np.repeat(noise[None], 6, axis=0)]))
    with pytest.raises(ValueError, match="too many"):
        bound.own_course(engine, np.repeat(clip, 20, axis=0))


def test_where_nothing_is_kept_the_own_light_is_lost(bound: ModuleType) -> None:
    """What is left is the clip's own light, turned round, whatever the flicker; without own light nothing is left."""
    own, flicker = drift(COUNT, 0.1), exposure_course(COUNT, np.random.default_rng(3))
    np.testing.assert_allclose(bound.remaining(bound.nothing_kept, own, flicker), -own, atol=1e-12)
    for name in ("nothing kept", "told spectrum", "told shape"):
        assert np.abs(bound.remaining(bound.METHODS[name], own * 0, flicker)).max() < 1e-12


def test_told_shape_leaves_the_least_that_a_linear_filter_can(bound: ModuleType) -> None:
    """One number is unknown: of a course of energy a and flicker of variance s, a s / (a + s) is left, to 10 %."""
    own = drift(COUNT, 0.15)
    bright, variance = own.mean(1), bound.POWER_STOPS2[0]
    energy = float((bright**2).sum())
    least = np.sqrt(energy * variance / (energy + variance) / COUNT)

    assert left_stops(bound, "told shape", own) == pytest.approx(least, rel=0.1)
    assert least < left_stops(bound, "told spectrum", own) < left_stops(bound, "nothing kept", own)


def test_the_engines_model_is_the_engines(bound: ModuleType) -> None:
    """Of steady light it leaves under a tenth of the flicker, and a drift of ten times the flicker's size it keeps."""
    assert left_stops(bound, "engine's model", drift(COUNT, 0.0), draws=40) < 0.1 * EXPOSURE_STOPS
    ramp = np.linspace(-2, 2, COUNT)[:, None] * np.ones(3)
    assert left_stops(bound, "engine's model", ramp, draws=40) < 0.5 * EXPOSURE_STOPS


def test_quick_runs_on_numbers(repo: Path) -> None:
    """--quick needs no footage; the model says what the whole engine reaches on the same flicker, to 1 dB."""
    lines, found = run_bench(repo, "deflicker_bound", "--quick", "--draws", "2")
    (row,) = found["rows"]

    assert row["psnr_g"]["model there"] == pytest.approx(row["psnr_g"]["HarmoVid"], abs=1.0)
    assert row["stops"]["nothing kept"] == pytest.approx(row["stops"]["own light"], abs=1e-9)
    assert any("synthetic" in line and f"{row['psnr_g']['told shape']:.2f}" in line for line in lines)


def test_what_cannot_be_measured_is_refused(repo: Path) -> None:
    """More frames than links are kept of: the command says how many it takes."""
    command = [sys.executable, str(repo / "bench" / "deflicker_bound.py"), "--quick", "--frames", "200"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "--frames is 200; give 3 to 63" in done.stderr
