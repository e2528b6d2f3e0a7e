"""The metrics process's parts: families from main's numbers, the pages, memory of real processes, GPUs by a tool."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Dict, Iterator

import pytest
from fakes.waiting import wait_until
from harmovid_server.main.tally import OTHER, SERIES_MOST, Tally
from harmovid_server.metric_list import BUCKETS_S, COUNTER, ERRORS, FRAMES, JOBS, METRICS, STAGES
from harmovid_server.metrics.collector import Collector
from harmovid_server.metrics.listener import Listener
from harmovid_server.metrics.numbers import STALE_S, GpuMemory, Numbers, memory_of
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families


def message(tally: Tally, **more: Any) -> Dict[str, Any]:
    """Return what main would send."""
    return {**tally.plain(), "gauges": {}, "problems": [], "pids": {}, **more}


def scrape(numbers: Numbers, gpus: GpuMemory | None = None) -> Dict[str, Dict[tuple[str, ...], float]]:
    """Return {sample: {label values: value}} of the text that Prometheus would read."""
    registry = CollectorRegistry()
    registry.register(Collector(numbers, gpus or GpuMemory()))
    found: Dict[str, Dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


def test_counts_and_times_come_out_as_prometheus_reads_them() -> None:
    """Counters add up by label; a histogram's buckets are cumulative, its count and sum those of what went in."""
    tally, numbers = Tally(), Numbers()
    tally.count(FRAMES, "received")
    tally.count(FRAMES, "received", by=2)
    tally.count(ERRORS, "frame", "frame_missing")
    seconds = (0.0005, 0.001, 0.02, 7.0, 1000.0)
    for each in seconds:
        tally.time(STAGES, each, "engine", "deflicker")
    numbers.take(message(tally, gauges={JOBS.name: [[["RUNNING"], 3]]}))

    found = scrape(numbers)

    assert found["harmovid_frames_total"] == {("received",): 3}
    assert found["harmovid_errors_total"] == {("frame_missing", "frame"): 1}
    assert found["harmovid_jobs"] == {("RUNNING",): 3}
    assert found["harmovid_stage_seconds_count"][("deflicker", "engine")] == len(seconds)
    assert found["harmovid_stage_seconds_sum"][("deflicker", "engine")] == pytest.approx(sum(seconds))
    buckets = found["harmovid_stage_seconds_bucket"]
    for bound in BUCKETS_S:
        (count,) = [n for labels, n in buckets.items() if labels[1] == f"{bound:g}" or f"{bound:g}" in labels]
        assert count == sum(each <= bound for each in seconds), bound


def test_every_metric_is_there_from_the_first_moment() -> None:
    """Before anything has happened each family has its name, kind and help; nothing else is shown."""
    registry = CollectorRegistry()
    registry.register(Collector(Numbers(), GpuMemory()))
    text = generate_latest(registry).decode()

    shown = [line.split()[2:4] for line in text.splitlines() if line.startswith("# TYPE")]
    assert shown == [
        [metric.name + ("_total" if metric.kind == COUNTER else ""), metric.kind] for metric in METRICS
    ]


def test_labels_cannot_grow_without_bound() -> None:
    """A client that makes up error codes fills one series more, not memory."""
    tally = Tally()
    for number in range(SERIES_MOST + 500):
        tally.count(ERRORS, "frame", f"made_up_{number}")
    series = {tuple(labels): n for labels, n in tally.plain()["counts"][ERRORS.name]}
    assert len(series) == SERIES_MOST + 1
    assert series[OTHER, OTHER] == 500


