"""Stage 2: `harmovid train --gpus 8 stage2 --index synthetic/clips.jsonl --out runs/deflicker`

Trains the deflicker network on the index (eq. 2 to 4), then runs it on stage 1's clips ("rewriting" them): the results
get the role `steady`, as EXR folders in `--out`/steady with a new index `clips.jsonl` for stage 3. Outside the mask the
known background is put back. The name of the folder holds a fingerprint of weights and settings, so clips made with
other ones are not reused.

`--rewrite-only CHECKPOINT` rewrites with an existing network, for instance the one-step student of
`--config student-deflicker --start runs/deflicker`.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Sequence

from harmovid.errors import HarmoVidError

from harmovid_training.clips.index import Clip, Index, make_clip
from harmovid_training.clips.read import Source, read_frames, save_role
from harmovid_training.clips.shards import Shard, each_or_rejected
from harmovid_training.device import best_device, inference_dtype, process_state
from harmovid_training.inference.shot import Settings, run_clip
from harmovid_training.models.checkpoint import fingerprint
from harmovid_training.models.codec import Codec
from harmovid_training.models.model import ConditionedModel
from harmovid_training.stages import pairs
from harmovid_training.stages.config import TrainConfig
from harmovid_training.stages.dataset import shot_of
from harmovid_training.stages.run import (
    codec_of,
    expect,
    grammar,
    network_of,
    parsed,
    run_training,
    source_of,
)

STEPS = 8
"""Sampler steps when clips are rewritten: 10,000 clips at 50 would take eight A100 a week and more (`stages.cost`)."""


def rewritten(
    clip: Clip, model: ConditionedModel, codec: Codec, out: Path, size: tuple[int, int], settings: Settings
) -> Clip:
    """Return the clip with the role `steady`, which is made if it does not exist.

    Args:
        size: height and width of the network's training.
    """

    def steady() -> pairs.Float32:
        roles = ("real", "mask", "background", "synthetic")
        shot = shot_of({role: read_frames(clip.sources[role], 0, clip.frames, size) for role in roles})
        sample = pairs.stage_one_sample(shot, model.space)
        made = run_clip(model, codec, sample.pictures, sample.mask, settings)
        return pairs.composite(sample.light(made), shot.background, shot.mask)

    source = Source(save_role(out / clip.id, steady))
    return make_clip(clip.id, {**clip.sources, "steady": source}, clip.licence, clip.frames)


def rewrite(index: Index, checkpoint: Path, source: str, out: Path, config: TrainConfig, steps: int) -> None:
    """Rewrite an index's clips with a checkpoint and write the new index; each process takes its share.

    Args:
        source: of the VAE.
        steps: of the sampler; a student takes one.
    """
    device = best_device()
    model = network_of(checkpoint, config.conditioning, inference_dtype(device)).to(device)
    settings = rewriting(model, config, steps)
    base, kind = source_of(config, source, checkpoint)
    codec = codec_of(kind, base)
    told = f"{fingerprint(checkpoint)} {settings} {config.height}x{config.width} {index.hash}"
    folder = out / "steady" / hashlib.sha256(told.encode()).hexdigest()[:12]
    shard = Shard.parse("")
    clips, rejected = each_or_rejected(
        shard.of(index.clips), lambda clip: clip.id,
        lambda clip: rewritten(clip, model, codec, folder, (config.height, config.width), settings), "steady",
    )  # fmt: skip
    shard.finish(out / "clips.jsonl", [clip.id for clip in index.clips], clips, rejected)


def rewriting(model: ConditionedModel, config: TrainConfig, steps: int) -> Settings:
    """Return the sampler's settings: one step for a student's configuration."""
    if config.objective != "diffusion":
        return Settings("one-step", 1, config.seed, config.frames)
    return Settings(model.schedule.samplers[0], steps, config.seed, config.frames)


def main(words: Sequence[str] | None = None) -> int:
    """Run the script."""
    parser = grammar("stage2", __doc__, "paper-deflicker")
    parser.add_argument("--rewrite-only", type=Path, metavar="CHECKPOINT", help="rewrite, do not train")
    parser.add_argument("--rewrite-steps", type=int, default=STEPS, help=f"of the sampler (default {STEPS})")
    try:
        given, config, index = parsed(parser, words)
        expect(config, "deflicker")
        state = process_state()
        if not given.rewrite_only:
            run_training(config, index, given.weights, given.out, given.start, teacher=given.teacher)
        rewrite(index, given.rewrite_only or given.out, given.weights, given.out, config, given.rewrite_steps)
        state.wait_for_everyone()
    except HarmoVidError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
