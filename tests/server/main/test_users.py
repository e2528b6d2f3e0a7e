"""Limits and priorities of users, keys that are replaced, the audit log: what main decides, on real files."""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path
from typing import Any, Dict, List

import pytest
from fakes.dispatcher_rig import WORKER, DispatcherRig
from fakes.peer import spec
from harmovid.keys import AuthorizedKeys, new_pair
from harmovid_server.main.audit import AuditLog
from harmovid_server.main.numbers import numbers
from harmovid_server.main.users import replaced
from harmovid_server.metric_list import AUDIT_LOST


class Keys:
    """A rig with a list of keys; users are named, and are their public keys to the server."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.list = AuthorizedKeys(folder / "authorized_keys")
        self.keys: Dict[str, str] = {}
        for name in ("anna", "ben"):
            self.renew(name)
        self.rig = DispatcherRig(folder, server_key="there", authorized_keys=self.list.path, **settings)

    def renew(self, name: str) -> str:
        """Put a fresh key of this name on the list; return it."""
        self.keys[name] = new_pair(name).public
        self.list.add(name, self.keys[name])
        return self.keys[name]

    def submit(self, name: str, frames: str) -> str:
        """Submit a job that is taken."""
        return self.rig.submit(self.keys[name], frames)

    def refused(self, name: str, frames: str) -> Dict[str, Any]:
        """Submit a job that is not taken; return the error."""
        kind, body = self.rig.request(self.keys[name], "SUBMIT", {"spec": spec(frames)})
        assert kind == "REJECT", body
        return dict(body["error"])

    def audit(self) -> List[Dict[str, Any]]:
        """Return the lines of the audit log."""
        return [json.loads(line) for line in self.rig.config.audit_file.read_text().splitlines()]


def test_jobs_of_one_user_are_limited_by_setting_and_by_key(tmp_path: Path) -> None:
    """One job too many is busy, with the numbers and what to do; a key's own limit wins; others are not affected."""
    keys = Keys(tmp_path, user_jobs=2)
    first = keys.submit("anna", "1-2")
    keys.submit("anna", "1-2")
    error = keys.refused("anna", "1-2")
    assert error["code"] == "busy"
    assert error["retryable"]
    assert error["retry_after_s"] > 0
    assert "anna may have 2" in error["message"]
    assert "harmovid cancel" in error["fix"]
    keys.submit("ben", "1-2")
    keys.list.limit("anna", ["jobs=3"])
    keys.submit("anna", "1-2")
    assert "may have 3" in keys.refused("anna", "1-2")["message"]
    assert keys.rig.request(keys.keys["anna"], "CANCEL", {"job": first})[0] == "ACCEPT"
    keys.submit("anna", "1-2")
    keys.list.limit("anna", ["jobs=0"])
    for _ in range(5):
        keys.submit("anna", "1-2")


def test_a_job_that_is_known_is_not_counted_again(tmp_path: Path) -> None:
    """Submitting a running job again, as after a lost connection, is no new job."""
    keys = Keys(tmp_path, user_jobs=1)
    job = spec("1-2")
    user = keys.keys["anna"]
    assert keys.rig.request(user, "SUBMIT", {"spec": job})[0] == "ACCEPT"
    assert keys.rig.request(user, "SUBMIT", {"spec": job})[0] == "ACCEPT"


def test_frames_of_one_user_are_limited(tmp_path: Path) -> None:
    """Frames that have not come back count; a job that can never fit is an error that waiting does not mend."""
    keys = Keys(tmp_path)
    keys.list.limit("anna", ["frames=10"])
    too_long = keys.refused("anna", "1-11")
    assert (too_long["code"], too_long["retryable"]) == ("input", False)
    assert "--frames" in too_long["fix"]
    job = keys.submit("anna", "1-8")
    error = keys.refused("anna", "1-3")
    assert error["code"] == "busy"
    assert "8 frames" in error["message"]
    keys.rig.upload_asked()
    keys.rig.compute(job, [1, 2])
    keys.rig.ack(job, [1])
    keys.submit("anna", "1-3")


