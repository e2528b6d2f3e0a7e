"""How good harmonizing is, and against what: foregrounds given a wrong look on purpose, truth known.

    python bench/harmonize.py --clips FOLDER [--looks mild strong creative] [--seeds 4] [--only CLIP ...]
    python bench/harmonize.py --quick                  # no footage: a small clip made of numbers

FOLDER holds a folder per clip with frames/ and masks/ (stills), as bench/deflicker.py takes them; without it the
footage of ../shared/data is taken where it is. A whole clip's foreground is given one look, in scene-linear light
(harmovid_training.evaluate.harmonize_looks); truth is the clip. Figures are dB of foreground PSNR in view space gained
over the composite as it is. The plate behind the foreground is hidden from every method, since there it is the truth.

Last come the untouched composites (stops changed where nothing was wrong), the field's own change from frame to frame
beside that of frame-by-frame answers, the flow-warped error beside the source's, and one JSON line.
"""

from __future__ import annotations

import argparse
import json
import time
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List

import cv2
import numpy as np
from harmovid_server import engines
from harmovid_training.evaluate.boundary import seam
from harmovid_training.evaluate.clips import Clip, clip_folders, load_clip, synthetic_clip
from harmovid_training.evaluate.degrade import Array
from harmovid_training.evaluate.harmonize_looks import LOOKS
from harmovid_training.evaluate.harmonize_methods import CLASSICAL, ORACLES
from harmovid_training.evaluate.metrics import psnr, stops_rmse
from harmovid_training.evaluate.structure import Motion, ssim
from support.harmonize_engine import applied, engine_fields, steps

LINES, FRAMES, SEEDS, FIRST_SEED = 240, 24, 4, 100
FOOTAGE = Path(__file__).resolve().parents[2] / "shared" / "data" / "clips"
STATISTICS = "harmonize-statistics"
OURS, GLOBAL, PER_FRAME = "ours", "ours, global only", "ours, per frame"


@dataclass
class Row:
    """One clip under one look: dB gained by every method, and what else was measured of ours."""

    clip: str
    look: str
    seed: int
    source_db: float
    gains: Dict[str, float] = field(default_factory=dict)
    facts: Dict[str, float] = field(default_factory=dict)


def main() -> None:
    """Run the chosen looks, print a table, and one JSON line last."""
    given = _arguments()
    cv2.setNumThreads(1)
    loaded = {engine.info.name: engine for engine in engines.load([given.engine, STATISTICS])}
    for engine in loaded.values():
        engine.activate()
    rows: List[Row] = []
    rights: List[Dict[str, Any]] = []
    for clip in _clips(given):
        motion = Motion(clip.frames) if given.full else None
        rights.append({"clip": clip.name, **untouched(clip, loaded[given.engine])})
        for look in given.looks:
            for seed in range(FIRST_SEED, FIRST_SEED + given.seeds):
                rows.append(compare(clip, look, seed, loaded, given.engine, motion))
        print(f"  {clip.name} done", flush=True)
    _print(rows, given.looks)
    for right in rights:
        print("  untouched " + ", ".join(f"{key} {value}" for key, value in right.items()))
    facts = _means([row.facts for row in rows])
    print("  ours      " + ", ".join(f"{key} {value}" for key, value in facts.items()))
    summary = {look: _means([row.gains for row in rows if row.look == look]) for look in given.looks}
    print(json.dumps({
        "bench": "harmonize", "engine": loaded[given.engine].info.version, "lines": given.lines, "frames": given.frames,
        "seeds": given.seeds, "gains_db": summary, "untouched": rights, "facts": facts,
    }))  # fmt: skip


