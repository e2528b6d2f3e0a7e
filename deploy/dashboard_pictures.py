"""Make the dashboard's pictures for the documents: a real server, three users' jobs on the demo's shot, Chromium.

    python deploy/dashboard_pictures.py docs/images      # needs harmovid[dev] and Chromium (HARMOVID_CHROMIUM names it)

Writes dashboard-jobs.png, dashboard-job.png and dashboard-frame.png.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from harmovid import Client, JobFiles
from harmovid.server_process import ServerProcess
from harmovid_demo.shot import Shot, ShotFiles, generate
from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from fakes.key_files import make_keys

SHOT = Shot(width=640, height=360, count=24)
SIZE = {"width": 1280, "height": 860}
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def main(out: Path) -> None:
    """Write the pictures into a folder."""
    browser = os.environ.get("HARMOVID_CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        sys.exit("no Chromium here: apt-get install chromium, or name one with HARMOVID_CHROMIUM")
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        files = generate(folder / "shot", SHOT)
        keys = folder / "keys"
        flags = [word for pair in make_keys(keys).items() for word in pair]
        flags += ["--state", str(folder / "state"), "--active-jobs", "1", "--previews"]
        server = ServerProcess(str(folder), *flags)
        address = stack.enter_context(server)["endpoint"]
        shots = _run_jobs(stack, address, keys, files, folder)
        page_address = stack.enter_context(_dashboard(address, keys / "td.secret"))
        _photograph(browser, page_address, shots, out)


def _run_jobs(stack: ExitStack, address: str, keys: Path, files: ShotFiles, folder: Path) -> list[str]:
    """Run a deflicker and a harmonize job to their ends, and leave two behind them in the queue; return the ids."""
    from harmovid import Settings, connect

    clients: dict[str, Client] = {
        user: stack.enter_context(connect(Settings(server=address, key=str(keys / f"{user}.secret"))))
        for user in ("anna", "ben")
    }
    plans = [
        ("anna", "deflicker", {"plate": "flicker"}, "sh010 street", {}),
        ("ben", "harmonize", {"fg": "fg", "bg": "plate"}, "sh020 comp", {"output": "comp"}),
        ("anna", "deflicker", {"plate": "flicker"}, "sh030 street", {}),
        ("ben", "harmonize", {"fg": "fg", "bg": "plate"}, "sh040 night", {}),
    ]
    ids = []
    for index, (user, engine, layers, label, more) in enumerate(plans):
        client = clients[user]
        inputs = {layer: str(files.pattern(sequence)) for layer, sequence in layers.items()}
        job = JobFiles.prepare(
            client.engine(engine), inputs, out=f"{folder}/out{index}/", label=label, **more
        )
        handle = client.start(job)
        ids.append(job.spec.job_id)
        if index < 2:
            handle.result()
    return ids


class _Dashboard:
    """The command as a process."""

    def __init__(self, address: str, key: Path) -> None:
        words = ["-m", "harmovid.cli", "dashboard", "--server", address, "--key", str(key), "--port", "0"]
        self._words = [sys.executable, *words]

    def __enter__(self) -> str:
        self._process = subprocess.Popen(self._words, stdout=subprocess.PIPE, text=True)
        return self._process.stdout.readline().strip() if self._process.stdout else ""

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()


_dashboard = _Dashboard


def _photograph(browser: str, address: str, jobs: list[str], out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = running.new_page(viewport=SIZE)
        for name, path in (
            ("jobs", ""),
            ("job", f"jobs/{jobs[0]}"),
            ("frame", f"jobs/{jobs[1]}/frames/1012"),
        ):
            page.goto(address + path, wait_until="networkidle")
            page.screenshot(path=str(out / f"dashboard-{name}.png"), full_page=name == "job")
        running.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
