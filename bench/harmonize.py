"""Benchmark of harmonizing against other methods: foregrounds with a synthetic wrong look, so that the truth is known.

    python bench/harmonize.py --clips FOLDER [--looks mild strong creative] [--seeds 8] [--only CLIP ...]
    python bench/harmonize.py --rendered MATERIAL [--count 18] [--sheet sheet.png]
    python bench/harmonize.py --photos MATERIAL [--count 90] [--alone]
    python bench/harmonize.py --quick                  # without footage: a small synthetic clip

FOLDER holds a folder per clip with frames/ and masks/ (stills), as for bench/deflicker.py; without it the footage in
../shared/data is used if there is any. The foreground of a clip gets one look for all frames, in scene-linear light
(harmovid_evaluate.harmonize_looks); the truth is the clip. MATERIAL holds hdri/ and models/ (docs/data.md): a subject
is rendered in the light of one held-out panorama over a view of another, and the truth is rendered too. --photos tests
the source plate on photos/ (`support.harmonize_photos`), COUNT clips of each of its cases. Figures are the gain in
foreground PSNR (dB, view space) over the unchanged composite. No method sees the plate behind the foreground, because
there it is the truth.

At the end: untouched composites (by how many stops they are changed although nothing is wrong), the change of the field
from frame to frame compared with frame-by-frame answers, with --full the flow-warped error and that of the source, and
one JSON line.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, Dict, List

import cv2
import numpy as np
from harmovid_evaluate.clips import Clip, clip_folders, load_clip, synthetic_clip
from harmovid_evaluate.harmonize_looks import LOOKS
from harmovid_server import engines
from harmovid_server.runtimes.base import RuntimeSettings
from harmovid_training.metrics.quality import view
from harmovid_training.metrics.structure import Motion
from support.harmonize_photos import looked_photos
from support.harmonize_rows import STATISTICS, Contest, Row
from support.harmonize_sheet import Sheet
from support.harmonize_truth import relit_clips

LINES, FRAMES, SEEDS, FIRST_SEED, COUNT = 240, 24, 8, 100, 18
FOOTAGE = Path(__file__).resolve().parents[2] / "shared" / "data" / "clips"
RENDERED = "rendered"
KNOWN_LIGHT, SOURCE_PLATE, NORMALS = "ours, light known", "ours, source plate", "ours, normals"


def main() -> None:
    """Run the chosen looks, print a table, and one JSON line last."""
    given = _arguments()
    cv2.setNumThreads(1)
    loaded = {engine.info.name: engine for engine in engines.load([given.engine, STATISTICS])}
    for engine in loaded.values():
        engine.activate(RuntimeSettings())
    contest = Contest(loaded, given.engine, given.full, given.alone)
    rights: List[Dict[str, Any]] = []
    if given.rendered:
        rows = _rendered(given, contest)
    elif given.photos:
        rows = _photos(given, contest)
    else:
        rows = _uniform(given, contest, rights)
    if given.sheet is not None:
        sheet = Sheet()
        for row in rows:
            sheet.add(*row.shown)
        sheet.write(given.sheet)
    looks = list(dict.fromkeys(row.look for row in rows))
    _print(rows, looks)
    for right in rights:
        print("  untouched " + ", ".join(f"{key} {value}" for key, value in right.items()))
    facts = _means([row.facts for row in rows])
    print("  ours      " + ", ".join(f"{key} {value}" for key, value in facts.items()))
    summary = {look: _means([row.gains for row in rows if row.look == look]) for look in looks}
    print(json.dumps({
        "bench": "harmonize", "engine": loaded[given.engine].info.version, "lines": given.lines, "frames": given.frames,
        "seeds": given.seeds, "gains_db": summary, "untouched": rights, "facts": facts,
    }))  # fmt: skip


def _uniform(given: argparse.Namespace, contest: Contest, rights: List[Dict[str, Any]]) -> List[Row]:
    """Return a row for every clip and look; append the results on untouched composites to `rights`."""
    rows: List[Row] = []
    for clip in _clips(given):
        motion = Motion(view(clip.frames)) if given.full else None
        rights.append(contest.untouched(clip))
        for look in given.looks:
            for seed in range(FIRST_SEED, FIRST_SEED + given.seeds):
                rows.append(contest.uniform(clip, look, seed, motion))
        print(f"  {clip.name} done", flush=True)
    return rows


def _rendered(given: argparse.Namespace, contest: Contest) -> List[Row]:
    """Return the rows of rendered subjects, moved from one light into another."""
    rows: List[Row] = []
    for relit in relit_clips(given.rendered, given.count, given.frames, given.lines):
        motion = Motion(view(relit.clip.frames)) if given.full else None
        more = {
            KNOWN_LIGHT: relit.light, SOURCE_PLATE: {"source_plate": relit.source},
            NORMALS: {"normals": relit.light["normals"]},
        }  # fmt: skip
        rows.append(contest.compare(relit.clip, RENDERED, relit.composite, motion, more))
        print(f"  {relit.clip.name} done", flush=True)
    return rows


def _photos(given: argparse.Namespace, contest: Contest) -> List[Row]:
    """Return the rows of photos under a look that the source plate has as well."""
    rows: List[Row] = []
    for shown in looked_photos(given.photos / "photos", given.count, given.looks, given.lines):
        more = {SOURCE_PLATE: {"source_plate": shown.source}}
        rows.append(contest.compare(shown.clip, f"{shown.case}, {shown.look}", shown.composite, None, more))
    return rows


def _means(maps: List[Dict[str, float]]) -> Dict[str, float]:
    return {key: round(float(np.mean([one[key] for one in maps])), 4) for key in (maps[0] if maps else {})}


def _print(rows: List[Row], looks: List[str]) -> None:
    names = list(rows[0].gains)
    for look in looks:
        chosen = [row for row in rows if row.look == look]
        print(f"\n{look}: composite as it is {np.mean([row.source_db for row in chosen]):.2f} dB, gain in dB")
        print(f"  {'':24s}{'mean':>8s}{'error':>7s}{'worst':>8s}  per clip (mean)")
        for name in names:
            gains = [row.gains[name] for row in chosen]
            clips = sorted({row.clip for row in chosen})
            each = [np.mean([row.gains[name] for row in chosen if row.clip == clip]) for clip in clips]
            print(
                f"  {name:24s}{np.mean(gains):8.2f}{np.std(gains) / len(gains) ** 0.5:7.2f}{min(gains):8.2f}  "
                + " ".join(f"{value:6.2f}" for value in each)
            )
        print("  clips: " + ", ".join(sorted({row.clip for row in chosen})))


def _clips(given: argparse.Namespace) -> List[Clip]:
    folder = given.clips or (FOOTAGE if FOOTAGE.is_dir() and not given.quick else None)
    if folder is None:
        return [synthetic_clip(given.frames, given.lines)]
    paths = [p for p in clip_folders(folder) if not given.only or any(word in p.name for word in given.only)]
    loaded = [load_clip(path, given.lines, given.frames) for path in paths]
    return [clip for clip in loaded if clip.masks is not None and not clip.cut_out]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=Path, help="folder with a folder per clip")
    parser.add_argument("--rendered", type=Path, help="folder with hdri/ and models/: rendered truth instead")
    parser.add_argument("--photos", type=Path, help="folder with photos/: tests of the source plate instead")
    parser.add_argument("--count", type=int, default=COUNT, help="rendered clips, or photos of each case")
    parser.add_argument(
        "--sheet", type=Path, help="write a contact sheet (PNG): composite, oracle gain, ours, truth"
    )
    parser.add_argument("--only", nargs="+", metavar="CLIP", help="clips by a part of their names")
    parser.add_argument("--looks", nargs="+", choices=list(LOOKS), default=list(LOOKS))
    parser.add_argument("--seeds", type=int, default=SEEDS, help="looks of each kind per clip")
    parser.add_argument("--engine", default="harmonize", help="which engine is ours")
    parser.add_argument("--lines", type=int, default=LINES)
    parser.add_argument("--frames", type=int, default=FRAMES)
    parser.add_argument("--full", action="store_true", help="structure, motion and seam too (slow)")
    parser.add_argument("--alone", action="store_true", help="ours and its variants beside oracle gain only")
    parser.add_argument("--quick", action="store_true", help="a small made clip, one look of each kind")
    given = parser.parse_args()
    if given.quick:
        given.lines, given.frames, given.seeds = 72, 18, 1
    return given


if __name__ == "__main__":
    main()
