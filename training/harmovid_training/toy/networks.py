"""The toy's transformers: of CogVideoX's class, from random weights."""

from __future__ import annotations

import torch
from diffusers import CogVideoXTransformer3DModel

from harmovid_training.models.cogvideox import SCHEDULER, CogVideoX
from harmovid_training.models.conditioning import Conditioning
from harmovid_training.models.model import ConditionedModel
from harmovid_training.toy.codec import CHANNELS, SPATIAL

ONE_STEP_TIME = 99
"""A low noise time: nothing is pretrained here, and 0.94 of the composite is a good first estimate."""


def make_model(
    conditioning: Conditioning, height: int, width: int, frames: int, seed: int
) -> ConditionedModel:
    """Return a conditioned transformer with random weights; its prompt is two zero tokens."""
    torch.manual_seed(seed)
    transformer = CogVideoXTransformer3DModel(
        num_attention_heads=6, attention_head_dim=32, in_channels=CHANNELS, out_channels=CHANNELS,
        time_embed_dim=128, text_embed_dim=8, num_layers=3, sample_width=width // SPATIAL,
        sample_height=height // SPATIAL, sample_frames=frames, max_text_seq_length=2,
        use_rotary_positional_embeddings=True,
    )  # fmt: skip
    backbone = CogVideoX(transformer, SCHEDULER, spatial=SPATIAL, one_step_time=ONE_STEP_TIME)
    model = ConditionedModel(backbone, conditioning, torch.zeros(1, *backbone.text_shape))
    # Nothing here is pretrained, so the weights of the conditions start at random like the rest.
    torch.nn.init.xavier_uniform_(model.backbone.patch_embedding.weight.flatten(1))  # type: ignore[operator, union-attr]
    # The last layer starts at zero, so the first prediction is "no change" (as in Peebles and Xie 2023).
    torch.nn.init.zeros_(transformer.proj_out.weight)
    torch.nn.init.zeros_(transformer.proj_out.bias)
    return model
