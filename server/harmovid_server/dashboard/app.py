"""The dashboard's routes: pages of jobs, frames, workers and engines, previews, and two actions: cancel and retry.

    app = create(Source(client), Gate(token), server="render01:5570")

| route | answer |
|---|---|
| `GET /` | queue and jobs |
| `GET /jobs/JOB` | one job: state, curves, frames with previews; `?first=N` turns the page |
| `GET /jobs/JOB/frames/N` | one frame: both previews under a wipe, what the engine said of it |
| `GET /jobs/JOB/frames/N/SIDE.jpg` | a preview, SIDE `before` or `after` |
| `POST /jobs/JOB/cancel` | cancel the job |
| `POST /jobs/JOB/retry` | have its failed frames made once more |
| `GET /workers`, `GET /engines` | what computes |
| `GET /login`, `POST /login`, `POST /logout` | with a token only |

Handlers are plain functions, which Starlette runs in threads: each waits for the server's answer.
"""

from __future__ import annotations

import asyncio
import re
from http import HTTPStatus
from importlib.resources import files
from typing import Any, Callable

from harmovid import __version__
from harmovid.errors import HarmoVidError, JobUnknown
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from harmovid_server.dashboard import views
from harmovid_server.dashboard.guard import Gate, Guard, cookie, form
from harmovid_server.dashboard.source import Source

JOB_ID = re.compile("[0-9a-f]{32}")
NUMBER = re.compile("-?[0-9]{1,9}")
"""What addresses may name: anything else is no job and no frame."""

WRONG_TOKEN_S = 1.0
"""Delay of the answer to a wrong token, so that guessing is slow."""


