"""`nuke -t`, the farm, and a Nuke that was killed: no window, no event loop, and no frame lost."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fakes import nuke_shots as shots
from fakes.nuke_driver import FIRST, LAST, harmonize, sent
from fakes.nuke_host import exr
from fakes.nuke_host.host import Host
from fakes.nuke_host.images import RenderError, picture
from fakes.running import RunningServer
from harmovid_nuke import farm, jobs, node, record, submit

COMMAND = Path(__file__).parents[1] / "fakes" / "nuke_command.py"


def test_a_whole_job_in_a_terminal(terminal: Host, tmp_path: Path, server: RunningServer, capfd: Any) -> None:
    """Send in a terminal waits for the end, opens no window and prints its progress as lines."""
    group = harmonize(terminal.module, tmp_path, server.endpoint)
    group["send"].execute()
    assert group["status"].value().startswith("v001: 6 of 6 frames.")
    assert "6 of 6 frames" in capfd.readouterr().out


def test_connect_in_a_terminal(terminal: Host, tmp_path: Path, server: RunningServer) -> None:
    """Connect in a terminal waits for the answer."""
    group = harmonize(terminal.module, tmp_path, server.endpoint)
    group["connect"].execute()
    assert "harmonize-statistics" in group["server_info"].value()


def test_an_error_in_a_terminal_is_printed(terminal: Host, tmp_path: Path, capfd: Any) -> None:
    """An error in a terminal is a line of text with its fix, not a window."""
    group = harmonize(terminal.module, tmp_path, "tcp://127.0.0.1:9")
    group["send"].execute()
    assert "HarmoVid:" in capfd.readouterr().out


def test_the_farm_submits_once_and_blades_only_read(
    host: Host, nuke: Any, tmp_path: Path, server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The farm's task makes the result; a render node fails before it, renders after it, and never sends."""
    group = harmonize(nuke, tmp_path, server.endpoint)
    group["send_what"].setValue("farm")
    group["send"].execute()
    folder = next((tmp_path / "harmovid").rglob("v001"))
    assert str(folder) in group["status"].value()
    script = str(folder / farm.SCRIPT)
    # A render node: nothing may connect to a server while it renders.
    monkeypatch.setattr(jobs, "_begin", lambda *_: pytest.fail("a blade sends a job"))
    nuke.scriptOpen(script)
    with pytest.raises(RenderError, match="Result"):
        picture(nuke.toNode("Harmonize1"), FIRST, "main")
    monkeypatch.undo()
    host.remove()
    blade = Host(gui=False)
    try:
        assert submit.main([script, "Harmonize1"]) == 0
        assert picture(blade.module.toNode("Harmonize1"), LAST, "main").channels["rgba.red"].any()
        assert submit.main([script, "Harmonize1"]) == 0  # again: everything is there
        assert submit.main([]) == 2
        assert blade.violations == []
    finally:
        blade.remove()
        host.come_back()


def test_the_template_is_an_open_job_description(
    host: Host, nuke: Any, tmp_path: Path, server: RunningServer
) -> None:
    """OpenJD's own reader takes template and values: one task for the job, and one per frame for the render."""
    model = pytest.importorskip("openjd.model")
    group = harmonize(nuke, tmp_path, server.endpoint)
    group["send_what"].setValue("farm")
    group["send"].execute()
    folder = next((tmp_path / "harmovid").rglob("v001"))
    template = model.decode_job_template(template=json.loads((folder / farm.TEMPLATE).read_text()))
    values = json.loads((folder / farm.VALUES).read_text())
    given = model.preprocess_job_parameters(
        job_template=template,
        job_parameter_values=values,
        job_template_dir=folder,
        current_working_dir=folder,
    )
    job = model.create_job(job_template=template, job_parameter_values=given)
    tasks = {
        step.name: len(model.StepParameterSpaceIterator(space=step.parameterSpace)) for step in job.steps
    }
    assert tasks == {"HarmoVid": 1, "Render": LAST - FIRST + 1}


