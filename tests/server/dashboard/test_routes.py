"""The dashboard's pages, rights and doors: a real server with keys, the command as a process, plain HTTP."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import ssl
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from html import unescape
from pathlib import Path

import pytest
from fakes.key_files import make_keys
from fakes.running import RunningServer
from fakes.waiting import wait_until
from harmovid import Client, JobFiles, connect
from harmovid.cli import exits, main
from harmovid.client import Job
from harmovid.errors import FrameMissing
from server.dashboard.site import FRAMES, TOKEN, Gated, Visitor, dashboard, settings, write_plate

pytestmark = [pytest.mark.timeout(300)]

EVIL = "<script>alert('x')</script> & \"quotes\""


@dataclass
class Site:
    """A server with one job of anna's that is done and one of ben's that waits, and dashboards of two keys."""

    server: RunningServer
    keys: Path
    anna: str
    td: str
    done: str
    waiting: str
    ben: Client


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Yield the running site."""
    folder = tmp_path_factory.mktemp("site")
    keys = folder / "keys"
    flags = [word for pair in make_keys(keys).items() for word in pair]
    more = ("--codecs", "1", "--engines", "deflicker,null", "--previews")
    plate = write_plate(folder / "plate")
    (folder / "plate" / "plate.1004.exr").write_bytes(b"no picture")
    source = _Stuck()
    with ExitStack() as stack:
        server = stack.enter_context(RunningServer(folder / "server", *flags, *more, echo=False))
        anna, ben = (
            stack.enter_context(connect(settings(server.endpoint, keys, name))) for name in ("anna", "ben")
        )
        stack.callback(source.go_on)
        job = JobFiles.prepare(anna.engine("deflicker"), {"plate": plate}, out=f"{folder}/out/", label=EVIL)
        done = anna.start(job).result().progress.job_id
        stuck = JobFiles.prepare(ben.engine("null"), {"plate": plate}, out=f"{folder}/ben/", label="ben's")
        waiting = ben.start(Job(stuck.spec, source, stuck.sink)).progress.job_id
        of_anna, of_td = (
            stack.enter_context(dashboard(server.endpoint, keys / f"{name}.secret"))
            for name in ("anna", "td")
        )
        wait_until(lambda: len(ben.status()) == 1)
        yield Site(server, keys, of_anna, of_td, done, waiting, ben)


class _Stuck:
    """A source whose frames do not come before `go_on`."""

    def __init__(self) -> None:
        self._go = threading.Event()

    def read(self, layer: str, frame: int) -> bytes:
        """Wait, then have no frame."""
        self._go.wait(3000)
        raise FrameMissing("gone", frame=frame, layer=layer)

    def go_on(self) -> None:
        """Let the frames fail."""
        self._go.set()


def test_a_user_sees_what_the_key_may_see(site: Site) -> None:
    """Anna's dashboard lists her job, with the server's words escaped, and knows nothing of ben's."""
    visitor = Visitor(site.anna)
    status, text, _ = visitor.ask("/")
    assert status == 200
    assert site.done in text
    assert EVIL not in text
    assert EVIL in unescape(text)
    assert site.waiting not in text
    for path in (f"/jobs/{site.waiting}", f"/jobs/{site.waiting}/frames/1001", "/jobs/nonsense", "/nonsense"):
        assert visitor.ask(path)[0] in (404, 502), path
    form = {"form_token": visitor.form_token("/") if "form_token" in text else visitor.cookie}
    assert visitor.ask(f"/jobs/{site.waiting}/cancel", form)[0] in (403, 404)
    assert site.ben.status()[0].progress.state != "CANCELLED"


