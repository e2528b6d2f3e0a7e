"""The cost of the whole recipe at the size of the paper, step by step: `harmovid train cost --recipe`.

10,000 clips of 100 frames at 480x720. FLOPs are counted on the meta device (`stages.counts`), without VAEs, masks, text
encoder, and what runs on the processor (`processor_cost`). Hours are at `cost.A100_TFLOPS` on eight A100.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator

import torch
from diffusers import UNet2DConditionModel
from torch.utils.flop_counter import FlopCounterMode

from harmovid_training.inference.shot import Settings
from harmovid_training.models.conditioning import CONDITIONINGS
from harmovid_training.models.sizes import make
from harmovid_training.stages.config import CONFIGS
from harmovid_training.stages.counts import count_multidiffusion, count_step
from harmovid_training.stages.ic_light import LARGE_SIDE_PX, SIDE_PX, Demo

CLIPS, FRAMES, SIZE = 10_000, 100, (480, 720)
"""The paper's clips, and the size of our configurations."""

GPUS = 8
TEXT = (77, 768)
"""Length and width of Stable Diffusion 1.5's prompt."""

HALF_BYTES = 2

WALK_STEPS = 16
"""Of IC-Light in the walk of docs/training.md."""

GUIDED = 2.0
"""Passes of a step: with and without the prompt."""


@dataclass(frozen=True)
class Step:
    """One step of the recipe.

    Attributes:
        name: for the table.
        flops: of all clips.
        stored: bytes that it writes, before the EXRs' own compression.
    """

    name: str
    flops: float
    stored: float = 0.0

    def row(self, tflops: float) -> str:
        """Return a row of `HEADER`'s table."""
        hours = self.flops / (tflops * 1e12) / 3600
        stored = f"{self.stored / 1e12:.1f} TB" if self.stored else ""
        return f"| {self.name} | {self.flops / 1e18:.1f} EFLOP | {hours:,.0f} | {hours / GPUS:.1f} | {stored} |\n"


HEADER = "| step | all clips | A100 hours | hours on eight | written, uncompressed |\n|---|---|---|---|---|\n"


def recipe() -> Iterator[Step]:
    """Yield the recipe's steps, each once it is counted."""
    demo, pixels = Demo(), SIZE[0] * SIZE[1]
    large = tuple(round(side * demo.larger / LARGE_SIDE_PX) * LARGE_SIDE_PX for side in SIZE)
    count = CLIPS * FRAMES
    first, second = (GUIDED * unet_flops(size) * count for size in (SIZE, large))
    written = CLIPS * FRAMES * pixels * HALF_BYTES * 3.0
    yield Step(f"stage 1: IC-Light, {WALK_STEPS} steps, one pass", WALK_STEPS * first, 3 * written)
    yield Step(f"stage 1: IC-Light, the demo's {demo.steps} steps, one pass", demo.steps * first)
    yield Step(f"stage 1: the demo's second, larger pass, {demo.steps} steps more", demo.steps * second)
    yield Step("stage 2: training", training("paper-deflicker"))
    many = rewriting("paper-deflicker")
    yield Step("stage 2: rewriting in 8 steps", 8 * many, written)
    yield Step("stage 2: rewriting in 50 steps", 50 * many)
    yield Step("stage 2: rewriting with the one-step student", many)
    yield Step("stage 3: training", training("paper-harmovid"))


def ic_light_flops() -> float:
    """Return what IC-Light computes for one frame in the walk."""
    return WALK_STEPS * GUIDED * unet_flops(SIZE)


def unet_flops(size: tuple[int, ...]) -> int:
    """Return one forward pass of IC-Light's U-Net on one picture."""
    with torch.device("meta"):
        unet = UNet2DConditionModel(in_channels=12, cross_attention_dim=TEXT[1]).to(torch.bfloat16)
        sample = torch.empty(1, 12, *(side // SIDE_PX for side in size), dtype=torch.bfloat16)
        text = torch.empty(1, *TEXT, dtype=torch.bfloat16)
        time = torch.zeros(1, dtype=torch.long)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        unet(sample, time, text)
    return int(counter.get_total_flops())


def training(name: str) -> float:
    """Return the FLOPs of a configuration's training: steps times clips times one clip's step."""
    config = CONFIGS[name]
    latents = make(config.size, device="meta").geometry.latents(config.frames)
    step = count_step(
        config.size, CONDITIONINGS[config.conditioning], latents=latents, height=config.height, width=config.width,
        training=True, checkpointing=config.checkpointing,
    )  # fmt: skip
    return float(step.flops) * config.iterations * config.batch


def rewriting(name: str) -> float:
    """Return the FLOPs of one sampler step of all clips."""
    config = CONFIGS[name]
    settings = Settings(make(config.size, device="meta").schedule.samplers[0], window_frames=config.frames)
    long = count_multidiffusion(
        config.size, CONDITIONINGS[config.conditioning], frames=FRAMES, settings=settings, height=SIZE[0], width=SIZE[1]
    )  # fmt: skip
    return float(long.flops) * CLIPS
