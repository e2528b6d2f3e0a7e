"""One training run from a clip index to a checkpoint: the code shared by the scripts of the stages.

run_training(config, index, source, out)
"""

from __future__ import annotations

import argparse
import os
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, Sequence

import numpy as np
import torch
from accelerate import PartialState
from harmovid.errors import InputError, OptionError
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.utils.tensorboard import SummaryWriter

from harmovid_training.clips.index import Index, read_index
from harmovid_training.device import best_device, inference_dtype, process_state
from harmovid_training.inference.shot import Settings, run_clip
from harmovid_training.models.checkpoint import Card, load_checkpoint, read_config, save_checkpoint
from harmovid_training.models.codec import Codec, CogVideoXCodec, WanCodec
from harmovid_training.models.conditioning import CONDITIONINGS
from harmovid_training.models.model import ConditionedModel
from harmovid_training.models.public import public_weights
from harmovid_training.models.sizes import load, size_named
from harmovid_training.models.space import CONTRACTS
from harmovid_training.models.text import empty_prompt
from harmovid_training.stages import objectives
from harmovid_training.stages.batches import Encoded, PrefetchedBatches
from harmovid_training.stages.config import CONFIGS, TrainConfig
from harmovid_training.stages.dataset import IndexSamples
from harmovid_training.stages.grids import grid, save_picture
from harmovid_training.stages.objectives import Objective
from harmovid_training.stages.teacher import TeacherBatches
from harmovid_training.stages.train import Batches, train

TAIL = 20
"""Number of last steps whose mean loss is in the model card."""

TEACHER_STEPS = 50
"""Sampler steps of a teacher: CogVideoX's own default."""

VALIDATION_STEPS = 8
"""Sampler steps of a validation picture; few, so that validation is cheap."""


def build(
    config: TrainConfig, source: str, cache: Path, state: PartialState, start: Path | None = None
) -> tuple[ConditionedModel, Codec]:
    """Return the model, conditioned, and its VAE on this process's device; weights in float32, for mixed precision.

    Args:
        source: name or folder of the public weights, see `source_of`.
        cache: folder for the empty prompt's embedding.
        state: this process's rank and device. The first process encodes the prompt and, where FSDP shards the weights,
            is the only one that reads them.
        start: checkpoint of ours to start from.
    """
    chosen, kind = source_of(config, source, start)
    empty = sent_weights() and not state.is_main_process
    if start is not None:
        model = network_of(start, config.conditioning, empty=empty)
    else:
        backbone = load(config.size, chosen, torch.float32, empty)
        with state.main_process_first():
            text = empty_prompt(kind, chosen, backbone.text_shape[0], cache)
        model = ConditionedModel(backbone, CONDITIONINGS[config.conditioning], text)
    model.space = config.space
    return model, codec_of(kind, chosen)


def source_of(config: TrainConfig, source: str, checkpoint: Path | None = None) -> tuple[str, str]:
    """Return name or folder of the public weights, and the backbone's kind.

    A VAE's latents have a scale of their own: a run that starts from a checkpoint takes the VAE of its base.

    Args:
        source: as given; where it is empty, the checkpoint's base or that of the configuration's size.
    """
    size = size_named(config.size)
    if checkpoint is None:
        return source or size.source, size.kind
    known = read_config(checkpoint)
    return source or known.get("base") or size.source, str(known["kind"])


def network_of(
    folder: Path, conditioning: str, dtype: torch.dtype = torch.float32, empty: bool = False
) -> ConditionedModel:
    """Return the model of a checkpoint that must have this conditioning.

    Raises:
        InputError: see `load_checkpoint`, or it is the other network.
    """
    found = read_config(folder)["conditioning"]
    if found != conditioning:
        raise InputError(f"{folder} is a {found} network, and a {conditioning} network is needed.")
    return load_checkpoint(folder, dtype, empty)