def compare(clip: Clip, look: str, seed: int, loaded: Dict[str, Any], name: str, motion: Any) -> Row:
    """Give the clip's foreground a look and take it out again by every method."""
    truth, mask = clip.frames, _mask(clip)
    changed = LOOKS[look](
        truth, np.random.default_rng([seed, sorted(LOOKS).index(look), zlib.crc32(clip.name.encode())])
    )
    composite = np.where(mask[..., None] > 0, truth + (changed - truth) * mask[..., None], truth).astype(
        np.float32
    )
    row = Row(clip.name, look, seed, psnr(composite, truth, mask))

    def judge(method: str, result: Array) -> None:
        row.gains[method] = psnr(result, truth, mask) - row.source_db

    for method, run in CLASSICAL.items():
        judge(method, run(composite, mask))
    for method, oracle in ORACLES.items():
        judge(method, oracle(composite, mask, truth))
    judge(STATISTICS, applied(composite, mask, engine_fields(loaded[STATISTICS], composite, mask)))
    started = time.process_time()
    fields = engine_fields(loaded[name], composite, mask)
    row.facts["ms_per_frame"] = 1000 * (time.process_time() - started) / len(truth)
    result = applied(composite, mask, fields)
    judge(OURS, result)
    judge(GLOBAL, applied(composite, mask, fields, global_only=True))
    alone = engine_fields(loaded[name], composite, mask, per_frame=True)
    judge(PER_FRAME, applied(composite, mask, alone))
    size, change = steps(composite, mask, fields)
    row.facts.update(field_stops=size, field_change=change, change_per_frame=steps(composite, mask, alone)[1])
    row.facts.update(
        stops_rmse=stops_rmse(result, truth, mask), source_stops_rmse=stops_rmse(composite, truth, mask)
    )
    if motion is not None:
        row.facts.update(_full(composite, result, truth, mask, motion))
    return row


def _full(composite: Array, result: Array, truth: Array, mask: Array, motion: Any) -> Dict[str, float]:
    """Return what takes longest: structure, whole frame, motion, seam."""
    laplacian, tenengrad = seam(result, mask)
    source_laplacian, source_tenengrad = seam(composite, mask)
    return {
        "ssim": ssim(result, truth, mask), "source_ssim": ssim(composite, truth, mask),
        "frame_psnr": psnr(result, truth), "source_frame_psnr": psnr(composite, truth),
        "warped_error": motion.warped_error(result, mask), "source_warped_error": motion.warped_error(composite, mask),
        "seam_laplacian": laplacian, "source_seam_laplacian": source_laplacian,
        "seam_tenengrad": tenengrad, "source_seam_tenengrad": source_tenengrad,
    }  # fmt: skip


def untouched(clip: Clip, engine: Any) -> Dict[str, float]:
    """Return what the engine does to a composite that is right: RMS stops over the foreground, and its PSNR."""
    mask = _mask(clip)
    fields = engine_fields(engine, clip.frames, mask)
    size, _ = steps(clip.frames, mask, fields)
    return {
        "stops": round(size, 3),
        "psnr": round(psnr(applied(clip.frames, mask, fields), clip.frames, mask), 2),
    }


def _mask(clip: Clip) -> Array:
    if clip.masks is None:
        raise SystemExit(f"{clip.name} has no masks; harmonizing needs them.")
    return clip.masks


def _means(maps: List[Dict[str, float]]) -> Dict[str, float]:
    return {key: round(float(np.mean([one[key] for one in maps])), 4) for key in (maps[0] if maps else {})}


def _print(rows: List[Row], looks: List[str]) -> None:
    names = list(rows[0].gains)
    for look in looks:
        chosen = [row for row in rows if row.look == look]
        print(f"\n{look}: composite as it is {np.mean([row.source_db for row in chosen]):.2f} dB, gain in dB")
        print(f"  {'':24s}{'mean':>8s}{'worst':>8s}  per clip (mean)")
        for name in names:
            gains = [row.gains[name] for row in chosen]
            clips = sorted({row.clip for row in chosen})
            each = [np.mean([row.gains[name] for row in chosen if row.clip == clip]) for clip in clips]
            print(
                f"  {name:24s}{np.mean(gains):8.2f}{min(gains):8.2f}  "
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
    parser.add_argument("--only", nargs="+", metavar="CLIP", help="clips by a part of their names")
    parser.add_argument("--looks", nargs="+", choices=list(LOOKS), default=list(LOOKS))
    parser.add_argument("--seeds", type=int, default=SEEDS, help="looks of each kind per clip")
    parser.add_argument("--engine", default="harmonize", help="which engine is ours")
    parser.add_argument("--lines", type=int, default=LINES)
    parser.add_argument("--frames", type=int, default=FRAMES)
    parser.add_argument("--full", action="store_true", help="structure, motion and seam too (slow)")
    parser.add_argument("--quick", action="store_true", help="a small made clip, one look of each kind")
    given = parser.parse_args()
    if given.quick:
        given.lines, given.frames, given.seeds = 72, 18, 1
    return given


if __name__ == "__main__":
    main()
