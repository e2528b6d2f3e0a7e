"""Tiny random models and VAEs that run in milliseconds, 4 x 4 pixels per latent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLCogVideoX, AutoencoderKLWan, CogVideoXDDIMScheduler, CogVideoXPipeline
from harmovid_training.models.codec import Codec, CogVideoXCodec, WanCodec
from harmovid_training.models.cogvideox import SCHEDULER
from harmovid_training.models.conditioning import HARMOVID, Conditioning
from harmovid_training.models.model import ConditionedModel
from harmovid_training.models.sizes import make
from transformers import T5Config, T5EncoderModel, T5TokenizerFast


def tiny_codec(size: str = "tiny-2b") -> Codec:
    """Return a VAE of the size's kind, the same each time."""
    torch.manual_seed(0)
    if size == "tiny-wan":
        return WanCodec(
            AutoencoderKLWan(
                base_dim=4, z_dim=4, dim_mult=[1, 1, 1], num_res_blocks=1, temperal_downsample=[True, True],
                latents_mean=[0.0] * 4, latents_std=[1.0] * 4, scale_factor_spatial=4,
            )
        )  # fmt: skip
    return CogVideoXCodec(
        AutoencoderKLCogVideoX(
            down_block_types=("CogVideoXDownBlock3D",) * 3, up_block_types=("CogVideoXUpBlock3D",) * 3,
            block_out_channels=(4, 8, 8), latent_channels=4, layers_per_block=1, norm_num_groups=2,
        )
    )  # fmt: skip


def tiny_model(
    size: str = "tiny-2b", conditioning: Conditioning = HARMOVID, **changes: Any
) -> ConditionedModel:
    """Return a conditioned model with random weights, the same each time; its conditions do count.

    Args:
        changes: further entries of the transformer's configuration.
    """
    torch.manual_seed(0)
    backbone = make(size, **changes)
    made = ConditionedModel(backbone, conditioning, torch.randn(1, *backbone.text_shape)).eval()
    torch.nn.init.normal_(made.backbone.patch_embedding.weight, std=0.1)
    return made


def save_tiny_weights(folder: Path) -> None:
    """Write random weights of the size tiny-5b in the layout of the public models: what a training needs."""
    torch.manual_seed(0)
    scheduler = CogVideoXDDIMScheduler.from_config(SCHEDULER)
    CogVideoXPipeline(None, None, tiny_codec().vae, make("tiny-5b").transformer, scheduler).save_pretrained(
        folder
    )
    text = T5Config(d_model=8, d_kv=4, d_ff=16, num_layers=1, num_heads=2, vocab_size=32)
    T5EncoderModel(text).save_pretrained(folder / "text_encoder")


def tiny_text_to_video() -> CogVideoXPipeline:
    """Return a random text-to-video pipeline of the real classes, the same each time; it knows one word."""
    torch.manual_seed(0)
    words = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -2.0), ("\u2581", -1.0), ("light", -3.0)]
    text = T5Config(d_model=8, d_kv=4, d_ff=16, num_layers=1, num_heads=2, vocab_size=len(words))
    transformer = make("tiny-5b", max_text_seq_length=226).transformer
    return CogVideoXPipeline(
        T5TokenizerFast(vocab=words), T5EncoderModel(text), tiny_codec().vae, transformer,
        CogVideoXDDIMScheduler.from_config(SCHEDULER),
    )  # fmt: skip
