"""The systemd unit: its syntax, its exposure level, and that the command it starts exists."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
UNIT = REPO / "deploy" / "harmovid.service"
MOST_EXPOSURE = 2.5
"""`systemd-analyze security` calls 2.5 and less "OK"; 10 is a service without any protection."""

SYSTEMD = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(SYSTEMD is None, reason="systemd-analyze is not installed on this machine")


@needs_systemd
def test_unit_verifies(tmp_path: Path) -> None:
    """systemd-analyze reports no error in the unit if the command it starts exists."""
    command = Path(sys.executable).with_name("harmovid")
    unit = tmp_path / "harmovid.service"
    unit.write_text(UNIT.read_text(encoding="utf-8").replace("/opt/harmovid/bin/harmovid", str(command)))

    result = subprocess.run([str(SYSTEMD), "verify", str(unit)], capture_output=True, text=True, timeout=300)

    assert result.returncode == 0, result.stderr
    assert "harmovid.service:" not in result.stderr


@needs_systemd
def test_unit_exposes_little() -> None:
    """The exposure level that systemd computes stays low."""
    words = [str(SYSTEMD), "security", "--offline=true", "--no-pager", str(UNIT)]

    result = subprocess.run(words, capture_output=True, text=True, timeout=300)
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", result.stdout)

    assert found is not None, result.stdout + result.stderr
    assert float(found.group(1)) <= MOST_EXPOSURE


def test_unit_waits_longer_than_a_drain() -> None:
    """The unit gives a stopping server more time than the server gives its running jobs."""
    from harmovid_server.config import Config

    found = re.search(r"^TimeoutStopSec=(\d+)$", UNIT.read_text(encoding="utf-8"), re.MULTILINE)

    assert found is not None
    assert int(found.group(1)) > Config().drain_s


def test_example_settings_are_read() -> None:
    """The example file holds only settings that the server knows."""
    from harmovid_server.config import load

    config = load(["--config", str(REPO / "deploy" / "server.toml")], {})

    assert config.authorized_keys == "/etc/harmovid/authorized_keys"
    assert config.spool_bytes == 200 << 30
