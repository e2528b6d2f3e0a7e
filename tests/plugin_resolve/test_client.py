"""The client process as the script in Resolve sees it: requests, events, its death, and the end of its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List

import numpy as np
import pytest
from fakes import resolve_shots as shots
from fakes.running import RunningServer, alive
from harmovid.cli import main
from harmovid.pixels import exr
from harmovid_resolve.client import ClientProcess, clean_environment
from harmovid_resolve.contract import ENDS

WAIT_S = 300.0


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the pattern of a flickering shot."""
    return shots.write_plate(tmp_path_factory.mktemp("plate"))


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ClientProcess]:
    """Yield a client process with settings of its own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    with ClientProcess(sys.executable) as process:
        yield process


def ask(client: ClientProcess, op: str, **fields: Any) -> List[Dict[str, Any]]:
    """Return all events of a request; the last one ends it, and no other does."""
    events = list(client.request(op, **fields))
    assert [event["event"] in ENDS for event in events] == [False] * (len(events) - 1) + [True]
    return events


def run(
    client: ClientProcess, server: RunningServer, plate: str, out: Path, **changes: Any
) -> List[Dict[str, Any]]:
    """Run the shot."""
    out.mkdir(parents=True, exist_ok=True)
    fields = shots.request(plate, str(out / "r.####.exr"), server=server.endpoint, **changes)
    return ask(client, "run", **fields)


def test_a_run_from_start_to_end(
    client: ClientProcess, server: RunningServer, plate: str, tmp_path: Path
) -> None:
    """Engines are described, a run tells its frames, and the results are there under their true numbers."""
    described = ask(client, "engines", server=server.endpoint)[-1]
    assert "deflicker" in [engine["name"] for engine in described["engines"]]

    events = run(client, server, plate, tmp_path / "out")

    kinds = {event["event"] for event in events}
    assert events[-1]["event"] == "done", events[-1]
    assert {"queued", "frame", "done"} <= kinds
    frames = {event["frame"]: event["path"] for event in events if event["event"] == "frame"}
    assert sorted(frames) == list(range(shots.FIRST, shots.LAST + 1))
    assert all(os.path.isfile(path) for path in frames.values())
    assert events[-1]["missing_frames"] == ""
    assert set(events[-1]["report"]["frames"]) == {str(frame) for frame in frames}


def test_strength_nought_is_the_identity(
    client: ClientProcess, server: RunningServer, plate: str, tmp_path: Path
) -> None:
    """Nothing of the change gives the plate back to the bit, from the server and where it is weighed here."""
    for name, changes in (("plain", {"strength": 0.0}), ("weighed", {"strength": 0.0, "luma": 0.5})):
        assert run(client, server, plate, tmp_path / name, **changes)[-1]["event"] == "done"
        for frame in range(shots.FIRST, shots.LAST + 1):
            result = shots.read_rgb(str(tmp_path / name / f"r.{frame}.exr"))
            assert result.tobytes() == shots.picture(frame).tobytes()


def test_brightness_and_colour_are_weighed_apart(
    client: ClientProcess, server: RunningServer, plate: str, tmp_path: Path
) -> None:
    """Full weights give what the server gives; half of the brightness gives half of the flicker's correction."""
    assert run(client, server, plate, tmp_path / "all")[-1]["event"] == "done"
    half = run(client, server, plate, tmp_path / "half", luma=0.5, job="half")

    assert half[-1]["event"] == "done"
    assert sorted(p.name for p in (tmp_path / "half").iterdir() if p.suffix == ".exr") == [
        f"r.{frame}.exr" for frame in range(shots.FIRST, shots.LAST + 1)
    ]
    assert not (tmp_path / "half" / "whole").exists()
    for frame in (1002, 1003):
        before = shots.picture(frame)
        sound = np.all(before > 0.01, axis=-1)
        steps = [
            np.log2(shots.read_rgb(str(tmp_path / name / f"r.{frame}.exr"))[sound] / before[sound]).mean()
            for name in ("all", "half")
        ]
        assert abs(steps[0]) > 0.2, "the engine has corrected something"
        assert steps[1] == pytest.approx(steps[0] / 2, rel=0.1)


