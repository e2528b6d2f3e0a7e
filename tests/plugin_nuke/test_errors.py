"""Every way in which a send can fail: the message to the artist, what is kept, and that Nuke keeps working."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from fakes import nuke_shots as shots
from fakes.nuke_driver import FIRST, LAST, harmonize, sent
from fakes.nuke_host.host import Host
from fakes.nuke_host.images import picture
from fakes.running import RunningServer
from harmovid.keys import AuthorizedKeys, new_pair, save_secret, trust_server
from harmovid.storage import atomic
from harmovid_nuke import jobs, node, record, status


def passes(group: Any) -> bool:
    """Return whether the node puts out its input, unchanged to the bit."""
    out, plate = picture(group, FIRST, "main").channels, picture(group.input(0), FIRST, "main").channels
    return all(out[name].tobytes() == plate[name].tobytes() for name in plate)


def test_no_server(host: Host, shot: Any) -> None:
    """Without a server at the address the artist gets a message before a frame is rendered, and the input passes."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        shot["server"].setValue(f"tcp://127.0.0.1:{taken.getsockname()[1]}")
        run = sent(host, shot)
    assert run.error is not None
    assert run.error.fix in shot["status"].value()
    assert shot["tile_color"].value() == status.BAD
    assert not [note for note in host.notes if note[0] == "rendered"]
    assert passes(shot)


def test_wrong_key(host: Host, nuke: Any, tmp_path: Path) -> None:
    """If the server does not know the key the message says that it refused it."""
    keys, own, other = new_pair("server"), new_pair("anna"), new_pair("mallory")
    for name, pair in (("server", keys), ("anna", own), ("mallory", other)):
        save_secret(str(tmp_path / f"{name}.secret"), pair)
    AuthorizedKeys(str(tmp_path / "authorized")).add("anna", own.public)
    trust_server(str(tmp_path / "mallory.secret"), keys.public)
    flags = (
        "--server-key",
        str(tmp_path / "server.secret"),
        "--authorized-keys",
        str(tmp_path / "authorized"),
    )
    with RunningServer(tmp_path / "server", *flags) as server:
        group = harmonize(nuke, tmp_path, server.endpoint)
        group["key"].setValue(str(tmp_path / "mallory.secret"))
        run = sent(host, group)
    assert "key" in group["status"].value()
    assert run.error is not None
    assert passes(group)


