"""A flickering film dropped into a watched folder: a real server takes the flicker out, frames and film agree."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from fakes.films import film
from fakes.running import RunningServer
from harmovid.cli import main
from harmovid.pixels.films.program import program
from harmovid.watch import status as states

WIDTH, HEIGHT, COUNT = 64, 36, 16
SPACE = "Gamma 2.4 Encoded Rec.709"


def numbers(path: Path) -> np.ndarray:
    """Return the luma planes of a film, `(frames, height, width)`."""
    words = [program(), "-v", "error", "-i", str(path), "-pix_fmt", "yuv444p", "-f", "rawvideo", "-"]
    data = subprocess.run(words, check=True, capture_output=True).stdout
    return np.frombuffer(data, np.uint8).reshape(-1, 3, HEIGHT, WIDTH)[:, 0].astype(float)


def test_a_flickering_film_comes_back_steady(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The film of the results flickers less than a third of what it did, and keeps its picture."""
    rng = np.random.default_rng(4)
    light = rng.gamma(2.0, 0.08, (HEIGHT, WIDTH))
    frames = []
    for index in range(COUNT):
        codes = np.clip(light * 2.0 ** (0.25 * (-1) ** index), 0, 1) ** (1 / 2.4)
        luma = np.round(16 + 219 * codes).astype(np.uint8)
        frames.append(np.stack([luma, *[np.full((HEIGHT, WIDTH), 128, np.uint8)] * 2]))
    drop = tmp_path / "drop"
    drop.mkdir()
    film(drop / "shot.mkv", frames)
    words = f"task = deflicker\nplate = shot.mkv\ncolorspace = {SPACE}\nfilm = steady.mkv\n"
    (drop / "shot.job").write_text(f"[job]\n{words}")
    with RunningServer(tmp_path / "server", "--codecs", "1", echo=False) as server:
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
        monkeypatch.setenv("HARMOVID_SERVER", server.endpoint)
        code = main(["watch", str(drop), "--once", "--every", "0.05"])

    status = states.load(drop / "shot.job")
    assert status is not None
    assert (code, status.state, status.error) == (0, "done", "")
    before, after = numbers(drop / "shot.mkv"), numbers(drop / "steady.mkv")
    assert after.shape == before.shape
    means = [np.abs(np.diff(each.mean(axis=(1, 2)))).mean() for each in (before, after)]
    assert means[1] < means[0] / 3
    assert np.abs(after.mean(axis=0) - before.mean(axis=0)).mean() < 4