def test_the_field_comes_as_a_picture_of_stops(
    client: ClientProcess, server: RunningServer, plate: str, tmp_path: Path
) -> None:
    """plate times 2 to the field is the result."""
    run(client, server, plate, tmp_path / "result")
    assert run(client, server, plate, tmp_path / "field", output="field", job="f")[-1]["event"] == "done"

    for frame in (shots.FIRST, shots.LAST):
        stops = shots.read_rgb(str(tmp_path / "field" / f"r.{frame}.exr"))
        result = shots.read_rgb(str(tmp_path / "result" / f"r.{frame}.exr"))
        np.testing.assert_allclose(shots.picture(frame) * np.exp2(stops), result, rtol=2e-6)


def test_a_cdl_comes_with_what_it_cannot_say(
    client: ClientProcess, server: RunningServer, plate: str, tmp_path: Path
) -> None:
    """A flicker changes from frame to frame: the CDL holds its mean, and a warning says by how much it differs."""
    events = run(client, server, plate, tmp_path / "cdl", output="cdl")
    cdl = events[-1]["report"]["cdl"]

    assert set(cdl) >= {"slope", "offset", "power", "saturation"}
    assert cdl["spread_stops"] > 0.2
    assert any("a CDL holds its mean" in event.get("text", "") for event in events)


def test_what_cannot_be_run_is_said(
    client: ClientProcess, server: RunningServer, plate: str, tmp_path: Path
) -> None:
    """Results in the way, no folder, unknown engines, options or requests, no server: one failed each, with a fix."""
    run(client, server, plate, tmp_path / "out")
    out = str(tmp_path / "out" / "r.####.exr")
    cases = [
        ("run", shots.request(plate, out, server=server.endpoint), "output"),
        ("run", shots.request(plate, str(tmp_path / "no" / "r.####.exr"), server=server.endpoint), "input"),
        ("run", shots.request(plate, out, server=server.endpoint, engine="magic"), "engine_unknown"),
        ("run", shots.request(plate, out, server=server.endpoint, options={"magic": 1}), "option"),
        ("check", shots.request(str(tmp_path / "p.####.exr"), out, server=server.endpoint), "pattern"),
        ("engines", {"server": "tcp://127.0.0.1:9"}, "unreachable"),
        ("dance", {}, "input"),
        ("history", {"folder": str(tmp_path / "none")}, "host"),
    ]
    for op, fields, code in cases:
        (event,) = ask(client, op, **fields)
        assert (event["event"], event["code"]) == ("failed", code), event
        assert event["error"]
        assert event["fix"]


def test_cancel_ends_the_run(
    client: ClientProcess, server: RunningServer, plate: str, tmp_path: Path
) -> None:
    """A run that is cancelled ends as failed with the code cancelled; cancelling what is not there harms nothing."""
    (tmp_path / "out").mkdir()
    fields = shots.request(
        plate, str(tmp_path / "out" / "r.####.exr"), server=server.endpoint, frames="1001-1006"
    )
    events = []
    for event in client.request("run", **fields):
        events.append(event)
        if event["event"] == "queued":
            assert ask(client, "cancel", job="job1")[-1]["report"] == {"found": True}
    assert (events[-1]["event"], events[-1].get("code")) in [("failed", "cancelled"), ("done", None)]
    assert ask(client, "cancel", job="job1")[-1]["report"] == {"found": False}


