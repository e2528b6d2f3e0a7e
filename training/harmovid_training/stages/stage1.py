"""Stage 1: `harmovid train stage1 --index real.jsonl --out synthetic --panoramas hdri --ic-light FILE`

For every clip of the index (roles `real` and `mask`) it makes a new background, the foreground harmonized into it frame
by frame (eq. 1), and the clip's own background without the foreground: the roles `background`, `synthetic` and `plate`,
as half-float EXR folders beside a new index, `clips.jsonl`. All random choices for a clip depend on its id alone, so
shares (`--shard 3/8`, or one process for each GPU: `harmovid train --gpus 8 stage1 ...`) and second runs agree.
Existing clips are not made again; one that cannot be used is listed in `rejected.jsonl` with the reason.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Callable, Sequence

import numpy as np
from harmovid.errors import HarmoVidError, InputError

from harmovid_training.clips.backgrounds import (
    BackgroundProvider,
    FolderBackgrounds,
    PanoramaBackgrounds,
    TextBackgrounds,
)
from harmovid_training.clips.index import Clip, make_clip, read_index
from harmovid_training.clips.read import Source, read_frames, save_role
from harmovid_training.clips.removal import CommandRemoval, Remover, temporal_median
from harmovid_training.clips.shards import Shard, each_or_rejected
from harmovid_training.files import save_json
from harmovid_training.stages.engine_frames import EngineFrames, Servers
from harmovid_training.stages.frame_harmonizers import CommandHarmonizer, FrameHarmonizer, harmonize_frames
from harmovid_training.stages.ic_light import BASE, Demo, IcLight
from harmovid_training.stages.pairs import Float32
from harmovid_training.words import size_of

SETTINGS = "stage1.json"
"""File with the settings of a folder's clips; other settings need another folder."""


@dataclass(frozen=True)
class Tools:
    """The harmonizer, background provider, remover and settings of stage 1.

    Attributes:
        size: height and width of all clips; None keeps their own.
        frames: largest number of frames of a clip.
        batch: number of frames per call of the harmonizer; 0 for whole clips.
    """

    backgrounds: BackgroundProvider
    harmonizer: FrameHarmonizer
    remover: Remover
    size: tuple[int, int] | None = None
    frames: int = 100
    batch: int = 0


def make_synthetic(clip: Clip, out: Path, tools: Tools) -> Clip:
    """Return the clip with stage 1's roles; missing ones are made."""
    count = min(clip.frames, tools.frames)
    real = read_frames(clip.sources["real"], 0, count, tools.size)
    mask = (read_frames(clip.sources["mask"], 0, count, tools.size) > 0.5).astype(np.float32)
    if not mask.any():
        raise InputError(f"the mask of {clip.id} is empty.")
    folder = out / clip.id

    def kept(role: str, make: Callable[[], Float32]) -> Source:
        return Source(save_role(folder / role, make))

    size = real.shape[1], real.shape[2]
    background = kept("background", lambda: tools.backgrounds(seed_of(clip.id), count, size))
    there = read_frames(background, 0, count)
    sources = {
        **clip.sources,
        "background": background,
        "synthetic": kept(
            "synthetic", lambda: harmonize_frames(real, there, mask, tools.harmonizer, tools.batch)
        ),
        "plate": kept("plate", lambda: tools.remover(real, mask)),
    }
    return make_clip(clip.id, sources, clip.licence, count)


