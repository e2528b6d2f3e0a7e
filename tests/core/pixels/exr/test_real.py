"""Reference EXRs of the OpenEXR project: layers, stereo, changing data windows, chromaticities,
premultiplied glows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes import exr_files
from harmovid.pixels import exr
from harmovid.pixels.colour.primaries import convert_primaries, file_primaries

pytestmark = pytest.mark.real

FILES = (
    "beachball/singlepart.0001.exr", "beachball/singlepart.0002.exr", "beachball/singlepart.0003.exr",
    "stills/CandleGlass.exr", "stills/Carrots.exr", "stills/Desk.exr", "stills/Rec709.exr", "stills/XYZ.exr",
)  # fmt: skip


@pytest.fixture(params=FILES)
def path(request: pytest.FixtureRequest, real_data: Path) -> Path:
    """One reference file after the other."""
    found = real_data / "exr" / request.param
    if not found.is_file():
        pytest.skip(f"{found} is not there")
    return found


def test_openimageio_agrees_on_pixels(path: Path) -> None:
    """Every channel is read as OpenImageIO reads it: names, types, windows and bits."""
    frame = exr.read(path)

    spec, found = exr_files.oiio_read(path)

    x0, y0, x1, y1 = frame.data_window
    assert (spec.x, spec.y, spec.x + spec.width, spec.y + spec.height) == (x0, y0, x1, y1)
    assert frame.display_window[2:] == (spec.full_x + spec.full_width, spec.full_y + spec.full_height)
    assert set(found) == set(frame.channels)
    assert all(found[name].tobytes() == pixels.tobytes() for name, pixels in frame.channels.items())


def test_writing_loses_nothing(path: Path) -> None:
    """Out and in again: the same bits, the same attributes in the same order, plus at most the implied
    type."""
    frame = exr.read(path)

    back = exr.read(exr.write(frame))

    assert exr_files.same_pixels(frame, back)
    added = set(back.header.attributes) - set(frame.header.attributes)
    assert added <= {"type"}
    kept = [item for item in back.header.attributes.items() if item[0] not in added]
    assert kept == list(frame.header.attributes.items())


def test_stereo_layers_and_moving_windows(real_data: Path) -> None:
    """The beachball's default view is the right one, its left view is a layer, and its window changes per
    frame."""
    frames = [exr.read(real_data / "exr" / name) for name in FILES[:3]]

    assert len({frame.data_window for frame in frames}) == 3
    assert len({frame.display_window for frame in frames}) == 1
    for frame in frames:
        assert frame.header.get("multiView") == ("right", "left")
        assert exr.layer_names(frame.headers) == ("", "left")
        _, right = exr.layer_rgb(frame)
        _, left = exr.layer_rgb(frame, "left")
        assert not np.array_equal(right, left)


def test_one_picture_in_two_gamuts(real_data: Path) -> None:
    """A photograph stored as Rec.709 and as XYZ has the same colours once converted by the files'
    chromaticities."""
    rec709, xyz = (exr.read(real_data / "exr" / f"stills/{name}.exr") for name in ("Rec709", "XYZ"))
    expected, stored = exr.layer_rgb(rec709)[1], exr.layer_rgb(xyz)[1]

    primaries = [file_primaries(frame.chromaticities) for frame in (xyz, rec709)]
    converted = convert_primaries(stored, *primaries)

    difference = np.abs(converted - expected)
    assert np.abs(stored - expected).mean() > 0.01
    assert difference.mean() < 0.0005
