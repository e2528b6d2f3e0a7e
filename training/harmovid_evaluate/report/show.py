"""Everything that is made of a finished evaluation: films, sheets, plots, page, table, numbers.

    written = write_all(out, report)

Pictures are read from the results on disk; a film whose results are as they were is not encoded again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Dict, List, Tuple

import numpy as np
import numpy.typing as npt
from harmovid_training.files import save_json, save_text
from harmovid_training.metrics.traces import foreground_level

from harmovid_evaluate import cases, table
from harmovid_evaluate.cases import fingerprint, slug
from harmovid_evaluate.report import plots, sheets
from harmovid_evaluate.report.films import Bytes, Film, kept_film, make_film, pictures
from harmovid_evaluate.report.page import Shown, page_text
from harmovid_evaluate.table import Report

MOST_FILMS = 4
"""Largest number of clips of a set on the page; all have a sheet and a film in the folder."""
FILM_VERSION = 3


def write_all(out: Path, report: Report, study: str = "", tell: Callable[[str], object] = str) -> List[str]:
    """Write the report's files into `out`; return the paths of those that a person opens.

    Args:
        study: the preference study's table as HTML, where there is one.
        tell: called with the name of what is being made.
    """
    shown: List[Shown] = []
    for one_set in report["sets"]:
        shown += [_shown(out, one_set, clip, tell) for clip in one_set["clips"]]
        for key, text in plots.all_plots(one_set, table.columns(report, one_set)).items():
            save_text(out / "plots" / slug(one_set["name"]) / f"{key}.svg", text)
    save_json(out / "results.json", report)
    save_text(out / "table.md", table.markdown(report))
    carried = [each for each in shown if each.number < MOST_FILMS]
    save_text(out / "index.html", page_text(report, carried, study))
    return [str(out / name) for name in ("index.html", "table.md", "results.json")]


def result_folder(out: Path, one_set: str, clip: str, method: str) -> Path:
    """Return where a unit's frames lie."""
    return out / "results" / slug(one_set) / slug(clip) / slug(method)


def _shown(out: Path, one_set: Report, clip: str, tell: Callable[[str], object]) -> Shown:
    """Return a clip's film and level plot; film, sheet and plot are files as well."""
    name = f"{slug(one_set['name'])}/{slug(clip)}"
    methods = [row["method"] for row in one_set["rows"] if clip in row["clips"]]
    folders = [result_folder(out, one_set["name"], clip, method) for method in methods]
    stamps = [(folder / "row.json").read_text(encoding="utf-8") for folder in folders]
    key = fingerprint(FILM_VERSION, methods, stamps)
    path, level_path = out / "films" / f"{name}.mp4", out / "plots" / f"{name}-level.svg"
    film = kept_film(path, key)
    if film is None or not level_path.is_file():
        tell(f"film {name}")
        film = _made(out, one_set, clip, dict(zip(methods, folders)), (path, level_path), key)
    number = one_set["clips"].index(clip)
    return Shown(one_set["name"], clip, number, film, level_path.read_text(encoding="utf-8"))


def _made(
    out: Path, one_set: Report, clip: str, folders: Dict[str, Path], paths: Tuple[Path, Path], key: str
) -> Film:
    matte = cases.load_frames(out / "inputs" / slug(one_set["name"]) / slug(clip) / "mask")[..., 0]
    versions: Dict[str, Bytes] = {}
    courses: Dict[str, npt.NDArray[np.float64]] = {}
    for method, folder in folders.items():
        frames = cases.load_frames(folder)
        versions[method] = pictures(frames)
        courses[method] = foreground_level(frames, matte)
    sheet = out / "sheets" / f"{slug(one_set['name'])}-{slug(clip)}.png"
    sheets.save_sheet(sheet, f"{one_set['title']}: {clip}", versions)
    save_text(paths[1], plots.level_plot(clip, courses))
    return make_film(paths[0], versions, key)
