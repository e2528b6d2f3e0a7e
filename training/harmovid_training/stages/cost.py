"""The cost of a configuration, from counts: `harmovid train cost paper-harmovid`

One training step (loss, backward pass, AdamW) and one MultiDiffusion step of a long shot are run on the meta device,
where tensors have shapes and no values (`stages.counts`). The VAE is not included, except for what the decoder keeps in
a student's pixel stage.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from typing import Sequence

from harmovid_training.inference.shot import Settings
from harmovid_training.models.conditioning import CONDITIONINGS
from harmovid_training.models.sizes import make
from harmovid_training.stages.config import CONFIGS, TrainConfig
from harmovid_training.stages.counts import Counts, LongStep, count_multidiffusion, count_step
from harmovid_training.stages.pixel_cost import pixel_stage_bytes
from harmovid_training.stages.processor_cost import processor_seconds, told
from harmovid_training.stages.recipe_cost import HEADER as HEADER_OF_STEPS
from harmovid_training.stages.recipe_cost import ic_light_flops, recipe

STATE_BYTES = 16
"""Per trained weight under mixed precision: weight, gradient and AdamW's two averages in float32."""

EMA_BYTES = 4
"""Per trained weight for the averaged copy, where a configuration keeps one."""

LONG_FRAMES = 1000
"""Length of the shot whose MultiDiffusion step is counted; windows overlap by a quarter."""

A100_TFLOPS = 125.0
"""The assumed throughput of training: 40 % of an A100's 312 TFLOP/s in bfloat16, a common share for such models."""


@dataclass(frozen=True)
class Cost:
    """A run's cost.

    Attributes:
        step: one clip's training step.
        inference: one clip's forward pass: a sampler step.
        long: a sampler step of `LONG_FRAMES` frames in windows as long as a training clip.
        flops: of all training steps together.
        state_bytes: weights, gradients and optimizer.
        gpu_hours: at `A100_TFLOPS`.
    """

    step: Counts
    inference: Counts
    long: LongStep
    flops: float
    state_bytes: int
    gpu_hours: float

    def row(self, name: str) -> str:
        """Return the cost as a row of `HEADER`'s table."""
        cells = (
            name, f"{self.step.parameters / 1e9:.3f} B", f"{self.step.tokens:,}",
            f"{self.inference.flops / 1e12:,.0f}", f"{self.step.flops / 1e12:,.0f}",
            f"{self.flops / 1e18:.1f} EFLOP, {self.gpu_hours:.0f} A100 hours", f"{self.state_bytes / 2**30:.0f} GiB",
            f"{self.step.saved_bytes / 2**30:.1f} GiB",
            f"{self.long.windows} windows, {self.long.flops / 1e12:,.0f} TFLOP, {self.long.held_bytes / 2**30:.2f} GiB",
        )  # fmt: skip
        return f"| {' | '.join(cells)} |\n"


HEADER = (
    "| configuration | weights | tokens | forward, TFLOP | training step, TFLOP a clip | whole run "
    "| weights, gradients, optimizer | kept for backward, a clip | MultiDiffusion step of 1,000 frames, held |\n"
    + "|---" * 9
    + "|\n"
)


def cost_of(config: TrainConfig) -> Cost:
    """Return the cost of a configuration; LoRA is counted as if all weights were trained."""
    conditioning = CONDITIONINGS[config.conditioning]
    latents = make(config.size, device="meta").geometry.latents(config.frames)
    size = {"height": config.height, "width": config.width}
    step, inference = (
        count_step(
            config.size, conditioning, latents=latents, **size,
            training=training, checkpointing=training and config.checkpointing,
        )
        for training in (True, False)
    )  # fmt: skip
    settings = Settings(make(config.size, device="meta").schedule.samplers[0], window_frames=config.frames)
    long = count_multidiffusion(config.size, conditioning, frames=LONG_FRAMES, settings=settings, **size)
    flops = float(step.flops) * config.iterations * config.batch
    hours = flops / (A100_TFLOPS * 1e12) / 3600
    return Cost(
        step, inference, long, flops, (STATE_BYTES + EMA_BYTES * bool(config.ema)) * step.parameters, hours
    )


def main(words: Sequence[str] | None = None) -> int:
    """Print the cost of configurations; all of them where none is named."""
    parser = argparse.ArgumentParser(prog="harmovid train cost", description=__doc__)
    parser.add_argument("config", nargs="*", default=list(CONFIGS), help=f"of: {', '.join(CONFIGS)}")
    parser.add_argument(
        "--recipe", action="store_true", help="the whole recipe at the size of the paper, instead"
    )
    parser.add_argument(
        "--processor",
        action="store_true",
        help="stage 1's work beside the harmonizer, measured here, instead",
    )
    given = parser.parse_args(words)
    if given.processor:
        sys.stdout.write(told(processor_seconds(), ic_light_flops() / (A100_TFLOPS * 1e12)))
        return 0
    if given.recipe:
        sys.stdout.write(HEADER_OF_STEPS)
        for step in recipe():
            sys.stdout.write(step.row(A100_TFLOPS))
            sys.stdout.flush()
        return 0
    names = given.config
    unknown = [name for name in names if name not in CONFIGS]
    if unknown:
        parser.error(f"there is no configuration {unknown[0]!r}")
    sys.stdout.write(HEADER)
    for name in names:
        sys.stdout.write(cost_of(CONFIGS[name]).row(name))
    for name in names:
        if CONFIGS[name].objective == "pixel":
            sys.stdout.write("\n" + pixel_stage(name, CONFIGS[name]))
    return 0


def pixel_stage(name: str, config: TrainConfig) -> str:
    """Return a sentence on what the decoder of a student's pixel stage keeps for the backward pass."""
    kept, whole = (
        pixel_stage_bytes(one, recompute) / 2**30
        for one, recompute in ((config, True), (replace(config, crop=0), False))
    )
    return (
        f"{name}: for its backward pass the decoder keeps {kept:.1f} GiB a clip; "
        f"without crop and recomputed chunks {whole:.0f} GiB.\n"
    )


if __name__ == "__main__":
    raise SystemExit(main())
