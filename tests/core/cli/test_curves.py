"""The frames' reports as rows, CSV, JSON and a plot."""

from __future__ import annotations

import csv
import io
import json
import xml.etree.ElementTree as ET
from typing import Any

import pytest
from harmovid import errors
from harmovid.cli import curves, curves_svg

SVG = "{http://www.w3.org/2000/svg}"


def said(level: float, **more: Any) -> dict[str, Any]:
    """Return a frame's report whose three levels are `level`, with corrected levels of -1."""
    engine = {"decision": "corrected", "measured": [level] * 3, "corrected": [-1.0] * 3, **more}
    return {"nan": 0, "engine": engine}


def parsed(shown: list[curves.FrameCurve]) -> ET.Element:
    """Return the plot as XML; it must be well formed."""
    return ET.fromstring(curves_svg.svg_text(shown))  # noqa: S314


def rows() -> list[curves.FrameCurve]:
    """Return eight frames: flicker, a cut before 5, one left alone, one failed, one unknown."""
    reports: dict[int, Any] = {
        frame: said(-1 + 0.2 * (frame % 2), mode="exposure: all move alike") for frame in range(1, 6)
    }
    reports[5]["engine"]["cut"] = True
    reports[6] = {"engine": {"decision": "nothing", "reason": "no flicker <found>", "trust": 0.9}}
    failures = {7: errors.FrameMissing("there is no file.", frame=7)}
    return curves.curves_of(range(1, 9), reports, failures)


def test_rows_hold_what_was_said_and_no_more() -> None:
    """Rows have levels, cuts, reasons and figures; failed and unknown frames are marked."""
    found = rows()

    assert [row.decision for row in found] == ["corrected"] * 5 + ["nothing", "failed", "unknown"]
    assert found[0].measured == (-0.8, -0.8, -0.8)
    assert found[0].change == pytest.approx(0.2)
    assert [row.frame for row in found if row.cut] == [5]
    assert found[5].numbers == {"trust": 0.9}
    assert found[6].reason == "there is no file."


@pytest.mark.parametrize(
    "engine",
    [None, "corrected", {}, {"measured": [1, 2]}, {"measured": [1, 2, float("nan")]}, {"measured": "abc", "cut": 1},
     {"decision": 7, "reason": ["x"], "trust": True, "global_stops": "0.1", "corrected": {"r": 1}}],
)  # fmt: skip
def test_what_a_server_says_wrongly_is_left_empty(engine: Any) -> None:
    """Missing keys and values of a wrong type raise nothing and leave the cells empty."""
    (row,) = curves.curves_of([3], {3: {"engine": engine}}, {})

    assert row == curves.FrameCurve(3)
    parsed([row])


def test_csv_has_a_row_per_frame() -> None:
    """The CSV reads back with the standard reader: numbers where known, nothing where not."""
    read = list(csv.DictReader(io.StringIO(curves.csv_text(rows()))))

    assert [int(row["frame"]) for row in read] == list(range(1, 9))
    assert float(read[0]["measured_g"]) == pytest.approx(-0.8)
    assert float(read[0]["corrected_b"]) == -1
    assert read[4]["cut"] == "1"
    assert read[5]["measured_r"] == ""
    assert read[5]["reason"] == "no flicker <found>"


def test_json_says_its_unit() -> None:
    """The JSON holds the same rows and names what the numbers are."""
    data = json.loads(curves.json_text(rows()))

    assert "stops above middle grey" in data["unit"]
    assert data["frames"][0]["measured"] == [-0.8, -0.8, -0.8]
    assert data["frames"][7]["measured"] is None


def test_the_plot_shows_levels_cuts_and_refusals() -> None:
    """The SVG is well formed; every channel has two lines on each side of the cut, and marks with their reasons."""
    root = parsed(rows())
    lines = [line.find(f"{SVG}title").text for line in root.iter(f"{SVG}polyline")]  # type: ignore[union-attr]
    dots = [dot.find(f"{SVG}title").text for dot in root.iter(f"{SVG}circle")]  # type: ignore[union-attr]
    titles = [title.text or "" for title in root.iter(f"{SVG}title")]

    # Frames 1 to 4 are a line, frame 5 is alone after the cut.
    assert (
        sorted(lines)
        == sorted(dots)
        == sorted(
            f"{name}, {which}" for name in ("red", "green", "blue") for which in ("measured", "corrected")
        )
    )
    assert titles.count("cut before frame 5") == 3
    assert titles.count("frames 6 to 6, nothing: no flicker <found>") == 3
    assert titles.count("frames 7 to 7, failed: there is no file.") == 3


def test_the_plots_lines_are_where_the_levels_are() -> None:
    """A level that rises evenly is drawn as an evenly rising line inside its plot."""
    steps = [
        curves.FrameCurve(n, "corrected", measured=(n / 10,) * 3, corrected=(0, 0, 0)) for n in range(11)
    ]
    root = parsed(steps)
    line = next(
        line for line in root.iter(f"{SVG}polyline") if "measured" in (line.find(f"{SVG}title").text or "")
    )  # type: ignore[union-attr]
    points = [tuple(float(value) for value in pair.split(",")) for pair in line.attrib["points"].split()]

    across = [b[0] - a[0] for a, b in zip(points, points[1:])]
    up = [a[1] - b[1] for a, b in zip(points, points[1:])]
    assert across == pytest.approx([across[0]] * 10, abs=0.02)
    assert up == pytest.approx([up[0]] * 10, abs=0.02)
    assert up[0] > 5
    assert min(y for _, y in points) > curves_svg.TOP
    assert max(y for _, y in points) < curves_svg.TOP + curves_svg.PLOT_HEIGHT


def test_a_job_without_frames_or_levels_still_has_a_plot() -> None:
    """No rows, or rows without levels, give a picture that says so."""
    assert "no levels" in curves_svg.svg_text([])
    assert "no levels" in curves_svg.svg_text([curves.FrameCurve(-3), curves.FrameCurve(4)])