def test_a_job_shows_frames_previews_and_curves(site: Site) -> None:
    """Six frames, one of them failed with its reason; previews are JPEGs, before and after; levels are drawn."""
    visitor = Visitor(site.anna)
    _, text, _ = visitor.ask(f"/jobs/{site.done}")
    assert len(re.findall(r'<li class="computed">', text)) == 5
    assert len(re.findall(r'<li class="failed">', text)) == 1
    assert "<svg" in text
    assert "1 failed" in text
    assert "1004" in text
    _, failed, _ = visitor.ask(f"/jobs/{site.done}/frames/1004")
    assert "plate" in failed
    assert "data-wipe" not in failed
    _, frame, _ = visitor.ask(f"/jobs/{site.done}/frames/1002")
    assert "corrected" in frame
    sizes = []
    for side in ("before", "after"):
        status, data, headers = visitor.ask(f"/jobs/{site.done}/frames/1002/{side}.jpg")
        assert (status, headers["content-type"]) == (200, "image/jpeg")
        sizes.append(data)
    assert sizes[0] != sizes[1]
    assert visitor.ask(f"/jobs/{site.done}/frames/1002/beside.jpg")[0] == 404
    assert visitor.ask(f"/jobs/{site.done}/frames/1004/after.jpg")[0] == 404


def test_workers_and_engines_are_listed(site: Site) -> None:
    """Workers with what they offer; engines with what they run on once they have been used."""
    visitor = Visitor(site.td)
    assert "worker-0" in visitor.ask("/workers")[1]
    _, text, _ = visitor.ask("/engines")
    assert "deflicker" in text
    assert "cpu" in text


def test_an_administrator_cancels_with_the_pages_own_form_only(site: Site) -> None:
    """Another origin, no origin, no token, a token of another session: 403; the form itself: cancelled."""
    visitor, stranger = Visitor(site.td), Visitor(site.td)
    path = f"/jobs/{site.waiting}/cancel"
    token = visitor.form_token("/")
    stranger.ask("/")
    assert visitor.cookie != stranger.cookie
    right = {"form_token": token}
    assert visitor.ask(path, right, Origin="http://evil.example")[0] == 403
    assert visitor.ask(path, right, Origin="null")[0] == 403
    assert visitor.ask(path, right, Origin="")[0] == 403
    assert visitor.ask(path, {})[0] == 403
    assert stranger.ask(path, right)[0] == 403
    assert visitor.ask(path)[0] == 405
    assert site.ben.status()[0].progress.state != "CANCELLED"
    status, text, headers = visitor.ask(path, right)
    assert (status, headers.get("location")) == (303, f"/jobs/{site.waiting}"), text
    assert site.ben.status()[0].progress.state == "CANCELLED"
    assert "cancelled by an administrator" in (site.server.folder / "state" / "audit.ndjson").read_text()


@pytest.mark.parametrize("engine", ["null", "deflicker"])
def test_a_failed_frame_is_retried_while_its_client_is_there(site: Site, tmp_path: Path, engine: str) -> None:
    """With the page's own form only; the client then has every frame, none of them failed, and the log names who."""
    plate = write_plate(tmp_path / "plate")
    missing = tmp_path / "plate" / f"plate.{FRAMES[1]}.exr"
    kept = missing.read_bytes()
    missing.unlink()
    source = Gated(plate)
    with connect(settings(site.server.endpoint, site.keys, "anna")) as anna:
        job = JobFiles.prepare(
            anna.engine(engine), {"plate": plate}, f"{tmp_path}/out/", frames=f"{FRAMES[0]}-{FRAMES[-1]}"
        )
        failed: list[int] = []
        handle = anna.start(Job(job.spec, source, job.sink), on_failed=lambda frame, _: failed.append(frame))
        path = f"/jobs/{handle.progress.job_id}/retry"
        visitor, stranger = Visitor(site.td), Visitor(site.td)
        source.go.release(2)
        wait_until(lambda: failed)
        missing.write_bytes(kept)
        text = visitor.ask(path.removesuffix("/retry"))[1]
        assert "Retry 1 failed" in text
        right = {"form_token": visitor.form_token("/")}
        stranger.ask("/")
        assert [
            visitor.ask(path, right, Origin="http://evil.example")[0], visitor.ask(path, {})[0],
            stranger.ask(path, right)[0], visitor.ask(path)[0],
        ] == [403, 403, 403, 405]  # fmt: skip
        assert visitor.ask(path, right)[0] == 303
        source.go.release(3 * len(FRAMES))
        result = handle.result()
    assert (failed, result.failed, result.progress.failed) == ([FRAMES[1]], {}, 0)
    assert sorted(result.reports) == list(FRAMES)
    lines = (site.server.folder / "state" / "audit.ndjson").read_text().splitlines()
    noted = [line for line in map(json.loads, lines) if line["event"] == "retried"]
    assert [(line["user"], line["owner"], line["frames"]) for line in noted if line["job"] in path] == [
        ("td", "anna", 1)
    ]


