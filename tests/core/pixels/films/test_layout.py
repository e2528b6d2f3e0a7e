"""The arithmetic between a film's integer samples and code values: the standards' values, and exact round trips."""

from __future__ import annotations

import numpy as np
import pytest
from fakes.films import planes
from harmovid.errors import InputError
from harmovid.pixels.films.layout import LUMA_WEIGHTS, Layout


@pytest.mark.parametrize("matrix", sorted(LUMA_WEIGHTS))
@pytest.mark.parametrize("depth", [8, 10, 12, 16])
@pytest.mark.parametrize("full", [False, True])
def test_every_number_comes_back(matrix: str, depth: int, full: bool) -> None:
    """Numbers to codes and back are the same numbers, those outside black and white included, at every depth."""
    layout = Layout("yuv", depth, True, full, matrix)
    data = planes(1, 4, depth).tobytes()

    back, clipped = layout.pack(layout.unpack(data, 32, 24))

    assert back == data
    assert clipped == 0


def test_codes_survive_a_half_float_up_to_10_bits() -> None:
    """A half float, as the EXR files of such films have, leads back to the same number."""
    layout = Layout("yuv", 10, False, False, "bt709")
    data = planes(2, 3, 10).tobytes()
    codes = layout.unpack(data, 32, 24).astype(np.float16).astype(np.float32)
    inside = np.abs(codes).max(axis=-1) < 1

    back = np.frombuffer(layout.pack(codes)[0], "<u2").reshape(3, 24, 32)

    assert np.array_equal(back[:, inside], planes(2, 3, 10)[:, inside])


def test_the_standards_own_points() -> None:
    """Black is 16, white 235, grey has chroma 128 (BT.709-6, item 3.4 and 3.5); red's luma is its weight."""
    layout = Layout("yuv", 8, False, False, "bt709")
    colours = np.array([[[0, 0, 0], [1, 1, 1], [1, 0, 0], [0.5, 0.5, 0.5]]], np.float32)

    stored = np.frombuffer(layout.pack(colours)[0], np.uint8).reshape(3, 4)

    assert stored[0].tolist() == [16, 235, round(16 + 219 * 0.2126), round(16 + 219 * 0.5)]
    assert stored[1].tolist()[:2] == [128, 128]
    assert stored[2].tolist() == [128, 128, 240, 128]


def test_what_a_film_cannot_hold_is_clipped_and_counted() -> None:
    """Light beyond the film's numbers and NaN are counted, number by number."""
    layout = Layout("rgb", 8, False, True)
    codes = np.array([[[2.0, 0.5, -0.5], [np.nan, 0, 0]]], np.float32)

    data, clipped = layout.pack(codes)

    assert clipped == 3
    assert np.frombuffer(data, np.uint8).reshape(3, 2)[2].tolist() == [255, 0]


@pytest.mark.parametrize(
    ("pix_fmt", "expected"),
    [
        ("yuv420p", ("yuv", 8, False)), ("yuv422p10le", ("yuv", 10, False)), ("yuva444p12le", ("yuv", 12, True)),
        ("gbrp10le", ("rgb", 10, False)), ("rgba", ("rgb", 8, True)), ("gray10le", ("grey", 10, False)),
        ("nv12", ("yuv", 8, False)), ("yuv420p9le", ("yuv", 10, False)),
    ],
)  # fmt: skip
def test_formats_that_are_read(pix_fmt: str, expected: tuple[str, int, bool]) -> None:
    """Kind, depth and alpha follow from ffmpeg's name."""
    layout = Layout.of(pix_fmt, "tv", "bt709")

    assert (layout.kind, layout.depth, layout.alpha) == expected


@pytest.mark.parametrize(("pix_fmt", "matrix"), [("gbrpf32le", "bt709"), ("pal8", ""), ("yuv420p", "ycgco")])
def test_formats_that_are_refused(pix_fmt: str, matrix: str) -> None:
    """Formats that would be read wrongly are refused by name."""
    with pytest.raises(InputError, match="not read here"):
        Layout.of(pix_fmt, "tv", matrix)
