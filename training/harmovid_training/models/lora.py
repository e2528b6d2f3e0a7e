"""Low-rank adapters (LoRA) on a backbone's attention; the widened patch embedding is trained in full.

The new input channels start at zero and have no pretrained weights to adapt, so a low-rank update would not be enough.
"""

from __future__ import annotations

from typing import Any

from peft import LoraConfig

from harmovid_training.models.model import ConditionedModel

TARGETS = ["to_q", "to_k", "to_v", "to_out.0"]
"""The attention's projections, named alike in CogVideoX and Wan."""


def add_lora(model: ConditionedModel, rank: int) -> None:
    """Freeze the model except the patch embedding, and add trainable adapters of `rank` (scale 1)."""
    transformer: Any = model.backbone.transformer
    transformer.requires_grad_(False)
    transformer.add_adapter(
        LoraConfig(r=rank, lora_alpha=rank, init_lora_weights=True, target_modules=TARGETS)
    )
    model.backbone.patch_embedding.requires_grad_(True)
