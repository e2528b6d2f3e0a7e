"""A checkpoint that cannot be used says so in one sentence that names the file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from harmovid.errors import InputError
from harmovid.pixels.colour.srgb import srgb_encode
from harmovid_training.models import space
from harmovid_training.models.checkpoint import Card, fingerprint, load_checkpoint, save_checkpoint
from harmovid_training.models.conditioning import DEFLICKER
from harmovid_training.models.sizes import load, make
from harmovid_training.models.text import empty_prompt
from harmovid_training.stages.run import codec_of
from safetensors.torch import save_file
from training.inference.tiny import tiny_model


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    """Return a folder of two checkpoints: a HarmoVid network and a deflicker network."""
    folder = tmp_path_factory.mktemp("kept")
    save_checkpoint(folder / "good", tiny_model("tiny-5b"), Card({}))
    save_checkpoint(folder / "other", tiny_model("tiny-5b", DEFLICKER), Card({}))
    return folder


@pytest.fixture
def good(kept, tmp_path) -> Path:
    """Return a copy of the HarmoVid network that may be broken."""
    return Path(shutil.copytree(kept / "good", tmp_path / "good"))


def cut(path: Path) -> None:
    """Leave the first half of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_cut_files_are_reported(good):
    """Weights, prompt and configuration cut in half, and a file that is missing."""
    cut(good / "model.safetensors")
    with pytest.raises(InputError, match=r"model\.safetensors is cut short or damaged"):
        load_checkpoint(good)
    (good / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"there is no .*model\.safetensors"):
        load_checkpoint(good)
    cut(good / "text.safetensors")
    with pytest.raises(InputError, match=r"text\.safetensors is cut short"):
        load_checkpoint(good)
    cut(good / "config.json")
    with pytest.raises(InputError, match=r"config\.json is damaged"):
        load_checkpoint(good)


def test_files_of_others_are_reported(good, kept):
    """Another network's weights, weights of something else, another program's configuration, and an unknown kind."""
    shutil.copy(kept / "other" / "model.safetensors", good)
    with pytest.raises(InputError, match="are of another network"):
        load_checkpoint(good)
    save_file({"a": torch.zeros(1)}, good / "model.safetensors")
    with pytest.raises(InputError, match="do not fit its config"):
        load_checkpoint(good)
    shutil.copy(good / "model.safetensors", good / "text.safetensors")
    with pytest.raises(InputError, match="holds no prompt of ours"):
        load_checkpoint(good)
    config = json.loads((good / "config.json").read_text())
    (good / "config.json").write_text(json.dumps({**config, "transformer": {"speed": 3}}))
    with pytest.raises(InputError, match="does not describe a network of ours"):
        load_checkpoint(good)
    (good / "config.json").write_text(json.dumps({"_class_name": "UNet"}))
    with pytest.raises(InputError, match="not of a checkpoint of ours"):
        load_checkpoint(good)


def test_public_weights_that_are_not_there_are_reported(tmp_path):
    """Folders without a transformer, without a scheduler, a VAE and a text encoder."""
    with pytest.raises(InputError, match="cannot be loaded as a model of CogVideoX"):
        load("tiny-5b", str(tmp_path))
    make("tiny-5b").transformer.save_pretrained(tmp_path / "transformer")
    with pytest.raises(InputError, match="cannot be loaded as a model of CogVideoX"):
        load("tiny-5b", str(tmp_path))
    with pytest.raises(InputError, match="cannot be loaded as a model with a VAE"):
        codec_of("cogvideox", str(tmp_path))
    with pytest.raises(InputError, match="cannot be loaded as a model with a T5 text encoder"):
        empty_prompt("cogvideox", tmp_path, 4, tmp_path)
    with pytest.raises(InputError, match="cannot be loaded as a model of Wan"):
        load("tiny-wan", str(tmp_path))


def test_a_fingerprint_is_of_the_weights(good, kept):
    """Equal checkpoints have one fingerprint, other weights another."""
    assert fingerprint(good) == fingerprint(kept / "good") != fingerprint(kept / "other")


def test_an_empty_network_has_the_same_shapes(kept):
    """A process that is sent the weights makes every parameter on the meta device, and its tables whole."""
    model, whole = load_checkpoint(kept / "good", empty=True), load_checkpoint(kept / "good")
    shapes = {name: weight.shape for name, weight in model.named_parameters()}
    assert shapes == {name: weight.shape for name, weight in whole.named_parameters()}
    assert all(weight.is_meta for weight in model.parameters())
    assert not any(buffer.is_meta for buffer in model.buffers())


def test_the_papers_picture_space_comes_back(tmp_path):
    """In `srgb` pictures are display values and light is taken as it is; the checkpoint remembers the space."""
    light = np.random.default_rng(0).uniform(0, 1, (2, 4, 4, 3)).astype(np.float32)
    pictures = space.encode(light, space.anchor_of(light * 8, space.SRGB), space.SRGB)
    np.testing.assert_allclose(pictures, 2 * srgb_encode(light) - 1, atol=1e-6)
    np.testing.assert_allclose(space.decode(pictures, 0.5, space.SRGB), light, atol=1e-5)
    model = tiny_model("tiny-5b")
    model.space = space.SRGB
    save_checkpoint(tmp_path, model, Card({}))
    assert load_checkpoint(tmp_path).space == space.SRGB
    assert "sRGB" in (tmp_path / "README.md").read_text()
