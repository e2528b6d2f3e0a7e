"""The study's local web server: pages, films under names that tell nothing, and answers into the store.

    with StudyServer(("127.0.0.1", 8765), study, store, films) as server:
        server.serve_forever()

| request | answer |
|---|---|
| `GET /` | the start page |
| `POST /begin` | a new participant: `{"token": ...}` and a cookie |
| `POST /resume` | the token of the cookie, empty where there is none |
| `GET /p/TOKEN` | the study's page |
| `GET /api/TOKEN?at=N` | where the participant is, and what sample N shows |
| `POST /api/TOKEN/N` | answers to sample N: `{"temporal": ["A"], ...}`, any of the questions |
| `GET /film/TOKEN/N/LETTER` | a film (ranges allowed); `before` is the input |

Methods are known by letters only; which is which stays here. Nothing that a client says becomes a path. Requests are
small, typed and checked; posts must be JSON from the page's own origin.
"""

from __future__ import annotations

import json
import re
import sqlite3
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple
from urllib.parse import parse_qs, urlsplit

from harmovid_evaluate.study.plan import LETTERS, QUESTIONS, Sample, Study
from harmovid_evaluate.study.store import Participant, Store

LARGEST_BODY = 4096
TIMEOUT_S = 30
COOKIE = "harmovid_study"
TOKEN = re.compile(r"[A-Za-z0-9_-]{22}")
RANGE = re.compile(r"bytes=(\d*)-(\d*)")
PAGES = {
    "/": ("start.html", "text/html"),
    "/start.js": ("start.js", "text/javascript"),
    "/study.js": ("study.js", "text/javascript"),
    "/study.css": ("study.css", "text/css"),
}
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
LOOPBACK = ("127.0.0.1", "localhost", "::1", "[::1]")

Films = Mapping[Tuple[str, str], Path]
"""(sample key, method or `BEFORE`) -> file."""
BEFORE = "before"