def seed_of(name: str) -> int:
    """Return the seed of a clip, which depends on its id alone and not on other clips of the index."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") >> 1


def main(words: Sequence[str] | None = None) -> int:
    """Run the script; return 0, or 1 where nothing could be made."""
    parser = _parser()
    given = parser.parse_args(words)
    harmonizers = sum(map(bool, (given.harmonizer, given.ic_light, given.engine)))
    backgrounds = sum(map(bool, (given.panoramas, given.text_to_video, given.backgrounds)))
    if harmonizers != 1 or backgrounds != 1:
        parser.error(
            "give one harmonizer (--harmonizer, --ic-light or --engine) "
            "and one source of backgrounds (--panoramas, --backgrounds or --text-to-video)"
        )
    try:
        with Servers() as servers:
            return _run(given, servers)
    except HarmoVidError as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stage1", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--index", type=Path, required=True, help="clips with roles real and mask")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--size", default="480x720", help="HEIGHTxWIDTH of all clips (default 480x720)")
    parser.add_argument(
        "--frames", type=int, default=100, help="most frames of a clip (default 100, the paper's)"
    )
    parser.add_argument("--shard", default="", help="make this share only, 1/8 to 8/8")
    parser.add_argument(
        "--batch", type=int, default=16, help="frames that IC-Light takes at once (default 16)"
    )
    parser.add_argument(
        "--workers", type=int, default=4, help="clips made side by side, one on the GPU at a time (default 4)"
    )
    parser.add_argument("--panoramas", type=Path, help="folder of HDRIs to look around in")
    parser.add_argument("--backgrounds", type=Path, help="folder of videos or folders of frames, instead")
    parser.add_argument(
        "--text-to-video", default="", help="name or folder of a text-to-video model, instead"
    )
    parser.add_argument(
        "--harmonizer", default="", help="command with {foreground} {background} {mask} {out}, once per clip"
    )
    parser.add_argument("--ic-light", type=Path, help="iclight_sd15_fbc.safetensors, instead of a command")
    parser.add_argument("--ic-light-base", default=BASE, help="its Stable Diffusion 1.5, name or folder")
    parser.add_argument("--ic-light-prompt", default=Demo.prompt, help=f"default {Demo.prompt!r}")
    parser.add_argument("--ic-light-steps", type=int, default=Demo.steps, help=f"default {Demo.steps}")
    parser.add_argument(
        "--ic-light-once", action="store_true", help="leave out the demo's second, larger pass"
    )
    parser.add_argument(
        "--engine", default="", help="an engine of ours run frame by frame, e.g. harmonize, instead"
    )
    parser.add_argument(
        "--removal", default="", help="command with {frames} {masks} {out}; default: temporal median"
    )
    return parser


def _run(given: argparse.Namespace, servers: Servers) -> int:
    index, shard = read_index(given.index), Shard.parse(given.shard)
    settings = _settings(given)
    remover: Remover = CommandRemoval(shlex.split(given.removal)) if given.removal else temporal_median
    gpu = Lock()
    tools = Tools(
        _locked(_backgrounds(given), gpu) if given.text_to_video else _backgrounds(given),
        _locked(_harmonizer(given, servers), gpu), remover, size_of(given.size), given.frames,
        given.batch if given.ic_light else 0,
    )  # fmt: skip
    save_json(given.out / SETTINGS, settings)  # not before all tools are there
    clips, rejected = each_or_rejected(
        shard.of(index.clips), lambda clip: clip.id, lambda clip: make_synthetic(clip, given.out, tools), "stage 1",
        given.workers,
    )  # fmt: skip
    shard.finish(given.out / "clips.jsonl", [clip.id for clip in index.clips], clips, rejected)
    return 0 if clips or shard.count > 1 else 1  # a share without clips must not end the others


def _settings(given: argparse.Namespace) -> dict[str, str]:
    """Return the settings that decide how clips look.

    Raises:
        InputError: the folder holds clips of other settings.
    """
    free = ("index", "out", "shard", "batch", "workers")
    settings = {name: str(value) for name, value in vars(given).items() if name not in free}
    path = given.out / SETTINGS
    kept = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else settings
    other = [name for name, value in settings.items() if kept.get(name) != value]
    if other:
        raise InputError(
            f"the clips in {given.out} were made with another {', '.join(other)}.", fix="Give another --out."
        )
    return settings


def _backgrounds(given: argparse.Namespace) -> BackgroundProvider:
    if given.panoramas:
        return PanoramaBackgrounds(given.panoramas)
    if given.backgrounds:
        return FolderBackgrounds(given.backgrounds)
    return TextBackgrounds.from_pretrained(given.text_to_video)


def _locked(call: Callable[..., Float32], lock: Lock) -> Callable[..., Float32]:
    """Return the function so that one thread runs it at a time; the others make backgrounds, plates and files."""

    def alone(*given: Any) -> Float32:
        with lock:
            return call(*given)

    return alone


def _harmonizer(given: argparse.Namespace, servers: Servers) -> FrameHarmonizer:
    if given.engine:
        return EngineFrames(given.engine, servers)
    if given.ic_light:
        strength = 0.0 if given.ic_light_once else Demo.strength
        settings = Demo(given.ic_light_prompt, steps=given.ic_light_steps, strength=strength)
        return IcLight.from_pretrained(given.ic_light, given.ic_light_base, settings)
    return CommandHarmonizer(shlex.split(given.harmonizer))


if __name__ == "__main__":
    raise SystemExit(main())
