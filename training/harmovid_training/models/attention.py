"""The attention of CogVideoX's blocks without writes into slices, so that it can be exported and compiled.

    transformer.set_attn_processor(JointAttention())

It computes the same products in the same order as diffusers' `CogVideoXAttnProcessor2_0`, with bit-identical results.
That one rotates queries and keys by writing into a slice, which becomes a scatter in an ONNX graph.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.embeddings import apply_rotary_emb
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention


class JointAttention:
    """Attention of text and picture tokens over each other; only picture tokens are rotated."""

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        image_rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return the new picture and text tokens, in the shapes of the given ones.

        Args:
            attn: the block's attention with its projections and norms.
            hidden_states: `(B, tokens, width)` of the pictures.
            encoder_hidden_states: `(B, text, width)`.
            attention_mask: not used by CogVideoX.
            image_rotary_emb: cosine and sine, `(tokens, head size)` each; None for models without.
        """
        text = encoder_hidden_states.shape[1]
        together = torch.cat([encoder_hidden_states, hidden_states], dim=1)
        query = attn.norm_q(_heads(attn.to_q(together), attn.heads))
        key = attn.norm_k(_heads(attn.to_k(together), attn.heads))
        value = _heads(attn.to_v(together), attn.heads)
        if image_rotary_emb is not None:
            query, key = (_rotated(one, text, image_rotary_emb) for one in (query, key))
        mixed = scaled_dot_product_attention(query, key, value, attn_mask=attention_mask)
        mixed = attn.to_out[1](attn.to_out[0](mixed.transpose(1, 2).flatten(2)))
        return mixed[:, text:], mixed[:, :text]


def _heads(tokens: Tensor, heads: int) -> Tensor:
    """Return `(B, heads, tokens, head size)` of `(B, tokens, width)`."""
    batch, count, width = tokens.shape
    return tokens.view(batch, count, heads, width // heads).transpose(1, 2)


def _rotated(tokens: Tensor, text: int, rotary: tuple[Tensor, Tensor]) -> Tensor:
    """Return the tokens with those after the first `text` rotated."""
    return torch.cat([tokens[:, :, :text], apply_rotary_emb(tokens[:, :, text:], rotary)], dim=2)