def sent_weights() -> bool:
    """Return whether Accelerate sends the weights that the first process has read to all others."""
    words = ("ACCELERATE_USE_FSDP", "FSDP_CPU_RAM_EFFICIENT_LOADING")
    return all(os.environ.get(word, "").lower() in ("1", "true") for word in words)


def codec_of(kind: str, source: str) -> Codec:
    """Return the VAE of a backbone's kind, on this process's own GPU where there is one.

    Raises:
        InputError: the name or the folder holds no such VAE.
    """
    device = best_device()
    with public_weights(
        source, "a model with a VAE", "Give a folder in diffusers' layout, or the model's name."
    ):
        made: Codec = (WanCodec if kind == "wan" else CogVideoXCodec).from_pretrained(
            source, inference_dtype(device)
        )
    made.vae.to(device)
    return made


def run_training(
    config: TrainConfig,
    index: Index,
    source: str,
    out: Path,
    start: Path | None = None,
    progress: bool = True,
    teacher: Path | None = None,
) -> ConditionedModel:
    """Train from an index, write the checkpoint to `out`, and return the model. A stopped run resumes.

    Args:
        start: checkpoint of ours to start from, for a student or a second training.
        teacher: checkpoint of ours whose samples are a student's targets; without one those of the pairs.

    Raises:
        InputError: a teacher is given but the run is not a student's, a checkpoint has another conditioning, or the
            backbone does not take clips of this length or size.
    """
    state = process_state()
    samples = IndexSamples(index, config)  # before the weights, as it refuses clips
    model, codec = build(config, source, out / "cache", state, start)
    model.geometry.latents(config.frames)
    model.geometry.latent_size(config.height, config.width)
    encoded = Encoded(samples, codec, model.conditioning, model.geometry)
    rank, world = state.process_index, state.num_processes
    batches: Batches = PrefetchedBatches(
        encoded, config.iterations, config.batch, config.accumulate, rank, world, config.workers
    )
    if teacher is not None:
        batches = TeacherBatches(batches, *_teacher(teacher, config))
    look = Validation(samples, codec, config, out / "grids")
    losses = train(config, model, batches, objective_of(config, codec), out, look, progress)
    card = Card(
        training=asdict(config),
        data=index.licences,
        data_hash=index.hash,
        metrics={**_tail(losses), **look.metrics},
        base=source_of(config, source, start)[0],
        base_source=source_of(config, source, start)[0],
    )
    weights: Any = get_model_state_dict(
        model.backbone.transformer, options=StateDictOptions(full_state_dict=True, cpu_offload=True)
    )
    if state.is_main_process:
        save_checkpoint(out, model, card, weights)
    state.wait_for_everyone()
    return model


def _teacher(folder: Path, config: TrainConfig) -> tuple[ConditionedModel, Settings]:
    if config.objective == "diffusion":
        raise InputError(f"{config.name} is no student.", fix="Use --teacher with --config student-latent.")
    device = best_device()
    made = network_of(folder, config.conditioning, inference_dtype(device))
    settings = Settings(made.schedule.samplers[0], TEACHER_STEPS, config.seed, config.frames)
    return made.to(device), settings


def objective_of(config: TrainConfig, codec: Codec) -> Objective:
    """Return a configuration's loss."""
    known: dict[str, Objective] = {
        "diffusion": objectives.diffusion,
        "latent": objectives.latent_regression,
        "pixel": objectives.pixel_regression(codec, config.crop),
    }
    return known[config.objective]


def _tail(losses: Sequence[float]) -> dict[str, float]:
    """Return the training loss for the model card; nothing where the run had already ended."""
    last = losses[-TAIL:]
    return {f"training loss, mean of the last {len(last)} steps": sum(last) / len(last)} if last else {}


