"""The host API, as a host's plugin uses it, against real servers with real engines."""

from __future__ import annotations

import os
import stat
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harmovid import Client, HarmoVidError, JobFiles, JobHandle, Settings, connect, load_settings
from harmovid.errors import EngineUnknown, InputError, JobCancelled, Unreachable
from harmovid.pixels import exr

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the server runs on Linux"),
    pytest.mark.usefixtures("own_settings"),
]
SIZE = (24, 32)


@pytest.fixture(scope="module")
def shot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a dim foreground with alpha and a bright background, frames 1001 to 1004."""
    folder = tmp_path_factory.mktemp("shot")
    for frame in range(1001, 1005):
        for name, level in (("fg", 0.06), ("bg", 0.4)):
            picture = np.random.default_rng(frame).uniform(0.7, 1.3, SIZE) * level
            channels = {channel: picture.astype(np.float16) for channel in "RGB"}
            if name == "fg":
                channels["A"] = np.ones(SIZE, np.float16)
            exr.write(exr.make_frame(exr.PartHeader.make((0, 0, SIZE[1], SIZE[0])), channels),
                      folder / f"{name}.{frame}.exr")  # fmt: skip
    return folder


def test_the_code_of_a_plugin(shot: Path, tmp_path: Path) -> None:
    """The example of the host API runs as written: a private server, its engine, a job with a callback, its result."""
    t, s, ended, values = str(shot), str(tmp_path), threading.Event(), {"exposure": 0.5}

    client = connect(load_settings())
    engine = client.engine("harmonize")
    job = JobFiles.prepare(engine, {"fg": f"{t}/fg.####.exr", "bg": f"{t}/bg.####.exr"}, out=f"{s}/out.####.exr",
                           frames="1001-1003", options=values, output="comp")  # fmt: skip
    handle = client.start(job, on_done=lambda handle: ended.set())
    while not handle.wait(0.1):
        assert handle.progress.total == 3
    result = handle.result()
    client.close()

    assert ended.is_set()
    assert (result.progress.state, result.progress.delivered, result.failed) == ("DONE", 3, {})
    assert sorted(path.name for path in tmp_path.glob("out.*")) == [
        f"out.{n}.exr" for n in (1001, 1002, 1003)
    ]


def test_one_private_server_serves_a_client_until_it_is_closed(shot: Path, tmp_path: Path) -> None:
    """Requests and jobs share one server; a killed one is started again; closing stops it and joins the jobs."""
    done: list[JobHandle] = []
    with connect(Settings()) as client:
        engine = client.engine("null")
        first = client._endpoint().address
        assert client.ping() < 30
        assert client._endpoint().address == first
        job = JobFiles.prepare(engine, {"plate": f"{shot}/fg.####.exr"}, out=f"{tmp_path}/")
        assert client.start(job, on_done=done.append).result().progress.delivered == 4
        server = client._private
        assert server is not None
        assert server.process is not None
        server.process.kill()
        server.process.wait()
        assert "null" in [engine.name for engine in client.engines()]
        process, folder = server.process, server.folder

    assert process.poll() is not None
    assert not os.path.exists(folder)
    assert len(done) == 1
    with pytest.raises(InputError, match="closed"):
        client.engines()


def test_closing_cancels_and_joins(shot: Path, tmp_path: Path) -> None:
    """A job that runs when the client is closed is over when `close` returns, its callback included."""
    ended: list[BaseException] = []

    def note(handle: JobHandle) -> None:
        try:
            handle.result()
        except HarmoVidError as error:
            ended.append(error)

    client = connect(Settings())
    engine = client.engine("null")
    started = threading.Event()
    job = JobFiles.prepare(
        engine, {"plate": f"{shot}/fg.1001.exr"}, out=f"{tmp_path}/o.####.exr", frames="1-20000"
    )
    client.start(job, on_progress=lambda _: started.set(), on_done=note)
    assert started.wait(300)
    client.close()

    assert [type(error) for error in ended] == [JobCancelled]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("harmovid")]


def test_a_client_may_be_closed_by_its_own_job(shot: Path, tmp_path: Path) -> None:
    """A callback that closes the client does not wait for itself."""
    client = connect(Settings())
    job = JobFiles.prepare(client.engine("null"), {"plate": f"{shot}/fg.####.exr"}, out=f"{tmp_path}/")
    closed = threading.Event()

    def close(_: JobHandle) -> None:
        client.close()
        closed.set()

    client.start(job, on_done=close)

    assert closed.wait(300)


def test_an_unknown_engine_lists_those_there_are() -> None:
    """The error's fix names the server's engines; a task's name finds its default engine."""
    with connect(Settings()) as client:
        with pytest.raises(EngineUnknown, match="'regrain'") as caught:
            client.engine("regrain")
        assert client.engine("deflicker").default

    assert "harmonize" in caught.value.fix


def host_python(folder: Path, text: str) -> str:
    """Return an interpreter of its own: a script that notes that it was run and then runs this one."""
    path = folder / "server-python"
    path.write_text(f"#!/bin/sh\n{text}\n", "utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_another_interpreter_runs_the_private_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host names the server's Python; what the host's own Python needs in its environment is kept from it."""
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    monkeypatch.setattr(sys, "executable", "/usr/bin/host-application")
    python = host_python(tmp_path, f'echo "$@" > {tmp_path}/noted\nexec {_this_python()} "$@"')

    with connect(Settings(python=python)) as client:
        names = [engine.name for engine in client.engines()]

    assert "harmonize" in names
    assert "-m harmovid.cli serve" in (tmp_path / "noted").read_text("utf-8")


def _this_python() -> str:
    return os.path.join(sys.prefix, "bin", "python")


@pytest.mark.parametrize(
    ("python", "error", "said"),
    [("/no/python", InputError, "cannot be run"), ("false", Unreachable, "ended with")],
)
def test_an_interpreter_that_cannot_serve_is_reported(python: str, error: Any, said: str) -> None:
    """A path that is no program, and a program that is no Python with the server, are errors with a fix."""
    with connect(Settings(python=python)) as client, pytest.raises(error, match=said) as caught:
        client.engines()

    assert caught.value.fix


def test_a_client_of_a_named_server_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a server in the settings nothing is started, and its roots are the settings'."""
    roots = ((Path("/mnt/show"), "show"),)
    client = connect(Settings(server="127.0.0.1:1", roots=roots))

    assert isinstance(client, Client)
    assert client.roots == roots
    with pytest.raises(Unreachable):
        client.engines()
    assert connect(Settings(roots=roots)).roots == ()
