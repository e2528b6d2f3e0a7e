"""A plot of the shot as SVG: level per channel before and after, cuts, and frames that were left alone.

    text = svg_text(rows)      # no script and no embedded font

Each channel has a plot of its own: the measured level thin and dark, the corrected one in the channel's colour. Shaded
columns are frames that the engine left alone (grey) or that failed (red); tooltips give the reasons.
"""

from __future__ import annotations

import math
from html import escape
from typing import Iterator, List, Optional, Sequence, Tuple

from harmovid.cli.curves import FAILED, NOTHING, FrameCurve, Triple

WIDTH, PLOT_HEIGHT, GAP = 1000, 170, 16
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 44, 40
COLOURS = (("red", "#d62728"), ("green", "#2ca02c"), ("blue", "#1f77b4"))
MEASURED_COLOUR = "#444"
SHADES = {NOTHING: "#d9d9d9", FAILED: "#f4b6b0"}
LEAST_SPAN_STOPS = 0.5
"""The least span of an axis, so that a steady shot looks steady."""
TICKS_Y, TICKS_X = 4, 10

Point = Tuple[float, float]


class _Axis:
    """Maps frame numbers to x positions."""

    def __init__(self, rows: Sequence[FrameCurve]) -> None:
        self.first, self.last = rows[0].frame, rows[-1].frame
        self.step = (WIDTH - LEFT - RIGHT) / (self.last - self.first + 1)

    def x(self, frame: float) -> float:
        """Return the middle of a frame's column."""
        return LEFT + (frame - self.first + 0.5) * self.step


def svg_text(rows: Sequence[FrameCurve]) -> str:
    """Return the plot of the rows (rising frame numbers) as the text of an SVG file."""
    height = TOP + 3 * PLOT_HEIGHT + 2 * GAP + BOTTOM
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" font-family="sans-serif" font-size="12" role="img">'
    )
    title = "<title>Level of each frame in stops above middle grey, before and after</title>"
    body = [head, title, f'<rect width="{WIDTH}" height="{height}" fill="white"/>']
    known = any(row.measured or row.corrected for row in rows)
    body += (
        _legend() if known else [_label(LEFT, 24, "The engine reported no levels for these frames.", "start")]
    )
    if rows:
        axis = _Axis(rows)
        for channel in range(3):
            top = TOP + channel * (PLOT_HEIGHT + GAP)
            body += _plot(rows, axis, channel, top)
        body += _frames_axis(axis, height - BOTTOM)
    return "\n".join([*body, "</svg>", ""])


def _legend() -> List[str]:
    lines = [
        _line((LEFT, 20), (LEFT + 26, 20), MEASURED_COLOUR, 1),
        _label(LEFT + 32, 24, "measured", "start"),
    ]
    for index, (_, colour) in enumerate(COLOURS):
        lines.append(_line((LEFT + 110 + 10 * index, 20), (LEFT + 118 + 10 * index, 20), colour, 2.5))
    lines.append(_label(LEFT + 146, 24, "corrected", "start"))
    marks = ((230, SHADES[NOTHING], "left alone"), (340, SHADES[FAILED], "failed"))
    for x, colour, text in marks:
        lines += [_box(LEFT + x, 14, 14, 12, colour), _label(LEFT + x + 20, 24, text, "start")]
    lines += [
        _line((LEFT + 420, 12), (LEFT + 420, 28), "#000", 1, "4 3"),
        _label(LEFT + 428, 24, "cut", "start"),
    ]
    lines.append(_label(WIDTH - RIGHT, 24, "stops above middle grey (0.18)", "end"))
    return lines


def _plot(rows: Sequence[FrameCurve], axis: _Axis, channel: int, top: float) -> List[str]:
    """Return one channel's plot."""
    name, colour = COLOURS[channel]
    low, high = _range(rows, channel)

    def y(level: float) -> float:
        return top + PLOT_HEIGHT * (high - level) / (high - low)

    lines = [*_shades(rows, axis, top)]
    for tick in _ticks(low, high, TICKS_Y):
        lines.append(_line((LEFT, y(tick)), (WIDTH - RIGHT, y(tick)), "#e8e8e8", 1))
        lines.append(_label(LEFT - 6, y(tick) + 4, f"{tick:g}", "end"))
    for row in rows:
        if row.cut:
            x = axis.x(row.frame - 0.5)
            lines.append(
                _line((x, top), (x, top + PLOT_HEIGHT), "#000", 1, "4 3", f"cut before frame {row.frame}")
            )
    for which, stroke, width in (("measured", MEASURED_COLOUR, 1.0), ("corrected", colour, 2.0)):
        for run in _runs(rows, which):
            points = [(axis.x(frame), y(levels[channel])) for frame, levels in run]
            lines.append(_polyline(points, stroke, width, f"{name}, {which}"))
    lines.append(_box(LEFT, top, WIDTH - LEFT - RIGHT, PLOT_HEIGHT, "none", stroke="#888"))
    return [*lines, _label(LEFT - 44, top + PLOT_HEIGHT / 2 + 4, name[0].upper(), "middle", colour)]


