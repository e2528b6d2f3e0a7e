"""The bench's rows for real film, which has no truth: roughness of its light in fixed tiles and along motion.

Rows are plain data (`test`, `what`, numbers by method). `LIGHT_HELD` is not a method: it is the roughness of fixed
tiles that is due to motion alone. A method can get below it only by changing the light of moving things.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Dict, List, Optional

import numpy as np
import numpy.typing as npt
from harmovid_evaluate.along import FilmMotion
from harmovid_evaluate.clips import load_film
from harmovid_evaluate.ffmpeg import ffmpeg_available
from harmovid_evaluate.methods import BASELINES, FFMPEG, Method, Run, Setting
from harmovid_evaluate.sets import film_numbers

from support.deflicker_compare import FFMPEG_PREFIX, OURS, thinned

Rows = List[Dict[str, Any]]

INTACT = (0.5, 2.0)
"""Range of the share of detail for valid results: black frames, for instance, would have no roughness."""
CHART_PREFIX = "colorchart"
"""Films of this name are a still chart whose camera setting is stepped."""
LIGHT_HELD = "light held"


def film_rows(path: Path, lines: int, count: int, ours: Run, workers: int) -> Rows:
    """A real film, or the steps of a chart: roughness in tiles, along motion and of the whole frame, and detail kept.

    Every method is taken at the setting with the least roughness in fixed tiles, among those that do not destroy the
    picture; both measures are taken on that result. `workers` settings are tried in parallel.
    """
    film = load_film(path, lines, count)
    motion = FilmMotion(film.frames)
    held = {"local_stops": motion.held_stops(film.frames), "followed": motion.followed}
    numbers: Dict[str, Dict[str, Any]] = {LIGHT_HELD: held}
    there = [method for method in BASELINES if ffmpeg_available() or method not in FFMPEG]
    for method in there:
        best = _best(method, thinned(film.frames), workers)
        found = film_numbers(best.run(film.frames, None), film.frames, motion)
        numbers[method.name] = {**found, "setting": best.label}
    numbers[OURS] = {**film_numbers(ours(film.frames, None), film.frames, motion), "setting": ""}
    test = "chart" if film.name.startswith(CHART_PREFIX) else "film"
    return [{"test": test, "what": f"{film.name} ({len(film.frames)} frames)", "numbers": numbers}]


def _best(method: Method, small: npt.NDArray[np.float32], workers: int) -> Setting:
    """Return the setting with the least local roughness among those that do not destroy the picture."""

    def local_stops(setting: Setting) -> float:
        found = film_numbers(setting.run(small, None), small)
        return found["local_stops"] if INTACT[0] <= found["detail"] <= INTACT[1] else np.inf

    if len(method.settings) == 1:
        return method.settings[0]
    with ThreadPoolExecutor(workers) as pool:
        tried = list(pool.map(local_stops, method.settings))
    return method.settings[int(np.argmin(tried))]


def film_words(numbers: Dict[str, Any]) -> str:
    """Return a method's numbers, or those of `LIGHT_HELD`, as text."""
    if "followed" in numbers:
        return (
            f"local {numbers['local_stops']:.4f}, {100 * numbers['followed']:.0f} % of the picture followed"
        )
    local = f"local {numbers['local_stops']:.4f}, along motion {numbers['along_stops']:.4f}"
    return f"{local}, global {numbers['global_stops']:.4f}, detail {numbers['detail']:.3f}"


def film_ratio(rows: Rows, number: str) -> Optional[float]:
    """Return the mean over films of a number's ratio, ours over the better ffmpeg filter's; None without ffmpeg."""
    ratios = []
    for row in (each for each in rows if each["test"] == "film"):
        theirs = [n[number] for name, n in row["numbers"].items() if name.startswith(FFMPEG_PREFIX)]
        if theirs:
            ratios.append(row["numbers"][OURS][number] / max(min(theirs), 1e-9))
    return float(np.mean(ratios)) if ratios else None
