"""Stops as false colour: colours, scale, size, and pixels that are no numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from harmovid.errors import FrameMismatch, OutputError
from harmovid.pixels import exr, preview


def frame(rgb: np.ndarray, window: tuple[int, int, int, int] | None = None) -> exr.ExrFrame:
    """Return a float frame of `(H, W, 3)` light."""
    box = window or (0, 0, rgb.shape[1], rgb.shape[0])
    channels = {name: np.ascontiguousarray(rgb[..., c], np.float32) for c, name in enumerate("RGB")}
    return exr.make_frame(exr.PartHeader.make(box), channels)


def test_stops_between_are_log2_of_the_ratio() -> None:
    """Twice the light is one stop; black, NaN and infinity in either picture read as no change."""
    before = np.full((1, 5, 3), 0.25, np.float32)
    after = before * np.float32([1, 2, 1, 1, 1])[None, :, None]
    before[0, 2], after[0, 2] = 0, 0
    after[0, 3] = np.nan
    before[0, 4], after[0, 4] = np.inf, np.inf
    assert preview.stops_between(frame(before), frame(after))[0].tolist() == pytest.approx([0, 1, 0, 0, 0])


def test_windows_must_be_the_same() -> None:
    """Pictures of different data windows are refused."""
    light = np.ones((4, 4, 3), np.float32)
    with pytest.raises(FrameMismatch, match="data windows"):
        preview.stops_between(frame(light), frame(light, (1, 0, 5, 4)))


def test_colours_run_from_blue_over_white_to_red() -> None:
    """The ends and the middle have their colours, and what lies beyond an end has the end's."""
    codes = preview.false_colour(np.array([-9.0, -1.0, 0.0, 1.0, 9.0]), 1.0)
    assert codes[0].tolist() == codes[1].tolist()
    assert codes[3].tolist() == codes[4].tolist()
    assert codes[1, 2] > codes[1, 0] + 80
    assert codes[3, 0] > codes[3, 2] + 80
    assert codes[2].min() > 240


@pytest.mark.parametrize(
    ("size", "end"), [(0.0, 0.1), (0.3, 0.5), (0.5, 0.5), (0.501, 0.5), (3.0, 4.0), (50.0, 4.0)]
)
def test_the_scale_is_the_smallest_that_holds(size: float, end: float) -> None:
    """The scale ends at a round number that holds nearly all of the picture; rounding does not double it."""
    stops = np.full((10, 30), size, np.float32)
    stops[0, 0] = 100
    assert preview.scale_of(stops) == end


def test_large_pictures_are_reduced_and_small_ones_kept() -> None:
    """A 4K field becomes a preview of at most 270 lines, averaged; a small one keeps its pixels."""
    large = preview.picture_of(np.full((2160, 4096), 0.5, np.float32))
    assert large.shape[0] <= 270 + 40
    assert large.shape[1] == 512
    assert preview.picture_of(np.zeros((20, 200), np.float32)).shape[1] == 200
    assert preview.picture_of(np.zeros((300, 1), np.float32)).shape[1] == 96


def test_the_scale_is_written_below() -> None:
    """Below the picture stand the bar, blue to red, and dark signs at both ends and in the middle."""
    picture = preview.picture_of(np.full((50, 120), 0.4, np.float32))
    bar = picture[50 + preview.MARGIN + preview.BAR_LINES // 2]
    assert bar[0, 2] > bar[0, 0]
    assert bar[-1, 0] > bar[-1, 2]
    ink = (picture[50 + preview.MARGIN + preview.BAR_LINES :] < 100).all(-1).any(0)
    assert ink[:30].any()
    assert ink[50:70].any()
    assert ink[-30:].any()


def test_a_picture_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    """A missing folder is an output error, and nothing is left behind."""
    with pytest.raises(OutputError, match=r"p\.png cannot be written"):
        preview.write_stops(str(tmp_path / "none" / "p.png"), np.zeros((4, 4), np.float32))
    assert list(tmp_path.iterdir()) == []
