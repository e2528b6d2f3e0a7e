"""Small clips on disk and small evaluations of them, for the tests of `harmovid_evaluate`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from harmovid_evaluate.cases import Case, load_case, save_case, save_clip
from harmovid_evaluate.clips import synthetic_clip
from harmovid_evaluate.entrants import CLASSICAL
from harmovid_evaluate.evaluation import Evaluation
from harmovid_evaluate.footage import find_footage
from harmovid_evaluate.testsets import DEFLICKER, HARMONIZE, SETS, Made, Makers
from harmovid_training.clips.index import make_clip, write_index
from harmovid_training.clips.read import Source

LINES, COUNT = 48, 5


def write_clips(root: Path, names: tuple[str, ...] = ("disc", "other"), count: int = COUNT) -> Path:
    """Write the synthetic clip, tinted differently per name, as folders of EXRs with soft mattes; return the root."""
    for number, name in enumerate(names):
        clip = synthetic_clip(count, LINES)
        assert clip.masks is not None
        save_clip(root / name / "frames", clip.frames * np.float32((1, 1 - 0.2 * number, 1)))
        save_clip(root / name / "masks", clip.masks[..., None])
    return root


def write_indexed(root: Path) -> Path:
    """Write one clip with plate and a composite half a stop too bright as an index; return its path."""
    clip = synthetic_clip(COUNT, LINES)
    assert clip.masks is not None
    mask = clip.masks[..., None]
    save_clip(root / "a" / "real", clip.frames)
    save_clip(root / "a" / "mask", mask)
    save_clip(root / "a" / "plate", clip.frames * (1 - mask))
    save_clip(root / "a" / "composite", clip.frames * np.exp2(0.5 * mask))
    roles = {role: Source(root / "a" / role) for role in ("real", "mask", "plate", "composite")}
    write_index(root / "clips.jsonl", [make_clip("a", roles)])
    return root / "clips.jsonl"


def little_evaluation(clips: Path, out: Path, sets: tuple[str, ...] = ("lut",), **more: object) -> Evaluation:
    """Return an evaluation of the clips with the classical rows that need no ffmpeg."""
    rows = [each for each in CLASSICAL.values() if "ffmpeg" not in each.name]
    given = {"makers": Makers(seed=3), "entrants": rows, "lines": LINES, "count": COUNT, **more}
    chosen = [each for each in SETS if each.name in sets]
    return Evaluation(out, find_footage(clips, LINES, COUNT), chosen, **given)  # type: ignore[arg-type]


def little_case(folder: Path, task: str = HARMONIZE, lines: int = LINES, count: int = COUNT) -> Case:
    """Return a case of the synthetic clip on disk; its composite is half a stop too bright, or flickers by that."""
    clip = synthetic_clip(count, lines)
    assert clip.masks is not None
    stops = np.full(count, 0.5) if task == HARMONIZE else np.where(np.arange(count) % 2, 0.25, -0.25)
    gain = np.exp2(stops[:, None, None, None] * clip.masks[..., None]).astype(np.float32)
    made = Made(clip.frames * gain, clip.frames, clip.masks, clip.frames, clip.frames, "a gain")
    name = "lut" if task == HARMONIZE else "lut-flicker"
    save_case(folder, {"set": name, "clip": "disc", "task": task, "key": "k" + task}, made)
    assert task in (HARMONIZE, DEFLICKER)
    return load_case(folder)
