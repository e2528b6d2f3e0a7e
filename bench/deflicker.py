"""Benchmark of the deflicker against other methods: synthetic flicker with known truth, real film, and speed.

    python bench/deflicker.py --clips FOLDER [--tests exposure local film ...] [--only CLIP ...]
    python bench/deflicker.py --quick                  # without footage: a small synthetic clip

FOLDER holds a folder per clip with frames/ and masks/ (stills); films are in `flicker` beside it, or in the folder of
--films. Without --clips the footage in ../shared/data is used if there is any, else the synthetic clip.

--peers names a Python file with `joint`, `mean_std` and `midway` (frames, mask -> frames): reference methods from
outside the project, shown in every row. --seeds 1 2 3 draws every flicker once per seed.

Tests: six degradations of clean clips in scene-linear light (harmovid_training.metrics.degrade); fade, steady, stays,
cut and bands, which measure damage that must not happen; film, without truth, in fixed tiles and along its motion;
speed at 1080p. The main figure is the last column but one: psnr_g (dB in view space after the one best colour transform
of the clip) over the better of ffmpeg's two filters at its best setting. Foregrounds are measured inside the mask,
which all methods except ffmpeg's get as an input. With --cache a run that was ended goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import os
from functools import partial
from importlib.util import module_from_spec, spec_from_file_location
from itertools import chain, zip_longest
from pathlib import Path
from types import ModuleType
from typing import Any, Callable, Dict, List, Mapping, Sequence, Tuple

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as in the server's workers, and read on import

import cv2
from harmovid.pixels import field
from harmovid_evaluate import clips, ffmpeg, methods
from harmovid_evaluate.clips import Clip, clip_folders, film_paths, load_clip, synthetic_clip
from harmovid_evaluate.ffmpeg import ffmpeg_available
from harmovid_evaluate.methods import BASELINES, FFMPEG, Method, Run, Setting
from harmovid_server.engines import deflicker
from harmovid_server.runtimes.base import RuntimeSettings
from harmovid_training.metrics import degrade, quality
from harmovid_training.metrics.degrade import DEGRADATIONS
from support import deflicker_compare, deflicker_speed
from support import deflicker_rows as extra
from support.deflicker_compare import PEER_PREFIX, Caches, Row, Truth
from support.deflicker_engine import engine_run
from support.deflicker_films import film_ratio, film_rows
from support.deflicker_stays import stays_rows
from support.deflicker_table import print_details, print_head, print_means, print_row
from support.results_cache import ResultsCache, sources

LINES, FRAMES, SEED = 240, 32, 1
EXTRAS = ("quick", "fade", "steady", "stays", "cut", "bands", "film", "speed")
TESTS = (*DEGRADATIONS, *EXTRAS)
FOOTAGE = Path(__file__).resolve().parents[2] / "shared" / "data" / "clips"
TUNED_ON = ("car-shadow", "dance-twirl", "parkour", "scooter-black")
"""Parts of names of the clips that the engine was tuned on; their means are listed separately."""
PEERS = Path(__file__).resolve().parents[2] / "shared" / "peers" / "deflicker_peers.py"
PEER_NAMES = ("mean_std", "midway", "joint")
SPEED_FRAMES = 24


def main() -> None:
    """Run the chosen tests, print a table, and one JSON line last."""
    given = _arguments()
    cv2.setNumThreads(given.cores)
    shots = _clips(given)
    engine = deflicker.create()
    engine.activate(RuntimeSettings())
    reports: List[Mapping[str, Any]] = []
    ours, quick = engine_run(engine, reports), engine_run(engine, options={"quick": True})
    compared = [*_methods(given.quick), *_peers(given)]
    rows: List[Row] = []
    degradations = [DEGRADATIONS[name] for name in given.tests if name in DEGRADATIONS]
    if degradations:
        print_head([method.name for method in compared])
    caches = _caches(given)
    for clip in shots if degradations else []:
        truth = Truth(clip, given.cores, caches, brief=given.brief)
        for test in degradations:
            if test.foreground if clip.cut_out else (clip.masks is not None or not test.foreground):
                for seed in given.seeds:
                    rows.append(truth.compare(test, seed, compared, ours, reports))
                    print_row(rows[-1])
    print_means(rows, TUNED_ON)
    if not given.brief:
        print_details(rows)
    others = _extras(given, shots, (ours, quick), caches.extras)
    ratios = {number: film_ratio(others, number) for number in ("local_stops", "along_stops")}
    if ratios["local_stops"] is not None:
        print("  film      local roughness over the better ffmpeg filter's, mean: "
              f"{ratios['local_stops']:.2f}, along motion {ratios['along_stops']:.2f}")  # fmt: skip
    speed = {}
    if "speed" in given.tests:
        speed = deflicker_speed.measure(
            engine, shots[0].part(0, SPEED_FRAMES), given.cores, _size(given.quick)
        )
        print("  speed     " + ", ".join(f"{name} {value:.2f}" for name, value in speed.items()))
    lines = shots[0].frames.shape[1] if shots else given.lines
    print(json.dumps({
        "bench": "deflicker", "engine": engine.info.version, "lines": lines, "seeds": given.seeds,
        "rows": [row.to_dict() for row in rows], "others": others, "film_ratio": ratios["local_stops"],
        "film_ratio_along": ratios["along_stops"], "speed": speed,
    }))  # fmt: skip


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=Path, help=f"folder of clips (default {FOOTAGE} where it is)")
    parser.add_argument("--films", type=Path, help="folder of films (default `flicker` beside the clips)")
    parser.add_argument("--tests", nargs="+", choices=TESTS, default=list(TESTS), metavar="TEST",
                        help=f"of {', '.join(TESTS)} (default all)")  # fmt: skip
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", help="clips and films whose name holds one of these"
    )
    parser.add_argument(
        "--seeds", nargs="+", type=int, default=[SEED], help=f"of the flicker (default {SEED})"
    )
    parser.add_argument("--peers", type=Path, help=f"file of yardsticks (default {PEERS} where it is)")
    parser.add_argument("--brief", action="store_true", help="psnr alone, on every second row and column")
    parser.add_argument(
        "--cache", type=Path, help="folder of results: a row that is there is not computed again"
    )
    parser.add_argument("--frames", type=int, default=FRAMES, help=f"per clip (default {FRAMES})")
    parser.add_argument("--lines", type=int, default=LINES, help=f"height of the clips (default {LINES})")
    parser.add_argument(
        "--cores", type=int, default=2, help="to use: settings tried at once, OpenCV, speed (default 2)"
    )
    parser.add_argument("--quick", action="store_true", help="a small made clip, one setting per method")
    given = parser.parse_args()
    if given.clips is None and FOOTAGE.is_dir():
        given.clips = FOOTAGE
    if given.clips is None and not given.quick:
        print(f"no footage at {FOOTAGE}: a made clip is used; --clips names footage")
    return given


def _clips(given: argparse.Namespace) -> List[Clip]:
    """Return the clips to measure on.

    Raises:
        SystemExit: no clip fits.
    """
    if given.quick:
        return [synthetic_clip(12, 96)]
    if given.clips is None:
        return [synthetic_clip(given.frames, given.lines)]
    folders = [folder for folder in clip_folders(given.clips) if _chosen(folder.name, given.only)]
    if not ffmpeg_available():  # it reads the clips that are videos
        folders = [folder for folder in folders if (folder / "frames").is_dir()]
    if not folders and set(given.tests) != {"film"}:
        raise SystemExit(f"no clip in {given.clips} fits --only {given.only}")
    return [load_clip(folder, given.lines, given.frames) for folder in folders]


def _chosen(name: str, only: Sequence[str]) -> bool:
    return not only or any(part in name for part in only)


def _methods(quick: bool) -> List[Method]:
    """Return the methods to compare with: without ffmpeg's where it is missing, one setting each when quick."""
    there = [method for method in BASELINES if ffmpeg_available() or method not in FFMPEG]
    if len(there) < len(BASELINES):
        print("imageio-ffmpeg is not installed: no comparison with ffmpeg")
    return [Method(method.name, method.settings[:1]) for method in there] if quick else there


