"""The embedding of the empty prompt, encoded once and kept: the text encoder (4.8 B parameters) is never needed again.

An empty prompt has the same token ids for every T5 and UMT5 tokenizer: the end-of-sequence token and padding. So no
tokenizer is loaded; a test compares with a real one. CogVideoX attends to all 226 encoded positions; Wan masks the
padding and sets its embedding to zero.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from harmovid.errors import InputError
from torch import Tensor
from transformers import PreTrainedModel, T5EncoderModel, UMT5EncoderModel

from harmovid_training.files import read_tensors, save_tensors
from harmovid_training.models.public import public_weights

PAD_ID, END_ID = 0, 1
"""Of T5 and UMT5 (their tokenizers' `pad_token_id` and `eos_token_id`)."""


@torch.no_grad()
def encode_empty(encoder: PreTrainedModel, length: int, masked: bool) -> Tensor:
    """Return `(1, length, width)`.

    Args:
        masked: as Wan does it: padding is not attended to and its embedding is zero.
    """
    ids = torch.full((1, length), PAD_ID)
    ids[0, 0] = END_ID
    if not masked:
        return torch.as_tensor(encoder(ids)[0])
    hidden = torch.as_tensor(encoder(ids, ids.ne(PAD_ID).long()).last_hidden_state)
    hidden[:, 1:] = 0
    return hidden


def empty_prompt(
    kind: str, source: str | Path, length: int, cache: Path, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Return the embedding for a backbone, from the cache or encoded with the model's own text encoder.

    Args:
        kind: `cogvideox` (T5) or `wan` (UMT5).
        source: name or folder that holds `text_encoder`.
        length: of the embedding, in tokens.
        cache: folder; one small safetensors file per model is kept there.

    Raises:
        InputError: there is no such backbone, or no text encoder in the source.
    """
    encoders = {"cogvideox": T5EncoderModel, "wan": UMT5EncoderModel}
    if kind not in encoders:
        raise InputError(f"there is no backbone {kind!r}.", fix=f"Use one of: {', '.join(encoders)}.")
    key = hashlib.sha256(f"{kind}\n{source}\n{length}".encode()).hexdigest()[:16]
    path = cache / f"empty-prompt-{kind}-{key}.safetensors"
    if not path.is_file():
        with public_weights(source, "a model with a T5 text encoder"):
            encoder = encoders[kind].from_pretrained(source, subfolder="text_encoder", dtype=dtype)
        save_tensors(
            path,
            {"text": encode_empty(encoder.eval(), length, masked=kind == "wan")},
            {"source": str(source)},
        )
    return read_tensors(path, fix="Remove it; the prompt is then encoded again.")["text"]
