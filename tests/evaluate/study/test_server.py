"""The study's server by raw requests: it hides methods, checks all input, and uses no client data as a path."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harmovid_evaluate.study.plan import LETTERS, Sample, Study
from harmovid_evaluate.study.server import BEFORE, StudyServer
from harmovid_evaluate.study.store import Store

METHODS = ("secret-alpha", "secret-beta")
STUDY = Study((Sample("lut", "one", METHODS), Sample("lut", "two", METHODS)), seed=1, clips=2)
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[StudyServer]:
    """Yield a running server whose films contain their own names as bytes."""
    films = {}
    for sample in STUDY.samples:
        for name in (BEFORE, *METHODS):
            path = tmp_path / f"{sample.clip}-{name}.mp4"
            path.write_bytes(f"{sample.clip}:{name}".encode() * 100)
            films[sample.key, name] = path
    with StudyServer(("127.0.0.1", 0), STUDY, Store(tmp_path / "study.sqlite", STUDY), films) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def ask(
    server: StudyServer, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
) -> tuple[int, bytes, http.client.HTTPMessage]:
    """Send one request as it is; return status, body and headers."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=300)
    data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
    connection.request(method, path, data, {**(JSON if data is not None else {}), **(headers or {})})
    answer = connection.getresponse()
    found = answer.status, answer.read(), answer.headers
    connection.close()
    return found


def begun(server: StudyServer) -> str:
    """Return a new participant's token."""
    return json.loads(ask(server, "POST", "/begin", {})[1])["token"]


def state(server: StudyServer, token: str, query: str = "") -> dict:
    """Return the server's state for a participant."""
    return json.loads(ask(server, "GET", f"/api/{token}{query}")[1])


def test_a_participant_goes_through_and_comes_back(server: StudyServer) -> None:
    """Answers advance the participant; the same link resumes; the store holds methods, not letters."""
    token = begun(server)
    first = state(server, token)
    assert (first["total"], first["at"], first["letters"]) == (2, 0, list(LETTERS[:2]))
    assert ask(server, "POST", f"/api/{token}/0", {"temporal": ["B"], "identity": []})[0] == 200
    assert state(server, token)["at"] == 0
    assert state(server, token)["answers"] == {"temporal": ["B"], "identity": []}
    assert ask(server, "POST", f"/api/{token}/0", {"harmonization": ["A", "B"]})[0] == 200
    assert state(server, token)["at"] == 1
    assert state(server, token, "?at=0")["answers"]["harmonization"] in (["A", "B"], ["B", "A"])
    whole = {"temporal": [], "identity": ["A"], "harmonization": []}
    assert ask(server, "POST", f"/api/{token}/1", whole)[0] == 200
    assert state(server, token)["at"] == state(server, token)["total"] == 2
    person = server.store.find(token)
    assert person is not None
    shown = STUDY.shown(person.number)
    assert server.store.of(person)[shown[0].key]["temporal"] == [shown[0].methods[1]]


def test_nothing_tells_which_method_is_which(server: StudyServer) -> None:
    """Pages, state and film addresses never hold a method's name; the films behind the letters are the right ones."""
    token = begun(server)
    person = server.store.find(token)
    assert person is not None
    for path in ("/", f"/p/{token}", f"/api/{token}", "/study.js", "/study.css", "/start.js"):
        status, body, headers = ask(server, "GET", path)
        assert status == 200
        assert b"secret" not in body + str(headers).encode()
    for at, sample in enumerate(STUDY.shown(person.number)):
        for letter, name in zip(LETTERS, sample.methods):
            status, body, headers = ask(server, "GET", f"/film/{token}/{at}/{letter}")
            assert (status, body[: len(sample.clip) + 1 + len(name)]) == (
                200,
                f"{sample.clip}:{name}".encode(),
            )
            assert b"secret" not in str(headers).encode()
        assert ask(server, "GET", f"/film/{token}/{at}/before")[1].startswith(
            f"{sample.clip}:before".encode()
        )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("bytes=0-9", slice(0, 10)),
        ("bytes=5-", slice(5, None)),
        ("bytes=-4", slice(-4, None)),
        ("bytes=1-99999", slice(1, None)),
    ],
)
def test_films_come_in_ranges(server: StudyServer, given: str, expected: slice) -> None:
    """A range gives those bytes and says which."""
    token = begun(server)
    whole = ask(server, "GET", f"/film/{token}/0/A")[1]
    status, body, headers = ask(server, "GET", f"/film/{token}/0/A", headers={"Range": given})
    assert (status, body) == (206, whole[expected])
    assert headers["Content-Range"].endswith(f"/{len(whole)}")


