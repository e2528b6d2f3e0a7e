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
from harmovid_training.models.conditioning import DEFLICKER, HARMOVID
from harmovid_training.models.lora import add_lora
from harmovid_training.models.model import ConditionedModel
from harmovid_training.models.sizes import load, make
from harmovid_training.models.text import empty_prompt
from harmovid_training.stages.run import codec_of
from safetensors.torch import load_file, save_file
from training.inference.tiny import save_tiny_weights, tiny_model


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


def changed(folder: Path, **values: object) -> None:
    """Change a checkpoint's configuration; None removes an entry."""
    config = {**json.loads((folder / "config.json").read_text()), **values}
    kept = {name: value for name, value in config.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(kept))


def test_files_of_two_checkpoints_are_reported(kept, good, tmp_path):
    """Weights, prompt or configuration of another checkpoint, also where its network has the same shape and would load:
    the file is named."""
    model = tiny_model("tiny-5b")
    torch.nn.init.ones_(model.backbone.transformer.proj_out.bias)
    save_checkpoint(tmp_path / "same", model, Card({}))
    for source in (kept / "other", tmp_path / "same"):
        for name in ("model.safetensors", "text.safetensors"):
            mixed = Path(shutil.copytree(good, tmp_path / f"{source.name}-{name}"))
            shutil.copy(source / name, mixed)
            with pytest.raises(InputError, match=f"{name} is of another checkpoint"):
                load_checkpoint(mixed)
    shutil.copy(tmp_path / "same" / "config.json", good)
    with pytest.raises(InputError, match="is of another checkpoint than the config"):
        load_checkpoint(good)


def test_files_of_others_are_reported(good, kept):
    """Where nothing says which files belong together: another network's weights, weights of something else, another
    program's configuration, an unknown kind and scheduler."""
    changed(good, weights=None)
    for name in ("model", "text"):
        save_file(load_file(good / f"{name}.safetensors"), good / f"{name}.safetensors")
    assert load_checkpoint(good).conditioning.name == "harmovid"
    save_file(load_file(kept / "other" / "model.safetensors"), good / "model.safetensors")
    with pytest.raises(InputError, match="are of another network"):
        load_checkpoint(good)
    save_file({"a": torch.zeros(1)}, good / "model.safetensors")
    with pytest.raises(InputError, match="do not fit its config"):
        load_checkpoint(good)
    shutil.copy(good / "model.safetensors", good / "text.safetensors")
    with pytest.raises(InputError, match="holds no prompt of ours"):
        load_checkpoint(good)
    for wrong in (
        {"transformer": {"speed": 3}},
        {"kind": "sora"},
        {"kind": "wan", "scheduler_class": "Best"},
    ):
        changed(good, **wrong)
        with pytest.raises(InputError, match="does not describe a network of ours"):
            load_checkpoint(good)
    (good / "config.json").write_text(json.dumps({"_class_name": "UNet"}))
    with pytest.raises(InputError, match="not of a checkpoint of ours"):
        load_checkpoint(good)


def test_adapters_that_are_missing_are_reported(tmp_path):
    """A checkpoint of adapters without one of them does not load as the bare base."""
    save_tiny_weights(tmp_path / "base")
    base = load("tiny-5b", str(tmp_path / "base"), torch.float32)
    model = ConditionedModel(base, HARMOVID, torch.zeros(1, *base.text_shape))
    add_lora(model, 2)
    save_checkpoint(tmp_path / "lora", model, Card({"lora_rank": 2}, base_source=str(tmp_path / "base")))
    assert load_checkpoint(tmp_path / "lora").conditioning.name == "harmovid"
    path = tmp_path / "lora" / "model.safetensors"
    tensors = load_file(path)
    lost = next(name for name in tensors if "lora_" in name)
    changed(tmp_path / "lora", weights=None)
    save_file({name: value for name, value in tensors.items() if name != lost}, path)
    prompt = load_file(tmp_path / "lora" / "text.safetensors")
    save_file(prompt, tmp_path / "lora" / "text.safetensors")
    with pytest.raises(InputError, match="do not fit its config"):
        load_checkpoint(tmp_path / "lora")


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


def test_a_kept_prompt_that_is_damaged_is_reported(tmp_path):
    """The cached embedding cut in half names the file to remove."""
    save_tiny_weights(tmp_path / "weights")
    made = empty_prompt("cogvideox", tmp_path / "weights", 8, tmp_path / "cache")
    (path,) = (tmp_path / "cache").iterdir()
    assert torch.equal(empty_prompt("cogvideox", tmp_path / "weights", 8, tmp_path / "cache"), made)
    cut(path)
    with pytest.raises(InputError, match="is cut short or damaged") as told:
        empty_prompt("cogvideox", tmp_path / "weights", 8, tmp_path / "cache")
    assert "Remove it" in str(told.value)


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