def _peers(given: argparse.Namespace) -> List[Method]:
    """Return the reference methods of --peers, each with one setting; none without such a file."""
    path = given.peers or (PEERS if PEERS.is_file() and not given.quick else None)
    spec = None if path is None else spec_from_file_location("peers", path)
    if spec is None or spec.loader is None:
        return []
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return [Method(f"{PEER_PREFIX} {name}", (Setting("", getattr(module, name)),)) for name in PEER_NAMES]


def _caches(given: argparse.Namespace) -> Caches:
    """Return where results are kept: each as long as the code that makes them is the same."""
    others = _files(degrade, quality, clips, methods, ffmpeg, deflicker_compare)
    peers = [path for path in (given.peers or PEERS,) if path.is_file()]
    ours = [Path(str(deflicker.__file__)).parent, *_files(field)]
    extras = [
        *Path(str(clips.__file__)).parent.glob("*.py"),
        *Path(extra.__file__).parent.glob("deflicker_*.py"),
    ]
    return Caches(
        ResultsCache(given.cache, sources(*others, *ours)),
        ResultsCache(given.cache, sources(*others, *peers)),
        ResultsCache(given.cache, sources(*others, *ours, *sorted(extras))),
    )


def _files(*modules: ModuleType) -> List[Path]:
    return [Path(str(module.__file__)) for module in modules]


