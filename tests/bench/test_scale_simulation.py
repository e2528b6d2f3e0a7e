"""`bench/scale_simulation.py`: queues give the expected rates, constants are the server's, the page has its tables."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from harmovid_server.config import Config
from harmovid_server.front.sessions import Sessions


@pytest.fixture(scope="module")
def simulation(repo: Path) -> ModuleType:
    """Return the script as a module."""
    spec = importlib.util.spec_from_file_location("scale_simulation", repo / "bench" / "scale_simulation.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_page_has_what_the_script_prints(repo: Path) -> None:
    """docs/scale.md has every line of its tables for ten clients; the numbers are the same every time."""
    command = [sys.executable, str(repo / "bench" / "scale_simulation.py"), "--clients", "10"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    page = (repo / "docs" / "scale.md").read_text("utf-8").splitlines()
    rows = [line for line in done.stdout.splitlines() if line.startswith("|")]
    assert len(rows) > 20
    missing = [line for line in rows if line not in page]
    assert not missing, "run: python bench/scale_simulation.py --write docs/scale.md"


def test_alone_a_shot_takes_what_its_line_takes(simulation: ModuleType) -> None:
    """A single client is limited by the slower of network line and engine."""
    times = simulation.Times("any", 0.01, 0.0, 0.1, 0.2, 25e6, 1e6)
    plan = simulation.Plan(0, line=25e6, server_line=1e12, shot=100)
    assert simulation.alone_s(plan, times) == pytest.approx(100, rel=0.02)
    slow = simulation.Times("any", 0.01, 0.0, 0.1, 3.0, 25e6, 1e6)
    assert simulation.alone_s(plan, slow) == pytest.approx(300, rel=0.02)


def test_no_part_does_more_than_it_can(simulation: ModuleType) -> None:
    """Far too many clients: one server passes what its front can, and nothing more; a second one doubles that."""
    times = simulation.Times("any", 0.1, 0.0, 0.1, 0.1, 1e6, 1e6)
    plan = simulation.Plan(400, pause_s=10.0, time_s=400.0, shot=20, rtt_s=0.001)
    one = simulation.World(plan, times).run()
    two = simulation.World(simulation.replace(plan, servers=2), times).run()
    assert 9.5 < one.rate <= 10.0
    assert one.tightest == "front"
    assert 19.0 < two.rate <= 20.0
    assert one.sessions > simulation.SESSIONS


def test_few_clients_lose_no_shot(simulation: ModuleType) -> None:
    """Every shot that was begun is done, or is counted as under way."""
    times = simulation.Times("any", 0.01, 0.0, 0.1, 0.1, 1e6, 1e6)
    plan = simulation.Plan(5, pause_s=50.0, time_s=500.0, shot=10)
    found = simulation.World(plan, times).run()
    assert found.frames >= 10 * len(found.shots_s)
    assert found.frames <= 10 * (len(found.shots_s) + found.unfinished)
    assert found.unfinished <= 1


@pytest.mark.parametrize("count", [1, 5, 64, 200])
def test_credit_is_what_the_front_grants(count: int, simulation: ModuleType) -> None:
    """The same bytes for each client as the server's own code gives; the defaults are the settings'."""
    sessions = Sessions(Config(sessions=4096).sessions, Config().credit_bytes)
    granted = []
    for number in range(count):
        session = sessions.open(b"c%d" % number, "anna", 0.0)
        sessions.attach(session, b"d%d" % number, 1)
        granted.append(session.grant)
    assert simulation.grants(count) == granted
    assert Config().sessions == simulation.SESSIONS
