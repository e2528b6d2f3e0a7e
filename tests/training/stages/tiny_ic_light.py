"""IC-Light with random weights: a Stable Diffusion pipeline of the real classes, and an offset that fits it."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from harmovid_training.models.widen import widened_conv
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer


def tiny_stable_diffusion(folder) -> None:
    """Save a random Stable Diffusion pipeline of the real classes."""
    torch.manual_seed(0)
    text = CLIPTextModel(
        CLIPTextConfig(
            hidden_size=8, intermediate_size=8, num_attention_heads=2, num_hidden_layers=1, vocab_size=8
        )
    )
    vocabulary = {
        "<|startoftext|>": 0,
        "<|endoftext|>": 1,
        "a": 2,
        "a</w>": 3,
        "b": 4,
        "b</w>": 5,
        "<unk>": 6,
    }
    tokenizer = CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=8)
    unet = UNet2DConditionModel(
        sample_size=2, block_out_channels=(8, 8), layers_per_block=1, cross_attention_dim=8, norm_num_groups=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=4,
    )  # fmt: skip
    vae = AutoencoderKL(
        block_out_channels=(4, 4, 4, 4), down_block_types=("DownEncoderBlock2D",) * 4, norm_num_groups=2,
        up_block_types=("UpDecoderBlock2D",) * 4, latent_channels=4, layers_per_block=1,
    )  # fmt: skip
    StableDiffusionPipeline(
        vae,
        text,
        tokenizer,
        unet,
        DDIMScheduler(steps_offset=1, clip_sample=False),
        None,
        None,
        requires_safety_checker=False,
    ).save_pretrained(folder)


def tiny_ic_light(folder: Path) -> tuple[Path, str]:
    """Write both; return the offset's file and the base's folder, as they are given to commands."""
    tiny_stable_diffusion(folder / "base")
    unet = UNet2DConditionModel.from_pretrained(folder / "base", subfolder="unet")
    unet.conv_in = widened_conv(unet.conv_in, 12, 4)
    torch.manual_seed(1)
    noise = {name: 0.1 * torch.randn_like(value) for name, value in unet.state_dict().items()}
    save_file(noise, folder / "offset.safetensors")
    return folder / "offset.safetensors", str(folder / "base")
