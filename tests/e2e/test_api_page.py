"""The examples of docs/api.md run, from top to bottom, against a private server."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harmovid.job_files import JobFiles
from harmovid.pixels import exr

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the server runs on Linux")
PAGE = (Path(__file__).resolve().parents[2] / "docs" / "api.md").read_text(encoding="utf-8")


@pytest.fixture
def shots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with the frames that the page names, without the user's settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("HARMOVID_SERVER", "HARMOVID_KEY", "HARMOVID_PYTHON", "HARMOVID_CLIENT_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "shots").mkdir()
    for frame in (1001, 1002, 1003):
        for name, level in (("fg", 0.05), ("bg", 0.3)):
            picture = np.random.default_rng(frame).uniform(0.7, 1.3, (24, 32)) * level
            channels = {channel: picture.astype(np.float16) for channel in "RGB"}
            if name == "fg":
                channels["A"] = np.ones((24, 32), np.float16)
            path = tmp_path / "shots" / f"{name}.{frame}.exr"
            exr.write(exr.make_frame(exr.PartHeader.make((0, 0, 32, 24)), channels), path)
    return tmp_path


def test_every_example_runs(shots: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The examples run in order in one namespace; they print the page's output and write results where it says."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    namespace: dict[str, Any] = {"PYTHON": os.path.join(sys.prefix, "bin", "python")}
    for number, block in enumerate(blocks):
        exec(compile(block, f"docs/api.md, example {number + 1}", "exec"), namespace)  # noqa: S102 (our own page)

    printed = capsys.readouterr().out
    assert "Look for" in printed
    assert "DONE []" in printed
    assert "[1001, 1002, 1003]" in printed
    assert sorted(path.name for path in (shots / "results").glob("*.exr")) == [
        f"{name}.{frame}.exr" for name in ("comp", "plate") for frame in (1001, 1002, 1003)
    ]


def test_the_table_of_arguments_is_the_functions_own() -> None:
    """The page lists each argument of `JobFiles.prepare`, in order, and no others."""
    section = PAGE.split("## Preparing a job")[1].split("\n## ")[0]
    names = re.findall(r"^\| `([a-z_]+)` \|", section, re.MULTILINE)

    code = JobFiles.prepare.__code__
    count = code.co_argcount + code.co_kwonlyargcount
    assert names == [name for name in code.co_varnames[:count] if name not in ("cls", "engine")]