class Validation:
    """Writes composite, result and target of sample 0, five frames each, to TensorBoard and `grids/step-000200.png`.

    Attributes:
        metrics: of the newest result, for the model card.
    """

    def __init__(self, samples: IndexSamples, codec: Codec, config: TrainConfig, folder: Path) -> None:
        self._samples, self._codec, self._config, self._folder = samples, codec, config, folder
        self.metrics: dict[str, float] = {}

    def __call__(self, model: ConditionedModel, step: int, writer: SummaryWriter | None) -> None:
        """See `train.Validate`."""
        sample = self._samples(0)
        settings = Settings(model.schedule.samplers[0], VALIDATION_STEPS, 0, self._config.frames)
        if self._config.objective != "diffusion":
            settings = replace(settings, sampler="one-step", steps=1)
        made = run_clip(model, self._codec, sample.pictures, sample.mask, settings)
        picture: Any = grid([sample.pictures["composite"], made, sample.target], sample.space)
        error = float(np.square(made - sample.target).mean())
        self.metrics = {"square error of sample 0, a training clip, in the VAE's range": error}
        if writer is not None:
            writer.add_image("composite, result, target", picture, step, dataformats="HWC")
            writer.add_scalar("square error of sample 0", error, step)
            save_picture(self._folder / f"step-{step:06d}.png", picture)


def grammar(prog: str, about: str | None, config: str) -> argparse.ArgumentParser:
    """Return a parser with the arguments that all training scripts have."""
    parser = argparse.ArgumentParser(
        prog=prog, description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--index", type=Path, required=True, help="clip index (JSON lines)")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run and its checkpoint")
    parser.add_argument("--config", default=config, help=f"one of: {', '.join(CONFIGS)}")
    parser.add_argument("--weights", default="", help="name or folder of the pretrained weights")
    parser.add_argument("--start", type=Path, help="checkpoint of ours to begin from")
    parser.add_argument(
        "--teacher", type=Path, help="checkpoint whose samples a student learns, not the pairs"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="change a setting, e.g. iterations=100",
    )
    return parser


def parsed(parser: argparse.ArgumentParser, words: Sequence[str] | None) -> tuple[Any, TrainConfig, Index]:
    """Return a script's arguments, the configuration they name, and the index.

    Raises:
        OptionError: no such configuration, or a setting that it does not have.
    """
    given = parser.parse_args(words)
    if given.config not in CONFIGS:
        raise OptionError(
            f"there is no configuration {given.config!r}.", fix=f"Use one of: {', '.join(CONFIGS)}."
        )
    return given, changed(CONFIGS[given.config], given.set), read_index(given.index)


CHOICES = {
    "precision": ("bf16", "no"),
    "space": tuple(CONTRACTS),
    "conditioning": tuple(CONDITIONINGS),
    "objective": ("diffusion", "latent", "pixel"),
    "steady": ("steady", "synthetic"),
}
"""The values of settings that are words."""


def changed(config: TrainConfig, settings: Sequence[str]) -> TrainConfig:
    """Return a configuration with `name=value` settings changed.

    Raises:
        OptionError: no such setting, or a value that it does not take.
    """
    kinds = {field.name: type(getattr(config, field.name)) for field in fields(config)}
    for setting in settings:
        name, _, value = setting.partition("=")
        if name not in kinds:
            raise OptionError(f"there is no setting {name!r}.", fix=f"Known: {', '.join(kinds)}.")
        try:
            made = value.lower() in ("1", "true", "yes") if kinds[name] is bool else kinds[name](value)
        except ValueError as error:
            raise OptionError(f"{name} takes {kinds[name].__name__}, not {value!r}.") from error
        if made not in CHOICES.get(name, (made,)):
            raise OptionError(f"{name} is no {value!r}.", fix=f"Use one of: {', '.join(CHOICES[name])}.")
        values: dict[str, Any] = {name: made}
        config = replace(config, **values)
    return config


def expect(config: TrainConfig, conditioning: str) -> None:
    """Check that a configuration is for this network.

    Raises:
        InputError: it is for the other one.
    """
    if config.conditioning != conditioning:
        raise InputError(f"{config.name} trains the {config.conditioning} network, not {conditioning}.")
