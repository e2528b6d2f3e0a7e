"""The Open Job Description templates are valid and run: a real client, a private server, real EXRs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from harmovid.pixels import exr

REPO = Path(__file__).resolve().parents[2]
TEMPLATES = sorted((REPO / "deploy" / "openjd").glob("*.yaml"))
WHOLE_SHOT = [path for path in TEMPLATES if not path.stem.endswith("_chunks")]
CLIENT = Path(sys.executable).with_name("harmovid")
FRAMES = range(1001, 1005)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def openjd(*words: str) -> subprocess.CompletedProcess[str]:
    """Run the Open Job Description command line."""
    command = [sys.executable, "-m", "openjd", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=550)


def write(folder: Path, name: str, levels: list[float], alpha: bool = False) -> str:
    """Write one flat frame per level and return the pattern."""
    folder.mkdir(exist_ok=True)
    for frame, level in zip(FRAMES, levels):
        texture = np.linspace(0.5, 1.5, 64 * 48, dtype=np.float32).reshape(48, 64)
        channels = {c: (texture * level).astype(np.float16) for c in "RGB"}
        if alpha:
            channels["A"] = np.ones((48, 64), np.float16)
        window = (0, 0, 64, 48)
        exr.write(
            exr.make_frame(exr.PartHeader.make(window, window), channels), folder / f"{name}.{frame}.exr"
        )
    return str(folder / f"{name}.####.exr")


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.stem)
def test_template_is_valid(template: Path) -> None:
    """The Open Job Description command line accepts the template."""
    result = openjd("check", str(template))

    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("template", WHOLE_SHOT, ids=lambda path: path.stem)
def test_template_runs_a_whole_shot_as_one_task(template: Path, tmp_path: Path) -> None:
    """`openjd run` brings every result frame of the shot, and nothing half-written."""
    inputs = {
        "deflicker": {"Plate": write(tmp_path / "plate", "plate", [0.2, 0.15, 0.2, 0.15])},
        "harmonize": {
            "Foreground": write(tmp_path / "fg", "fg", [0.1] * 4, alpha=True),
            "Background": write(tmp_path / "bg", "bg", [0.3] * 4),
        },
    }[template.stem]
    out = tmp_path / "out" / "result.####.exr"
    given = {**inputs, "Out": str(out), "Frames": "1001-1004", "Command": str(CLIENT)}
    words = [word for name, value in given.items() for word in ("-p", f"{name}={value}")]

    result = openjd("run", str(template), "--step", template.stem.title(), *words)

    assert result.returncode == 0, result.stdout + result.stderr
    assert sorted(path.name for path in out.parent.glob("*.exr")) == [f"result.{f}.exr" for f in FRAMES]


def test_chunks_are_the_frames_of_one_task(tmp_path: Path) -> None:
    """Two tasks of two frames with handles write, to the bit, what one task for the whole shot writes."""
    plate = write(tmp_path / "plate", "plate", [0.2, 0.15, 0.22, 0.14])
    for template, out in (("deflicker", "one"), ("deflicker_chunks", "chunks")):
        given = {"Plate": plate, "Out": str(tmp_path / out / "r.####.exr"), "Frames": "1001-1004"}
        given["Command"] = str(CLIENT)
        if template == "deflicker_chunks":
            given["ChunkFrames"] = "2"
        words = [word for name, value in given.items() for word in ("-p", f"{name}={value}")]
        path = REPO / "deploy" / "openjd" / f"{template}.yaml"
        result = openjd("run", str(path), "--step", "Deflicker", *words)
        assert result.returncode == 0, result.stdout + result.stderr
    assert "1001-1002" in result.stdout + result.stderr
    assert "1003-1004" in result.stdout + result.stderr
    names = [f"r.{frame}.exr" for frame in FRAMES]
    assert sorted(path.name for path in (tmp_path / "chunks").iterdir()) == names
    for name in names:
        assert (tmp_path / "chunks" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()


def test_a_failing_task_fails_the_job(tmp_path: Path) -> None:
    """If the client cannot find its frames the task fails, with the error in the farm's log."""
    given = {"Plate": str(tmp_path / "none.####.exr"), "Out": str(tmp_path / "o.####.exr"), "Frames": "1-2"}
    words = [
        word
        for name, value in {**given, "Command": str(CLIENT)}.items()
        for word in ("-p", f"{name}={value}")
    ]

    result = openjd("run", str(REPO / "deploy" / "openjd" / "deflicker.yaml"), "--step", "Deflicker", *words)

    assert result.returncode != 0
    assert "none.####.exr" in result.stdout + result.stderr