class Pages:
    """The handlers, with the objects that they use."""

    def __init__(self, source: Source, gate: Gate, server: str) -> None:
        self._source, self._gate, self._server = source, gate, server
        self._templates = Environment(
            loader=PackageLoader("harmovid_server.dashboard"), autoescape=True, undefined=StrictUndefined,
            trim_blocks=True, lstrip_blocks=True,
        )  # fmt: skip

    def _page(
        self, request: Request, name: str, status: HTTPStatus = HTTPStatus.OK, **facts: Any
    ) -> Response:
        session = request.scope["session"]
        text = self._templates.get_template(name).render(
            server=self._server, version=__version__, form_token=self._gate.form_token(session),
            wants_login=self._gate.wants_login, path=request.url.path, **facts,
        )  # fmt: skip
        return HTMLResponse(text, status)

    def failed(self, request: Request, error: Exception) -> Response:
        """Answer an error of HarmoVid as a page: what went wrong and what to do."""
        status = HTTPStatus.NOT_FOUND if isinstance(error, JobUnknown) else HTTPStatus.BAD_GATEWAY
        message, fix = getattr(error, "message", str(error)), getattr(error, "fix", "")
        return self._page(request, "error.html", status, message=message, fix=fix)

    def missing(self, request: Request, _error: Exception) -> Response:
        """Answer an unknown address."""
        return self._page(
            request, "error.html", HTTPStatus.NOT_FOUND, message="There is no such page.", fix=""
        )

    def jobs(self, request: Request) -> Response:
        """The queue and all jobs."""
        rows = [views.job_row(status) for status in self._source.jobs()]
        active = sorted((row for row in rows if row.active), key=lambda row: row.position)
        return self._page(request, "jobs.html", active=active, ended=[row for row in rows if not row.active])

    def job(self, request: Request) -> Response:
        """One job."""
        job_id = _job(request)
        status = self._source.job(job_id)
        row = views.job_row(status)
        frames = self._source.frames(job_id)
        course = views.curves(frames)
        command = "" if row.connected or not row.missing else views.command(status, self._source.engines())
        return self._page(
            request, "job.html", job=row, page=views.page(frames, _first(request)), command=command,
            # Our own SVG, of numbers and escaped text.
            curves=Markup(views.curves_svg(course)) if course else "",  # noqa: S704
        )  # fmt: skip

    def frame(self, request: Request) -> Response:
        """One frame, with the wipe."""
        job_id, number = _job(request), _number(request)
        row = views.job_row(self._source.job(job_id))
        frames = self._source.frames(job_id)
        numbers = [one.frame for one in frames]
        if number not in numbers:
            raise JobUnknown(f"nothing is known of frame {number} yet.", fix="It may not have been computed.")
        place = numbers.index(number)
        found = frames[place]
        return self._page(
            request, "frame.html", job=row, frame=found, rows=views.report_rows(found.report or {}),
            error=found.error or {},
            before=numbers[place - 1] if place else None,
            after=numbers[place + 1] if place + 1 < len(numbers) else None,
        )  # fmt: skip

    def preview(self, request: Request) -> Response:
        """A frame's preview."""
        side = request.path_params["side"]
        if side not in ("before", "after"):
            return PlainTextResponse("no such preview", HTTPStatus.NOT_FOUND)
        data = self._source.preview(_job(request), _number(request), side)
        if data is None:
            return PlainTextResponse("no such preview", HTTPStatus.NOT_FOUND)
        return Response(data, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=60"})

    def workers(self, request: Request) -> Response:
        """The workers."""
        return self._page(request, "workers.html", workers=self._source.workers())

    def engines(self, request: Request) -> Response:
        """The engines."""
        rows = [(engine, views.runtime(engine.runtime)) for engine in self._source.engines()]
        return self._page(request, "engines.html", engines=rows)

    async def cancel(self, request: Request) -> Response:
        """Cancel a job, then show it."""
        return await self._act(request, self._source.cancel)

    async def retry(self, request: Request) -> Response:
        """Have a job's failed frames made once more, then show it."""
        return await self._act(request, self._source.retry)

    async def _act(self, request: Request, act: Callable[[str], None]) -> Response:
        """Run an action on a job if the form's token is valid, then show the job."""
        if not await self._form_fits(request):
            return PlainTextResponse("This form is too old. Load the page again.", HTTPStatus.FORBIDDEN)
        job_id = _job(request)
        await asyncio.to_thread(act, job_id)
        return RedirectResponse(f"/jobs/{job_id}", HTTPStatus.SEE_OTHER)

    def login_page(self, request: Request) -> Response:
        """The form for the token."""
        return self._page(request, "login.html", wrong=False)

    async def login(self, request: Request) -> Response:
        """Check the token and start a session."""
        session = self._gate.login((await form(request)).get("token", "").strip())
        if not session:
            await asyncio.sleep(WRONG_TOKEN_S)
            return self._page(request, "login.html", HTTPStatus.FORBIDDEN, wrong=True)
        answer = RedirectResponse("/", HTTPStatus.SEE_OTHER)
        answer.headers.append("Set-Cookie", cookie(session, self._gate.secure))
        return answer

    async def logout(self, request: Request) -> Response:
        """End a session."""
        if await self._form_fits(request):
            self._gate.logout(request.scope["session"])
        return RedirectResponse("/", HTTPStatus.SEE_OTHER)

    async def _form_fits(self, request: Request) -> bool:
        given = (await form(request)).get("form_token", "")
        return self._gate.form_fits(request.scope["session"], given)


def _job(request: Request) -> str:
    """Return the job's id in the address.

    Raises:
        JobUnknown: the address holds none.
    """
    text = str(request.path_params["job"])
    if not JOB_ID.fullmatch(text):
        raise JobUnknown(f"{text[:40]!r} is no job's id.", fix="An id has 32 digits, 0 to 9 and a to f.")
    return text


def _number(request: Request) -> int:
    """Return the frame's number in the address, which may be negative.

    Raises:
        JobUnknown: the address holds none.
    """
    text = str(request.path_params["frame"])
    if not NUMBER.fullmatch(text):
        raise JobUnknown(f"{text[:40]!r} is no frame.", fix="A frame is a whole number.")
    return int(text)


def _first(request: Request) -> int:
    """Return the index of the page's first frame; 0 if the address names none."""
    text = request.query_params.get("first", "")
    return int(text) if NUMBER.fullmatch(text) else 0


def create(source: Source, gate: Gate, server: str) -> Starlette:
    """Return the application.

    Args:
        server: the server's address, as pages show it.
    """
    pages = Pages(source, gate, server)

    def get(path: str, answer: Callable[..., Any]) -> Route:
        return Route(path, answer, methods=["GET"])

    def post(path: str, answer: Callable[..., Any]) -> Route:
        return Route(path, answer, methods=["POST"])

    job = "/jobs/{job}"
    routes = [
        get("/", pages.jobs),
        get("/workers", pages.workers),
        get("/engines", pages.engines),
        get(job, pages.job),
        get(job + "/frames/{frame}", pages.frame),
        get(job + "/frames/{frame}/{side}.jpg", pages.preview),
        post(job + "/cancel", pages.cancel),
        post(job + "/retry", pages.retry),
        Mount("/static", StaticFiles(directory=str(files("harmovid_server.dashboard") / "static"))),
    ]
    if gate.wants_login:
        routes += [
            get("/login", pages.login_page),
            post("/login", pages.login),
            post("/logout", pages.logout),
        ]
    return Starlette(
        routes=routes,
        middleware=[Middleware(Guard, gate=gate)],
        exception_handlers={HarmoVidError: pages.failed, HTTPStatus.NOT_FOUND: pages.missing},
    )
