"""Every metric that a server exports to Prometheus: its name, kind and labels. Nothing else may be counted or exported.

Main counts (`harmovid_server.main.tally`), the metrics process exports (`harmovid_server.metrics`). Tests compare
docs/server.md and the Grafana dashboard `deploy/grafana.json` with this list.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

COUNTER, GAUGE, HISTOGRAM = "counter", "gauge", "histogram"


@dataclass(frozen=True)
class Metric:
    """One metric; a counter is shown as `NAME_total`."""

    name: str
    kind: str
    labels: Tuple[str, ...]
    help: str


SUBMITTED = Metric("harmovid_jobs_submitted", COUNTER, ("engine",), "Jobs taken.")
ENDED = Metric(
    "harmovid_jobs_ended", COUNTER, ("state",), "Jobs that ended: DONE, FAILED, CANCELLED, EXPIRED."
)
FRAMES = Metric(
    "harmovid_frames",
    COUNTER,
    ("step",),
    "Frames received, computed, delivered to the client, failed, retried.",
)
BYTES = Metric(
    "harmovid_bytes", COUNTER, ("direction",), "Bytes of frame files that came in and that went out."
)
ERRORS = Metric(
    "harmovid_errors",
    COUNTER,
    ("of", "code"),
    "Errors by code (harmovid.errors): of a frame, job, request or session.",
)
LOADS = Metric(
    "harmovid_engine_loads",
    COUNTER,
    ("engine", "runtime", "device"),
    "Engines loaded by a worker, and what they run on.",
)
LOST = Metric("harmovid_processes_lost", COUNTER, ("process",), "Child processes that died or hung.")
AUDIT_LOST = Metric("harmovid_audit_lines_lost", COUNTER, (), "Lines that the audit log could not take.")
STAGES = Metric(
    "harmovid_stage_seconds",
    HISTOGRAM,
    ("stage", "engine"),
    "Seconds per frame: receive, proxy, engine, finish, deliver; per job: queue.",
)
JOBS = Metric(
    "harmovid_jobs", GAUGE, ("state",), "Jobs that are queued, running, or have no client (detached)."
)
CLIENTS = Metric("harmovid_clients", GAUGE, (), "Clients that are connected.")
QUEUED_FRAMES = Metric(
    "harmovid_frames_waiting", GAUGE, (), "Frames of all jobs that have not been computed yet."
)
SPOOL = Metric("harmovid_spool_bytes", GAUGE, ("kind",), "The spool: used, its budget, and free on its disk.")
READY = Metric("harmovid_ready", GAUGE, (), "1 where /readyz says so.")
MEMORY = Metric("harmovid_process_memory_bytes", GAUGE, ("process",), "Resident memory of each process.")
GPU = Metric(
    "harmovid_gpu_memory_bytes", GAUGE, ("gpu", "kind"), "GPU memory used and there, where there is a GPU."
)
INFO = Metric("harmovid_server", GAUGE, ("version",), "1, with the server's version.")

METRICS = (
    SUBMITTED, ENDED, FRAMES, BYTES, ERRORS, LOADS, LOST, AUDIT_LOST, STAGES,
    JOBS, CLIENTS, QUEUED_FRAMES, SPOOL, READY, MEMORY, GPU, INFO,
)  # fmt: skip

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
"""Upper bounds of the histograms: from a millisecond of a small engine to minutes of a diffusion model."""