class Refused(Exception):
    """A request that is refused, with the HTTP status and the reason."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status


class StudyServer(ThreadingHTTPServer):
    """Serves one study. Threads end with the process; every answer is on disk before it is confirmed."""

    daemon_threads = True

    def __init__(
        self, address: Tuple[str, int], study: Study, store: Store, films: Films,
        tell: Callable[[str], object] = str,
    ) -> None:  # fmt: skip
        super().__init__(address, _Handler)
        self.study, self.store, self.films, self.tell = study, store, films, tell
        self.local_only = address[0] in LOOPBACK
        self.assets = {name: _asset(name) for name in (*(name for name, _ in PAGES.values()), "study.html")}

    def state(self, person: Participant, at: Optional[int]) -> Dict[str, Any]:
        """Return where a participant is and what sample `at` shows (default the first that is not answered)."""
        shown, answers = self.study.shown(person.number), self.store.of(person)
        done = [len(answers.get(each.key, {})) == len(QUESTIONS) for each in shown]
        first_open = done.index(False) if False in done else len(shown)
        place = first_open if at is None else min(at, first_open, len(shown) - 1)
        told: Dict[str, Any] = {"total": len(shown), "done": sum(done), "at": place}
        told["questions"] = [{"key": key, "title": title, "help": words} for key, title, words in QUESTIONS]
        if place < len(shown):
            sample = shown[place]
            letters = dict(zip(sample.methods, LETTERS))
            told["letters"] = list(letters.values())
            told["answers"] = {
                question: [letters[name] for name in chosen]
                for question, chosen in answers.get(sample.key, {}).items()
            }
        return told

    def take(self, person: Participant, at: int, body: Any) -> None:
        """Store answers to sample `at`; `body` is what the client sent, checked here.

        Raises:
            Refused: anything but lists of the sample's letters under the questions' names.
        """
        shown = self.study.shown(person.number)
        sample = _sample(shown, at)
        if not isinstance(body, dict) or not body or set(body) - {key for key, _, _ in QUESTIONS}:
            raise Refused(HTTPStatus.BAD_REQUEST, "answers to the questions are wanted")
        by_letter = dict(zip(LETTERS, sample.methods))
        for chosen in body.values():
            letters = isinstance(chosen, list) and all(isinstance(each, str) for each in chosen)
            if not letters or set(chosen) - set(by_letter) or len(set(chosen)) < len(chosen):
                raise Refused(HTTPStatus.BAD_REQUEST, "an answer is a list of letters, each once")
        self.store.answer(
            person,
            sample.key,
            {question: [by_letter[each] for each in chosen] for question, chosen in body.items()},
        )
        if self.state(person, None)["done"] == len(shown):
            self.store.finish(person)
            self.tell(f"participant {person.number + 1} has finished")

    def film(self, person: Participant, at: int, slot: str) -> Path:
        """Return a film by its letter.

        Raises:
            Refused: there is none.
        """
        sample = _sample(self.study.shown(person.number), at)
        by_letter = {**dict(zip(LETTERS, sample.methods)), BEFORE: BEFORE}
        path = self.films.get((sample.key, by_letter.get(slot, "")))
        if path is None:
            raise Refused(HTTPStatus.NOT_FOUND, "no such film")
        return path


def _asset(name: str) -> bytes:
    """Return a file of the site; a page has the head that all pages share."""
    assets = files("harmovid_evaluate.study")
    head = (assets / "head.html").read_bytes() if name.endswith(".html") else b""
    return head + (assets / name).read_bytes()


def _sample(shown: List[Sample], at: int) -> Sample:
    if not 0 <= at < len(shown):
        raise Refused(HTTPStatus.NOT_FOUND, "no such clip")
    return shown[at]


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version = "harmovid-study"
    sys_version = ""
    timeout = TIMEOUT_S
    server: StudyServer

    def do_GET(self) -> None:
        """Answer a page, the state, or a film."""
        self._guarded(self._get)

    def do_POST(self) -> None:
        """Begin, or take answers."""
        self._guarded(self._post)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing, because requests show who looks at what."""

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            self._check_host()
            work()
        except Refused as error:
            self.close_connection = True  # a body may be left unread
            self._json({"error": str(error)}, error.status)
        except sqlite3.Error as error:
            self.close_connection = True
            self.server.tell(f"an answer could not be stored: {error}")
            self._json({"error": "could not be stored"}, HTTPStatus.INTERNAL_SERVER_ERROR)
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def _check_host(self) -> None:
        """Refuse host names by which another page may have reached this machine (DNS rebinding)."""
        host = urlsplit(f"//{self.headers.get('Host', '')}").hostname
        if self.server.local_only and host not in LOOPBACK:
            raise Refused(HTTPStatus.FORBIDDEN, "this server answers to its own address only")

    def _get(self) -> None:
        parts = urlsplit(self.path)
        if parts.path in PAGES:
            name, kind = PAGES[parts.path]
            return self._send(self.server.assets[name], f"{kind}; charset=utf-8")
        words = parts.path.strip("/").split("/")
        if words[0] == "p" and len(words) == 2:
            self._person(words[1])
            return self._send(self.server.assets["study.html"], "text/html; charset=utf-8")
        if words[0] == "api" and len(words) == 2:
            at = parse_qs(parts.query).get("at", [""])[0]
            return self._json(self.server.state(self._person(words[1]), _number(at) if at else None))
        if words[0] == "film" and len(words) == 4:
            return self._film(self.server.film(self._person(words[1]), _number(words[2]), words[3]))
        raise Refused(HTTPStatus.NOT_FOUND, "no such page")

    def _post(self) -> None:
        body = self._body()
        words = urlsplit(self.path).path.strip("/").split("/")
        if words == ["begin"]:
            person = self.server.store.begin()
            self.server.tell(f"participant {person.number + 1} has begun")
            cookie = f"{COOKIE}={person.token}; Path=/; Max-Age=2592000; HttpOnly; SameSite=Strict"
            return self._json({"token": person.token}, more={"Set-Cookie": cookie})
        if words[0] == "resume" and len(words) == 1:
            found = re.search(rf"(?:^|;\s*){COOKIE}=([^;]*)", self.headers.get("Cookie", ""))
            known = found is not None and TOKEN.fullmatch(found[1]) and self.server.store.find(found[1])
            return self._json({"token": known.token if known else ""})
        if words[0] == "api" and len(words) == 3:
            self.server.take(self._person(words[1]), _number(words[2]), body)
            return self._json({"stored": True})
        raise Refused(HTTPStatus.NOT_FOUND, "no such page")

    def _person(self, token: str) -> Participant:
        person = self.server.store.find(token) if TOKEN.fullmatch(token) else None
        if person is None:
            raise Refused(HTTPStatus.NOT_FOUND, "no such participant")
        return person

    def _body(self) -> Any:
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > LARGEST_BODY:
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "a small body of known length is wanted")
        if self.headers.get_content_type() != "application/json":
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "JSON is wanted")
        origin = self.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != self.headers.get("Host"):
            raise Refused(HTTPStatus.FORBIDDEN, "this comes from another page")
        try:
            return json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError) as error:
            raise Refused(HTTPStatus.BAD_REQUEST, "this is no JSON") from error

    def _film(self, path: Path) -> None:
        data = path.read_bytes()
        wanted = RANGE.fullmatch(self.headers.get("Range", ""))
        first, last = _span(wanted[1], wanted[2], len(data)) if wanted else (0, len(data) - 1)
        more = {"Accept-Ranges": "bytes"}
        if wanted:
            more["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
        status = HTTPStatus.PARTIAL_CONTENT if wanted else HTTPStatus.OK
        self._send(data[first : last + 1], "video/mp4", status, more)

    def _json(
        self, value: Any, status: HTTPStatus = HTTPStatus.OK, more: Optional[Mapping[str, str]] = None
    ) -> None:
        self._send(json.dumps(value).encode(), "application/json", status, more)

    def _send(
        self,
        data: bytes,
        kind: str,
        status: HTTPStatus = HTTPStatus.OK,
        more: Optional[Mapping[str, str]] = None,
    ) -> None:
        self.send_response(status)
        own = {"Content-Type": kind, "Content-Length": str(len(data))}
        for name, value in {**HEADERS, **own, **(more or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


def _number(text: str) -> int:
    if not re.fullmatch(r"\d{1,4}", text):
        raise Refused(HTTPStatus.NOT_FOUND, "no such clip")
    return int(text)


def _span(first: str, last: str, size: int) -> Tuple[int, int]:
    """Return the first and last byte of a range header.

    Raises:
        Refused: it lies outside.
    """
    if not first:  # the last so many bytes
        start, end = max(size - int(last or 0), 0), size - 1
    else:
        start, end = int(first), min(int(last) if last else size - 1, size - 1)
    if start > end:
        raise Refused(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "no such bytes")
    return start, end
