"""kill -9 of a Nuke in the middle of its job: no frame is lost or incomplete, and the next Nuke resumes the job."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.nuke_kills import kill_often
from fakes.running import RunningServer


@pytest.mark.fault
@pytest.mark.slow
def test_kills_lose_nothing(tmp_path: Path) -> None:
    """After several kills at random moments every frame of every version has the bits of an undisturbed run.

    `bench/nuke_kills.py` does it a hundred times.
    """
    with RunningServer(tmp_path / "server", "--codecs", "1", echo=False) as server:
        tally = kill_often(tmp_path / "shot", server.endpoint, kills=6, seed=3)
    assert tally.kills == 6
    assert tally.damaged == []
    assert tally.lost == []
