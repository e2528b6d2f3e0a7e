"""The student's pixel stage: gradients through the decoder, chunk by chunk, on a part of the picture."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from harmovid_training.models.codec import CogVideoXCodec
from harmovid_training.stages import objectives
from harmovid_training.stages.batches import LatentBatch, front_padded
from harmovid_training.stages.config import CONFIGS
from harmovid_training.stages.pixel_cost import pixel_stage_bytes
from training.inference.tiny import tiny_codec, tiny_model
from training.stages.test_train import latents

GIB = 2**30


def test_chunks_computed_again_have_the_same_gradient():
    """With a gradient the decoder's chunks are recomputed; pictures and gradients are those of plain decoding."""
    codec = tiny_codec()
    given = latents([1]).clean
    plain = given.clone().requires_grad_()
    parts, cache = [], None
    for part in (codec.unscaled(plain)[:, :, :3], codec.unscaled(plain)[:, :, 3:]):
        if part.shape[2]:
            pictures, cache = codec.decode_chunk(part, cache)
            parts.append(pictures)
    torch.cat(parts, 2).square().sum().backward()
    checked = given.clone().requires_grad_()
    made = objectives.decoded(codec, checked)
    made.square().sum().backward()
    torch.testing.assert_close(made, torch.cat(parts, 2))
    torch.testing.assert_close(checked.grad, plain.grad)


def test_a_crop_is_the_same_for_answer_and_truth():
    """With a perfect answer the loss of any crop is zero, and a crop larger than the picture is the whole picture."""
    model, batch = tiny_model("tiny-5b"), latents([3])
    perfect = LatentBatch(objectives.one_step(model, model.schedule, batch).detach(), *_rest(batch))
    wrong = LatentBatch(perfect.clean + 1, *_rest(batch))

    def loss(given: LatentBatch, crop: int) -> float:
        return float(
            objectives.pixel_regression(tiny_codec(), crop)(model, model.schedule, given, 0).detach()
        )

    assert [loss(perfect, crop) for crop in (0, 8, 1000)] == pytest.approx([0, 0, 0], abs=1e-8)
    assert loss(wrong, 0) == loss(wrong, 1000) > 0


def test_padding_is_not_decoded():
    """Latents that stand for no frame are left out: a padded batch has the loss of the plain one's frames."""
    batch = latents([3])
    assert torch.equal(front_padded(batch.clean, 1)[:, :, 1:], batch.clean)
    assert torch.equal(front_padded(batch.clean, 1)[:, :, :1], batch.clean[:, :, :1])


@pytest.mark.slow
def test_a_clip_of_the_real_size_fits_forty_gib():
    """At the student's configuration the decoder keeps at most 40 GiB a clip, counted on the meta device; whole
    pictures without recomputing keep far more."""
    config = CONFIGS["student-pixel"]
    spared = pixel_stage_bytes(config)
    assert spared < 40 * GIB
    assert pixel_stage_bytes(replace(config, crop=0), recompute=False) > 2 * spared


def _rest(batch: LatentBatch) -> tuple:
    return batch.conditions, batch.composite, batch.indices


def test_the_codec_stays_frozen():
    """The pixel stage trains the network, not the VAE."""
    codec: CogVideoXCodec = tiny_codec()
    model, batch = tiny_model("tiny-5b"), latents([3])
    objectives.pixel_regression(codec)(model, model.schedule, batch, 0).backward()
    assert all(weight.grad is None for weight in codec.vae.parameters())
    assert any(weight.grad is not None for weight in model.parameters())
