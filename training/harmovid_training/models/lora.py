"""Low-rank adapters (LoRA) on a backbone's attention, with the widened patch embedding trained whole.

The new input channels start at zero and have no pretrained weights to adapt, so they need all their freedom.
"""

from __future__ import annotations

from typing import Any

from peft import LoraConfig

from harmovid_training.models.model import ConditionedModel

TARGETS = ["to_q", "to_k", "to_v", "to_out.0"]
"""The attention's projections, named alike in CogVideoX and Wan."""


def add_lora(model: ConditionedModel, rank: int) -> None:
    """Freeze the model, add adapters of `rank` (scale 1), and leave them and the patch embedding to be trained."""
    transformer: Any = model.backbone.transformer
    transformer.requires_grad_(False)
    transformer.add_adapter(
        LoraConfig(r=rank, lora_alpha=rank, init_lora_weights=True, target_modules=TARGETS)
    )
    model.backbone.patch_embedding.requires_grad_(True)