def test_a_range_beyond_the_film_is_refused(server: StudyServer) -> None:
    """Bytes that are not there are an error, not a crash."""
    token = begun(server)
    assert ask(server, "GET", f"/film/{token}/0/A", headers={"Range": "bytes=999999-"})[0] == 416


@pytest.mark.parametrize(
    "path",
    [
        "/film/TOKEN/0/../../../etc/passwd", "/film/TOKEN/0/%2e%2e%2fstudy.sqlite", "/film/TOKEN/7/A",
        "/film/TOKEN/0/C",
        "/film/TOKEN/-1/A", "/study.sqlite", "/../study.sqlite", "/static/study.css", "/p/nobody", "/p/" + "x" * 22,
        "/api/" + "x" * 22, "/api/TOKEN?at=x", "/film/TOKEN/0/secret-alpha", "/p/TOKEN/more", "/favicon.ico",
    ],
)  # fmt: skip
def test_what_is_not_there_is_not_found(server: StudyServer, path: str) -> None:
    """Other paths, other people, other letters and numbers get 404 and no byte of a file."""
    status, body, _ = ask(server, "GET", path.replace("TOKEN", begun(server)))
    assert status == 404
    assert json.loads(body).keys() == {"error"}


@pytest.mark.parametrize(
    "body",
    [
        {}, [], 3, None, {"temporal": "A"}, {"temporal": ["Z"]}, {"temporal": ["A", "A"]}, {"temporal": [1]},
        {"other": ["A"]}, {"temporal": ["secret-alpha"]}, {"temporal": None}, b"{", b"\xff", b"[" * 3000,
    ],
)  # fmt: skip
def test_answers_that_are_none_are_refused_and_nothing_is_stored(server: StudyServer, body: object) -> None:
    """Anything but lists of letters under the questions' names is refused, and nothing of it is stored."""
    token = begun(server)
    data = b"null" if body is None else body
    assert ask(server, "POST", f"/api/{token}/0", data)[0] == 400
    person = server.store.find(token)
    assert person is not None
    assert server.store.of(person) == {}
    assert state(server, token)["at"] == 0


def test_foreign_pages_and_names_are_refused(server: StudyServer) -> None:
    """Posts of another origin or content type, large bodies, and foreign host names are refused."""
    assert ask(server, "POST", "/begin", {}, {"Origin": "http://evil.example"})[0] == 403
    assert (
        ask(server, "POST", "/begin", b"a=1", {"Content-Type": "application/x-www-form-urlencoded"})[0] == 415
    )
    assert ask(server, "POST", "/begin", b" " * 5000)[0] == 413
    assert ask(server, "GET", "/", headers={"Host": "evil.example"})[0] == 403
    assert ask(server, "PUT", "/begin", {})[0] == 501
    port = server.server_address[1]
    assert ask(server, "POST", "/begin", {}, {"Origin": f"http://127.0.0.1:{port}"})[0] == 200


def test_the_cookie_is_the_way_back(server: StudyServer) -> None:
    """The cookie of /begin is HttpOnly and gives the same token again; without a cookie there is no token."""
    _, body, headers = ask(server, "POST", "/begin", {})
    cookie = headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    again = ask(server, "POST", "/resume", {}, {"Cookie": "x=1; " + cookie.split(";")[0]})
    assert json.loads(again[1]) == json.loads(body)
    assert json.loads(ask(server, "POST", "/resume", {})[1]) == {"token": ""}
    assert json.loads(ask(server, "POST", "/resume", {}, {"Cookie": f"harmovid_study={'x' * 22}"})[1]) == {
        "token": ""
    }
