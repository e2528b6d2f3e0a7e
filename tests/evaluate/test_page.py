"""The evaluation's page in a real browser: no requests; playing; wipes by keys, mouse and touch; correct colours."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from evaluate.little import little_evaluation, write_clips
from harmovid.errors import OutputError
from harmovid_evaluate import table
from harmovid_evaluate.entrants import Plain
from harmovid_evaluate.report.films import encode
from harmovid_evaluate.report.plots import level_plot
from harmovid_evaluate.report.show import write_all
from harmovid_training.metrics.quality import view
from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

LIGHTS = {"warm <b>": (0.6, 0.2, 0.1), "HarmoVid: cold": (0.1, 0.25, 0.7)}
UNTIL = """what => new Promise(done => {
    const film = document.getElementById("film"), met = { rests: () => film.paused,
      moves: () => film.currentTime > 0.05 }[what];
    const look = () => met() ? done() : setTimeout(look, 20);
    look();
})"""
"""Waits in the page; playwright's own wait evaluates text as code, which the page's security policy forbids."""
PIXEL = "([x, y]) => [...document.getElementById('picture').getContext('2d').getImageData(x, y, 1, 1).data]"


def flat(name: str) -> Plain:
    """Return a row that answers with one light everywhere."""
    return Plain(
        name, ("harmonize",), lambda case: np.broadcast_to(np.float32(LIGHTS[name]), case.composite.shape)
    )


@dataclass
class Opened:
    """The page, with the browser's console errors and network requests."""

    page: Page
    trouble: list[str] = field(default_factory=list)

    def colour(self, x: int) -> list[int]:
        """Return the canvas's colour in column x of the middle row."""
        return self.page.evaluate(PIXEL, [x, 24])[:3]

    def frame(self) -> int:
        """Return the number of the frame that is drawn."""
        return int(self.page.locator("#picture").get_attribute("data-frame") or -1)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page of a small evaluation with two flat rows."""
    folder = tmp_path_factory.mktemp("page")
    evaluation = little_evaluation(
        write_clips(folder / "clips"), folder / "out", entrants=[flat(name) for name in LIGHTS]
    )
    assert [step.what for step in evaluation.run()] == ["computed"] * 4
    write_all(folder / "out", table.summarise(evaluation))
    return folder / "out" / "index.html"


@pytest.fixture
def opened(browser: Browser, written: Path):
    """Yield the loaded page, with touch; at the end it must have no console errors and no network requests."""
    context = browser.new_context(viewport={"width": 900, "height": 800}, has_touch=True)
    context.set_default_timeout(300_000)
    page = context.new_page()
    made = Opened(page)
    page.on("console", lambda said: made.trouble.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: made.trouble.append(str(error)))
    page.on(
        "request",
        lambda asked: None if asked.url.startswith(("file:", "blob:")) else made.trouble.append(asked.url),
    )
    page.goto(written.as_uri())
    page.wait_for_selector("#picture[data-frame='0']")
    yield made
    assert made.trouble == []
    context.close()


def expected(name: str) -> np.ndarray:
    """Return the codes of a row's light as the page should show them."""
    return view(np.float32(LIGHTS[name])) * 255


def test_both_sides_have_their_own_colours(opened: Opened) -> None:
    """Left of the line is one version, right of it the other, within three codes of the EXR's view."""
    warm, cold = LIGHTS
    assert opened.page.locator("#left-tag").inner_text() == warm
    np.testing.assert_allclose(opened.colour(10), expected(warm), atol=3)
    np.testing.assert_allclose(opened.colour(75), expected(cold), atol=3)


def test_the_wipe_moves_by_keys(opened: Opened) -> None:
    """End shows the left version everywhere, Home the right one; arrows move by two per cent and say so."""
    wipe = opened.page.locator("#wipe")
    wipe.press("ArrowRight")
    assert wipe.get_attribute("aria-valuenow") == "52"
    wipe.press("End")
    np.testing.assert_allclose(opened.colour(75), expected("warm <b>"), atol=3)
    wipe.press("Home")
    np.testing.assert_allclose(opened.colour(5), expected("HarmoVid: cold"), atol=3)


def test_the_wipe_moves_by_mouse_and_touch(opened: Opened) -> None:
    """A drag takes the line along; a tap brings it to the finger."""
    box = opened.page.locator("#stage").bounding_box()
    assert box is not None
    y = box["y"] + box["height"] / 2
    opened.page.mouse.move(box["x"] + box["width"] / 2, y)
    opened.page.mouse.down()
    opened.page.mouse.move(box["x"] + box["width"] * 0.8, y, steps=4)
    opened.page.mouse.up()
    assert int(opened.page.locator("#wipe").get_attribute("aria-valuenow") or 0) == pytest.approx(80, abs=1)
    opened.page.touchscreen.tap(box["x"] + box["width"] * 0.25, y)
    assert int(opened.page.locator("#wipe").get_attribute("aria-valuenow") or 0) == pytest.approx(25, abs=1)


def test_it_plays_and_steps(opened: Opened) -> None:
    """Space plays and stops; full stop and comma step by one frame, round the end."""
    page = opened.page
    page.locator("#wipe").press("Space")
    page.evaluate(UNTIL, "moves")
    assert page.locator("#play").inner_text() == "Pause"
    page.locator("#wipe").press("Space")
    page.evaluate(UNTIL, "rests")
    page.locator("#frame").fill("4")
    page.wait_for_selector("#picture[data-frame='4']")
    page.locator("#wipe").press(".")
    page.wait_for_selector("#picture[data-frame='0']")
    page.locator("#wipe").press(",")
    page.wait_for_selector("#picture[data-frame='4']")


def test_choices_change_the_versions_and_their_numbers(opened: Opened) -> None:
    """The other clip and the other version can be chosen; their numbers are those of the table."""
    page = opened.page
    page.select_option("#right", label="warm <b>")
    np.testing.assert_allclose(opened.colour(75), expected("warm <b>"), atol=3)
    page.select_option("#clip", label="other")
    page.wait_for_selector("#picture[data-frame='0']")
    page.locator("#facts summary").click()
    assert page.locator("#facts table").inner_text().count("dB") >= 2
    assert "warm <b>" in page.locator("#set-lut tbody").first.inner_text()


def test_sheets_and_plots_are_files_too(written: Path) -> None:
    """Each clip has a contact sheet and a film, each measure a plot; names in them are text, not markup."""
    out = written.parent
    assert sorted(path.name for path in (out / "sheets").iterdir()) == ["lut-disc.png", "lut-other.png"]
    assert (out / "films" / "lut" / "disc.mp4").stat().st_size > 1000
    plot = (out / "plots" / "lut" / "psnr.svg").read_text(encoding="utf-8")
    assert "warm &lt;b&gt;" in plot
    assert "<b>" not in plot


def test_a_film_that_cannot_be_encoded_leaves_nothing(tmp_path: Path) -> None:
    """Frames that H.264 cannot encode are an error with ffmpeg's message, and no file is left."""
    with pytest.raises(OutputError, match="no film can be written"):
        encode(tmp_path / "film.mp4", [np.zeros((47, 63, 3), np.uint8)] * 3)
    assert list(tmp_path.iterdir()) == []


def test_a_clip_whose_foreground_is_gone_has_no_plot() -> None:
    """If no level is known the plot is left out, and the page still works."""
    nothing = np.full(5, np.nan)
    assert level_plot("gone", {"the original": nothing, "one": nothing}) == ""
    assert "<svg" in level_plot("there", {"one": np.array([0, np.nan, 0.5])})
