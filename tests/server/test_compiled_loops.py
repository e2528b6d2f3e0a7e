"""Compiled loops on disk: where they are looked for, and what a job says while they are missing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fakes.dispatcher_rig import DispatcherRig
from harmovid_server import compiled_loops
from harmovid_server.compiled_loops import COMPILING, SOURCES, is_compiled


def test_a_module_is_compiled_where_its_code_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of numba's cache beside the source counts, in NUMBA_CACHE_DIR where that is set, unless it is older."""
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    source = tmp_path / "loops.py"
    source.touch()
    assert not is_compiled(source)
    kept = tmp_path / "__pycache__" / "loops.add-1.py311.nbi"
    kept.parent.mkdir()
    kept.touch()
    os.utime(source, (1e9, 1e9))
    assert is_compiled(source)
    os.utime(kept, (9e8, 9e8))
    assert not is_compiled(source)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    other = tmp_path / "cache" / "somewhere" / kept.name
    other.parent.mkdir(parents=True)
    other.touch()
    assert is_compiled(source)


def test_the_loops_are_there() -> None:
    """The modules that are looked for exist: a renamed one would silence the word, or never let it end."""
    assert [path.name for path in SOURCES] == ["kernels_numba.py", "reduce_numba.py"]
    assert all("njit" in path.read_text() for path in SOURCES)


def test_a_job_says_that_it_waits_for_the_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its progress says so from its start until its first frame is there; where all is compiled it says nothing."""
    monkeypatch.setattr(compiled_loops, "are_compiled", lambda: False)
    rig = DispatcherRig(tmp_path)
    job = rig.submit(frames="1-2")
    rig.upload_asked()
    assert rig.state.jobs[job].progress().message == COMPILING
    rig.compute(job, [1])
    assert rig.state.jobs[job].progress().message == ""
    monkeypatch.setattr(compiled_loops, "are_compiled", lambda: True)
    assert rig.state.jobs[rig.submit(frames="1-2")].progress().message == ""
