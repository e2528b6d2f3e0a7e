"""The whole study as a participant takes it: `harmovid evaluate study` as a process, Chromium, and the summary."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from evaluate.little import little_evaluation, write_clips
from harmovid.cli import exits, main
from harmovid_evaluate import table
from harmovid_evaluate.entrants import CLASSICAL
from harmovid_evaluate.report.show import write_all
from harmovid_evaluate.study.plan import QUESTIONS
from harmovid_evaluate.study.store import read_study
from playwright.sync_api import Browser, Page, expect

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a finished little evaluation of two clips with two methods to judge."""
    folder = tmp_path_factory.mktemp("study")
    evaluation = little_evaluation(
        write_clips(folder / "clips"), folder / "out", entrants=list(CLASSICAL.values())
    )
    for step in evaluation.run():
        assert step.what == "computed"
    write_all(folder / "out", table.summarise(evaluation))
    return folder / "out"


@contextmanager
def serving(out: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run the command on a free port; give its address and the process."""
    words = [sys.executable, "-m", "harmovid.cli", "evaluate", "study", str(out), "--port", "0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            assert child.stderr is not None
            address = child.stdout.readline().strip()
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", address), child.stderr.read()
            yield address, child
        finally:
            child.kill()


def answer(page: Page, picks: dict[str, list[str]]) -> None:
    """Choose letters (or None) of each question, and wait until it is stored."""
    for question, names in picks.items():
        for name in names:
            page.locator(f"fieldset[data-key={question}]").get_by_label(name, exact=True).check(force=True)
        expect(page.locator("#saved")).to_have_text("Stored")


def title(page: Page, text: str) -> None:
    """Wait for a clip's title."""
    expect(page.locator("#title")).to_have_text(text)


@pytest.mark.slow
def test_a_participant_answers_stops_and_goes_on(
    browser: Browser, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Films play, answers survive a killed server and a closed browser, and the summary has them."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(300_000)
    page = context.new_page()
    trouble: list[str] = []
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("console", lambda said: trouble.append(said.text) if said.type == "error" else None)
    with serving(out) as (address, child):
        page.goto(address)
        expect(page.locator("#resume")).to_be_hidden()
        page.get_by_role("button", name="Begin").click()
        title(page, "Clip 1 of 2")
        link = page.url
        films = page.locator("#films video")
        expect(films).to_have_count(3)
        for film in films.all():
            film.evaluate(
                "film => new Promise(done => { const look = () => film.currentTime > 0.04 && film.videoWidth > 0"
                " ? done() : setTimeout(look, 20); look(); })"
            )
        expect(page.locator("#next")).to_be_disabled()
        answer(page, {"temporal": ["A", "B"], "identity": ["None"]})
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    with serving(out) as (address, child):
        page.goto(address + link.split("/", 3)[3])
        title(page, "Clip 1 of 2")
        assert page.locator("fieldset[data-key=temporal] input:checked").count() == 2
        answer(page, {"harmonization": ["B"]})
        page.locator("#next").click()
        title(page, "Clip 2 of 2")
        page.locator("#previous").click()
        title(page, "Clip 1 of 2")
        page.locator("#next").click()
        title(page, "Clip 2 of 2")
        answer(page, {question: ["None"] for question, _, _ in QUESTIONS})
        page.locator("fieldset[data-key=temporal]").get_by_label("A", exact=True).check(force=True)
        assert not page.locator("fieldset[data-key=temporal]").get_by_label("None").is_checked()
        page.locator("#next").click()
        expect(page.locator("#thanks")).to_be_visible()
        child.send_signal(signal.SIGINT)
        assert child.wait(300) == exits.OK
    context.close()
    assert trouble == []
    held = read_study(out / "study" / "study.sqlite")
    assert (held.begun, held.finished, len(held.answers)) == (1, 1, 6)
    counts = sorted((each.question, len(each.chosen)) for each in held.answers)
    assert counts == [
        ("harmonization", 0), ("harmonization", 1), ("identity", 0), ("identity", 0), ("temporal", 1), ("temporal", 2),
    ]  # fmt: skip

    summary_is_told(out, capsys)


def summary_is_told(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Hold that `study-summary` gives the shares as JSON and leaves them as Markdown."""
    capsys.readouterr()
    assert main(["evaluate", "study-summary", str(out), "--json"]) == exits.OK
    told = json.loads(capsys.readouterr().out)
    assert told["participants"] == {"begun": 1, "finished": 1, "answered": 1}
    assert sum(row["temporal"]["chosen"] for row in told["rows"]) == 3
    assert "Preference study" in (out / "study" / "summary.md").read_text(encoding="utf-8")


def test_what_cannot_be_studied_is_reported(
    tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No evaluation, no such method, and no study yet are usage errors that say what to do."""
    for words, says in (
        (["study", tmp_path], "no finished evaluation"),
        (["study", out, "--method", "magic"], "no method 'magic'"),
        (["study-summary", tmp_path], "no study at"),
    ):
        assert main(["evaluate", *map(str, words)]) == exits.USAGE
        assert says in capsys.readouterr().err
