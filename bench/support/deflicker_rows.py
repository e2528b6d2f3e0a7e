"""The bench's rows of damage that must not happen: on a fade, a steady clip, a cut; and of rolling bands.

Each returns plain rows (`test`, `what`, numbers by method), for the table and the JSON line.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Tuple

import numpy as np
from harmovid_evaluate import sets
from harmovid_evaluate.clips import Clip
from harmovid_evaluate.ffmpeg import ffmpeg_available
from harmovid_evaluate.methods import FFMPEG, Run, noop
from harmovid_training.metrics.degrade import DEGRADATIONS, exposure
from harmovid_training.metrics.quality import Judge

from support.deflicker_compare import OURS
from support.deflicker_films import Rows, film_words

QUICK = "quick"
QUICK_TESTS = ("exposure", "curves-fg")


def defaults() -> List[Tuple[str, Run]]:
    """Return ffmpeg's filters at their first setting; for these tests the best setting does not matter."""
    return [(method.name, method.settings[0].run) for method in FFMPEG] if ffmpeg_available() else []


def fade_rows(clip: Clip, ours: Run) -> Rows:
    """A fade of two stops over 60 frames without flicker: by how many stops it is changed."""
    runs = [*defaults(), (OURS, ours)]
    return [_row("fade", clip.name, {name: sets.fade_error(run, clip.frames) for name, run in runs})]


def steady_rows(clip: Clip, ours: Run) -> Rows:
    """The clip itself, which does not flicker: RMS change in stops, on the frame and inside the mask."""
    runs = [*defaults(), (OURS, ours)]
    rows = []
    if not clip.cut_out:
        rows.append(
            _row("steady", clip.name, {name: sets.false_change(run, clip.frames) for name, run in runs})
        )
    if clip.masks is not None:
        inside = {OURS: sets.false_change(ours, clip.frames, clip.masks)}
        rows.append(_row("steady-fg", clip.name, inside))
    return rows


def quick_rows(clip: Clip, runs: Tuple[Run, Run], seed: int) -> Rows:
    """The engine's preset `quick`, whose first answers come after 24 frames, beside the engine as it is: psnr_g."""
    rows = []
    for name in QUICK_TESTS if clip.masks is not None else QUICK_TESTS[:1]:
        test = DEGRADATIONS[name]
        mask = clip.masks if test.foreground else None
        judge, frames = Judge(clip.frames, mask), test.apply(clip.frames, clip.masks, seed)
        runs_by_name = {"no-op": noop, QUICK: runs[1], OURS: runs[0]}
        numbers = {each: {"psnr_g": judge.psnr_g(run(frames, mask))} for each, run in runs_by_name.items()}
        rows.append(_row("quick", f"{clip.name}, {name}", numbers))
    return rows


def cut_rows(pair: Tuple[Clip, Clip], ours: Run, seed: int) -> Rows:
    """Two flickering clips of one size, cut together: difference to the results of the two run separately."""
    if not sets.fits(*pair):
        return []
    first, second = (exposure(each.frames, np.random.default_rng(seed)) for each in pair)
    return [_row("cut", f"{pair[0].name} | {pair[1].name}", {OURS: sets.cut_error(ours, first, second)})]


def band_rows(clip: Clip, ours: Run, seed: int) -> Rows:
    """Drifting bands at three frequencies: the row profile that is left, in stops."""
    rows: Rows = []
    found = {name: sets.band_profile(run, clip.frames, seed) for name, run in [*defaults(), (OURS, ours)]}
    for cycles, drift in sets.BANDS:
        numbers = {name: each[f"{cycles:g}"] for name, each in found.items()}
        rows.append(_row("bands", f"{clip.name}, {cycles:g} per height, drift {drift:+g}", numbers))
    return rows


def _row(test: str, what: str, numbers: Dict[str, Any]) -> Dict[str, Any]:
    return {"test": test, "what": what, "numbers": numbers}


def print_rows(rows: Rows) -> None:
    """Print rows of one kind, a line per row and method."""
    for row in rows:
        print(f"  {row['test']:10s}{row['what']}")
        for name, numbers in row["numbers"].items():
            print(f"    {name:22s}{_as_text(row['test'], numbers)}", flush=True)


def _as_text(test: str, numbers: Dict[str, Any]) -> str:
    """Return a method's numbers as text."""
    words: Dict[str, Callable[[Dict[str, Any]], str]] = {
        "fade": lambda n: f"{n['mean_stops']:.4f} rms, {n['worst_stops']:.4f} worst frame",
        "steady": _steady,
        "steady-fg": _steady,
        "quick": lambda n: f"{n['psnr_g']:.2f} dB",
        "stays": lambda n: f"{n['worst_stops']:.4f} worst frame",
        "cut": lambda n: f"{n['worst_stops']:.5f} worst pixel",
        "bands": lambda n: f"{n['before_stops']:.3f} -> {n['after_stops']:.4f}",
        "film": film_words,
        "chart": film_words,
    }
    return words[test](numbers)


def _steady(numbers: Dict[str, Any]) -> str:
    return f"{numbers['stops']:.4f} rms, {100 * numbers['identical']:.0f} % of pixels identical"