def test_disk_full_in_the_middle_then_missing(host: Host, shot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the disk is full, arrived frames are kept and the message says how to continue; Missing makes the rest."""
    written = atomic.WholeFile.write
    left = [3]

    def write(self: Any, data: Any) -> None:
        if "result." in self._path:
            left[0] -= 1
            if left[0] < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written(self, data)

    monkeypatch.setattr(atomic.WholeFile, "write", write)
    run = sent(host, shot)
    assert run.error is not None
    assert "disk is full" in shot["status"].value()
    assert "press Missing" in shot["status"].value()
    assert 0 < len(run.record.present()) < LAST - FIRST + 1
    monkeypatch.setattr(atomic.WholeFile, "write", written)
    before = {n: Path(run.record.result("") % n).read_bytes() for n in run.record.present()}
    run = sent(host, shot, "missing")
    assert run.error is None
    assert not run.record.missing()
    assert all(Path(run.record.result("") % n).read_bytes() == data for n, data in before.items())


def test_cancelled_by_the_progress_bar(host: Host, shot: Any) -> None:
    """The bar's Cancel stops the job; the node says so, and the job can be resumed."""
    shot["last"].setValue(LAST)
    original = host.module.ProgressTask.isCancelled
    host.module.ProgressTask.isCancelled = lambda self: True
    try:
        run = sent(host, shot)
    finally:
        host.module.ProgressTask.isCancelled = original
    assert run.record.state == record.CANCELLED or not run.record.missing()
    if run.record.missing():
        run = sent(host, shot, "missing")
    assert not run.record.missing()


def test_cancelled_by_the_button_while_asking(host: Host, shot: Any) -> None:
    """Cancel before anything is sent leaves no version with frames, and the node is free again."""
    shot["send"].execute()
    shot["cancel"].execute()
    run = jobs.of(shot)
    assert run is not None
    host.run_until(lambda: run.over)
    host.drain()
    assert "cancelled" in shot["status"].value().lower()
    assert jobs.of(shot) is None
    assert sent(host, shot).error is None


def test_render_stopped_by_the_artist(host: Host, shot: Any) -> None:
    """A render that is stopped sends nothing; the next send renders the rest."""
    host.cancel_after_frames = 2
    run = sent(host, shot)
    assert run.record.state == record.CANCELLED
    assert "stopped" in shot["status"].value()
    host.cancel_after_frames = None
    assert not sent(host, shot, "missing").record.missing()


def test_a_second_send_is_refused_while_one_runs(host: Host, shot: Any) -> None:
    """One job per node: a second press says so and does not affect the first."""
    shot["send"].execute()
    run = jobs.of(shot)
    shot["send"].execute()
    assert "busy" in host.messages[-1]
    assert run is not None
    host.run_until(lambda: run.over)
    host.drain()
    assert run.error is None


def test_missing_upstream_frames(host: Host, shot: Any, nuke: Any, tmp_path: Path) -> None:
    """Frames that upstream cannot render are named, the others arrive, and the input passes on missing ones."""
    os.unlink(tmp_path / "fg" / f"fg.{FIRST + 2}.exr")
    run = sent(host, shot)
    assert run.record.state == record.PARTLY
    assert str(run.record.missing()) == str(FIRST + 2)
    assert str(FIRST + 2) in shot["review"].value()
    assert str(FIRST + 2) in shot["status"].value()


def test_nothing_connected(host: Host, nuke: Any, tmp_path: Path) -> None:
    """A node without inputs says which one is missing."""
    group = node.create("harmonize")
    nuke.scriptSave(str(tmp_path / "s.nk"))
    group["send"].execute()
    assert "the input fg is not connected" in host.messages[-1].lower()


def test_script_without_a_name(host: Host, nuke: Any, tmp_path: Path) -> None:
    """A script that was never saved needs a folder, and the message says where to set it."""
    group = node.create("deflicker")
    group.setInput(0, shots.reader(nuke, shots.save(tmp_path, "p", {1: shots.plate(1)}), 1, 1))
    group["send"].execute()
    assert "Save the script" in host.messages[-1]


def test_a_matte_without_alpha(host: Host, shot: Any, nuke: Any, tmp_path: Path) -> None:
    """A matte input without alpha is refused with a message, before the job."""
    flat = shots.save(tmp_path / "m", "m", {n: shots.plate(n, alpha=False) for n in range(FIRST, LAST + 1)})
    shot.setInput(2, shots.reader(nuke, flat, FIRST, LAST))
    run = sent(host, shot)
    assert "has no alpha" in shot["status"].value()
    assert run.error is not None


def test_the_node_is_deleted_in_the_middle(host: Host, shot: Any, nuke: Any) -> None:
    """A node that was deleted during its job causes no error; the results are on disk."""
    shot["send"].execute()
    run = jobs.of(shot)
    assert run is not None
    host.run_until(
        lambda: (run.engine is not None and Path(run.record.folder, record.RECORD).exists()) or run.over
    )
    nuke.delete(shot)
    host.run_until(lambda: run.over)
    host.drain()
    assert run.over


def test_a_broken_settings_file(
    host: Host, shot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A settings file that cannot be read is a message on the node; Nuke gets no exception."""
    bad = tmp_path / "client.ini"
    bad.write_text("[client\n")
    monkeypatch.setenv("HARMOVID_CLIENT_CONFIG", str(bad))
    shot["send"].execute()
    assert "client.ini" in host.messages[-1]
