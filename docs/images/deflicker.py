"""Make the pictures of docs/deflicker.md from the demo's rendered shot: nothing in them was ever photographed.

    python docs/images/deflicker.py [--work FOLDER]

Renders the shot (once per folder), sends its flickering version through `harmovid deflicker` and a private server, and
writes beside itself: time slices (one column of the picture, frame after frame), the curves of the diagnostics, and the
lighting field of one frame. Takes some minutes.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import List

import cv2
import numpy as np
import numpy.typing as npt
from harmovid.cli import main as harmovid
from harmovid.frames import FramePattern
from harmovid.pixels import exr
from harmovid_demo.shot import Shot, generate
from harmovid_evaluate.ffmpeg import TMIDEQUALIZER, run_filter
from harmovid_training.metrics.quality import Judge, view

IMAGES = Path(__file__).resolve().parent
SHOT = Shot(width=428, height=240, count=48)
COLUMN = 0.3
"""Which column is sliced, from the left: sky, houses and the street."""
FRAME_PX, GAP_PX, LABEL_PX = 6, 8, 20

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]


def main() -> None:
    """Make all pictures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, default=Path("out/deflicker-pictures"), help="folder for frames")
    work = parser.parse_args().work
    files = generate(work / "shot", SHOT)
    shutil.rmtree(
        work / "diagnostics", ignore_errors=True
    )  # previews of an earlier run are no pictures of this one
    words = ["deflicker", files.pattern("flicker"), "-o", str(work / "result/flicker.####.exr"), "--field"]
    code = harmovid([*words, "--diagnostics", str(work / "diagnostics"), "--overwrite", "--server", ""])
    if code:
        raise SystemExit(code)
    truth, flickering, ours = (
        _clip(pattern)
        for pattern in (
            files.pattern("truth_comp"), files.pattern("flicker"), str(work / "result/flicker.####.exr"),
        )
    )  # fmt: skip
    judge = Judge(truth)
    theirs = max((run_filter(flickering, each) for each in TMIDEQUALIZER), key=judge.psnr_g)
    slices = [
        _slice(clip, f"{name}: {judge.psnr_g(clip):.1f} dB" if clip is not truth else name)
        for name, clip in (
            ("truth", truth), ("flickering", flickering), ("tmidequalizer", theirs), ("HarmoVid", ours),
        )
    ]  # fmt: skip
    _save(IMAGES / "deflicker-slices.png", slices)
    shutil.copyfile(work / "diagnostics/curves.svg", IMAGES / "deflicker-curves.svg")
    shutil.copyfile(_field(work / "diagnostics"), IMAGES / "deflicker-field.png")


def _clip(pattern: str) -> Floats:
    """Return a sequence's display window, `(T, H, W, 3)`."""
    frames = FramePattern.parse(pattern)
    pictures = []
    for number in SHOT.frames:
        frame = exr.with_data_window(exr.read(frames.path(number)), (0, 0, SHOT.width, SHOT.height))
        pictures.append(exr.layer_rgb(frame)[1])
    return np.stack(pictures)


def _slice(clip: Floats, label: str) -> Bytes:
    """Return one column over time, as sRGB codes, with its label above."""
    column = view(clip[:, :, round(COLUMN * SHOT.width)]).transpose(1, 0, 2)
    codes = np.round(np.repeat(column, FRAME_PX, axis=1) * 255).astype(np.uint8)
    head = np.full((LABEL_PX, codes.shape[1], 3), 255, np.uint8)
    cv2.putText(head, label, (2, LABEL_PX - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (30, 30, 30), 1, cv2.LINE_AA)
    return np.concatenate([head, codes])


def _save(path: Path, slices: List[Bytes]) -> None:
    gap = np.full((len(slices[0]), GAP_PX, 3), 255, np.uint8)
    parts = [part for each in slices for part in (each, gap)][:-1]
    cv2.imwrite(str(path), np.concatenate(parts, axis=1)[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])


def _field(folder: Path) -> Path:
    """Return the field's smallest preview: the page shall stay light."""
    return min(folder.glob("field.*.png"), key=lambda path: path.stat().st_size)


if __name__ == "__main__":
    main()
