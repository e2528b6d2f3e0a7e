"""A dashboard in a process of its own in front of a real server, and a small browser without scripts."""

from __future__ import annotations

import http.client
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import numpy as np
from harmovid import Settings
from harmovid.errors import FrameMissing
from harmovid.pixels import exr

TOKEN = "a-token-of-more-than-20-characters"  # noqa: S105  (of these tests)
FRAMES = range(1001, 1007)


def settings(endpoint: str, keys: Path, name: str) -> Settings:
    """Return one user's settings."""
    return Settings(server=endpoint, key=str(keys / f"{name}.secret"))


def write_plate(folder: Path) -> str:
    """Write a short flickering plate, its second frame no EXR, and return its pattern."""
    folder.mkdir()
    window = (0, 0, 96, 54)
    texture = np.linspace(0.5, 1.5, 96 * 54, dtype=np.float32).reshape(54, 96)
    for frame in FRAMES:
        level = 0.2 if frame % 2 else 0.15
        channels = {name: (texture * level).astype(np.float16) for name in "RGB"}
        exr.write(
            exr.make_frame(exr.PartHeader.make(window, window), channels), folder / f"plate.{frame}.exr"
        )
    return str(folder / "plate.####.exr")


@contextmanager
def dashboard(server: str, key: Path | None, *flags: str) -> Iterator[str]:
    """Run the command on a free port; yield its address."""
    words = [sys.executable, "-m", "harmovid.cli", "dashboard", "--server", server, "--port", "0", *flags]
    words += ["--key", str(key)] if key else []
    environ = {name: value for name, value in os.environ.items() if not name.startswith("HARMOVID_")}
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ
    ) as child:
        try:
            assert child.stdout is not None
            assert child.stderr is not None
            address = child.stdout.readline().strip()
            assert re.fullmatch(r"https?://127\.0\.0\.1:\d+/", address), child.stderr.read()
            yield address
            child.terminate()
            assert child.wait(300) == 0, child.stderr.read()
        finally:
            child.kill()


class Gated:
    """A source that gives its frames one by one, each when it is let go; of a missing file it says so."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self.go = threading.Semaphore(0)

    def read(self, layer: str, frame: int) -> bytes:
        """Return a frame's file once `go` has been released for it."""
        self.go.acquire(timeout=3000)
        try:
            return Path(self._pattern.replace("####", str(frame))).read_bytes()
        except FileNotFoundError:
            raise FrameMissing("there is no file", frame=frame, layer=layer) from None


class Visitor:
    """Requests with a cookie of one's own, as a browser sends them; nothing is followed by itself."""

    def __init__(self, address: str) -> None:
        self.netloc = urlsplit(address).netloc
        self.cookie = ""

    def ask(
        self, path: str, fields: dict[str, str] | None = None, **headers: str
    ) -> tuple[int, str, dict[str, str]]:
        """Return status, text and headers of a GET, or of a POST of these fields with the page's own origin."""
        sent = {"Host": self.netloc, "Cookie": self.cookie}
        if fields is not None:
            sent |= {
                "Origin": f"http://{self.netloc}",
                "Content-Type": "application/x-www-form-urlencoded",
            }
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection(self.netloc, timeout=300)
        try:
            connection.request(
                "GET" if fields is None else "POST",
                path,
                urlencode(fields) if fields is not None else None,
                {name: value for name, value in sent.items() if value},
            )
            answer = connection.getresponse()
            told = {name.lower(): value for name, value in answer.getheaders()}
            if "set-cookie" in told:
                self.cookie = told["set-cookie"].split(";")[0]
            return answer.status, answer.read().decode("utf-8", "replace"), told
        finally:
            connection.close()

    def form_token(self, path: str) -> str:
        """Return the token in the first form of a page."""
        found = re.search(r'name="form_token" value="([0-9a-f]{64})"', self.ask(path)[1])
        assert found is not None
        return found[1]
