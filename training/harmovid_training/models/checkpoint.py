"""A trained model as a folder: safetensors, a configuration that rebuilds it, and a model card for people.

save_checkpoint(folder, model, weights, card)
model = load_checkpoint(folder)

config.json           adapter, transformer, scheduler, conditioning, base model, LoRA rank, colour contract, digest
model.safetensors     the whole transformer, or with LoRA what was trained
text.safetensors      the empty prompt's embedding
README.md             the model card
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Mapping

import diffusers
import torch
from harmovid.errors import InputError
from safetensors import SafetensorError, safe_open
from torch import Tensor

from harmovid_training.files import first_line, read_tensors, save_json, save_tensors, save_text
from harmovid_training.models.backbone import Backbone, without_weights
from harmovid_training.models.cogvideox import CogVideoX
from harmovid_training.models.conditioning import CONDITIONINGS
from harmovid_training.models.model import ConditionedModel
from harmovid_training.models.space import ACESCCT, CONTRACTS
from harmovid_training.models.wan import Wan

FORMAT = 1
"""Version of the folder's layout."""

KINDS = ("cogvideox", "wan")
"""Of backbones."""

FILES = ("model.safetensors", "text.safetensors")
"""Tensors of a checkpoint."""

MARK = "weights"
"""Name under which its configuration and its files of tensors hold the digest of its weights."""


@dataclass(frozen=True)
class Card:
    """The contents of a model card besides the configuration.

    Attributes:
        training: the run's settings.
        data: what it was trained on, one line per source with its licence.
        data_hash: of the clip index or of the generator's settings.
        metrics: results by name; the name says what was measured on which data.
        base: the pretrained model and its licence; empty for a model trained from random weights.
        base_source: name or folder of the base, whose VAE belongs to it; needed to rebuild a model with LoRA.
    """

    training: Mapping[str, Any]
    data: tuple[str, ...] = ()
    data_hash: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    base: str = ""
    base_source: str = ""


def save_checkpoint(
    folder: Path, model: ConditionedModel, card: Card, weights: Mapping[str, Tensor] | None = None
) -> None:
    """Write a checkpoint.

    Args:
        weights: of the transformer by name, for instance averaged ones; missing ones are taken from the model.
    """
    backbone = model.backbone
    rank = int(card.training.get("lora_rank", 0))
    own = {name: value for name, value in backbone.transformer.state_dict().items() if _stored(name, rank)}
    tensors = {name: (weights or {}).get(name, value).to(value.dtype) for name, value in own.items()}
    mark = {MARK: _digest(tensors)}
    for name, values in zip(FILES, (tensors, {"text": model.text})):
        save_tensors(folder / name, values, mark)
    save_json(folder / "config.json", {**_configuration(model, rank, card.base_source), **mark})
    save_text(folder / "README.md", _card_text(model, card))


