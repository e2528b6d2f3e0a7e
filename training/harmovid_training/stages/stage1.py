"""Stage 1: `python -m harmovid_training.stages.stage1 --index real.jsonl --out synthetic --panoramas hdri
--harmonizer "tool {foreground} ..."`

Every clip of the index (roles `real` and `mask`) gets a new background, is harmonized into it frame by frame
(eq. 1), and its own background without the foreground: roles `background`, `synthetic`, `plate` and `alpha`
as EXR folders beside a new index, `clips.jsonl`. Clips that are there already are not made again.
"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import Callable, Sequence

import numpy as np
from harmovid.errors import HarmoVidError
from tqdm import tqdm

from harmovid_training.clips.backgrounds import BackgroundProvider, PanoramaBackgrounds, TextBackgrounds
from harmovid_training.clips.index import Clip, make_clip, read_index, write_index
from harmovid_training.clips.read import Source, read_frames, save_role
from harmovid_training.masks.alpha import pseudo_alpha
from harmovid_training.masks.removal import CommandRemoval, Remover, temporal_median
from harmovid_training.stages.engine_frames import EngineFrames, Servers
from harmovid_training.stages.frame_harmonizers import (
    CommandHarmonizer,
    FrameHarmonizer,
    IcLight,
    harmonize_frames,
)
from harmovid_training.stages.pairs import Float32


def make_synthetic(
    clip: Clip,
    number: int,
    out: Path,
    backgrounds: BackgroundProvider,
    harmonizer: FrameHarmonizer,
    remover: Remover,
) -> Clip:
    """Return the clip with stage 1's roles, made where they are not there; `number` seeds its background."""
    real = read_frames(clip.sources["real"], 0, clip.frames)
    mask = (read_frames(clip.sources["mask"], 0, clip.frames) > 0.5).astype(np.float32)
    folder = out / clip.id

    def kept(role: str, make: Callable[[], Float32], matte: bool = False) -> Source:
        return Source(save_role(folder / role, make), matte=matte)

    size = real.shape[1], real.shape[2]
    background = kept("background", lambda: backgrounds(number, clip.frames, size))
    there = read_frames(background, 0, clip.frames)
    sources = {
        **clip.sources,
        "background": background,
        "synthetic": kept("synthetic", lambda: harmonize_frames(real, there, mask, harmonizer)),
        "plate": kept("plate", lambda: remover(real, mask)),
        "alpha": kept("alpha", lambda: pseudo_alpha(mask)[..., None], matte=True),
    }
    return make_clip(clip.id, sources, clip.licence)


def main(words: Sequence[str] | None = None) -> int:
    """Run the script."""
    parser = argparse.ArgumentParser(prog="stage1", description=__doc__)
    parser.add_argument("--index", type=Path, required=True, help="clips with roles real and mask")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--panoramas", type=Path, help="folder of HDRIs to look around in")
    parser.add_argument(
        "--text-to-video", default="", help="name or folder of a text-to-video model, instead"
    )
    parser.add_argument(
        "--harmonizer", default="", help="command with {foreground} {background} {mask} {out}"
    )
    parser.add_argument("--ic-light", type=Path, help="iclight_sd15_fbc.safetensors, instead of a command")
    parser.add_argument(
        "--ic-light-base", default=IcLight.BASE, help="its Stable Diffusion 1.5, name or folder"
    )
    parser.add_argument(
        "--engine", default="", help="an engine of ours run frame by frame, e.g. harmonize, instead"
    )
    parser.add_argument(
        "--removal", default="", help="command with {frames} {masks} {out}; default: temporal median"
    )
    given = parser.parse_args(words)
    harmonizers = sum(map(bool, (given.harmonizer, given.ic_light, given.engine)))
    if harmonizers != 1 or bool(given.panoramas) == bool(given.text_to_video):
        parser.error(
            "give one harmonizer (--harmonizer, --ic-light or --engine) "
            "and one background (--panoramas or --text-to-video)"
        )
    try:
        with Servers() as servers:
            return _run(given, servers)
    except HarmoVidError as error:
        parser.exit(1, f"{error}\n")


def _run(given: argparse.Namespace, servers: Servers) -> int:
    index = read_index(given.index)
    backgrounds: BackgroundProvider = (
        PanoramaBackgrounds(given.panoramas)
        if given.panoramas
        else TextBackgrounds.from_pretrained(given.text_to_video)
    )
    remover: Remover = CommandRemoval(shlex.split(given.removal)) if given.removal else temporal_median
    harmonizer = _harmonizer(given, servers)
    clips = [
        make_synthetic(clip, number, given.out, backgrounds, harmonizer, remover)
        for number, clip in enumerate(tqdm(index.clips, desc="stage 1"))
    ]
    write_index(given.out / "clips.jsonl", clips)
    return 0


def _harmonizer(given: argparse.Namespace, servers: Servers) -> FrameHarmonizer:
    if given.engine:
        return EngineFrames(given.engine, servers)
    if given.ic_light:
        return IcLight.from_pretrained(given.ic_light, given.ic_light_base)
    return CommandHarmonizer(shlex.split(given.harmonizer))


if __name__ == "__main__":
    raise SystemExit(main())