def test_memory_is_that_of_the_processes() -> None:
    """Each process has its memory under its slot's name; a worker's children are numbered; the dead are left out."""
    grow = (
        "b = bytearray(50 << 20); import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    )
    with subprocess.Popen([sys.executable, "-c", grow], stdin=subprocess.PIPE) as process:
        pids = {"main": os.getpid(), "worker-0": process.pid, "front": 2**22 + 1}
        wait_until(lambda: "worker-0/codec-0" in dict(memory_of(pids)))
        found = dict(memory_of(pids))
        process.communicate(b"\n")
    assert set(found) == {"main", "worker-0", "worker-0/codec-0"}
    assert found["worker-0"] > 50 << 20
    assert found["worker-0/codec-0"] > 0


def test_gpu_memory_is_what_the_tool_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of nvidia-smi become bytes per GPU; without the tool there is none. No real GPU has been asked."""
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho '0, 1024, 24576'\necho '1, 0, 24576'\n")
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    gpus = GpuMemory()
    wait_until(lambda: bool(gpus.rows()))
    found = scrape(Numbers(), gpus)["harmovid_gpu_memory_bytes"]
    assert found == {
        ("0", "used"): 1 << 30,
        ("0", "total"): 24 << 30,
        ("1", "used"): 0,
        ("1", "total"): 24 << 30,
    }
    tool.write_text("#!/bin/sh\necho 'NVML: Driver/library version mismatch'\nexit 9\n")
    broken = GpuMemory()
    assert broken.rows() == []


class Pages:
    """A listener with numbers that the test gives, and a clock that it sets."""

    def __init__(self) -> None:
        self.clock = 100.0
        self.numbers = Numbers(lambda: self.clock)
        self.listener = Listener(("127.0.0.1", 0), self.numbers, lambda: b"harmovid_ready 1\n")
        self.listener.start()

    def get(self, path: str) -> tuple[int, str]:
        """Return status and body of a page."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.listener.port}{path}", timeout=300) as page:
                return page.status, page.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()


@pytest.fixture
def pages() -> Iterator[Pages]:
    """Yield a listener on a free port."""
    made = Pages()
    yield made
    made.listener.close()


def test_live_and_ready_are_different_questions(pages: Pages) -> None:
    """Before main speaks neither holds; a problem makes it not ready but live; silence makes it neither."""
    assert pages.get("/livez")[0] == 503
    assert pages.get("/readyz")[0] == 503
    pages.numbers.take(message(Tally()))
    assert pages.get("/livez") == (200, "live\n")
    assert pages.get("/readyz") == (200, "ready\n")
    pages.numbers.take(message(Tally(), problems=["the spool is full", "the server is stopping"]))
    assert pages.get("/livez")[0] == 200
    assert pages.get("/readyz") == (503, "the spool is full\nthe server is stopping\n")
    pages.numbers.take(message(Tally()))
    pages.clock += STALE_S + 1
    assert pages.get("/livez")[0] == 503
    status, said = pages.get("/readyz")
    assert status == 503
    assert "main has said nothing" in said


def test_no_name_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither to bind nor to answer is a name server asked."""

    def asked(*_: object) -> str:
        raise AssertionError("a name was looked up")

    monkeypatch.setattr(socket, "getfqdn", asked)
    monkeypatch.setattr(socket, "gethostbyaddr", asked)
    made = Pages()
    assert made.get("/livez")[0] == 503
    made.listener.close()


def test_only_reading_is_possible(pages: Pages) -> None:
    """There are three pages; others are not found, and other methods are not answered."""
    assert pages.get("/metrics") == (200, "harmovid_ready 1\n")
    assert pages.get("/")[0] == 404
    assert pages.get("/metrics/../etc/passwd")[0] == 404
    request = urllib.request.Request(
        f"http://127.0.0.1:{pages.listener.port}/metrics", data=b"x", method="POST"
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=300)  # noqa: S310
    refused.value.close()
    assert refused.value.code == 501


def test_a_probe_may_ask_for_the_head_alone(pages: Pages) -> None:
    """HEAD has the status and the length of the page, and no text."""
    request = urllib.request.Request(f"http://127.0.0.1:{pages.listener.port}/metrics", method="HEAD")
    with urllib.request.urlopen(request, timeout=300) as answer:  # noqa: S310
        assert (answer.status, answer.read()) == (200, b"")
        assert int(answer.headers["Content-Length"]) == len("harmovid_ready 1\n")


def test_a_client_that_says_nothing_holds_nobody_up(pages: Pages) -> None:
    """While connections hang half-open, others are answered."""
    hanging = [socket.create_connection(("127.0.0.1", pages.listener.port)) for _ in range(20)]
    for one in hanging:
        one.send(b"GET /met")
    assert pages.get("/metrics")[0] == 200
    for one in hanging:
        one.close()