def test_room_in_the_spool_is_limited(tmp_path: Path) -> None:
    """A user with little room is asked for fewer frames at a time than one with much; the job goes on all the same."""
    keys = Keys(tmp_path, spool_bytes=1 << 20, prefetch_frames=40)
    keys.list.limit("anna", ["bytes=10000"])
    held = {}
    for name in ("anna", "ben"):
        job = keys.submit(name, "1-100")
        keys.rig.upload_asked(size=1000)
        held[name] = keys.rig.state.spool.held_bytes(job)
        assert len(keys.rig.state.jobs[job].frames) >= 3
    assert held["anna"] <= 10000 < held["ben"]
    anna = next(job for job in keys.rig.state.jobs.values() if job.record.user == keys.keys["anna"])
    keys.rig.compute(anna.id, [1, 2, 3], size=900)
    keys.rig.hear(WORKER, "release", job=anna.id, attempt=1, frames=[1, 2, 3])
    keys.rig.ack(anna.id, [1, 2, 3])
    assert keys.rig.upload_asked(), "room that came free is used"


def test_too_little_room_is_reported_with_the_limit(tmp_path: Path) -> None:
    """A limit below what one frame takes ends the job, and the message names the limit and the way to change it."""
    keys = Keys(tmp_path, full_s=5.0)
    keys.list.limit("anna", ["bytes=100"])
    job = keys.submit("anna", "1-3")
    keys.rig.upload_asked(size=1000)
    for _ in range(4):
        keys.rig.pump(3.0)
    error = keys.rig.state.ended[job].record.error
    assert error is not None
    assert error["code"] == "job"
    assert not error["retryable"]
    assert "your part of the server's spool is too small" in error["message"]
    assert "harmovid keys limit" in error["fix"]


def test_a_free_place_goes_to_the_highest_priority(tmp_path: Path) -> None:
    """A later job of a higher priority starts first; nobody's running job is taken away; equal ones share as before."""
    keys = Keys(tmp_path, active_jobs=1)
    keys.list.limit("ben", ["priority=80"])
    running = keys.submit("anna", "1-2")
    waiting, urgent = keys.submit("anna", "1-2"), keys.submit("ben", "1-2")
    keys.rig.pump(1.0)
    assert [keys.rig.job_state(job) for job in (running, waiting, urgent)] == ["RUNNING", "QUEUED", "QUEUED"]
    jobs = keys.rig.state.jobs
    assert (jobs[urgent].position, jobs[waiting].position) == (1, 2)
    keys.rig.request(keys.keys["anna"], "CANCEL", {"job": running})
    assert [keys.rig.job_state(job) for job in (waiting, urgent)] == ["QUEUED", "RUNNING"]


def test_a_new_key_takes_over_the_jobs_of_the_old_one(tmp_path: Path) -> None:
    """After a rotation the new key sees running and finished jobs of the name, the old one none; others keep theirs."""
    keys = Keys(tmp_path)
    old = keys.keys["anna"]
    done, running, bens = keys.submit("anna", "1-1"), keys.submit("anna", "1-5"), keys.submit("ben", "1-5")
    keys.rig.request(old, "CANCEL", {"job": done})
    new = keys.renew("anna")
    keys.rig.state.read_keys()

    seen = {row["job"] for row in keys.rig.request(new, "STATUS", {})[1]["jobs"]}
    assert seen == {done, running}
    assert keys.rig.request(old, "STATUS", {})[1]["jobs"] == []
    assert keys.rig.resume(new, running)[0] == "ACCEPT"
    assert keys.rig.resume(old, running)[0] == "REJECT"
    assert {row["job"] for row in keys.rig.request(keys.keys["ben"], "STATUS", {})[1]["jobs"]} == {bens}


def test_a_key_that_is_replaced_while_the_server_is_down_is_followed(tmp_path: Path) -> None:
    """What the list was is in the store, so that a restart does not part a user from their jobs."""
    keys = Keys(tmp_path)
    job = keys.submit("anna", "1-5")
    new = keys.renew("anna")
    keys.rig.reopen()
    assert {row["job"] for row in keys.rig.request(new, "STATUS", {})[1]["jobs"]} == {job}
    keys.rig.reopen()
    assert {row["job"] for row in keys.rig.request(new, "STATUS", {})[1]["jobs"]} == {job}


def test_only_a_key_of_the_same_name_replaces() -> None:
    """Keys that are gone, new, renamed or unchanged replace nothing."""
    before = {"k1": "anna", "k2": "ben", "k3": "cleo"}
    assert replaced(before, {"k9": "anna", "k2": "ben"}) == {"k1": "k9"}
    assert replaced(before, {"k1": "anna", "k2": "benny", "k3": "ben", "k8": "dora"}) == {}
    assert replaced({}, {"k1": "anna"}) == {}
    assert replaced({"k1": "anna", "k2": "anna"}, {"k2": "anna"}) == {"k1": "k2"}, (
        "both were let in for a while"
    )


