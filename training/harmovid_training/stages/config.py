"""Named settings of a training run. Those with `paper` in the name follow the paper; our own choices are marked below.

config = CONFIGS["paper-harmovid"]
config = replace(config, iterations=100)
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from harmovid_training.models.conditioning import DEFLICKER, HARMOVID


@dataclass(frozen=True)
class TrainConfig:
    """One run.

    Attributes:
        name: of the configuration.
        size: of the backbone, `models.sizes.SIZES`.
        conditioning: `deflicker` or `harmovid`.
        objective: `diffusion`, or a student's `latent` or `pixel` stage (`one_step.py`).
        iterations: optimizer steps.
        batch: clips per step, over all processes and accumulations together.
        accumulate: backward passes per step.
        frames, height, width: of a training clip; frames after the chunk rule.
        learning_rate, warmup, weight_decay, clip_norm: of AdamW (betas 0.9, 0.95); constant after a linear warm-up.
        new_rate: learning rate of the input channels that widening has added, which start at zero; 0 takes
            `learning_rate`.
        decay: whether the learning rate falls to zero along half a cosine from the warm-up to the last iteration.
        ema: decay of the averaged weights that a checkpoint holds; 0 keeps none.
        precision: `bf16` or `no`.
        checkpointing: recompute blocks in the backward pass.
        lora_rank: 0 trains all weights; else adapters of this rank on attention, and the whole patch embedding.
        save_every, validate_every: in steps; the last step is always saved and validated.
        workers: processes that read and prepare clips, per rank.
        gpus: number of processes that the setting is meant for; the loop uses those that it is started with.
        seed: of data, noise and times.
        space: of the pictures: `acescct`, ours, or `srgb`, the paper's (`models.space`).
        steady: role that stage 3 learns from: `steady`, or `synthetic` for the ablation without stage 2.
        pseudo_alpha: soften the foreground's edge on the synthetic-to-real path; false for that ablation.
        crop: side in pixels of what a student's pixel stage decodes; 0 decodes whole pictures.
    """

    name: str
    size: str
    conditioning: str
    objective: str = "diffusion"
    iterations: int = 1200
    batch: int = 8
    accumulate: int = 1
    frames: int = 81
    height: int = 480
    width: int = 720
    learning_rate: float = 1e-5
    warmup: int = 50
    new_rate: float = 0.0
    weight_decay: float = 1e-4
    clip_norm: float = 1.0
    decay: bool = False
    ema: float = 0.0
    precision: str = "bf16"
    checkpointing: bool = True
    lora_rank: int = 0
    save_every: int = 200
    validate_every: int = 200
    workers: int = 4
    gpus: int = 8
    seed: int = 0
    space: str = "acescct"
    steady: str = "steady"
    pseudo_alpha: bool = True
    crop: int = 0

    def rate(self, step: int) -> float:
        """Return the learning rate of step `step`, counted from 0; a function of the step, so that runs resume."""
        rising = min(1.0, (step + 1) / max(self.warmup, 1))
        if not self.decay:
            return self.learning_rate * rising
        gone = max(step - self.warmup, 0) / max(self.iterations - self.warmup, 1)
        return self.learning_rate * rising * (0.5 + 0.5 * math.cos(math.pi * gone))


_PAPER = TrainConfig(
    name="paper-harmovid", size="cogvideox-5b", conditioning=HARMOVID.name, new_rate=2e-4, ema=0.99
)
"""From the paper: CogVideoX, L2 diffusion loss, 1,200 iterations, 8 GPUs (A100, 8 hours), 100 frames per
clip, MultiDiffusion beyond 85 frames. Our choice, as it does not say: 5B, 480x720 (the backbone's own size),
81 frames, one clip per GPU, AdamW at 1e-5 after 50 steps of warm-up, 2e-4 for the new channels, averaged
weights. The paper's 85 are most likely the 81 frames of CogVideoX 1.5, whose 21 latents diffusers pads to 22, which
stand for 85 frames: `paper-1.5-harmovid` is that reading."""

CONFIGS = {
    config.name: config
    for config in (
        _PAPER,
        replace(_PAPER, name="paper-deflicker", conditioning=DEFLICKER.name),
        replace(_PAPER, name="paper-1.5-harmovid", size="cogvideox-1.5-5b"),
        replace(_PAPER, name="paper-1.5-deflicker", size="cogvideox-1.5-5b", conditioning=DEFLICKER.name),
        replace(_PAPER, name="2b-harmovid", size="cogvideox-2b", learning_rate=2e-5),
        replace(_PAPER, name="2b-deflicker", size="cogvideox-2b", learning_rate=2e-5, conditioning=DEFLICKER.name),
        replace(
            _PAPER, name="lora-harmovid", lora_rank=64, learning_rate=1e-4, gpus=1, batch=4, accumulate=4, frames=49
        ),
        replace(
            _PAPER, name="student-latent", objective="latent", iterations=10_000, batch=16, frames=25,
            height=320, width=640, learning_rate=2e-5, new_rate=0.0,
        ),
        replace(
            _PAPER, name="student-pixel", objective="pixel", iterations=500, batch=16, frames=25,
            height=320, width=640, learning_rate=5e-6, new_rate=0.0, crop=192,
        ),
        replace(
            _PAPER, name="student-deflicker", objective="latent", conditioning=DEFLICKER.name, iterations=3000,
            batch=16, frames=25, height=320, width=640, learning_rate=2e-5, new_rate=0.0,
        ),
        replace(_PAPER, name="wan-harmovid", size="wan-2.1-1.3b", learning_rate=2e-5),
    )
}  # fmt: skip
"""The student's settings are DOVE's (10,000 steps on latents, 500 on pixels, 25x320x640, batch 16)."""
