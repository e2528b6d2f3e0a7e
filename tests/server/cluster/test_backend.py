"""Ray is asked for where it is wanted, and touched nowhere else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from fakes.ray_cluster import INSTALLED
from harmovid_server.config import Config, load
from harmovid_server.main.server import WORKER_MODULES

LOADS = """
import sys
sys.modules["ray"] = None
import harmovid_server.main.server, harmovid_server.worker.__main__, harmovid_server.engines
from harmovid_server import engines
engines.load()
sys.exit("cluster" if any("harmovid_server.cluster" in name for name in sys.modules) else 0)
"""


def test_without_the_backend_nothing_of_it_is_loaded() -> None:
    """Main, worker and engines load where Ray cannot be imported, and without the cluster's modules."""
    done = subprocess.run([sys.executable, "-c", LOADS], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(INSTALLED, reason="Ray is installed here")
def test_a_backend_that_is_not_installed_ends_the_start(tmp_path: Path) -> None:
    """`--backend ray` without Ray: exit 2 and the command that installs it, before anything is bound."""
    command = [
        sys.executable,
        "-m",
        "harmovid_server",
        "--backend",
        "ray",
        "--state",
        str(tmp_path / "state"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2
    assert "pip install 'harmovid[server,cluster]'" in done.stderr
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("address", ["auto", "head:6379", "10.0.0.7:6379", "[fd00::7]:6379"])
def test_addresses_of_clusters(address: str) -> None:
    """Those that a server can join."""
    assert load(["--backend", "ray", "--ray-address", address], {}).ray_address == address


def test_every_backend_has_its_worker() -> None:
    """The settings' backends are those that main can start; the default needs nothing."""
    assert Config().backend == "local"
    for backend, module in WORKER_MODULES.items():
        assert Config(backend=backend).backend == backend
        assert module.startswith("harmovid_server.")