def test_the_audit_log_tells_who_what_and_how_it_ended(tmp_path: Path) -> None:
    """A line for each job taken, refused and ended, and each change of the keys; secrets and whole keys are in none."""
    keys = Keys(tmp_path, user_jobs=1)
    job = keys.submit("anna", "1-3")
    keys.refused("anna", "1-3")
    keys.rig.upload_asked()
    keys.rig.compute(job, [1, 2, 3])
    keys.rig.ack(job, [1, 2, 3])
    keys.list.remove("ben")
    keys.rig.state.read_keys()

    added_a, added_b, submitted, refused, ended, removed = keys.audit()
    assert {added_a["event"], added_b["event"]} == {"key added"}
    who = {"user": "anna", "key": keys.keys["anna"][:10]}
    assert {**submitted, "time": 0} == {
        "time": 0, "event": "submitted", **who, "job": job, "engine": "echo", "frames": 3,
    }  # fmt: skip
    assert (refused["event"], refused["error"], refused["user"]) == ("refused", "busy", "anna")
    assert {**ended, "time": 0} == {
        "time": 0, "event": "ended", **who, "job": job, "engine": "echo", "frames": 3, "outcome": "DONE",
        "delivered": 3, "failed": 0,
    }  # fmt: skip
    assert (removed["event"], removed["user"]) == ("key removed", "ben")
    assert submitted["time"].endswith("+00:00")
    assert keys.keys["anna"] not in keys.rig.config.audit_file.read_text()
    assert stat.S_IMODE(os.stat(keys.rig.config.audit_file).st_mode) == 0o600


def test_the_jobs_of_a_removed_key_keep_their_users_name(tmp_path: Path) -> None:
    """In the audit log and for administrators, after a restart, too; without jobs the name is forgotten."""
    keys = Keys(tmp_path)
    job = keys.submit("anna", "1-3")
    keys.list.add("td", td := new_pair("td").public, admin=True)
    keys.list.remove("anna")
    keys.rig.state.read_keys()
    keys.rig.reopen()
    (row,) = keys.rig.request(td, "STATUS", {})[1]["jobs"]
    assert (row["job"], row["user"]) == (job, "anna")
    keys.rig.request(td, "CANCEL", {"job": job})
    cancelled, ended = keys.audit()[-2:]
    assert (cancelled["user"], cancelled["owner"]) == ("td", "anna")
    assert (ended["user"], ended["outcome"]) == ("anna", "CANCELLED")
    keys.rig.state.forget(job)
    keys.list.remove("ben")
    keys.rig.state.read_keys()
    assert keys.rig.state.name_of(keys.keys["anna"]) == ""


def test_the_audit_log_may_be_renamed_at_any_time(tmp_path: Path) -> None:
    """After a rotation lines go into a new file of that name; nothing is lost."""
    audit = AuditLog(tmp_path / "audit.ndjson")
    audit.write("one")
    (tmp_path / "audit.ndjson").rename(tmp_path / "audit.1")
    audit.write("two", job="x", nothing=None)
    assert json.loads((tmp_path / "audit.1").read_text())["event"] == "one"
    two = json.loads((tmp_path / "audit.ndjson").read_text())
    assert (two["event"], two["job"], "nothing" in two) == ("two", "x", False)


def test_a_line_that_cannot_be_written_is_counted_and_jobs_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A missing folder is an error in the log and in the numbers, and the job is taken all the same."""
    rig = DispatcherRig(tmp_path, audit_log=str(tmp_path / "gone" / "audit.ndjson"))
    rig.submit("anna", "1-2")
    assert numbers(rig.state, {})["counts"][AUDIT_LOST.name] == [[[], 1]]
    assert "audit log" in caplog.text


def test_a_full_disk_is_told_and_not_raised() -> None:
    """/dev/full takes nothing: the write is reported as lost, not raised."""
    assert not AuditLog(Path("/dev/full")).write("one")


def test_the_page_lists_every_event_of_the_audit_log(repo: Path) -> None:
    """docs/server.md names the events that the server writes, and no others."""
    sources = (repo / "server" / "harmovid_server" / "main").glob("*.py")
    code = "".join(path.read_text(encoding="utf-8") for path in sources)
    written = set(re.findall(r'audit\(\s*"([^"]+)"', code)) | set(re.findall(r'"(key \w+)"', code))
    page = (repo / "docs" / "server.md").read_text(encoding="utf-8")
    table = page.split("**The audit log**")[1].split("| event |")[1].split("\n\n")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert {name for row in rows for name in re.findall(r"`([^`]+)`", row)} == written
