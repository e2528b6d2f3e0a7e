"""Stage 2: `accelerate launch -m harmovid_training.stages.stage2 --index synthetic/clips.jsonl --out runs/deflicker`

Trains the deflicker network on the index (eq. 2 to 4), then rewrites stage 1's clips with it: role `steady`
as EXR folders in `--out`/steady and a new index, `clips.jsonl`, for stage 3. Outside the mask the known
background is put back.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Sequence

import torch
from accelerate import PartialState
from harmovid.errors import HarmoVidError
from harmovid.pixels.colour.model_space import from_model
from tqdm import tqdm

from harmovid_training.clips.index import Clip, Index, make_clip, write_index
from harmovid_training.clips.read import Source, read_frames, save_role
from harmovid_training.device import best_device
from harmovid_training.inference.shot import Settings, run_clip
from harmovid_training.models.checkpoint import load_checkpoint
from harmovid_training.models.codec import Codec
from harmovid_training.models.model import ConditionedModel
from harmovid_training.models.sizes import size_named
from harmovid_training.models.space import from_vae
from harmovid_training.stages import pairs
from harmovid_training.stages.dataset import shot_of
from harmovid_training.stages.run import codec_of, expect, parse, run_training

STEPS = 50
"""Sampler steps when clips are rewritten: CogVideoX's own default."""


def rewrite(
    index: Index, model: ConditionedModel, codec: Codec, out: Path, size: tuple[int, int], settings: Settings
) -> list[Clip]:
    """Return the index's clips with the role `steady`, made where it is not there.

    Args:
        size: height and width that the network was trained at.
    """
    made = []
    for clip in tqdm(index.clips, desc="steady"):

        def steady(clip: Clip = clip) -> pairs.Float32:
            roles = ("real", "mask", "background", "synthetic")
            shot = shot_of({role: read_frames(clip.sources[role], 0, clip.frames, size) for role in roles})
            sample = pairs.stage_one_sample(shot)
            result = run_clip(model, codec, sample.pictures, sample.mask, settings)
            return pairs.composite(from_model(from_vae(result), sample.anchor), shot.background, shot.mask)

        source = Source(save_role(out / clip.id, steady))
        made.append(make_clip(clip.id, {**clip.sources, "steady": source}, clip.licence))
    return made


def main(words: Sequence[str] | None = None) -> int:
    """Run the script."""
    try:
        given, config, index = parse(words, "stage2", __doc__, "paper-deflicker")
        expect(config, "deflicker")
        run_training(config, index, given.weights, given.out, given.start, teacher=given.teacher)
        # Every process has a whole model of its own from here on, and rewrites its share of the clips.
        model = load_checkpoint(given.out).to(best_device())
        size = size_named(config.size)
        settings = Settings(model.schedule.samplers[0], STEPS, config.seed, config.frames)
        codec = codec_of(size.kind, given.weights or size.source)
        state = PartialState(cpu=not torch.cuda.is_available())
        share = Index(index.clips[state.process_index :: state.num_processes], index.folder)
        task = model, codec, given.out / "steady", (config.height, config.width), settings
        rewrite(share, *task)
        state.wait_for_everyone()
        if state.is_main_process:
            write_index(given.out / "clips.jsonl", rewrite(index, *task))
    except HarmoVidError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
