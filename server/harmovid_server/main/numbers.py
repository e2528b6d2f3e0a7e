"""The numbers that main sends the metrics process once a second: counters, gauges, and why the server is not ready."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping

from harmovid.job import QUEUED, RUNNING

from harmovid_server import metric_list as names
from harmovid_server.main.state import ServerState

DETACHED = "DETACHED"


def numbers(state: ServerState, pids: Mapping[str, int]) -> Dict[str, Any]:
    """Return the fields of the link message `numbers`.

    Args:
        state: the server's state.
        pids: slot to process id of main and its children.
    """
    return {**state.tally.plain(), "gauges": _gauges(state), "problems": problems(state), "pids": dict(pids)}


def problems(state: ServerState) -> List[str]:
    """Return why no new job should be sent to this server; empty if it is ready."""
    spool = state.spool
    found = []
    if not state.workers or not state.engines:
        found.append("no engine is ready yet")
    if state.front is None:
        found.append("the front is not open")
    if min(spool.budget_bytes - spool.used_bytes, spool.disk_free_bytes()) <= 0:
        found.append("the spool is full")
    if state.draining:
        found.append("the server is stopping")
    return found


def _gauges(state: ServerState) -> Dict[str, Any]:
    jobs = list(state.jobs.values())
    spool = state.spool
    by_state = {QUEUED: 0, RUNNING: 0, DETACHED: sum(job.session is None for job in jobs)}
    for job in jobs:
        by_state[job.record.state] += 1
    sizes = {
        "used": spool.used_bytes, "budget": spool.budget_bytes, "disk_free": spool.disk_free_bytes(),
    }  # fmt: skip
    return {
        names.JOBS.name: [[[name], count] for name, count in by_state.items()],
        names.CLIENTS.name: [[[], state.clients]],
        names.QUEUED_FRAMES.name: [[[], sum(job.owes for job in jobs)]],
        names.SPOOL.name: [[[name], size] for name, size in sizes.items()],
    }
