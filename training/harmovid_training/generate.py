"""Run a checkpoint on footage: `harmovid generate runs/harmovid --fg fg/ --bg bg/ --mask mask/ --out out/ --vae NAME`

FG, BG and MASK are folders of EXRs or pictures, patterns such as `fg.####.exr`, or videos, of one length; their frames
belong together in order, whatever their numbers. A deflicker network takes FG and MASK alone. The shot is processed in
blocks; only its latents are held as a whole. The result is made as in the product: a lighting field per frame, applied
to the input's own pixels (half-float EXR, scene-linear), or with `--pixels` the network's own picture. It has the
foreground's frame numbers.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Iterator, Sequence

import numpy as np
import torch
from harmovid.cli.console import Console
from harmovid.cli.parser import Parser
from harmovid.errors import InputError
from harmovid.pixels.apply.fast import apply_field
from harmovid.pixels.fitting.fit import fit_field
from torch import Tensor
from tqdm import tqdm

from harmovid_training.clips.read import (
    Source,
    count_frames,
    frame_blocks,
    is_video,
    numbered_files,
    write_exr,
)
from harmovid_training.device import best_device, inference_dtype
from harmovid_training.inference.shot import BLOCK_FRAMES, Settings, Streams, run_shot
from harmovid_training.models.checkpoint import load_checkpoint, read_config
from harmovid_training.models.space import anchor_of, decode, encode
from harmovid_training.stages.pairs import Float32, composite, padded
from harmovid_training.stages.run import codec_of
from harmovid_training.words import size_of

SIDE_PX = 16
"""Sides are padded to multiples of this: 8 of the VAE, 2 of the transformer's patches."""


@dataclass(frozen=True)
class Footage:
    """A shot's sources; frames are read on demand.

    Attributes:
        background: None for a deflicker network, whose foreground is the whole picture.
        size: height and width to read at; the files' own where None.
    """

    foreground: Source
    background: Source | None
    mask: Source
    count: int
    size: tuple[int, int] | None

    def blocks(self) -> Iterator[tuple[Float32, Float32, Float32]]:
        """Yield composite, background and mask block by block; without a background both are the foreground."""
        sources = [one for one in (self.foreground, self.mask, self.background) if one is not None]
        read = (frame_blocks(one, self.count, BLOCK_FRAMES, self.size) for one in sources)
        for given, mask, *behind in zip(*read):
            yield (composite(given, behind[0], mask), behind[0], mask) if behind else (given, given, mask)

    def numbers(self) -> list[int]:
        """Return the frame numbers of the result: the foreground's; frames of a video are counted from 0."""
        path = self.foreground.path
        return list(range(self.count) if is_video(path) else numbered_files(path))[: self.count]


def run(words: Sequence[str], console: Console) -> int:
    """Run `harmovid generate WORDS`; return 0.

    Raises:
        InputError: a checkpoint, a VAE or footage that cannot be used, or results that exist already.
    """
    given = _grammar().parse_args(list(words))
    config = read_config(given.checkpoint)
    footage = _footage(given, str(config["conditioning"]))
    if given.out.is_dir() and any(given.out.iterdir()) and not given.overwrite:
        raise InputError(f"{given.out} is not empty.", fix="Give another --out, or --overwrite.")
    device = best_device()
    model = load_checkpoint(given.checkpoint, inference_dtype(device)).to(device)
    sampler = given.sampler or ("one-step" if given.steps == 1 else model.schedule.samplers[0])
    settings = Settings(sampler, given.steps, given.seed, given.window)
    codec = codec_of(str(config["kind"]), given.vae)
    anchor = anchor_of(next(footage.blocks())[0], model.space)
    pictures = {
        name: partial(_stream, footage, number, anchor, model.space)
        for number, name in enumerate(("composite", "background"))
        if name in model.conditioning.pictures
    }
    streams = Streams(
        footage.count, {name: make() for name, make in pictures.items()}, _stream(footage, 2, anchor, "")
    )
    made = run_shot(model, codec, streams, settings)
    given.out.mkdir(parents=True, exist_ok=True)
    with tqdm(total=footage.count, desc="frames", disable=console.quiet, file=console.err) as bar:
        answers = _answers(footage, made, anchor, model.space, given.pixels)
        for number, frame in zip(footage.numbers(), answers):
            write_exr(given.out / f"{number:04d}.exr", frame, half=True)
            bar.update()
    console.text(str(given.out))
    return 0


