"""What main counts while jobs run, and when it says that it is not ready; and a whole server with the port open."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Dict, Tuple

import pytest
from core.tiny_exr import tiny_exr
from fakes.dispatcher_rig import WORKER, DispatcherRig
from fakes.peer import Peer, spec
from fakes.running import RunningServer
from fakes.waiting import wait_until
from harmovid.errors import InputError
from harmovid_server import metric_list as names
from harmovid_server.config import Config
from harmovid_server.main.numbers import numbers, problems
from harmovid_server.main.server import check_metrics
from prometheus_client.parser import text_string_to_metric_families

REPO = Path(__file__).resolve().parents[3]


def counts(rig: DispatcherRig, metric: names.Metric) -> Dict[Tuple[str, ...], float]:
    """Return a counter's series."""
    return {tuple(key): n for key, n in numbers(rig.state, {})["counts"].get(metric.name, [])}


def times(rig: DispatcherRig) -> Dict[Tuple[str, ...], Tuple[float, float]]:
    """Return (count, sum) of each stage."""
    found = numbers(rig.state, {})["times"].get(names.STAGES.name, [])
    return {tuple(key): (sum(n[:-1]), n[-1]) for key, n in found}


def test_a_job_is_counted_once_from_end_to_end(tmp_path: Path) -> None:
    """Frames, bytes, jobs and the time of each stage are those of the job, by main's clock."""
    rig = DispatcherRig(tmp_path)
    job = rig.submit("anna", "1-4")
    rig.clock += 2.0
    asked = rig.upload_asked(size=1000)
    rig.clock += 1.0
    rig.compute(job, [1, 2, 3, 4], size=900)
    rig.clock += 0.5
    rig.ack(job, [1, 2, 3, 4])

    assert len(asked) == 4
    assert counts(rig, names.SUBMITTED) == {("echo",): 1}
    assert counts(rig, names.ENDED) == {("DONE",): 1}
    assert counts(rig, names.FRAMES) == {("received",): 4, ("computed",): 4, ("delivered",): 4}
    assert counts(rig, names.BYTES) == {("in",): 4000, ("out",): 3600}
    assert times(rig)["deliver", "echo"] == (4, pytest.approx(4 * 0.5))
    assert times(rig)["receive", "echo"][0] == 4
    assert times(rig)["queue", "echo"][0] == 1


def test_what_a_worker_measured_is_kept_by_stage(tmp_path: Path) -> None:
    """Seconds that come with a result are counted by stage and engine."""
    rig = DispatcherRig(tmp_path)
    job = rig.submit("anna", "1-2")
    rig.upload_asked()
    stages = {"proxy": 0.1, "engine": 0.3, "finish": 0.2}
    rig.hear(
        WORKER, "computed", job=job, attempt=1, frame=1, size=9, crc=1, report={}, seconds=stages
    )  # fmt: skip
    assert {key[0]: value for key, value in times(rig).items() if key[0] in stages} == {
        name: (1, pytest.approx(seconds)) for name, seconds in stages.items()
    }


def test_errors_are_counted_by_what_failed_and_code(tmp_path: Path) -> None:
    """A failed frame, a failed job and a refused request are counted separately."""
    rig = DispatcherRig(tmp_path)
    job = rig.submit("anna", "1-2")
    rig.upload_asked()
    missing = {"code": "frame_missing", "message": "gone.", "retryable": False}
    rig.hear("front.1", "source_failed", job=job, frame=1, error=missing)
    broken = {"code": "engine_failed", "message": "broke.", "retryable": False}
    rig.hear(WORKER, "job_failed", job=job, attempt=1, error=broken)
    assert rig.request("anna", "SUBMIT", {"spec": spec(engine="magic")})[0] == "REJECT"

    assert counts(rig, names.ERRORS) == {
        ("frame", "frame_missing"): 1, ("job", "engine_failed"): 1, ("request", "engine_unknown"): 1,
    }  # fmt: skip
    assert counts(rig, names.ENDED) == {("FAILED",): 1}


def test_the_front_tells_of_clients_and_refusals(tmp_path: Path) -> None:
    """Its newest count is shown, its refusals add up by code, and a dead front has no clients."""
    rig = DispatcherRig(tmp_path)
    rig.hear("front.1", "clients", count=3, refused={"auth": 2})
    rig.hear("front.1", "clients", count=1, refused={"auth": 1, "protocol": 4})
    assert numbers(rig.state, {})["gauges"][names.CLIENTS.name] == [[[], 1]]
    assert counts(rig, names.ERRORS) == {("session", "auth"): 3, ("session", "protocol"): 4}
    rig.kill("front.1")
    assert numbers(rig.state, {})["gauges"][names.CLIENTS.name] == [[[], 0]]


def test_gauges_say_what_is_there_now(tmp_path: Path) -> None:
    """Jobs by state, frames that wait, the spool's account; a job without a client is detached."""
    rig = DispatcherRig(tmp_path, active_jobs=1)
    first = rig.submit("anna", "1-10")
    rig.submit("ben", "1-5")
    rig.upload(first, "plate", 1)
    rig.hear("front.1", "gone", session=rig.session("anna"))
    gauges = numbers(rig.state, {"main": 7})["gauges"]
    found = {name: {tuple(key): n for key, n in series} for name, series in gauges.items()}
    assert found[names.JOBS.name] == {("QUEUED",): 1, ("RUNNING",): 1, ("DETACHED",): 1}
    assert found[names.QUEUED_FRAMES.name] == {(): 15}
    assert found[names.SPOOL.name]["used",] == 1000
    assert found[names.SPOOL.name]["budget",] == rig.config.spool_bytes