def test_an_interrupted_job_is_offered_and_gone_on_with(
    host: Host, nuke: Any, tmp_path: Path, server: RunningServer
) -> None:
    """A script opened after a crash reports the existing frames, asks once, and makes the missing ones."""
    group = harmonize(nuke, tmp_path, server.endpoint)
    run = sent(host, group)
    kept = Path(run.record.result("") % FIRST)
    before = kept.stat().st_mtime_ns
    for frame in range(FIRST + 2, LAST + 1):
        Path(run.record.result("") % frame).unlink()
    run.record.save(state=record.RUNNING)  # as a Nuke leaves it that was killed before the script was saved
    nuke.scriptClear()
    from harmovid_nuke import buttons

    nuke.addOnScriptLoad(buttons.script_opened)
    host.answers.append(True)
    nuke.scriptOpen(str(tmp_path / "shot.nk"))
    group = nuke.toNode("Harmonize1")
    assert "2 of 6 frames are here" in group["status"].value()
    host.run_until(lambda: jobs.of(group) is not None)
    assert "interrupted" in host.messages[-1]
    run = jobs.of(group)
    assert run is not None
    host.run_until(lambda: run.over)
    host.drain()
    assert run.error is None
    assert not run.record.missing()
    assert kept.stat().st_mtime_ns == before


def test_node_functions_need_no_gui(terminal: Host, tmp_path: Path) -> None:
    """Making nodes, the range and the current frame work by plain calls, without a window and without a server."""
    nuke = terminal.module
    group = node.create("deflicker")
    group.setInput(
        0, shots.reader(nuke, shots.save(tmp_path, "p", {5: shots.plate(5), 6: shots.plate(6)}), 5, 6)
    )
    nuke.root()["first_frame"].setValue(1)
    node.reset_range(group)
    assert (group["first"].value(), group["last"].value()) == (5, 6)


@pytest.mark.slow
def test_openjd_runs_the_whole_farm_job(host: Host, nuke: Any, tmp_path: Path, server: RunningServer) -> None:
    """OpenJD's own command runs both steps with a `nuke` that renders: the Write has every frame, with the light."""
    pytest.importorskip("openjd.cli")
    group = harmonize(nuke, tmp_path, server.endpoint)
    write = nuke.nodes.Write()
    for name, value in (
        ("file_type", "exr"),
        ("file", f"{tmp_path}/final.%04d.exr"),
        ("channels", "rgba"),
        ("raw", True),
    ):
        write[name].setValue(value)
    write.setInput(0, group)
    group["send_what"].setValue("farm")
    group["send"].execute()
    folder = next((tmp_path / "harmovid").rglob("v001"))
    command = tmp_path / "nuke"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} {COMMAND} "$@"\n')
    command.chmod(0o755)
    given = {**json.loads((folder / farm.VALUES).read_text()), "Nuke": str(command)}
    (folder / "given.json").write_text(json.dumps(given))
    for step in ("HarmoVid", "Render"):
        words = [sys.executable, "-m", "openjd", "run", str(folder / farm.TEMPLATE), "--step", step]
        words += ["--job-param", f"file://{folder / 'given.json'}"]
        done = subprocess.run(words, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    for frame in range(FIRST, LAST + 1):
        lit = exr.load(str(tmp_path / f"final.{frame}.exr")).channels["rgba.red"]
        plate = exr.load(group.input(0)["file"].evaluate(frame)).channels["rgba.red"]
        assert (lit != plate).any()


def test_quitting_nuke_in_the_middle_ends_it(tmp_path: Path, server: RunningServer) -> None:
    """A Nuke that quits while its job runs ends with exit code 0; arrived frames are complete."""
    words = [sys.executable, str(COMMAND.with_name("nuke_quits.py")), str(tmp_path), server.endpoint]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "quit" in done.stdout
    found = record.versions(str(tmp_path / "harmovid" / "shot" / "Harmonize1"))[0]
    for frame in found.present():
        exr.load(found.result("") % frame)