def _grammar() -> argparse.ArgumentParser:
    parser = Parser(
        prog="harmovid generate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path, help="a folder that training wrote")
    parser.add_argument(
        "--fg", type=Path, required=True, help="foreground; for a deflicker network the picture"
    )
    parser.add_argument("--bg", type=Path, help="new background")
    parser.add_argument("--mask", type=Path, required=True, help="the foreground's matte")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument(
        "--vae", required=True, help="name or folder of the model whose VAE it was trained with"
    )
    parser.add_argument("--size", type=size_of, help="HEIGHTxWIDTH to work at (default: the files')")
    parser.add_argument("--frames", type=int, default=0, help="largest number of frames (default: all)")
    parser.add_argument("--steps", type=int, default=50, help="of the sampler; 1 for a student (default 50)")
    parser.add_argument("--sampler", default="", help="of the checkpoint's schedule (default: its first)")
    parser.add_argument("--window", type=int, default=81, help="frames of a window (default 81)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pixels", action="store_true", help="write the network's own picture")
    parser.add_argument("--overwrite", action="store_true", help="replace existing results")
    return parser


def _footage(given: argparse.Namespace, conditioning: str) -> Footage:
    """Return the shot's sources; all must be of one length."""
    if (conditioning == "harmovid") != (given.bg is not None):
        needs = "needs --bg" if conditioning == "harmovid" else "takes no --bg"
        raise InputError(f"{given.checkpoint} is a {conditioning} network and {needs}.")
    sources = {"--fg": Source(given.fg), "--mask": Source(given.mask, matte=True)}
    if given.bg:
        sources["--bg"] = Source(given.bg)
    counts = {flag: count_frames(source) for flag, source in sources.items()}
    if given.frames:
        counts = {flag: min(count, given.frames) for flag, count in counts.items()}
    if len(set(counts.values())) != 1:
        told = ", ".join(f"{flag} {count}" for flag, count in counts.items())
        raise InputError(
            f"the sources differ in length: {told}.", fix="Cut them to one length, or give --frames."
        )
    background = sources.get("--bg")
    return Footage(sources["--fg"], background, sources["--mask"], counts["--fg"], given.size)


def _stream(footage: Footage, number: int, anchor: float, space: str) -> Iterator[Tensor]:
    """Yield blocks `(1, C, t, H, W)` of the composite (0), the background (1) or the mask (2)."""
    for clips in footage.blocks():
        shown = clips[number][..., None] if number == 2 else encode(clips[number], anchor, space)
        yield torch.from_numpy(np.ascontiguousarray(padded(shown, SIDE_PX).transpose(3, 0, 1, 2)))[None]


def _answers(
    footage: Footage, made: Iterator[Tensor], anchor: float, space: str, pixels: bool
) -> Iterator[Float32]:
    """Yield the result's frames `(H, W, 3)`: the network's picture, or its change of light on the composite."""
    drawn = (frame for block in made for frame in block[0].float().cpu().permute(1, 2, 3, 0).numpy())
    for before, _, mask in footage.blocks():
        height, width = mask.shape[1:]
        for plate, matte in zip(before, mask):
            light = decode(np.ascontiguousarray(next(drawn)[:height, :width]), anchor, space)
            if pixels:
                yield light
            else:
                field = fit_field(plate, light, box=(0, 0, width, height), weights=matte, trusted=False)
                yield apply_field(plate, field, origin=(0, 0), mask=matte)[0]
