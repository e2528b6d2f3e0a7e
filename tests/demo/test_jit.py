"""Numba in the demo: a word when something is compiled, none when it is found in the cache."""

from __future__ import annotations

import os

import numba
from harmovid_demo.jit import is_compiled, on_compiling
from harmovid_demo.server import server_loops


def test_compiling_is_told_once():
    """The first compilation within the block calls back, later ones do not; a compiled kernel never does."""
    told = []
    kernels = [numba.njit(lambda x: x + 1), numba.njit(lambda x: x + 2)]
    with on_compiling(lambda: told.append("now")):
        assert not told
        assert [kernel(1) for kernel in kernels] == [2, 3]
    assert told == ["now"]
    with on_compiling(lambda: told.append("again")):
        assert kernels[0](5) == 6
    assert told == ["now"]


def test_a_module_is_compiled_where_its_code_is_kept(tmp_path, monkeypatch):
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


def test_the_servers_loops_are_found():
    """The modules that the demo looks for are there: a renamed one would silence the word."""
    assert [path.name for path in server_loops()] == ["kernels_numba.py", "reduce_numba.py"]
    assert all(path.is_file() for path in server_loops())