def _runs(rows: Sequence[FrameCurve], which: str) -> Iterator[List[Tuple[int, Triple]]]:
    """Yield runs of neighbouring frames whose levels are known; a cut begins a new run."""
    run: List[Tuple[int, Triple]] = []
    for row in rows:
        levels: Optional[Triple] = row.measured if which == "measured" else row.corrected
        if (levels is None or row.cut) and run:
            yield run
            run = []
        if levels is not None:
            run.append((row.frame, levels))
    if run:
        yield run


def _shades(rows: Sequence[FrameCurve], axis: _Axis, top: float) -> Iterator[str]:
    """Yield a shaded column for each run of neighbouring frames left alone, or failed, for the same reason."""
    start = 0
    for index in range(1, len(rows) + 1):
        first = rows[start]
        if index < len(rows) and (rows[index].decision, rows[index].reason) == (first.decision, first.reason):
            continue
        if first.decision in SHADES:
            last = rows[index - 1]
            left, right = axis.x(first.frame - 0.5), axis.x(last.frame + 0.5)
            said = (
                f"frames {first.frame} to {last.frame}, {first.decision}: {first.reason or 'no reason given'}"
            )
            yield _box(left, top, right - left, PLOT_HEIGHT, SHADES[first.decision], title=said)
        start = index


def _range(rows: Sequence[FrameCurve], channel: int) -> Tuple[float, float]:
    """Return the lowest and highest level to show, with a margin."""
    levels = [each[channel] for row in rows for each in (row.measured, row.corrected) if each is not None]
    low, high = (min(levels), max(levels)) if levels else (0.0, 0.0)
    missing = max(LEAST_SPAN_STOPS - (high - low), 0.0) / 2
    margin = 0.05 * max(high - low, LEAST_SPAN_STOPS)
    return low - missing - margin, high + missing + margin


def _ticks(low: float, high: float, count: int) -> List[float]:
    """Return round numbers between the ends: steps of 1, 2 or 5 times a power of ten."""
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(step for step in (power, 2 * power, 5 * power, 10 * power) if step >= raw * 0.999)
    first = math.ceil(low / step)
    return [round(index * step, 9) for index in range(first, math.floor(high / step) + 1)]


def _frames_axis(axis: _Axis, y: float) -> List[str]:
    lines = []
    for tick in _ticks(axis.first, axis.last + 1, TICKS_X):
        if float(tick).is_integer() and axis.first <= tick <= axis.last:
            lines.append(_line((axis.x(tick), y), (axis.x(tick), y + 5), "#888", 1))
            lines.append(_label(axis.x(tick), y + 19, f"{tick:.0f}", "middle"))
    return [*lines, _label((LEFT + WIDTH - RIGHT) / 2, y + 35, "frame", "middle")]


def _polyline(points: Sequence[Point], stroke: str, width: float, title: str) -> str:
    if len(points) == 1:  # a line of one point would be invisible
        x, y = points[0]
        return f'<circle cx="{x:.2f}" cy="{y:.2f}" r="{width + 1:g}" fill="{stroke}"><title>{title}</title></circle>'
    text = " ".join(f"{x:.2f},{y:.2f}" for x, y in points)
    style = f'fill="none" stroke="{stroke}" stroke-width="{width:g}" stroke-linejoin="round"'
    return f'<polyline points="{text}" {style}><title>{title}</title></polyline>'


def _line(a: Point, b: Point, stroke: str, width: float, dash: str = "", title: str = "") -> str:
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<line x1="{a[0]:.2f}" y1="{a[1]:.2f}" x2="{b[0]:.2f}" y2="{b[1]:.2f}" stroke="{stroke}" '
        f'stroke-width="{width:g}"{dashes}>{_title(title)}</line>'
    )


def _box(
    x: float, y: float, width: float, height: float, fill: str, stroke: str = "none", title: str = ""
) -> str:
    place = f'x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{height:.2f}"'
    return f'<rect {place} fill="{fill}" stroke="{stroke}">{_title(title)}</rect>'


def _label(x: float, y: float, text: str, anchor: str, fill: str = "#222") -> str:
    return f'<text x="{x:.2f}" y="{y:.2f}" text-anchor="{anchor}" fill="{fill}">{escape(text)}</text>'


def _title(text: str) -> str:
    return f"<title>{escape(text)}</title>" if text else ""
