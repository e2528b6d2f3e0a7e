"""Plots of an evaluation as SVG: every clip's value per method, and the level of each frame over time.

    text = dot_plot(one_set, measure)
    text = level_plot("stroll-1", {"composite as it is": levels, ...})

No script, no font of their own; colours follow the page through `currentColor`, with fallbacks for the files alone.
"""

from __future__ import annotations

import math
from html import escape
from typing import Any, Dict, List, Mapping, Sequence, Tuple

import numpy as np
import numpy.typing as npt

from harmovid_evaluate.entrants import AS_IS, ORIGINAL
from harmovid_evaluate.table import Report, best, heading

WIDTH, ROW, TOP, BOTTOM = 560, 22, 34, 30
LEFT, RIGHT = 220, 18
LEVEL_HEIGHT = 150
INK, FAINT, GRID = "#d8d8d8", "#9a9a9a", "#484848"
PAPER = "#262626"
ACCENT, PLAIN = "#f0a35a", "#8fb8de"
LINES = ("#f07a5a", "#8c8c8c", "#5ac8f0", "#a6d96a", "#d08cf0", "#f0d35a", "#70d0b0", "#f09ac0", "#b0b0ff")
"""Of versions over time, in order; the first is the input, the second the original."""
TICKS = 4


def ticks(low: float, high: float, count: int = TICKS) -> List[float]:
    """Return about `count` round numbers between two ends."""
    raw = max(high - low, 1e-12) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(step for step in (power, 2 * power, 5 * power, 10 * power) if step >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(k * step, 12) for k in range(first, last + 1)]


def dot_plot(one_set: Report, measure: Report) -> str:
    """Return a plot of one measure: a row per method, a dot per clip, a stroke at the mean; the best in colour."""
    key = measure["key"]
    rows = [row for row in one_set["rows"] if key in row["mean"] and _comparable(row, measure)]
    values = [scores[key] for row in rows for scores in row["clips"].values() if key in scores]
    if not values:
        return ""
    low, high = _span(values)
    height = TOP + ROW * len(rows) + BOTTOM

    def x(value: float) -> float:
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    parts = [_text(LEFT, 20, f"{heading(measure)}  {measure['group']}", INK, "start", 13, "600")]
    for tick in ticks(low, high):
        parts.append(_line(x(tick), TOP, x(tick), height - BOTTOM, GRID))
        parts.append(_text(x(tick), height - 10, f"{tick:g}", FAINT, "middle"))
    top = best(one_set, measure)
    for index, row in enumerate(rows):
        y = TOP + ROW * (index + 0.5)
        colour = ACCENT if row["mean"][key] == top and row["method"] != ORIGINAL else PLAIN
        colour = FAINT if row["method"] in (AS_IS, ORIGINAL) and colour == PLAIN else colour
        parts.append(_text(LEFT - 10, y + 4, _short(row["method"]), INK, "end"))
        for clip, scores in row["clips"].items():
            if key in scores:
                said = f"{row['method']}, {clip}: {scores[key]:.{measure['digits']}f}"
                parts.append(_dot(x(scores[key]), y, 3.5, colour, said, 0.55))
        mean = row["mean"][key]
        parts.append(_line(x(mean), y - 8, x(mean), y + 8, colour, 3, f"mean {mean:.{measure['digits']}f}"))
    return _svg(WIDTH, height, parts, f"{measure['title']} of each method and clip")


def _comparable(row: Report, measure: Report) -> bool:
    """Return whether a row belongs on the axis: the original's perfect scores would flatten all others."""
    return row["method"] != ORIGINAL or measure["key"] in (
        "flicker",
        "warped",
        "clip",
        "laplacian",
        "tenengrad",
    )


def _span(values: Sequence[float]) -> Tuple[float, float]:
    low, high = min(values), max(values)
    margin = 0.06 * (high - low) or max(abs(high), 1e-3) * 0.05
    return low - margin, high + margin


def level_plot(title: str, levels: Mapping[str, npt.NDArray[Any]]) -> str:
    """Return a plot of each version's level `(T,)` in stops over the frames, about the mean of the original."""
    names = list(levels)
    about = np.asarray(levels[ORIGINAL] if ORIGINAL in levels else levels[names[0]], np.float64)
    about = about[np.isfinite(about)]
    middle = float(about.mean()) if about.size else 0.0
    courses = {name: np.asarray(course, np.float64) - middle for name, course in levels.items()}
    known = [value for course in courses.values() for value in course if np.isfinite(value)]
    if not known:
        return ""
    low, high = _span([*known, -0.1, 0.1])
    left, width, top = 54, 900, 30
    legend = -(-len(names) // 3)
    height = top + LEVEL_HEIGHT + 26 + 18 * legend
    count = max(len(course) for course in courses.values())

    def place(t: int, value: float) -> Tuple[float, float]:
        across = left + t / max(count - 1, 1) * (width - left - 16)
        return across, top + (high - value) / (high - low) * LEVEL_HEIGHT

    parts = [_text(left, 18, f"{title}: level of the foreground, stops", INK, "start", 13, "600")]
    for tick in ticks(low, high):
        y = place(0, tick)[1]
        parts.append(_line(left, y, width - 16, y, GRID))
        parts.append(_text(left - 8, y + 4, f"{tick:g}", FAINT, "end"))
    for index, name in enumerate(names):
        colour = LINES[index % len(LINES)]
        points = [place(t, value) for t, value in enumerate(courses[name]) if np.isfinite(value)]
        parts.append(_course(points, colour, name, dashed=name == ORIGINAL))
        x, y = left + index % 3 * 285, top + LEVEL_HEIGHT + 26 + 18 * (index // 3)
        parts += [_line(x, y - 4, x + 20, y - 4, colour, 3), _text(x + 26, y, _short(name), INK, "start")]
    return _svg(width, height, parts, f"Level of the foreground over time, {title}")


def _short(name: str, most: int = 34) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"


def _svg(width: int, height: int, parts: Sequence[str], title: str) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="system-ui, sans-serif" font-size="12" role="img"><title>{escape(title)}</title>'
        f'<rect width="{width}" height="{height}" fill="{PAPER}"/>'
    )
    return head + "".join(parts) + "</svg>\n"


def _text(x: float, y: float, text: str, fill: str, anchor: str, size: int = 12, weight: str = "400") -> str:
    look = f'fill="{fill}" text-anchor="{anchor}" font-size="{size}" font-weight="{weight}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {look}>{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, stroke: str, width: float = 1, title: str = "") -> str:
    said = f"<title>{escape(title)}</title>" if title else ""
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{stroke}" stroke-width="{width:g}">{said}</line>'


def _dot(x: float, y: float, radius: float, fill: str, title: str, opacity: float) -> str:
    place = f'cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}"'
    return f'<circle {place} fill="{fill}" fill-opacity="{opacity:g}"><title>{escape(title)}</title></circle>'


def _course(points: Sequence[Tuple[float, float]], stroke: str, title: str, dashed: bool) -> str:
    text = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dash = ' stroke-dasharray="6 4"' if dashed else ""
    return (
        f'<polyline points="{text}" fill="none" stroke="{stroke}" stroke-width="2" stroke-linejoin="round"{dash}>'
        f"<title>{escape(title)}</title></polyline>"
    )


def all_plots(one_set: Report, measures: Sequence[Report]) -> Dict[str, str]:
    """Return the set's plots by their measure's key; those without values are left out."""
    made = {each["key"]: dot_plot(one_set, each) for each in measures}
    return {key: text for key, text in made.items() if text}