def test_ready_needs_engine_front_room_and_no_drain(tmp_path: Path) -> None:
    """Each of the four makes the server not ready, with the reason; otherwise it is ready."""
    rig = DispatcherRig(tmp_path, spool_bytes=5000, workers=1)
    assert problems(rig.state) == []
    rig.kill("front.1")
    assert problems(rig.state) == ["the front is not open"]
    rig.hear("front.2", "hello", role="front")
    rig.kill(WORKER)
    assert problems(rig.state) == ["no engine is ready yet"]
    rig.hello("worker-0.2")
    job = rig.submit("anna", "1-3")
    rig.state.spool.add(rig.state.spool.folder / job / "in" / "plate.1.exr", 5000)
    assert problems(rig.state) == ["the spool is full"]
    rig.state.spool.remove(rig.state.spool.folder / job / "in" / "plate.1.exr")
    rig.dispatcher.drain(1.0)
    assert problems(rig.state) == ["the server is stopping"]


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def get(port: int, page: str) -> Tuple[int, str]:
    """Return status and text of a page; status 0 where nobody listens."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{page}", timeout=300) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""


def samples(text: str) -> Dict[str, Dict[Tuple[str, ...], float]]:
    """Return {sample name: {label values: value}}."""
    found: Dict[str, Dict[Tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


def test_a_real_server_shows_a_real_job(tmp_path: Path) -> None:
    """After one job with the real worker every metric of the dashboard has a sample, and the numbers are the job's.

    Killing the metrics process harms nobody: it comes back, and has forgotten nothing.
    """
    port = free_port()
    with RunningServer(tmp_path, "--metrics-port", str(port), "--codecs", "1", echo=False) as server:
        wait_until(lambda: get(port, "/readyz")[0] == 200)
        assert get(port, "/livez") == (200, "live\n")
        with Peer(server.endpoint).start() as peer:
            peer.source = lambda layer, frame: tiny_exr(value=frame / 8)
            peer.submit(job := spec("1-3", engine="null"))
            assert peer.run_to_end(job["job_id"])["state"] == "DONE"
            wait_until(lambda: samples(get(port, "/metrics")[1])["harmovid_clients"] == {(): 1})
            peer.send("SUBMIT", {"spec": spec()})  # no ref
            assert peer.wait(lambda m: m.type == "ERROR").body["error"]["code"] == "protocol"
            peer.start()
            refused = peer.submit(spec(engine="magic"))
            assert refused.type == "REJECT"
        wait_until(
            lambda: samples(get(port, "/metrics")[1]).get("harmovid_jobs_ended_total") == {("DONE",): 1.0}
        )
        # The front counts one of them, main the other, and each tells of its own.
        errors = {("protocol", "session"), ("engine_unknown", "request")}
        wait_until(lambda: errors <= {*samples(get(port, "/metrics")[1]).get("harmovid_errors_total", {})})
        found = samples(get(port, "/metrics")[1])
        assert found["harmovid_errors_total"]["protocol", "session"] == 1
        assert found["harmovid_frames_total"] == {("received",): 3, ("computed",): 3, ("delivered",): 3}
        stages = {labels[-1] for labels in found["harmovid_stage_seconds_count"]}
        assert stages == {"queue", "receive", "proxy", "engine", "finish", "deliver"}
        assert {"main", "front", "worker-0", "worker-0/codec-0", "metrics"} <= {
            labels[0] for labels in found["harmovid_process_memory_bytes"]
        }
        assert found["harmovid_engine_loads_total"] == {("cpu", "null", "python"): 1}
        os.kill(server.child("metrics"), signal.SIGKILL)
        wait_until(lambda: "harmovid_processes_lost_total" in samples(get(port, "/metrics")[1]))
        again = samples(get(port, "/metrics")[1])
        assert again["harmovid_processes_lost_total"] == {("metrics",): 1}
        assert again["harmovid_frames_total"] == found["harmovid_frames_total"]
        check_grafana(again)
        assert server.process is not None
        server.process.terminate()
        assert server.process.wait(300) == 0


def check_grafana(found: Dict[str, Any]) -> None:
    """Every metric on the Grafana dashboard is one that this server has just shown (GPU memory needs a GPU)."""
    board = json.loads((REPO / "deploy" / "grafana.json").read_text(encoding="utf-8"))
    expressions = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    asked = {name for text in expressions for name in re.findall(r"\bharmovid_\w+", text)}
    assert asked - set(found) <= {names.GPU.name}, asked - set(found)
    assert len(asked) > 10


def test_a_metrics_port_that_is_taken_ends_the_start(tmp_path: Path) -> None:
    """The server says which port, and how to name another, and ends with code 2."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = [
            sys.executable,
            "-m",
            "harmovid_server",
            "--port",
            "0",
            "--state",
            str(tmp_path),
            "--metrics-port",
            port,
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2
    assert f"port {port} cannot be listened on" in done.stderr
    assert "--metrics-port" in done.stderr


def test_a_metrics_address_must_be_an_address() -> None:
    """A name is refused; any address is taken, since whoever runs the server decides who may read numbers."""
    with pytest.raises(InputError, match="IP address"):
        check_metrics(Config(metrics_port=9, metrics_bind="localhost"))
    check_metrics(Config(metrics_port=9, metrics_bind="0.0.0.0"))  # noqa: S104
    check_metrics(Config(metrics_bind="localhost"))


def test_the_page_lists_every_metric() -> None:
    """docs/server.md has each metric with its labels, and no others."""
    text = (REPO / "docs" / "server.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(harmovid_\w+)` \| ([^|]*)\|", text, re.MULTILINE)
    listed = {name: tuple(re.findall(r"`(\w+)`", labels)) for name, labels in rows}
    assert listed == {
        metric.name + ("_total" if metric.kind == names.COUNTER else ""): metric.labels
        for metric in names.METRICS
    }