def test_death_is_an_error_and_the_next_request_starts_anew(
    client: ClientProcess, server: RunningServer
) -> None:
    """Killed while a request is open, it ends as failed; the process is started again when it is needed."""
    assert ask(client, "engines", server=server.endpoint)[-1]["event"] == "described"
    assert client.process is not None
    found: List[Dict[str, Any]] = []
    # A stopped process keeps the request open.
    os.kill(client.process.pid, signal.SIGSTOP)
    waiting = threading.Thread(target=lambda: found.extend(client.request("engines", server=server.endpoint)))
    waiting.start()
    until = time.monotonic() + WAIT_S
    while not client._open and time.monotonic() < until:
        time.sleep(0.01)
    os.kill(client.process.pid, signal.SIGKILL)
    waiting.join(WAIT_S)

    assert not waiting.is_alive()
    assert (found[-1]["event"], found[-1]["code"]) == ("failed", "client")
    assert "code -9" in found[-1]["error"]
    assert ask(client, "engines", server=server.endpoint)[-1]["event"] == "described"


def test_a_python_that_cannot_run_it_is_said() -> None:
    """No interpreter, and one without HarmoVid: a failed event with the last words."""
    with ClientProcess("/nowhere/python") as missing:
        (event,) = ask(missing, "engines")
        assert "cannot be started" in event["error"]
    with ClientProcess("/bin/false") as wrong:
        (event,) = ask(wrong, "engines")
        assert "ended with code 1" in event["error"]
    (event,) = ask(wrong, "engines")
    assert "closed" in event["error"]


