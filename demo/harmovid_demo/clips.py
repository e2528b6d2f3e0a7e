"""Rendered clips with masks and exact truth for `harmovid evaluate`, for use without footage: variants of the demo
shot.

    python -m harmovid_demo.clips --out out/clips
    harmovid evaluate run out/clips -o out/evaluation

Each clip has its own figure, street and grain (by its seed). Roles in the index: `real` is the figure in the street's
light (the truth), `composite` the same figure in a stage's light, `plate` the street alone, `mask` the figure's matte.
All are scene-linear EXR and rendered without photographs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Sequence

from harmovid.errors import HarmoVidError
from harmovid.pixels import exr
from harmovid.storage import atomic

from harmovid_demo.shot import Shot, generate

ROLES = {"real": "truth_comp", "composite": "comp", "plate": "plate", "mask": "truth_fg"}
"""Role in the index -> sequence of the shot."""
FIRST_SEED = 7
INDEX = "clips.jsonl"


def write_clips(folder: Path, count: int, width: int, frames: int) -> Path:
    """Render `count` clips into `folder` and return the index; existing clips are kept.

    Raises:
        InputError: a shot that cannot be rendered. OutputError: a file cannot be written.
    """
    lines = []
    for number in range(count):
        shot = Shot(
            width=width, height=width * Shot.height // Shot.width, count=frames, seed=FIRST_SEED + number
        )
        name = f"stroll-{number + 1}"
        _one_clip(folder / name, shot)
        sources = {role: {"path": f"{name}/{role}", "matte": role == "mask"} for role in ROLES}
        lines.append(json.dumps({"id": name, "frames": frames, "licence": "Apache-2.0", "sources": sources}))
        sys.stderr.write(f"{name}: {frames} frames of {shot.width}x{shot.height}\n")
    folder.mkdir(parents=True, exist_ok=True)
    atomic.write_whole(str(folder / INDEX), ("\n".join(lines) + "\n").encode())
    return folder / INDEX


def _one_clip(folder: Path, shot: Shot) -> None:
    """Render a shot into a folder per role; the figure's alpha is written as a matte of the frame's size."""
    manifest = folder / "clip.json"
    wanted = {"width": shot.width, "frames": shot.count, "seed": shot.seed}
    if manifest.is_file() and json.loads(manifest.read_text(encoding="utf-8")) == wanted:
        return
    files = generate(folder / "shot", shot)
    for role, sequence in ROLES.items():
        place = folder / role
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        for frame in shot.frames:
            target = place / f"{frame:04d}.exr"
            if role == "mask":
                _write_matte(files.path(sequence, frame), target)
            else:
                os.replace(files.path(sequence, frame), target)
    shutil.rmtree(folder / "shot")
    manifest.write_text(json.dumps(wanted), encoding="utf-8")


def _write_matte(source: Path, target: Path) -> None:
    figure = exr.read(source)
    display = figure.headers.main_header.display_window
    alpha = exr.moved(figure.channels["A"], figure.data_window, display)
    exr.write(exr.make_frame(exr.PartHeader.make(display), {"Y": alpha}), target)


def main(words: Sequence[str] | None = None) -> int:
    """Run the command and return 0, or 1 where it failed."""
    parser = argparse.ArgumentParser(
        prog="python -m harmovid_demo.clips", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--out", type=Path, default=Path("out/clips"), help="default %(default)s")
    parser.add_argument("--count", type=int, default=3, help="clips (default %(default)s)")
    parser.add_argument("--width", type=int, default=426, help="pixels (default %(default)s)")
    parser.add_argument("--frames", type=int, default=24, help="of each (default %(default)s)")
    given = parser.parse_args(words)
    try:
        print(write_clips(given.out, given.count, given.width, given.frames))
    except HarmoVidError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
