"""Contact sheet and wipe, made from a tiny rendering: the files are there, readable, and show what they should."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from harmovid_demo.compare import Comparison, compare_foregrounds, compare_plates, figures, table
from harmovid_demo.sheet import WIDTH, draw_sheet, save_png
from harmovid_demo.view import to_bytes
from harmovid_demo.wipe import TIMES, wipe_frames, write_wipe
from PIL import Image


@pytest.fixture(scope="module")
def plates(tiny) -> Comparison:
    """Return flickering against clean, as if a perfect engine had answered."""
    patterns = {name: tiny.pattern(name) for name in ("flicker", "truth_comp")}
    versions = {
        "before": patterns["flicker"],
        "after": patterns["truth_comp"],
        "truth": patterns["truth_comp"],
    }
    return compare_plates("Deflicker", tiny.shot.frames, versions, has_truth=True)


@pytest.fixture(scope="module")
def foregrounds(tiny) -> Comparison:
    """Return the figure under light A against its relit truth."""
    versions = {
        "as is": tiny.pattern("fg"),
        "after": tiny.pattern("truth_fg"),
        "truth": tiny.pattern("truth_fg"),
    }
    return compare_foregrounds("Harmonize", tiny.shot.frames, versions, tiny.pattern("plate"), has_truth=True)


def test_a_perfect_answer_measures_as_perfect(plates, foregrounds):
    """What equals the truth has distance 0, infinite PSNR and the truth's own flicker; before is far from it."""
    for comparison in (plates, foregrounds):
        before, after, truth = comparison.versions
        assert after.error.rmse_stops == 0.0
        assert after.error.psnr_db == float("inf")
        assert after.flicker.local == truth.flicker.local
        assert before.error.rmse_stops > 0.1
        assert before.error.psnr_db < 35
    assert plates.versions[0].flicker.whole > 10 * plates.versions[1].flicker.whole


def test_pictures_are_the_display_window(tiny, plates):
    """Overscan is cut off: pictures have the format's size, one for every frame."""
    for version in plates.versions:
        assert len(version.pictures) == tiny.shot.count
        assert version.pictures[0].shape == (tiny.shot.height, tiny.shot.width, 3)


def test_foreground_pictures_show_the_comp(tiny, foregrounds):
    """The picture of the relit figure over the plate is the picture of the truth's comp."""
    comp = compare_plates(
        "comp",
        tiny.shot.frames,
        {"a": tiny.pattern("comp"), "b": tiny.pattern("truth_comp")},
        has_truth=False,
    )
    for ours, theirs in zip(foregrounds.versions[:2], comp.versions):
        difference = np.abs(ours.pictures[0].astype(int) - theirs.pictures[0].astype(int))
        assert difference.max() <= 1


def test_table_and_figures_tell_the_same(plates):
    """The table has one column a version and the figures of the report in it; truth has no distance to itself."""
    lines = table(plates)
    assert lines[0].split() == ["before", "after", "truth"]
    numbers = figures(plates)
    distance_line = next(line for line in lines if line.startswith("distance"))
    assert distance_line.split()[-3:] == [f"{numbers['before']['error_stops']:.3f}", "0.000", "stops"]
    assert "error_stops" not in numbers["truth"]


def test_the_sheet_shows_every_version(tmp_path, plates, foregrounds):
    """The PNG is as wide as stated, and the large picture of every version is in it, in its place."""
    path = tmp_path / "sheet.png"
    save_png(draw_sheet([plates, foregrounds]), path)
    sheet = np.asarray(Image.open(path))
    assert sheet.shape[1] == WIDTH
    assert not list(tmp_path.glob("*.part"))
    # The first large row lies under the heading; its three pictures are those of before, after and truth.
    row = sheet[64 + 60 : 64 + 200].astype(float)
    third = WIDTH // 3
    before, after, truth = (row[:, k * third + 60 : (k + 1) * third - 60].mean() for k in range(3))
    assert abs(after - truth) < 1.0 < abs(before - truth)


def test_the_wipe_divides_before_and_after(plates):
    """Every picture is before to the right of the line and after to the left; the line travels."""
    before, after = plates.versions[0], plates.versions[1]
    frames = list(wipe_frames(plates))
    assert len(frames) == TIMES * len(before.pictures)
    middle = frames[len(frames) // 4]
    index = (len(frames) // 4) % len(before.pictures)
    height = middle.shape[0]
    rows = slice(height // 3, height * 2 // 3)  # clear of the words
    np.testing.assert_array_equal(middle[rows, :20], after.pictures[index][rows, :20])
    np.testing.assert_array_equal(middle[rows, -20:], before.pictures[index][rows, -20:])
    lines = [int(np.argmax((frame[rows] == 235).all(axis=(0, 2)))) for frame in frames]
    assert max(lines) - min(lines) > middle.shape[1] // 2


def test_the_wipe_is_a_film(tmp_path, plates, foregrounds):
    """The MP4 has every picture of both comparisons, in the format's size, as H.264."""
    path = write_wipe([plates, foregrounds], tmp_path)
    assert path.name == "wipe.mp4"
    film = cv2.VideoCapture(str(path))
    try:
        assert (film.get(cv2.CAP_PROP_FRAME_WIDTH), film.get(cv2.CAP_PROP_FRAME_HEIGHT)) == (192, 108)
        assert int(film.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little") in (b"h264", b"avc1")
        count = 0
        while film.read()[0]:
            count += 1
    finally:
        film.release()
    assert count == 2 * TIMES * 5


def test_a_film_that_cannot_be_finished_leaves_nothing(tmp_path, monkeypatch, plates):
    """When the finished MP4 cannot get its name, the GIF takes its place and no half film lies beside it."""
    rename = os.replace

    def refuse_films(old: Path, new: Path) -> None:
        if Path(new).suffix == ".mp4":
            raise OSError("no space left")
        rename(old, new)

    monkeypatch.setattr(os, "replace", refuse_films)
    assert write_wipe([plates], tmp_path).name == "wipe.gif"
    assert [path.name for path in tmp_path.iterdir()] == ["wipe.gif"]


def test_without_ffmpeg_the_wipe_is_a_gif(tmp_path, monkeypatch, plates):
    """Where imageio-ffmpeg is missing, a moving GIF is written instead."""
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    path = write_wipe([plates], tmp_path)
    assert path.name == "wipe.gif"
    with Image.open(path) as film:
        assert film.n_frames == TIMES * 5 // 2
        assert film.size == (192, 108)
    assert [entry.name for entry in tmp_path.iterdir()] == ["wipe.gif"]


def test_view_of_a_large_frame_is_made_smaller():
    """A picture is bytes of the view transform; white is white."""
    assert to_bytes(np.full((2, 2, 3), 100.0, np.float32)).min() == 255