def test_without_its_client_a_job_shows_the_command_that_makes_the_rest(site: Site) -> None:
    """In the words of a shell, and every one of them escaped for the page."""
    visitor = Visitor(site.anna)
    text = visitor.ask(f"/jobs/{site.done}")[1]
    assert "1 of 6 frames" in text
    (command,) = re.findall(r'<pre class="command">(.*?)</pre>', text, re.DOTALL)
    assert "<" not in command
    said = shlex.split(unescape(command))
    assert said[:3] == ["harmovid", "deflicker", "PLATE"]
    assert said[said.index("--label") + 1] == EVIL


def test_every_answer_is_locked_down(site: Site) -> None:
    """Policy, no sniffing, no framing on pages, errors, pictures and files; no inline script or style anywhere."""
    visitor = Visitor(site.td)
    for path in (
        "/",
        f"/jobs/{site.done}",
        "/nonsense",
        "/static/dashboard.js",
        "/workers",
        "/static/../app.py",
    ):
        _, text, headers = visitor.ask(path)
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy, path
        assert "unsafe" not in policy, path
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert not re.search(r"<script(?![^>]* src=)|\son\w+=|\sstyle=|<style", text), path
    assert visitor.ask("/static/../app.py")[0] == 404
    assert "HttpOnly; SameSite=Strict" in Visitor(site.td).ask("/")[2]["set-cookie"]


def test_a_strange_name_for_this_machine_is_refused(site: Site) -> None:
    """A page that has pointed its own name at loopback (DNS rebinding) gets nothing."""
    status, text, _ = Visitor(site.td).ask("/", Host="evil.example")
    assert status == 403
    assert site.done not in text


@pytest.mark.parametrize(
    ("path", "headers", "answer"),
    [
        ("/", {"Host": "["}, 400),
        ("/jobs/JOB?first=" + "9" * 5000, {}, 200),
        ("/jobs/2c94bc74", {}, 404),
        ("/jobs/..", {}, 404),
        ("/jobs/%00/frames/1001/after.jpg", {}, 404),
        ("/jobs/JOB/frames/99999999999999999999", {}, 404),
        ("/jobs/JOB/frames/1_001", {}, 404),
        ("/jobs/JOB/frames/99999999999999999999/after.jpg", {}, 404),
    ],
)
def test_what_no_page_of_ours_asks_for_is_refused_without_a_fault(
    site: Site, path: str, headers: dict[str, str], answer: int
) -> None:
    """Odd hosts, ids, frames and places get an answer of their own, neither a traceback nor a fault of the server."""
    status, text, _ = Visitor(site.td).ask(path.replace("JOB", site.done), **headers)
    assert status == answer
    assert "STATUS." not in text