def load_checkpoint(
    folder: Path, dtype: torch.dtype = torch.float32, empty: bool = False
) -> ConditionedModel:
    """Return the model of a checkpoint folder.

    Args:
        empty: with shapes and no weights, for a process that receives them from another one.

    Raises:
        InputError: the folder holds no checkpoint or one of another version, a file cannot be read, or the weights do
            not fit the configuration.
    """
    config = read_config(folder)
    _check_together(folder, config)
    try:
        rank = int(config["lora_rank"])
        # Without adapters all weights come from the file, so none are made before.
        backbone = _backbone(config, dtype, empty or not rank)
        text = _text(folder / "text.safetensors")
        model = ConditionedModel(backbone, CONDITIONINGS[config["conditioning"]], text)
    except (AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        raise InputError(
            f"the config.json of {folder} does not describe a network of ours: {error!r}."
        ) from error
    model.space = str(config.get("space", ACESCCT))
    if empty:
        return model.eval()
    if rank:
        from harmovid_training.models.lora import add_lora

        add_lora(model, rank)
    try:
        weights = read_tensors(folder / "model.safetensors", dtype)
        found = backbone.transformer.load_state_dict(weights, strict=False, assign=not rank)
    except RuntimeError as error:
        raise InputError(
            f"the weights of {folder} are of another network than its config.json: {first_line(error)}",
            fix="Do not mix files of two checkpoints.",
        ) from error
    missing = [name for name in found.missing_keys if _stored(name, rank)]
    if found.unexpected_keys or missing:
        raise InputError(
            f"the weights of {folder} do not fit its config.json: {', '.join([*found.unexpected_keys, *missing][:4])}."
        )
    return model.to(dtype).eval()


def _stored(name: str, rank: int) -> bool:
    """Return whether a checkpoint holds this weight: with LoRA only adapters and the patch embedding."""
    return not rank or "lora_" in name or "patch_embed" in name


def read_config(folder: Path) -> dict[str, Any]:
    """Return the content of a checkpoint's config.json.

    Raises:
        InputError: the folder holds no checkpoint, or one of another version.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise InputError(
            f"{folder} is no checkpoint: it has no config.json.", fix="Name a folder that training wrote."
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is damaged: {error}.", fix="Copy the checkpoint again.") from error
    if not isinstance(config, dict) or "conditioning" not in config:
        raise InputError(f"{path} is not of a checkpoint of ours.", fix="Name a folder that training wrote.")
    if config.get("format") != FORMAT:
        raise InputError(f"{folder} has the layout {config.get('format')}, this version reads {FORMAT}.")
    return config


def fingerprint(folder: Path) -> str:
    """Return a short SHA-256 of a checkpoint's weights and configuration, to recognise results made with it."""
    digest = hashlib.sha256()
    for name in ("config.json", "model.safetensors"):
        with (folder / name).open("rb") as file:
            while piece := file.read(1 << 24):
                digest.update(piece)
    return digest.hexdigest()[:12]


def _text(path: Path) -> Tensor:
    """Return the empty prompt's embedding."""
    tensors = read_tensors(path)
    if "text" not in tensors:
        raise InputError(f"{path} holds no prompt of ours.", fix="Copy the checkpoint again.")
    return tensors["text"]


def _check_together(folder: Path, config: Mapping[str, Any]) -> None:
    """Refuse files of two checkpoints, which would load where their networks have one shape.

    Raises:
        InputError: a file is of another checkpoint than the configuration.
    """
    for name in FILES:
        try:
            with safe_open(folder / name, "pt") as file:
                mark = (file.metadata() or {}).get(MARK)
        except (OSError, SafetensorError):
            continue  # told where its tensors are read
        if mark != config.get(MARK):
            raise InputError(
                f"{folder / name} is of another checkpoint than the config.json beside it.",
                fix="Copy the whole checkpoint again.",
            )


def _digest(tensors: Mapping[str, Tensor]) -> str:
    """Return a short SHA-256 of tensors and their names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def _configuration(model: ConditionedModel, rank: int, base: str) -> dict[str, Any]:
    backbone: Any = model.backbone
    schedule: Any = backbone.schedule
    transformer = {
        key: value for key, value in backbone.transformer.config.items() if not key.startswith("_")
    }
    adapter: dict[str, Any] = {"spatial": backbone.geometry.spatial}
    scheduler_class = ""
    if isinstance(backbone, Wan):
        adapter["per_token_time"] = backbone.per_token_time
        scheduler_class = schedule.scheduler.__name__
    else:
        adapter["one_step_time"] = schedule.one_step_time
    return {
        "format": FORMAT,
        "kind": "wan" if isinstance(backbone, Wan) else "cogvideox",
        "conditioning": model.conditioning.name,
        "prediction": model.schedule.prediction,
        "adapter": adapter,
        "transformer": transformer,
        "scheduler_class": scheduler_class,
        "scheduler": schedule.config,
        "lora_rank": rank,
        "base": base,
        "base_source": base if rank else "",
        "space": model.space,
        "colour": CONTRACTS[model.space],
    }


def _backbone(config: dict[str, Any], dtype: torch.dtype, empty: bool) -> Backbone:
    if config["kind"] not in KINDS:
        raise ValueError(f"there is no kind {config['kind']!r}")
    if config["kind"] == "wan":
        chosen = getattr(diffusers, config["scheduler_class"])
        if config["base_source"]:
            return Wan.from_pretrained(config["base_source"], dtype, empty)
        with without_weights(empty):
            bare = diffusers.WanTransformer3DModel(**config["transformer"])
        return Wan(bare, config["scheduler"], chosen, **config["adapter"])
    if config["base_source"]:
        return CogVideoX.from_pretrained(config["base_source"], dtype, empty)
    with without_weights(empty):
        plain = diffusers.CogVideoXTransformer3DModel(**config["transformer"])
    return CogVideoX(plain, config["scheduler"], **config["adapter"])


def _card_text(model: ConditionedModel, card: Card) -> str:
    count = sum(weight.numel() for weight in model.parameters())
    lines = [
        f"# HarmoVid checkpoint: {card.training.get('name', model.conditioning.name)}", "",
        f"- network: {model.conditioning.name}, {count / 1e6:.1f} M parameters, {model.schedule.prediction}",
        f"- base: {card.base or 'none, trained from random weights'}", "",
        "## Colour contract", "", *[f"- {key}: {value}" for key, value in CONTRACTS[model.space].items()], "",
        "## Data", "", *[f"- {line}" for line in card.data], f"- hash: {card.data_hash or 'not given'}", "",
        "## Metrics", "", *[f"- {name}: {value:.4f}" for name, value in card.metrics.items()], "",
        "## Training", "", *[f"- {key}: {value}" for key, value in card.training.items()], "",
    ]  # fmt: skip
    return "\n".join(lines)
