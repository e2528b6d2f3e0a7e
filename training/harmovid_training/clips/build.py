"""Footage to a clip index: `harmovid train index FOOTAGE --out clips.jsonl --masks grounded-sam2 --test 200`

FOOTAGE holds one clip per entry: a video file, a folder of frames, or a folder with `real/` (frames) and `mask/`
(mattes). A video `NAME.mp4` takes its mattes from a folder `NAME.mask`, a folder of frames from its own `mask/`. Where
there are no mattes, `--masks` makes them (with the paper's Grounded-SAM-2) and writes them as EXRs to `masks/` beside
the index. Mattes that are there already are not made again.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from functools import partial
from pathlib import Path
from typing import Callable, Iterator, Sequence

import numpy as np
from harmovid.errors import HarmoVidError, InputError
from harmovid.pixels.colour.model_space import ANCHOR_FRAMES, MID_GREY, exposure_anchor
from harmovid.pixels.colour.srgb import srgb_encode

from harmovid_training.clips.index import Clip, Float32, make_clip, read_index, write_index
from harmovid_training.clips.read import (
    STILLS,
    Source,
    count_frames,
    frame_blocks,
    is_video,
    read_frames,
    save_role,
)
from harmovid_training.clips.shards import Shard, each_or_rejected
from harmovid_training.masks.providers import (
    PROMPT,
    Grounded,
    GroundingDino,
    Image8,
    MaskProvider,
    Sam2,
    Sam2Package,
)

SEGMENTERS: dict[str, Callable[[], Sam2 | Sam2Package]] = {
    "grounded-sam2": Sam2.from_pretrained,
    "grounded-sam2-package": Sam2Package.from_pretrained,
}
"""The segmenters that track the detector's box: SAM 2 through transformers, or the `sam2` package."""


SHORTEST = 81
"""Frames of a training clip in most configurations."""


def found_clips(footage: Path) -> Iterator[tuple[str, Path, Path | None]]:
    """Yield name, frames and mattes (None where there are none) of every clip of a folder, sorted by name.

    Raises:
        InputError: there is no such folder, or it is empty.
    """
    seen = 0
    for entry in sorted(footage.iterdir()) if footage.is_dir() else ():
        if entry.is_dir() and entry.suffix != ".mask":
            real, mask = entry / "real", entry / "mask"
            frames = real if real.is_dir() else entry
            if not any(file.suffix.lower() in (".exr", *STILLS) for file in frames.iterdir()):
                continue
        elif is_video(entry):
            frames, mask = entry, entry.with_suffix(".mask")
        else:
            continue
        seen += 1
        yield entry.stem if entry.is_file() else entry.name, frames, mask if mask.is_dir() else None
    if not seen:
        raise InputError(
            f"{footage} holds no clips.", fix="Give a folder of video files or folders of frames."
        )


def displayed(clip: Float32, anchor: float) -> Image8:
    """Return scene-linear frames as a detector expects pictures, `(T, H, W, 3)` uint8, with the anchor at mid grey."""
    levelled = clip * np.float32(MID_GREY / anchor)
    return (np.clip(srgb_encode(np.clip(levelled, 0, 1)), 0, 1) * 255).round().astype(np.uint8)


def indexed(
    name: str,
    frames: Path,
    mask: Path | None,
    folder: Path,
    provider: MaskProvider | None,
    licence: str = "",
    shortest: int = 1,
) -> Clip:
    """Return a clip's entry in the index; missing masks are made and written to `folder`/NAME, NAME being the clip's.

    Raises:
        InputError: fewer frames than `shortest`, no mask and no provider, or the provider found nothing; the message
            names the clip.
    """
    real = Source(frames)
    count = count_frames(real)
    if count < shortest:
        raise InputError(f"{name} has {count} of {shortest} frames.", fix="Give a smaller --shortest.")
    if mask is None:
        mask = folder / name
        if not mask.is_dir():
            masks = _masks(name, real, provider)
            save_role(mask, lambda: masks)
    return make_clip(name, {"real": real, "mask": Source(mask, matte=True)}, licence)


def _masks(name: str, real: Source, provider: MaskProvider | None) -> Float32:
    if provider is None:
        raise InputError(f"{name} has no mask.", fix="Put mattes beside it, or give --masks.")
    try:
        count = count_frames(real)
        anchor = exposure_anchor(read_frames(real, 0, min(ANCHOR_FRAMES, count)))
        shown = [displayed(block, anchor) for block in frame_blocks(real, count, ANCHOR_FRAMES)]
        return provider(np.concatenate(shown))[..., None]
    except InputError as error:
        raise InputError(f"{name}: {error}") from error


def split(path: Path, count: int) -> None:
    """Write an index's test clips to NAME.test.jsonl and the others to NAME.train.jsonl.

    Args:
        count: number of test clips (200 in the paper). They are chosen by id alone, so most of them stay the same when
            the index grows.
    """
    clips = read_index(path).clips
    held = sorted(clips, key=lambda clip: hashlib.sha256(clip.id.encode()).digest())[:count]
    kept = {clip.id for clip in held}
    for name, chosen in (("test", held), ("train", [clip for clip in clips if clip.id not in kept])):
        write_index(path.with_suffix(f".{name}{path.suffix}"), chosen)


def main(words: Sequence[str] | None = None) -> int:
    """Write the index; return 0, or 1 where no clip can be used."""
    given = _grammar().parse_args(words)
    try:
        shard = Shard.parse(given.shard)
        provider = (
            Grounded(GroundingDino.from_pretrained(prompt=given.prompt), SEGMENTERS[given.masks]())
            if given.masks
            else None
        )
        rows = list(found_clips(given.footage))
        make = partial(
            indexed,
            folder=given.out.parent / "masks",
            provider=provider,
            licence=given.licence,
            shortest=given.shortest,
        )

        # Reading files and counting frames runs in parallel; a network on a GPU takes one clip at a time.
        workers = 1 if provider else given.workers
        clips, rejected = each_or_rejected(
            shard.of(rows), lambda row: row[0], lambda row: make(*row), "clips", workers
        )
        if shard.finish(given.out, [row[0] for row in rows], clips, rejected) and given.test:
            split(given.out, given.test)
    except HarmoVidError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0 if clips or shard.count > 1 else 1  # a share without clips must not end the others


def _grammar() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="build", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("footage", type=Path, help="folder of clips")
    parser.add_argument("--out", type=Path, required=True, help="the index, JSON lines")
    parser.add_argument("--masks", choices=SEGMENTERS, help="make masks for clips that have none")
    parser.add_argument("--prompt", default=PROMPT, help="what to look for")
    parser.add_argument("--licence", default="", help="of the footage, as it goes into the model card")
    parser.add_argument(
        "--shortest",
        type=int,
        default=SHORTEST,
        metavar="N",
        help=f"leave out clips of fewer frames (default {SHORTEST}, what a training reads at once)",
    )
    parser.add_argument("--shard", default="", help="process this share only, 1/8 to 8/8")
    parser.add_argument(
        "--test", type=int, default=0, metavar="N", help="keep N clips for testing (the paper: 200)"
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=os.cpu_count() or 1,
        help="clips processed in parallel (default: one per core)",
    )
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
