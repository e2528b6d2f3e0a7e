"""The toy's own networks, of the real classes: a causal video VAE and a CogVideoX transformer, both from
random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

import torch
from diffusers import AutoencoderKLCogVideoX, CogVideoXTransformer3DModel
from torch import Tensor
from tqdm import tqdm

from harmovid_training.models.codec import CogVideoXCodec
from harmovid_training.models.cogvideox import SCHEDULER, CogVideoX
from harmovid_training.models.conditioning import Conditioning
from harmovid_training.models.model import ConditionedModel

LATENT_CHANNELS = 8
SPATIAL = 4
KL_WEIGHT = 1e-4
"""A light hand: the latents need to be smooth and near unit size, not Gaussian."""

DETAIL_WEIGHT = 0.5
"""Of the error of horizontal and vertical differences, which keeps edges."""


def make_vae(scale: float = 1.0) -> AutoencoderKLCogVideoX:
    """Return a VAE of CogVideoX's class: 4 x 4 pixels and 4 frames per latent, 8 channels."""
    return AutoencoderKLCogVideoX(
        down_block_types=("CogVideoXDownBlock3D",) * 3, up_block_types=("CogVideoXUpBlock3D",) * 3,
        block_out_channels=(16, 32, 48), latent_channels=LATENT_CHANNELS, layers_per_block=1, norm_num_groups=8,
        scaling_factor=scale,
    )  # fmt: skip


def train_vae(
    clips: Callable[[int], Tensor], steps: int, learning_rate: float = 2e-3
) -> AutoencoderKLCogVideoX:
    """Return a VAE trained from nothing, its scale set so that latents have unit deviation.

    Args:
        clips: gives the batch `(B, 3, T, H, W)` in the VAE's range for a step's number.
    """
    vae = make_vae()
    optimizer = torch.optim.AdamW(vae.parameters(), learning_rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=steps, pct_start=0.1)
    noise = torch.Generator().manual_seed(0)
    bar = tqdm(range(steps), desc="vae")
    for step in bar:
        video = clips(step)
        posterior = vae.encode(video).latent_dist
        made = vae.decode(posterior.sample(generator=noise)).sample
        loss = _error(made, video) + KL_WEIGHT * posterior.kl().mean() / posterior.mean[0].numel()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        bar.set_postfix(loss=f"{loss.item():.4f}")
    with torch.no_grad():
        deviation = float(vae.eval().encode(clips(0)).latent_dist.mean.std())
    vae.register_to_config(scaling_factor=1 / deviation)
    return vae


def _error(made: Tensor, video: Tensor) -> Tensor:
    plain = (made - video).abs().mean()
    sides = (made.diff(dim=-1) - video.diff(dim=-1)).abs().mean() + (
        made.diff(dim=-2) - video.diff(dim=-2)
    ).abs().mean()
    return plain + DETAIL_WEIGHT * sides


def codec_in(folder: Path) -> CogVideoXCodec:
    """Return the trained VAE of a folder as a codec."""
    return CogVideoXCodec(AutoencoderKLCogVideoX.from_pretrained(folder))


def make_model(
    conditioning: Conditioning, height: int, width: int, frames: int, seed: int
) -> ConditionedModel:
    """Return a conditioned transformer of CogVideoX's class with random weights; its prompt is two zero tokens."""
    torch.manual_seed(seed)
    transformer = CogVideoXTransformer3DModel(
        num_attention_heads=4, attention_head_dim=32, in_channels=LATENT_CHANNELS, out_channels=LATENT_CHANNELS,
        time_embed_dim=128, text_embed_dim=8, num_layers=6, sample_width=width // SPATIAL,
        sample_height=height // SPATIAL, sample_frames=frames, max_text_seq_length=2,
        use_rotary_positional_embeddings=True,
    )  # fmt: skip
    backbone = CogVideoX(transformer, SCHEDULER, spatial=SPATIAL)
    model = ConditionedModel(backbone, conditioning, torch.zeros(1, *backbone.text_shape))
    # Nothing here is pretrained, so the conditions start as alive as the rest.
    torch.nn.init.xavier_uniform_(model.backbone.patch_embedding.weight.flatten(1))  # type: ignore[operator, union-attr]
    return model
