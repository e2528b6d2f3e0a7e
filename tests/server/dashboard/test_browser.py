"""The dashboard in Chromium: log in, watch a job come to its end, wipe between previews, retry a frame, cancel."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.key_files import make_keys
from fakes.running import RunningServer
from harmovid import JobFiles, connect
from harmovid.client import Job
from playwright.sync_api import Browser, expect
from server.dashboard.site import FRAMES, TOKEN, Gated, dashboard, settings, write_plate

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(400)]


def test_a_supervisor_watches_retries_and_cancels(browser: Browser, tmp_path: Path) -> None:
    """The page refreshes by itself, both previews load, the wipe follows the pointer; a failed frame is made after
    all, the other job is cancelled and its page shows the command that makes it; no error in the browser.
    """
    keys = tmp_path / "keys"
    flags = [word for pair in make_keys(keys).items() for word in pair]
    token = tmp_path / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    plate = write_plate(tmp_path / "plate")
    trouble: list[str] = []
    page = browser.new_context(viewport={"width": 1280, "height": 860}).new_page()
    page.set_default_timeout(300_000)
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("console", lambda said: trouble.append(said.text) if said.type == "error" else None)
    with (
        RunningServer(
            tmp_path / "server",
            *flags,
            "--codecs",
            "1",
            "--engines",
            "deflicker,null",
            "--previews",
            echo=False,
        ) as server,
        connect(settings(server.endpoint, keys, "anna")) as anna,
        dashboard(server.endpoint, keys / "td.secret", "--token-file", str(token)) as address,
    ):
        jobs = {}
        for label, engine in (("sh010", "null"), ("sh020", "deflicker")):
            job = JobFiles.prepare(
                anna.engine(engine), {"plate": plate}, out=f"{tmp_path}/{label}/", label=label
            )
            source = Gated(plate)
            jobs[label] = (anna.start(Job(job.spec, source, job.sink)), source)
        page.goto(address)
        expect(page).to_have_url(address + "login")
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("link", name="sh010")).to_be_visible()
        assert TOKEN not in page.url
        handle, source = jobs["sh020"]
        row = page.locator("tr", has_text="sh020")
        expect(row).to_contain_text("anna")
        for _ in FRAMES:
            source.go.release()
        handle.result()
        expect(row).to_contain_text("DONE")  # by the page's own refresh
        page.get_by_role("link", name="sh020").click()
        expect(page.locator(".curves svg")).to_be_visible()
        expect(page.locator(".frames li")).to_have_count(len(FRAMES))
        page.locator(".frames li a").first.click()
        pictures = page.locator("[data-wipe] img")
        expect(pictures).to_have_count(2)
        for picture in pictures.all():
            picture.evaluate("img => img.decode()")
            assert picture.evaluate("img => img.naturalWidth") == 96
        box = page.locator("[data-wipe]").bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + box["height"] / 2)
        shown = page.locator("[data-wipe] .over").evaluate("each => each.style.clipPath")
        assert 24 <= float(shown.split()[-1].rstrip("%)")) <= 26
        page.goto(address)
        expect(page.get_by_role("button", name="Retry")).to_have_count(0)
        handle, source = jobs["sh010"]
        first = tmp_path / "plate" / f"plate.{FRAMES[0]}.exr"
        first.rename(tmp_path / "away.exr")
        source.go.release()
        page.get_by_role("link", name="sh010").click()
        expect(page.locator(".facts")).to_contain_text("1 failed")
        (tmp_path / "away.exr").rename(first)
        page.get_by_role("button", name="Retry 1 failed").click()
        expect(page.locator(".facts")).not_to_contain_text("failed")
        expect(page.get_by_role("heading", name="Missing frames")).to_have_count(0)
        source.go.release(2)  # the frame after it is read already, and waits
        expect(page.locator(".facts")).to_contain_text("2/6")
        page.get_by_role("button", name="Cancel").click()
        expect(page.locator(".facts")).to_contain_text("CANCELLED")
        expect(page.locator(".command")).to_contain_text("--frames 1001-1006 --engine null --label sh010")
        source.go.release(len(FRAMES))
        page.get_by_role("button", name="Log out").click()
        expect(page).to_have_url(address + "login")
    assert trouble == []
