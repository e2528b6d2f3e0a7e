"""The empty prompt's embedding: what diffusers' pipelines would encode, kept after the first time."""

from __future__ import annotations

import pytest
import torch
from diffusers import CogVideoXPipeline, WanPipeline
from harmovid.errors import InputError
from harmovid_training.models.conditioning import HARMOVID
from harmovid_training.models.model import ConditionedModel
from harmovid_training.models.sizes import make
from harmovid_training.models.text import empty_prompt, encode_empty
from transformers import T5Config, T5EncoderModel, T5Tokenizer, UMT5Config, UMT5EncoderModel

SIZES = {"d_model": 8, "d_kv": 4, "d_ff": 16, "num_layers": 1, "num_heads": 2, "vocab_size": 128}


def encoder(kind: str):
    """Return a tiny random text encoder."""
    torch.manual_seed(0)
    if kind == "wan":
        return UMT5EncoderModel(UMT5Config(**SIZES)).eval()
    return T5EncoderModel(T5Config(**SIZES)).eval()


@pytest.mark.parametrize(("kind", "pipeline"), [("cogvideox", CogVideoXPipeline), ("wan", WanPipeline)])
def test_same_as_the_pipelines_encode(kind, pipeline):
    """With a real tokenizer diffusers' pipeline encodes the empty prompt to the same numbers, padding included."""
    text = encoder(kind)
    whole = pipeline.__new__(pipeline)
    whole.text_encoder, whole.tokenizer = text, T5Tokenizer()
    with torch.no_grad():
        theirs = whole._get_t5_prompt_embeds(
            "", max_sequence_length=6, device=torch.device("cpu"), dtype=torch.float32
        )
    assert torch.equal(encode_empty(text, 6, masked=kind == "wan"), theirs)


def test_encoded_once_then_read_from_the_cache(tmp_path):
    """The second call needs no encoder any more."""
    folder = tmp_path / "model"
    encoder("cogvideox").save_pretrained(folder / "text_encoder")
    first = empty_prompt("cogvideox", folder, 6, tmp_path / "cache")
    (folder / "text_encoder" / "model.safetensors").unlink()
    assert torch.equal(empty_prompt("cogvideox", folder, 6, tmp_path / "cache"), first)
    assert first.shape == (1, 6, 8)
    with pytest.raises(InputError, match="cogvideox, wan"):
        empty_prompt("other", folder, 6, tmp_path)


def test_an_embedding_of_another_encoder_is_refused():
    """A prompt embedding that does not fit the backbone is refused with both shapes."""
    with pytest.raises(InputError, match="encoder that belongs to the backbone"):
        ConditionedModel(make("tiny-2b"), HARMOVID, torch.zeros(1, 6, 8))
