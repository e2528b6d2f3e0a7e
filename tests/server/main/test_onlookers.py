"""Who sees what: FRAMES, PREVIEW, WORKERS and STATUS for owners, other users and administrators."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fakes.dispatcher_rig import FRONT, WORKER, DispatcherRig
from harmovid.keys import AuthorizedKeys, new_pair
from harmovid_server.spool import preview_path


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, str]:
    """Return the public keys of two users and an administrator, who are in the list."""
    listing = AuthorizedKeys(tmp_path / "authorized_keys")
    made = {name: new_pair(name).public for name in ("anna", "ben", "td")}
    for name, public in made.items():
        listing.add(name, public, admin=name == "td")
    return made


@pytest.fixture
def rig(tmp_path: Path, keys: dict[str, str]) -> DispatcherRig:
    """Return a dispatcher with that list."""
    return DispatcherRig(
        tmp_path, server_key="farm.secret", authorized_keys=str(tmp_path / "authorized_keys"), previews=True
    )


def one_frame(rig: DispatcherRig, user: str) -> str:
    """Submit a job of one frame that is computed, with previews, and return its id."""
    job = rig.submit(user, frames="5")
    rig.upload(job, "plate", 5)
    for side in ("before", "after"):
        preview_path(rig.state.history.folder, job, 5, side).write_bytes(side.encode())
    rig.hear(
        WORKER, "computed", job=job, attempt=1, frame=5, size=1, crc=1, report={"gain": 0.5}, preview_bytes=11
    )
    return job


def test_an_owner_sees_frames_and_previews(rig: DispatcherRig, keys: dict[str, str]) -> None:
    """Reports and pictures of one's own frames, and nothing new when asked again."""
    job = one_frame(rig, keys["anna"])
    kind, body = rig.request(keys["anna"], "FRAMES", {"job": job})
    assert kind == "FRAME_LIST"
    assert body["frames"] == [{"frame": 5, "state": "computed", "report": {"gain": 0.5}, "previews": True}]
    assert rig.request(keys["anna"], "FRAMES", {"job": job, "at": body["at"]})[1]["frames"] == []
    asked = {"job": job, "frame": 5, "side": "before"}
    assert rig.request(keys["anna"], "PREVIEW", asked)[1]["data"] == b"before"
    kind, body = rig.request(keys["anna"], "PREVIEW", {**asked, "frame": 6})
    assert (kind, body["error"]["code"]) == ("REJECT", "frame_missing")


def test_a_stranger_sees_nothing(rig: DispatcherRig, keys: dict[str, str]) -> None:
    """Another user's job is unknown, whatever is asked; the workers page counts it and does not name it."""
    job = one_frame(rig, keys["anna"])
    for kind, body in (
        ("STATUS", {"job": job}),
        ("FRAMES", {"job": job}),
        ("PREVIEW", {"job": job, "frame": 5, "side": "after"}),
        ("CANCEL", {"job": job}),
        ("RETRY", {"job": job}),
    ):
        answer, told = rig.request(keys["ben"], kind, body)
        assert (answer, told["error"]["code"]) == ("REJECT", "job_unknown"), kind
    assert rig.request(keys["ben"], "STATUS", {})[1]["jobs"] == []
    (worker,) = rig.request(keys["ben"], "WORKERS", {})[1]["workers"]
    assert (worker["name"], worker["running"], worker["jobs"]) == (WORKER, 1, [])


def test_an_administrator_sees_all_and_cancels(rig: DispatcherRig, keys: dict[str, str]) -> None:
    """With the mark in the list: every job with its owner's name, its frames; CANCEL, but never RESUME."""
    jobs = {name: one_frame(rig, keys[name]) for name in ("anna", "ben")}
    rows = rig.request(keys["td"], "STATUS", {})[1]["jobs"]
    assert {row["job"]: row["user"] for row in rows} == {job: name for name, job in jobs.items()}
    assert rig.request(keys["td"], "FRAMES", {"job": jobs["ben"]})[0] == "FRAME_LIST"
    (worker,) = rig.request(keys["td"], "WORKERS", {})[1]["workers"]
    assert worker["jobs"] == sorted(jobs.values())
    assert rig.resume(keys["td"], jobs["ben"])[0] == "REJECT"
    assert rig.request(keys["td"], "CANCEL", {"job": jobs["ben"]})[1]["state"] == "CANCELLED"
    (job,) = rig.request(keys["ben"], "STATUS", {})[1]["jobs"]
    assert job["state"] == "CANCELLED"
    noted = [json.loads(line) for line in rig.config.audit_file.read_text().splitlines()]
    by_td = [
        (line["event"], line["job"], line["owner"])
        for line in noted
        if line.get("user") == "td" and "job" in line
    ]
    assert by_td == [
        ("looked at by an administrator", jobs["ben"], "ben"),
        ("cancelled by an administrator", jobs["ben"], "ben"),
    ]


def test_an_administrator_retries_and_it_is_noted(rig: DispatcherRig, keys: dict[str, str]) -> None:
    """Somebody else's failed frames are requested again from their owner; the audit log names both."""
    job = rig.submit(keys["ben"], frames="1-3")
    error = {"code": "frame_missing", "message": "gone", "retryable": False}
    rig.hear(FRONT, "source_failed", job=job, layer="plate", frame=1, error=error)
    assert rig.request(keys["td"], "RETRY", {"job": job})[1]["failed"] == 0
    noted = [json.loads(line) for line in rig.config.audit_file.read_text().splitlines()]
    (line,) = [line for line in noted if line["event"] == "retried"]
    assert (line["user"], line["owner"], line["job"], line["frames"]) == ("td", "ben", job, 1)


def test_a_mark_that_is_taken_away_counts_at_once(rig: DispatcherRig, keys: dict[str, str]) -> None:
    """The list is read again when it has changed; authorizing a key again without the mark takes it away."""
    one_frame(rig, keys["anna"])
    assert len(rig.request(keys["td"], "STATUS", {})[1]["jobs"]) == 1
    AuthorizedKeys(rig.config.authorized_keys).add("td", keys["td"])
    assert rig.request(keys["td"], "STATUS", {})[1]["jobs"] == []


def test_without_keys_nobody_is_an_administrator(tmp_path: Path) -> None:
    """On loopback without keys all are one user, who sees what is theirs: everything."""
    rig = DispatcherRig(tmp_path)
    job = rig.submit("", frames="5")
    assert [row["job"] for row in rig.request("", "STATUS", {})[1]["jobs"]] == [job]
    assert not rig.state.users.is_admin("")


def test_frames_are_remembered_through_a_restart_until_the_job_is_forgotten(
    rig: DispatcherRig, keys: dict[str, str]
) -> None:
    """History outlives the server's process, and goes with the job."""
    job = one_frame(rig, keys["anna"])
    rig.reopen()
    assert len(rig.request(keys["anna"], "FRAMES", {"job": job})[1]["frames"]) == 1
    rig.request(keys["anna"], "CANCEL", {"job": job})
    rig.state.forget(job)
    assert rig.request(keys["anna"], "FRAMES", {"job": job})[0] == "REJECT"
    assert not (rig.state.history.folder / job).exists()
