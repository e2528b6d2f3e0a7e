"""How far any deflicker could come on flicker of exposure, where the shot's own light changes too.

    python bench/deflicker_bound.py --clips FOLDER [--only CLIP ...]
    python bench/deflicker_bound.py --quick            # no footage: a small clip made of numbers

Four clips take some twenty minutes of one core; --draws 10 gives a first look.

A deflicker sees the sum of the shot's own light and the flicker. Here every frame's light is measured without error,
and the only question left is what of it is flicker. The own light of each clip is that which the engine's links read on
the clean clip. White flicker of exposure as in `bench/deflicker.py` is added to it, 150 times; what a method leaves is
applied to the clean frames as exposure (every third row and column) and judged by psnr_g, as that bench's table is.
Methods: nothing kept (all is flicker), the engine's model of time, a Wiener filter that is told the spectrum of the
clip's own light, and a linear filter that is told all of it but its sign: no linear filter whatever leaves a smaller
mean square. The last two know what no deflicker can know.

For comparison stand ffmpeg's better filter and the whole engine on the flicker of seed 1, as in that table, and the
engine's model on that same flicker: if it says what the whole engine reaches, then the engine's measuring is not what
limits it, and the own light that is assumed here is that which it sees.

What is no bound: who measured another own light than the engine's links do, or knew cameras, would have another table.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, Dict, List, Sequence

import cv2
import numpy as np
from harmovid_evaluate.clips import Clip, clip_folders, load_clip, synthetic_clip
from harmovid_evaluate.ffmpeg import ffmpeg_available
from harmovid_evaluate.methods import FFMPEG, Method, Run
from harmovid_server.engines import deflicker
from harmovid_server.engines.base import Engine
from harmovid_server.runtimes.base import RuntimeSettings
from harmovid_training.metrics.degrade import DEGRADATIONS, exposure_course, gained
from harmovid_training.metrics.quality import Judge
from support.deflicker_bound import METHODS, MOST_FRAMES, own_course, remaining
from support.deflicker_compare import OURS, Truth, thinned
from support.deflicker_engine import engine_run

LINES, FRAMES, SEED, DRAWS = 240, 40, 1, 150
QUICK_FRAMES, QUICK_LINES, QUICK_DRAWS = 12, 96, 5
FOOTAGE = Path(__file__).resolve().parents[2] / "shared" / "data" / "clips"
THEIRS, SAME_DRAW = "ffmpeg", "model there"
MEASURED = (THEIRS, OURS, SAME_DRAW)

Row = Dict[str, Any]


def main() -> None:
    """Compute the bound on every clip, print a table, and one JSON line last."""
    given = _arguments()
    cv2.setNumThreads(given.cores)
    engine = deflicker.create()
    engine.activate(RuntimeSettings())
    reports: List[Any] = []
    ours = engine_run(engine, reports)
    clips = _clips(given)
    names = [*(MEASURED if ffmpeg_available() else MEASURED[1:]), *METHODS]
    _print_head(names, given.draws)
    rows = []
    for clip in clips:
        try:
            row = {"clip": clip.name, **_bound(engine, clip, given.draws)}
        except ValueError as error:
            raise SystemExit(f"{clip.name} has no bound: {error} Give others by --only.") from error
        row["psnr_g"].update(_measured(clip, ours, reports, given))
        rows.append(row)
        _print_row(row, names)
    means = {name: float(np.mean([row["psnr_g"][name] for row in rows])) for name in names}
    _print_means(means, names, len(rows))
    print(json.dumps({
        "bench": "deflicker_bound", "engine": engine.info.version, "lines": clips[0].frames.shape[1],
        "draws": given.draws, "seed": SEED, "rows": rows, "means": means,
    }))  # fmt: skip


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=Path, help=f"folder of clips (default {FOOTAGE} where it is)")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="clips whose name holds one of these")
    parser.add_argument("--frames", type=int, default=FRAMES,
                        help=f"per clip, at most {MOST_FRAMES} (default {FRAMES})")  # fmt: skip
    parser.add_argument("--draws", type=int, help=f"of flicker (default {DRAWS}, quick {QUICK_DRAWS})")
    parser.add_argument("--cores", type=int, default=2, help="for OpenCV and ffmpeg's settings (default 2)")
    parser.add_argument("--quick", action="store_true", help="a small made clip, few draws")
    given = parser.parse_args()
    if not 3 <= given.frames <= MOST_FRAMES:
        parser.error(f"--frames is {given.frames}; give 3 to {MOST_FRAMES}: the engine keeps no more links.")
    if given.draws is not None and given.draws < 1:
        parser.error(f"--draws is {given.draws}; give at least 1.")
    given.draws = given.draws or (QUICK_DRAWS if given.quick else DRAWS)
    if given.clips is None and FOOTAGE.is_dir():
        given.clips = FOOTAGE
    return given


def _clips(given: argparse.Namespace) -> List[Clip]:
    """Return the clips: whole pictures only, the flicker is on the frame.

    Raises:
        SystemExit: there is none.
    """
    if given.quick or given.clips is None:
        return [synthetic_clip(QUICK_FRAMES, QUICK_LINES)]
    folders = [
        folder
        for folder in clip_folders(given.clips)
        if (folder / "frames").is_dir()
        and (not given.only or any(part in folder.name for part in given.only))
    ]
    if not folders:
        raise SystemExit(f"no clip with frames/ in {given.clips} fits --only {given.only}")
    return [load_clip(folder, LINES, given.frames) for folder in folders]


def _bound(engine: Engine, clip: Clip, draws: int) -> Row:
    """Return what is left of `draws` flickers by method: dB, and stops RMS over channels, frames and draws."""
    own = own_course(engine, clip.frames)
    small = thinned(clip.frames)
    judge = Judge(small)

    def decibel(left: np.ndarray[Any, np.dtype[np.float64]]) -> float:
        return judge.psnr_g(gained(small, left[:, None, None, :]))

    scores: Dict[str, float] = {}
    stops: Dict[str, float] = {"own light": float(np.sqrt((own**2).mean()))}
    for name, method in METHODS.items():
        left = [
            remaining(method, own, exposure_course(len(own), np.random.default_rng(SEED + draw)))
            for draw in range(draws)
        ]
        stops[name] = float(np.sqrt(np.mean(np.square(left))))
        # What is left where nothing is kept is the own light, whatever the flicker.
        each = [decibel(one) for one in (left[:1] if name == "nothing kept" else left)]
        scores[name] = float(np.mean(each))
        if name == "engine's model":
            scores[SAME_DRAW] = each[0]
    return {"psnr_g": scores, "stops": stops}


def _measured(clip: Clip, ours: Run, reports: List[Any], given: argparse.Namespace) -> Dict[str, float]:
    """Return what `bench/deflicker.py --tests exposure` measures on the clip: the better ffmpeg filter, and ours."""
    methods = FFMPEG if ffmpeg_available() else ()
    if given.quick:
        methods = tuple(Method(method.name, method.settings[:1]) for method in methods)
    row = Truth(clip, given.cores).compare(DEGRADATIONS["exposure"], SEED, methods, ours, reports)
    theirs = row.best_ffmpeg()
    return {OURS: row.scores[OURS]["psnr_g"], **({} if theirs is None else {THEIRS: theirs})}


def _print_head(names: Sequence[str], draws: int) -> None:
    print(
        f"psnr_g, dB, and in brackets what is left in stops RMS; from `nothing kept` on: mean of {draws} flickers"
    )
    print(f"  {'clip':20s}" + "".join(f"{name:>{_wide(name)}s}" for name in names))


def _print_row(row: Row, names: Sequence[str]) -> None:
    cells = []
    for name in names:
        stops = f" ({row['stops'][name]:.4f})" if name in METHODS else ""
        cells.append(f"{row['psnr_g'][name]:.2f}{stops}".rjust(_wide(name)))
    print(f"  {row['clip'][-19:]:20s}" + "".join(cells), flush=True)


def _print_means(means: Dict[str, float], names: Sequence[str], count: int) -> None:
    cells = "".join(f"{means[name]:{_wide(name)}.2f}" for name in names)
    print(f"  {f'mean ({count})':20s}{cells}")
    if THEIRS in means:
        cells = "".join(f"{means[name] - means[THEIRS]:+{_wide(name)}.2f}" for name in names)
        print(f"  {'over ffmpeg':20s}{cells}")


def _wide(name: str) -> int:
    return 17 if name in METHODS else 13 if name == SAME_DRAW else 10


if __name__ == "__main__":
    main()