def _extras(
    given: argparse.Namespace, shots: Sequence[Clip], runs: Tuple[Run, Run], kept: ResultsCache
) -> extra.Rows:
    """Run the tests other than the degradations, and print each row when it is ready.

    Args:
        given: the arguments.
        shots: the clips.
        runs: the engine, and its preset `quick`.
        kept: results of former runs.
    """
    ours = runs[0]
    whole = [clip for clip in shots if not clip.cut_out]
    pairs = list(zip(whole, whole[1:]))
    tests: Dict[str, List[Tuple[str, Callable[[], extra.Rows]]]] = {
        "quick": [(clip.name, partial(extra.quick_rows, clip, runs, SEED)) for clip in whole],
        "fade": [(clip.name, partial(extra.fade_rows, clip, ours)) for clip in whole],
        "steady": [(clip.name, partial(extra.steady_rows, clip, ours)) for clip in shots],
        "stays": [
            (a.name, partial(stays_rows, (a, b), ours, SEED)) for a, b in zip_longest(whole, whole[1:])
        ],
        "cut": [(f"{a.name} {b.name}", partial(extra.cut_rows, (a, b), ours, SEED)) for a, b in pairs],
        "bands": [(clip.name, partial(extra.band_rows, clip, ours, SEED)) for clip in whole],
        "film": [
            (path.name, partial(film_rows, path, given.lines, given.frames, ours, given.cores))
            for path in _films(given)
        ],
    }
    rows: extra.Rows = []
    for test, what, measure in chain.from_iterable(
        ((test, *job) for job in jobs) for test, jobs in tests.items() if test in given.tests
    ):
        found = kept.result(
            {"test": test, "what": what, "frames": given.frames, "lines": given.lines}, measure
        )
        extra.print_rows(found)
        rows += found
    return rows


def _films(given: argparse.Namespace) -> List[Path]:
    """Return the films to measure on; none without footage."""
    if given.quick or given.clips is None:
        return []
    folder = given.films or given.clips.parent / "flicker"
    if not folder.is_dir():
        print(f"  film      no films at {folder}; --films names them")
        return []
    return [path for path in film_paths(folder) if _chosen(path.name, given.only)]


def _size(quick: bool) -> tuple[int, int]:
    return (240, 135) if quick else (deflicker_speed.WIDTH, deflicker_speed.HEIGHT)


if __name__ == "__main__":
    main()
