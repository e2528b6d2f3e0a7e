"""Model sizes: published configurations of the public backbones, and tiny random ones of the same classes for tests.

The published numbers are those of each model's `transformer/config.json`; parameter counts are checked against them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers import CogVideoXTransformer3DModel, WanTransformer3DModel
from harmovid.errors import OptionError

from harmovid_training.models.backbone import Backbone
from harmovid_training.models.cogvideox import SCHEDULER, CogVideoX
from harmovid_training.models.wan import Wan


@dataclass(frozen=True)
class Size:
    """A backbone that can be made without weights.

    Attributes:
        kind: `cogvideox` or `wan`.
        source: where the public weights are; empty for tiny ones.
        config: of the transformer; missing entries have the class's defaults.
        scheduler: entries that differ from the adapter's own scheduler.
        adapter: further arguments of the adapter.
    """

    kind: str
    source: str
    config: dict[str, Any]
    scheduler: dict[str, Any] = field(default_factory=dict)
    adapter: dict[str, Any] = field(default_factory=dict)


_FIVE_B = {"num_attention_heads": 48, "num_layers": 42, "use_rotary_positional_embeddings": True}
_ONE_POINT_FIVE = {
    **_FIVE_B, "patch_size_t": 2, "patch_bias": False, "sample_height": 300, "sample_width": 300, "sample_frames": 81,
}  # fmt: skip
_SMALL = {"spatial": 4}
_TINY_COG = {
    "num_attention_heads": 2, "attention_head_dim": 16, "in_channels": 4, "out_channels": 4, "time_embed_dim": 16,
    "text_embed_dim": 8, "num_layers": 2, "sample_width": 8, "sample_height": 8, "sample_frames": 9,
    "max_text_seq_length": 8, "patch_size": 2, "temporal_compression_ratio": 4,
}  # fmt: skip
_TINY_WAN = {
    "num_attention_heads": 2, "attention_head_dim": 12, "in_channels": 4, "out_channels": 4, "text_dim": 8,
    "freq_dim": 16, "ffn_dim": 32, "num_layers": 2, "rope_max_seq_len": 64,
}  # fmt: skip

SIZES = {
    "cogvideox-2b": Size("cogvideox", "THUDM/CogVideoX-2b", {}, {"snr_shift_scale": 3.0}),
    "cogvideox-5b": Size("cogvideox", "THUDM/CogVideoX-5b", _FIVE_B),
    "cogvideox-5b-i2v": Size(
        "cogvideox", "THUDM/CogVideoX-5b-I2V",
        {**_FIVE_B, "in_channels": 32, "use_learned_positional_embeddings": True},
    ),
    "cogvideox-1.5-5b": Size("cogvideox", "THUDM/CogVideoX1.5-5B", _ONE_POINT_FIVE),
    "cogvideox-1.5-5b-i2v": Size(
        "cogvideox", "THUDM/CogVideoX1.5-5B-I2V", {**_ONE_POINT_FIVE, "in_channels": 32, "ofs_embed_dim": 512}
    ),
    "wan-2.1-1.3b": Size(
        "wan", "Wan-AI/Wan2.1-T2V-1.3B-Diffusers", {"num_attention_heads": 12, "ffn_dim": 8960, "num_layers": 30}
    ),
    "wan-2.1-14b": Size("wan", "Wan-AI/Wan2.1-T2V-14B-Diffusers", {}),
    "wan-2.2-5b": Size(
        "wan", "Wan-AI/Wan2.2-TI2V-5B-Diffusers",
        {"num_attention_heads": 24, "ffn_dim": 14336, "num_layers": 30, "in_channels": 48, "out_channels": 48},
        adapter={"spatial": 16, "per_token_time": True},
    ),
    "tiny-2b": Size("cogvideox", "", _TINY_COG, adapter=_SMALL),
    "tiny-5b": Size("cogvideox", "", {**_TINY_COG, "use_rotary_positional_embeddings": True}, adapter=_SMALL),
    "tiny-5b-i2v": Size(
        "cogvideox", "",
        {
            **_TINY_COG, "in_channels": 8,
            "use_rotary_positional_embeddings": True, "use_learned_positional_embeddings": True,
        },
        adapter=_SMALL,
    ),
    "tiny-1.5": Size(
        "cogvideox", "", {**_TINY_COG, "use_rotary_positional_embeddings": True, "patch_size_t": 2}, adapter=_SMALL
    ),
    "tiny-1.5-i2v": Size(
        "cogvideox", "",
        {
            **_TINY_COG, "in_channels": 8, "ofs_embed_dim": 16,
            "use_rotary_positional_embeddings": True, "patch_size_t": 2,
        },
        adapter=_SMALL,
    ),
    "tiny-wan": Size("wan", "", _TINY_WAN, adapter=_SMALL),
    "tiny-wan-2.2": Size("wan", "", _TINY_WAN, adapter={"spatial": 16, "per_token_time": True}),
}  # fmt: skip


def size_named(name: str) -> Size:
    """Return a size.

    Raises:
        OptionError: no such name.
    """
    if name not in SIZES:
        raise OptionError(f"there is no model size {name!r}.", fix=f"Use one of: {', '.join(SIZES)}.")
    return SIZES[name]


def make(name: str, device: str = "cpu", **changes: Any) -> Backbone:
    """Return a backbone with random weights; on `meta` it holds shapes only.

    Args:
        changes: further entries of the transformer's configuration.
    """
    size = size_named(name)
    config = {**size.config, **changes}
    with torch.device(device):
        if size.kind == "wan":
            return Wan(WanTransformer3DModel(**config), **size.adapter)
        return CogVideoX(
            CogVideoXTransformer3DModel(**config), {**SCHEDULER, **size.scheduler}, **size.adapter
        )


def load(name: str, source: str = "", dtype: torch.dtype = torch.bfloat16, empty: bool = False) -> Backbone:
    """Return a backbone with the public weights of a size, from `source` (a name or folder) if given.

    Args:
        empty: without the weights, see `backbone.loaded`.
    """
    size = size_named(name)
    adapter = Wan if size.kind == "wan" else CogVideoX
    return adapter.from_pretrained(source or size.source, dtype, empty)
