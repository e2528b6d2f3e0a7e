"""What a configuration costs, from counts: `python -m harmovid_training.stages.cost paper-harmovid`

Nothing is run: the transformer's steps are counted on the meta device (`models.counts`). The VAE is not in it.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from typing import Sequence

from harmovid_training.models.conditioning import CONDITIONINGS
from harmovid_training.models.counts import Counts, count_step
from harmovid_training.models.sizes import make
from harmovid_training.stages.config import CONFIGS, TrainConfig

STATE_BYTES = 16
"""Per trained weight under mixed precision: weight, gradient and AdamW's two averages in float32."""

A100_TFLOPS = 125.0
"""What a training keeps busy of an A100's 312 TFLOP/s in bfloat16: 40 %, a common share for such models."""


@dataclass(frozen=True)
class Cost:
    """A run's cost.

    Attributes:
        step: one clip's forward and backward pass.
        inference: one clip's forward pass: a sampler step, and a MultiDiffusion step per window.
        flops: of all steps together.
        state_bytes: weights, gradients and optimizer.
        gpu_hours: at `A100_TFLOPS`.
    """

    step: Counts
    inference: Counts
    flops: float
    state_bytes: int
    gpu_hours: float


def cost_of(config: TrainConfig) -> Cost:
    """Return what a configuration costs; LoRA is counted as if all weights were trained."""
    conditioning = CONDITIONINGS[config.conditioning]
    latents = make(config.size, device="meta").geometry.latents(config.frames)
    step, inference = (
        count_step(
            config.size, conditioning, latents=latents, height=config.height, width=config.width,
            training=training, checkpointing=training and config.checkpointing,
        )
        for training in (True, False)
    )  # fmt: skip
    flops = float(step.flops) * config.iterations * config.batch
    return Cost(step, inference, flops, STATE_BYTES * step.parameters, flops / (A100_TFLOPS * 1e12) / 3600)


def main(words: Sequence[str] | None = None) -> int:
    """Print the cost of configurations; all of them where none is named."""
    parser = argparse.ArgumentParser(prog="python -m harmovid_training.stages.cost", description=__doc__)
    parser.add_argument("config", nargs="*", default=list(CONFIGS), help=f"of: {', '.join(CONFIGS)}")
    for name in parser.parse_args(words).config:
        if name not in CONFIGS:
            parser.error(f"there is no configuration {name!r}")
        cost = cost_of(CONFIGS[name])
        sys.stdout.write(
            f"{name}: {cost.step.parameters / 1e9:.3f} B weights, {cost.step.tokens} tokens, "
            f"forward {cost.inference.flops / 1e12:.0f} TFLOP, "
            f"training step {cost.step.flops / 1e12:.0f} TFLOP a clip, "
            f"run {cost.flops / 1e18:.1f} EFLOP = {cost.gpu_hours:.0f} A100 hours, "
            f"state {cost.state_bytes / 2**30:.0f} GiB, kept for backward {cost.step.saved_bytes / 2**30:.1f} GiB\n"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
