"""The doctor on sound and broken installations."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest
from harmovid.cli import main

pytest.importorskip("OpenEXR")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the doctor an empty home of its own, and ports that are not in use."""
    for name in [name for name in os.environ if name.startswith("HARMOVID_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HARMOVID_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("HARMOVID_PORT", "0")
    monkeypatch.delenv("OCIO", raising=False)
    return tmp_path


def findings(capsys: pytest.CaptureFixture[str], code: int) -> dict[str, dict[str, str]]:
    """Run the doctor, check its exit code, and return its findings by name."""
    assert main(["doctor", "--json"]) == code
    answer = json.loads(capsys.readouterr().out)
    assert answer["exit"] == code
    return {finding["check"]: finding for finding in answer["findings"]}


def test_a_sound_installation_has_no_failures(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where everything is installed, the doctor finds packages, colour, engines and disk sound."""
    found = findings(capsys, 0)

    for name in ("harmovid", "python", "pyzmq", "encryption", "OpenEXR", "OpenColorIO", "engine null"):
        assert found[name]["status"] == "ok", found[name]
    assert "free" in found["spool disk"]["detail"]


def test_text_lines_start_with_the_verdict(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each line of text is ok, warn or fail, or a fix; the last line has the counts."""
    assert main(["doctor"]) == 0

    *lines, blank, last = capsys.readouterr().out.splitlines()
    assert all(line.split()[0] in ("ok", "warn", "fail", "->") for line in lines)
    assert blank == ""
    assert "0 failed" in last


def test_a_key_open_to_others_fails_with_its_fix(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A secret that others can read is a failure whose fix is the command to run."""
    main(["keys", "new", "anna", "--json"])
    secret = home / "config" / "harmovid" / "keys" / "anna.secret"
    secret.chmod(0o644)
    capsys.readouterr()

    key = findings(capsys, 1)["key"]

    assert key["status"] == "fail"
    assert key["fix"] == f"Run: chmod 600 {secret}"


def test_a_missing_ocio_configuration_fails(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """OCIO pointing nowhere is a failure that names the file."""
    monkeypatch.setenv("OCIO", str(home / "none.ocio"))

    assert "none.ocio" in findings(capsys, 1)["OpenColorIO"]["detail"]


def test_an_unreachable_server_fails(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A configured server that does not answer is a failure with its address."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HARMOVID_SERVER", f"tcp://127.0.0.1:{taken.getsockname()[1]}")

        found = findings(capsys, 1)["server"]

    assert found["status"] == "fail"
    assert os.environ["HARMOVID_SERVER"] in found["detail"]


def test_a_port_in_use_is_a_warning(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A port in use is a warning and not a failure, because it may be a running server."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setenv("HARMOVID_PORT", str(port))

        assert findings(capsys, 0)[f"port {port}"]["status"] == "warn"


def test_a_settings_file_that_cannot_be_read_does_not_stop_the_rest(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A malformed settings file is one failure; packages and disk are still checked."""
    (home / "bad.ini").write_text("nonsense", "utf-8")
    monkeypatch.setenv("HARMOVID_CLIENT_CONFIG", str(home / "bad.ini"))

    found = findings(capsys, 1)

    assert found["settings"]["status"] == "fail"
    assert found["spool disk"]["status"] == "ok"