def test_with_a_token_everything_needs_a_login(site: Site, tmp_path: Path) -> None:
    """Pages lead to the form, pictures and actions too; a wrong token stays out; logging out ends it."""
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    file.chmod(0o600)
    with dashboard(site.server.endpoint, site.keys / "td.secret", "--token-file", str(file)) as address:
        visitor = Visitor(address)
        for path in (
            "/",
            f"/jobs/{site.done}",
            f"/jobs/{site.done}/frames/1002/after.jpg",
            "/static/dashboard.js",
        ):
            status, text, headers = visitor.ask(path)
            assert (status, headers["location"]) == (303, "/login"), path
            assert site.done not in text
        assert visitor.ask(f"/jobs/{site.done}/cancel", {"form_token": "x"})[0] == 403
        assert visitor.ask(f"/?token={TOKEN}")[0] == 303
        assert visitor.ask("/login", {"token": "wrong"})[0] == 403
        assert visitor.cookie == ""
        assert visitor.ask("/login", {"token": TOKEN}, Origin="http://evil.example")[0] == 403
        status, _, headers = visitor.ask("/login", {"token": TOKEN})
        assert (status, headers["location"]) == (303, "/")
        assert TOKEN not in str(headers)
        assert site.done in visitor.ask("/")[1]
        old, visitor.cookie = visitor.cookie, "harmovid_session=" + "A" * 43
        assert visitor.ask("/")[0] == 303
        visitor.cookie = old
        assert "dashboard.js" in visitor.ask("/")[1]
        visitor.ask("/logout", {"form_token": visitor.form_token("/")})
        assert "dashboard.js" not in visitor.ask("/login")[1]
        assert visitor.ask("/")[0] == 303


def test_a_server_that_is_away_is_reported(site: Site) -> None:
    """An unreachable server is a page with the reason, not a traceback."""
    with dashboard("127.0.0.1:9", None) as address:
        status, text, _ = Visitor(address).ask("/")
    assert status == 502
    assert "127.0.0.1:9" in text


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ([], exits.USAGE, "no server is named"),
        (["--server", "x", "--bind", "192.0.2.1"], exits.USAGE, "without a token"),
        (["--server", "x", "--token-file", "TOKEN"], exits.AUTH, "characters"),
        (["--server", "x", "--tls-key", "k"], exits.USAGE, "one of certificate and key"),
        (["--server", "x", "--port", "99999"], exits.USAGE, "cannot be served"),
        (["--server", "x", "--token-file", "/nowhere"], exits.AUTH, "cannot be read"),
    ],
)
def test_what_cannot_be_served_safely_is_refused(
    words: list[str], code: int, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """No server, an open address without a token, short or open token files: a sentence and an exit code."""
    monkeypatch.delenv("HARMOVID_SERVER", raising=False)
    (tmp_path / "client.ini").touch()
    monkeypatch.setenv("HARMOVID_CLIENT_CONFIG", str(tmp_path / "client.ini"))
    short = tmp_path / "short"
    short.write_text("short")
    short.chmod(0o600)
    assert main(["dashboard", *(str(short) if word == "TOKEN" else word for word in words)]) == code
    assert says in capsys.readouterr().err
    short.chmod(0o644)
    assert main(["dashboard", "--server", "x", "--token-file", str(short)]) == exits.AUTH


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed on this machine")
def test_with_a_certificate_the_port_speaks_tls(site: Site, tmp_path: Path) -> None:
    """Pages come by HTTPS, and the session's cookie is for HTTPS only."""
    words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    words += [
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-keyout",
        str(tmp_path / "key"),
        "-out",
        str(tmp_path / "pem"),
    ]
    subprocess.run([str(shutil.which("openssl")), *words], check=True, capture_output=True, timeout=300)
    flags = ("--tls-certificate", str(tmp_path / "pem"), "--tls-key", str(tmp_path / "key"))
    trusting = ssl.create_default_context(cafile=str(tmp_path / "pem"))
    with dashboard(site.server.endpoint, site.keys / "anna.secret", *flags) as address:
        assert address.startswith("https://")
        with urllib.request.urlopen(address, context=trusting, timeout=300) as answer:  # noqa: S310
            assert site.done in answer.read().decode()
            assert answer.headers["Set-Cookie"].endswith("; Secure")
