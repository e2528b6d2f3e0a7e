"""Counts for a model size on the meta device: parameters, tokens, FLOPs and activation memory.

    counts = count_step("cogvideox-5b", HARMOVID, latents=21, height=480, width=720, training=True)

FLOPs are those of matrix products and attention (torch's FlopCounterMode), two per multiply-add. Activation memory is
the sum of the tensors that autograd keeps for the backward pass, without attention matrices, which fused kernels do not
keep. With checkpointing it is the input of each block; the peak is higher by one block's own activations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from harmovid_training.inference.shot import Settings
from harmovid_training.inference.windows import over_windows
from harmovid_training.models.cogvideox import CogVideoX
from harmovid_training.models.conditioning import Conditioning
from harmovid_training.models.model import ConditionedModel, diffusion_loss
from harmovid_training.models.sizes import make


@dataclass(frozen=True)
class Counts:
    """One step of one clip.

    Attributes:
        parameters: of the widened transformer.
        tokens: picture and text tokens in one attention.
        flops: of the step: forward only, or forward and backward.
        saved_bytes: kept for the backward pass; 0 without training.
        state_bytes: of the optimizer after its step; 0 without training.
    """

    parameters: int
    tokens: int
    flops: int
    saved_bytes: int
    state_bytes: int = 0


def meta_model(name: str, conditioning: Conditioning) -> ConditionedModel:
    """Return a model of a size whose tensors have shapes and no values, in bfloat16."""
    backbone = make(name, device="meta")
    text = torch.empty((1, *backbone.text_shape), device="meta")
    return ConditionedModel(backbone, conditioning, text).to(torch.bfloat16)


def count_step(
    name: str,
    conditioning: Conditioning,
    *,
    latents: int,
    height: int,
    width: int,
    training: bool = False,
    checkpointing: bool = False,
) -> Counts:
    """Count one forward pass, or one whole training step: the loop's loss, its backward pass, and AdamW's step.

    Args:
        latents: length of the window in latents.
        height, width: of the pictures, in pixels.
        checkpointing: whether blocks are recomputed in the backward pass.
    """
    model = meta_model(name, conditioning)
    geometry = model.geometry
    if checkpointing:
        model.backbone.gradient_checkpointing()
    padded = latents + geometry.front_padding(latents)
    rows, columns = geometry.latent_size(height, width)
    shape = (1, geometry.channels, padded, rows, columns)
    clean, noise = (torch.empty(shape, device="meta", dtype=torch.bfloat16) for _ in range(2))
    extra = conditioning.channels(geometry) - geometry.channels
    conditions = torch.empty((1, extra, *shape[2:]), device="meta", dtype=torch.bfloat16)
    text_tokens = model.text.shape[1] if isinstance(model.backbone, CogVideoX) else 0
    tokens = geometry.tokens(latents, height, width) + text_tokens
    keep, state = _Saved(model, tokens), 0
    with FlopCounterMode(display=False) as counter, torch.set_grad_enabled(training), keep:
        if training:
            times = torch.zeros(1, dtype=torch.long, device="meta")
            torch.autograd.backward(diffusion_loss(model, clean, conditions, noise, times))
            state = _optimized(model)
        else:
            model(clean, conditions, torch.zeros(1, device="meta"))
    return Counts(
        parameters=sum(weight.numel() for weight in model.parameters()),
        tokens=tokens,
        flops=int(counter.get_total_flops()),
        saved_bytes=keep.bytes if training else 0,
        state_bytes=state,
    )


@dataclass(frozen=True)
class LongStep:
    """One sampler step of a whole shot through MultiDiffusion.

    Attributes:
        windows: forward passes.
        flops: of all of them.
        held_bytes: what is kept for the whole shot: latents and conditions, in float32 on the host.
    """

    windows: int
    flops: int
    held_bytes: int


@torch.no_grad()
def count_multidiffusion(
    name: str, conditioning: Conditioning, *, frames: int, settings: Settings, height: int, width: int
) -> LongStep:
    """Run one step of a shot of `frames` frames on the meta device: every window's prediction, their average, and the
    sampler's update of the whole timeline.

    Without values, windows of one length differ in nothing: the network runs on the first, and counts for the others.
    """
    model = meta_model(name, conditioning)
    geometry = model.geometry
    total = geometry.latents(geometry.legal_frames(frames))
    total += geometry.front_padding(total)
    shape = (1, geometry.channels, total, *geometry.latent_size(height, width))
    timeline = torch.empty(shape, device="meta")
    extra = conditioning.channels(geometry) - geometry.channels
    conditions = torch.empty((1, extra, *shape[2:]), device="meta")
    windows = settings.windows(geometry, total)
    sampler = model.schedule.sampler(settings.sampler, settings.steps)
    answers: dict[torch.Size, tuple[Tensor, int]] = {}
    repeated = 0

    def first_of_its_length(noisy: Tensor, conditions: Tensor, timesteps: Tensor) -> Tensor:
        nonlocal repeated
        if noisy.shape in answers:
            repeated += answers[noisy.shape][1]
        else:
            before = counter.get_total_flops()
            answer = model(noisy, conditions, timesteps)
            answers[noisy.shape] = answer, int(counter.get_total_flops() - before)
        return answers[noisy.shape][0]

    predict = over_windows(first_of_its_length, conditions, windows, "meta")
    with FlopCounterMode(display=False) as counter:
        moved = sampler.step(0, predict(timeline, sampler.times[:1]), timeline)
    held = (2 * moved.numel() + conditions.numel()) * moved.element_size()
    return LongStep(len(windows), int(counter.get_total_flops()) + repeated, held)


def _optimized(model: torch.nn.Module) -> int:
    """Take AdamW's step and return the size of its averages."""
    optimizer = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad])
    optimizer.step()
    return sum(
        value.numel() * value.element_size()
        for held in optimizer.state.values()
        for name, value in held.items()
        if name != "step"
    )


class _Saved:
    """Adds up the tensors that autograd keeps, each once, without weights."""

    def __init__(self, model: torch.nn.Module, tokens: int) -> None:
        self.bytes = 0
        self._tokens = tokens
        self._seen = {id(weight) for weight in model.parameters()}
        self._alive: list[Tensor] = []
        self._hooks: Any = torch.autograd.graph.saved_tensors_hooks(self._pack, lambda kept: kept)

    def _pack(self, kept: Tensor) -> Tensor:
        base = kept if kept._base is None else kept._base
        attention = base.ndim >= 2 and base.shape[-1] == base.shape[-2] == self._tokens
        if id(base) not in self._seen and not attention:
            self._seen.add(id(base))
            self._alive.append(base)
            self.bytes += base.numel() * base.element_size()
        return kept

    def __enter__(self) -> None:
        self._hooks.__enter__()

    def __exit__(self, *error: object) -> None:
        self._hooks.__exit__(*error)
        self._alive.clear()
