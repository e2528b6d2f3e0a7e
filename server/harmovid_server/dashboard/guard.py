"""Access to the pages, and what a browser may do with them: middleware in front of every route.

    app = Guard(app, Gate(token, local=True))

- Every answer has a strict Content-Security-Policy: no inline script, no inline style, nothing from other hosts.
- Without a token only the names of the loopback address are answered, so that a foreign page cannot reach the dashboard
  by a name of its own that resolves to this address (DNS rebinding).
- With a token everything but the login page and the style sheet needs a session, which the login form creates: a random
  cookie, HttpOnly and SameSite=Strict. The token is never part of an address.
- A POST needs the dashboard's own origin and the form token of its session.
"""

from __future__ import annotations

import hmac
import secrets
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "harmovid_session"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
OPEN_PATHS = ("/login", "/static/dashboard.css", "/static/icon.svg")
SESSIONS = 1000
"""Number of logins that are remembered; with one more, the oldest has to log in again."""

BODY_BYTES = 4096
"""Largest size of a form."""

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Gate:
    """The token, the logins, and the form tokens that belong to them."""

    def __init__(self, token: str = "", local: bool = True, secure: bool = False) -> None:
        """Take the token.

        Args:
            token: what the login form asks for; "" lets in everybody who reaches the port.
            local: only this machine reaches the port.
            secure: the port speaks TLS, so cookies are for TLS only.
        """
        # Browsers send a cookie to its own host name only; without a token the host name is all that can be checked.
        self.local, self.secure = local and not token, secure
        self._token = token
        self._secret = secrets.token_bytes(32)
        self._sessions: dict[str, None] = {}

    @property
    def wants_login(self) -> bool:
        """Whether a token is needed."""
        return bool(self._token)

    def login(self, token: str) -> str:
        """Return a new session's cookie value for the right token; "" for a wrong one."""
        if not hmac.compare_digest(token.encode(), self._token.encode()):
            return ""
        session = secrets.token_urlsafe(32)
        self._sessions[session] = None
        while len(self._sessions) > SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        return session

    def logout(self, session: str) -> None:
        """Forget a session."""
        self._sessions.pop(session, None)

    def knows(self, session: str) -> bool:
        """Return whether a session may see pages."""
        return not self._token or session in self._sessions

    def form_token(self, session: str) -> str:
        """Return the token for the forms of a session; "" without a session that may see pages."""
        if not session or not self.knows(session):
            return ""
        return hmac.new(self._secret, session.encode(), "sha256").hexdigest()

    def form_fits(self, session: str, given: str) -> bool:
        """Return whether a form belongs to a session."""
        wanted = self.form_token(session)
        return bool(wanted) and hmac.compare_digest(wanted.encode(), given.encode())


class Guard:
    """The ASGI middleware. Stores the session's cookie value in `scope["session"]`."""

    def __init__(self, app: ASGIApp, gate: Gate) -> None:
        self._app, self._gate = app, gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request through, or answer it here."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        session = session_of(headers)
        fresh = "" if session or self._gate.wants_login else secrets.token_urlsafe(32)
        scope["session"] = session or fresh

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                told = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    told.setdefault(name, value)
                if fresh:
                    told.append("Set-Cookie", cookie(fresh, self._gate.secure))
            await send(message)

        refused = self._refusal(scope, headers)
        await (refused or self._app)(scope, receive, answer)

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        """Return the answer to a request that is refused."""
        try:
            host = urlsplit(f"//{headers.get('host', '')}").hostname
        except ValueError:
            return PlainTextResponse("The request names no host that can be read.", 400)
        if self._gate.local and host not in LOOPBACK:
            return PlainTextResponse("This page answers to this machine's own names only.", 403)
        if scope["method"] == "POST" and not _same_origin(headers, scope["scheme"]):
            return PlainTextResponse("This form comes from another page.", 403)
        if scope["path"] in OPEN_PATHS or self._gate.knows(scope["session"]):
            return None
        if scope["method"] == "GET":
            return RedirectResponse("/login", 303)
        return PlainTextResponse("Log in first.", 403)


def session_of(headers: Headers) -> str:
    """Return the session that a request's cookie names; "" for none or a malformed one."""
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found and len(found.value) <= 64 else ""


def cookie(session: str, secure: bool) -> str:
    """Return the header's value that sets a session's cookie, for as long as the browser is open."""
    return f"{COOKIE}={session}; Path=/; HttpOnly; SameSite=Strict" + ("; Secure" if secure else "")


def _same_origin(headers: Headers, scheme: str) -> bool:
    """Return whether a POST states that it comes from a page of this dashboard; False if it states nothing."""
    return headers.get("origin", "") == f"{scheme}://{headers.get('host', '')}"


async def form(request: Request) -> dict[str, str]:
    """Return the fields of a small urlencoded form; none of a larger one or of another kind."""
    data = b""
    async for part in request.stream():
        data += part
        if len(data) > BODY_BYTES:
            return {}
    try:
        return dict(parse_qsl(data.decode("ascii"), max_num_fields=8))
    except ValueError:
        return {}