def test_it_ends_with_its_parent(tmp_path: Path) -> None:
    """A script that is killed takes the client process with it."""
    code = (
        "import sys, time\nfrom harmovid_resolve.client import ClientProcess\n"
        "c = ClientProcess(sys.executable)\nlist(c.request('cancel', job='x'))\n"
        "print(c.process.pid, flush=True)\ntime.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert alive(child)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    until = time.monotonic() + WAIT_S
    while alive(child) and time.monotonic() < until:
        time.sleep(0.01)

    assert not alive(child)


def test_what_resolve_sets_does_not_reach_the_process() -> None:
    """Paths of Resolve's own Python, libraries and Qt are taken out; everything else stays."""
    given = {
        "PATH": "/bin", "HOME": "/home/a", "PYTHONHOME": "/opt/resolve", "PYTHONPATH": "/opt/resolve/Modules",
        "LD_LIBRARY_PATH": "/opt/resolve/libs", "DYLD_LIBRARY_PATH": "x", "QT_PLUGIN_PATH": "x",
        "FUSION_Python3_Home": "x", "HARMOVID_SERVER": "tcp://a", "OCIO": "/c.ocio", "QT_QPA_PLATFORM": "offscreen",
    }  # fmt: skip

    assert clean_environment(given) == {
        "PATH": "/bin", "HOME": "/home/a", "HARMOVID_SERVER": "tcp://a", "OCIO": "/c.ocio",
        "QT_QPA_PLATFORM": "offscreen",
    }  # fmt: skip


def test_a_process_that_says_no_json_is_ended() -> None:
    """Whatever another program prints ends the request, with what it said, and the process."""
    with ClientProcess("/bin/echo") as wrong:
        (event,) = ask(wrong, "engines")
        assert "'-m harmovid_resolve.serve_client', which is no JSON" in event["error"]
        (event,) = ask(wrong, "engines")
        assert event["event"] == "failed"


def test_a_client_without_pixel_libraries_says_what_needs_them(
    client: ClientProcess, server: RunningServer, plate: str, tmp_path: Path
) -> None:
    """Plain frames come without numpy; what is computed here is refused with the packages to install."""
    blocked = "import sys\nfor name in ('numpy', 'OpenEXR', 'OpenImageIO'): sys.modules[name] = None\n"
    code = f"{blocked}from harmovid_resolve import serve_client\nserve_client.main()\n"
    bare = ClientProcess(sys.executable)
    bare._command = [sys.executable, "-c", code]
    with bare:
        (tmp_path / "out").mkdir()
        (event,) = run(bare, server, plate, tmp_path / "out", luma=0.5)
        assert (event["code"], "harmovid[pixels]" in event["fix"]) == ("input", True)
        events = run(bare, server, plate, tmp_path / "out")
        assert events[-1]["event"] == "done"
        assert any("no stills" in event.get("text", "") for event in events)


def test_a_plates_alpha_is_ignored_here_as_by_the_server(
    client: ClientProcess, server: RunningServer, tmp_path: Path
) -> None:
    """An engine for plates changes codes whatever their alpha: weighed a little, the result is nearly the server's."""
    folder = tmp_path / "plate"
    folder.mkdir()
    for frame in range(shots.FIRST, shots.LAST + 1):
        pixels = np.clip(0.35 + 0.1 * shots.picture(frame), 0.1, 0.8).astype(np.float32)
        planes = {channel: np.ascontiguousarray(pixels[..., i]) for i, channel in enumerate("RGB")}
        planes["A"] = np.tile(np.linspace(0.2, 1, shots.WIDTH, dtype=np.float32), (shots.HEIGHT, 1))
        header = exr.PartHeader.make((0, 0, shots.WIDTH, shots.HEIGHT))
        exr.write(exr.make_frame(header, planes), folder / f"p.{frame}.exr")
    made = {}
    for name, changes in (("plain", {}), ("weighed", {"chroma": 0.9999})):
        events = run(
            client, server, str(folder / "p.####.exr"), tmp_path / name, job=name,
            colour={"space": "ACEScct"}, **changes,
        )  # fmt: skip
        assert events[-1]["event"] == "done", events[-1]
        made[name] = shots.read_rgb(str(tmp_path / name / f"r.{shots.FIRST}.exr"))
    np.testing.assert_allclose(made["weighed"], made["plain"], atol=1e-3)
    before = shots.read_rgb(str(folder / f"p.{shots.FIRST}.exr"))
    assert np.abs(made["plain"] - before).max() > 0.005


@pytest.mark.parametrize("alpha", [False, True])
def test_a_matte_of_its_own_is_not_taken_as_multiplied_in(
    client: ClientProcess, server: RunningServer, plate: str, tmp_path: Path, alpha: bool
) -> None:
    """A foreground without alpha is not multiplied by its matte: its results are those of `--unpremultiplied`; with an
    alpha they are those of `--premultiplied`.
    """
    folder, ramp = tmp_path / "in", np.linspace(0, 1, shots.WIDTH, dtype=np.float32)
    folder.mkdir()
    matte = np.ascontiguousarray(np.tile(ramp, (shots.HEIGHT, 1)))
    header = exr.PartHeader.make((0, 0, shots.WIDTH, shots.HEIGHT))
    for frame in range(shots.FIRST, shots.LAST + 1):
        pixels = np.maximum(shots.picture(frame) * 0.5, 0.01)
        planes = {channel: np.ascontiguousarray(pixels[..., i]) for i, channel in enumerate("RGB")}
        if alpha:
            planes = {name: plane * matte for name, plane in planes.items()} | {"A": matte}
        exr.write(exr.make_frame(header, planes), folder / f"fg.{frame}.exr")
        exr.write(exr.make_frame(header, {"A": matte}), folder / f"m.{frame}.exr")
    fg, mattes = str(folder / "fg.####.exr"), str(folder / "m.####.exr")
    about = {"engine": "harmonize-statistics", "options": {"contrast": 1.0}, "job": "matte"}
    inputs = {"fg": fg, "bg": plate, "matte": mattes}
    events = run(client, server, plate, tmp_path / "made", inputs=inputs, **about)
    assert events[-1]["event"] == "done", events[-1]

    flags = ("--premultiplied", "--unpremultiplied") if alpha else ("--unpremultiplied", "--premultiplied")
    for flag in flags:
        line = [
            "harmonize",
            fg,
            plate,
            "--matte",
            mattes,
            "-o",
            f"{tmp_path}/{flag}/",
            "--contrast",
            "1",
            flag,
        ]
        line += ["--engine", "harmonize-statistics", "--server", server.endpoint, "-q"]
        assert main(line) == 0
    name = f"{shots.FIRST}.exr"
    made = shots.read_rgb(str(tmp_path / "made" / f"r.{name}"))
    same, other = (shots.read_rgb(str(tmp_path / flag / f"fg.{name}")) for flag in flags)
    np.testing.assert_array_equal(made, same)
    assert (made != other).any()
