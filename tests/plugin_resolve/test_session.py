"""Which Resolve is used: found, recognised before anything else, refused in one sentence with another way."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.resolve_host import scene, serving
from fakes.resolve_host.host import Host
from fakes.resolve_runs import Film
from harmovid_resolve import session as session_module
from harmovid_resolve.errors import HostError
from harmovid_resolve.session import find, session_of


@pytest.mark.parametrize(
    "injected", [("resolve",), ("app",), ("bmd",), ("resolve", "app", "bmd", "fu", "fusion")]
)
def test_any_global_of_a_script_leads_to_resolve(film: Film, injected: tuple) -> None:
    """Whichever of its globals Resolve gives a script, the same application is found."""
    given = {name: value for name, value in film.host.script_globals().items() if name in injected}
    assert session_of(find(given)).project_name == "Film"


def test_without_a_resolve_the_other_way_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A script that was started outside says how to start it, and what works without."""
    monkeypatch.setenv("RESOLVE_SCRIPT_LIB", "/nowhere/fusionscript.so")
    with pytest.raises(HostError, match=r"Workspace > Scripts.*harmovid watch FOLDER"):
        find({})


@pytest.mark.parametrize(
    ("version", "studio", "named"),
    [
        ((21, 0, 3), False, "this is DaVinci Resolve 21.0.3;"),
        ((18, 1, 4), True, "this is DaVinci Resolve Studio 18.1.4;"),
        ((18, 1, 4), False, "this is DaVinci Resolve 18.1.4;"),
    ],
)
def test_what_cannot_be_used_is_refused_first(
    version: tuple, studio: bool, named: str, tmp_path: Path
) -> None:
    """The free edition and old versions are refused by name and version before any other call is made, so that no
    window of the free edition opens.
    """
    host = Host(version=(18, 5), studio=studio, folder=tmp_path)
    assert host.methods("Resolve")  # those of 18.5, which is the oldest in the table
    host.version = version
    with pytest.raises(HostError) as refused:
        session_of(host.resolve())
    assert str(refused.value).startswith(named)
    assert "harmovid watch FOLDER" in str(refused.value)
    assert set(host.injector.names()) == {"Resolve.GetProductName", "Resolve.GetVersion"}
    assert not host.modal


@pytest.mark.parametrize("version", [(18, 5), (18, 6, 6), (19, 1, 3), (20, 3, 2), (21, 0, 4), (21, 1)])
def test_studio_from_18_5_on_is_taken(version: tuple, tmp_path: Path) -> None:
    """Its project, media pool and settings are read."""
    host = Host(version=version, folder=tmp_path)
    scene.new_project(host, "Film")
    session = session_of(host.resolve())
    assert (session.project_name, session.settings()["timelineFrameRate"]) == ("Film", "24")
    assert session.version[:2] == version[:2]
    with pytest.raises(HostError, match="no timeline is open"):
        session.timeline()


def test_a_script_outside_of_resolve_finds_it(film: Film) -> None:
    """Started from a terminal there are no globals: Blackmagic's library leads to the Resolve that runs."""
    room = str(Path(session_module.__file__).parents[1])
    code = (
        f"import sys; sys.path.insert(0, {room!r}); from harmovid_resolve.session import find, session_of; "
        "print(session_of(find({})).project_name)"
    )
    with serving.served(film.host) as environment:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", code], env={**os.environ, **environment}, capture_output=True,
            text=True, timeout=300,
        )  # fmt: skip
    assert (done.stdout.strip(), done.stderr) == ("Film", "")


def test_no_project_is_open(tmp_path: Path) -> None:
    """Between two projects there is none for a moment."""
    host = Host(folder=tmp_path)
    host.project = None  # type: ignore[assignment]
    with pytest.raises(HostError, match="no project is open"):
        session_of(host.resolve())


def test_a_library_that_cannot_be_loaded_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One for another Python says so by an ImportError: the user reads how to start it."""
    library = tmp_path / "fusionscript.py"
    library.write_text("raise ImportError('another Python')\n")
    monkeypatch.setenv("RESOLVE_SCRIPT_LIB", str(library))
    with pytest.raises(HostError, match="no DaVinci Resolve answers"):
        find({})
