"""`harmovid train` and `harmovid generate`: how steps are found and started, and what is refused."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import tomllib
from accelerate.commands.config.config_args import load_config_from_file
from harmovid.cli.console import Console
from harmovid.errors import InputError
from harmovid_training import command
from harmovid_training.clips.read import Source, read_frames, write_exr
from harmovid_training.models.checkpoint import Card, save_checkpoint
from harmovid_training.models.conditioning import DEFLICKER
from training.inference.tiny import tiny_codec, tiny_model

REPO = Path(__file__).resolve().parents[2]


def test_the_package_names_both_commands():
    """The metadata's entry points lead to functions that are there, and every step to a module with a `main`."""
    project = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = project["entry-points"]["harmovid.commands"]
    for name in ("train", "generate"):
        module, _, function = named[name].partition(":")
        assert callable(getattr(import_module(module), function))
    assert all(callable(import_module(module).main) for module in command.STEPS.values())


def test_trainings_start_under_accelerate_and_other_steps_in_shares():
    """With several GPUs a training gets the shipped FSDP configuration, which Accelerate can read and which names
    version 2; masks and stage 1 get a process each."""
    words = command.launch_words("stage3", 8, ["--out", "runs"])
    assert words[1:3] == ["-m", "accelerate.commands.launch"]
    assert words[-4:] == ["-m", "harmovid_training.stages.stage3", "--out", "runs"]
    assert words[words.index("--num_processes") + 1] == "8"
    told = load_config_from_file(words[words.index("--config_file") + 1])
    assert told.distributed_type == "FSDP"
    assert told.fsdp_config["fsdp_version"] == 2
    assert told.fsdp_config["fsdp_cpu_ram_efficient_loading"] is True
    assert "fsdp_transformer_layer_cls_to_wrap" not in told.fsdp_config
    assert "torch.distributed.run" in command.launch_words("stage1", 8, [])


def test_an_unknown_step_is_refused():
    """The command names the steps that there are."""
    with pytest.raises(InputError, match="stage9"):
        command.train(["stage9"], Console())


@pytest.fixture
def footage(tmp_path):
    """Return a folder with five frames of a foreground, a background and a mask, and a shorter one."""
    rng = np.random.default_rng(0)
    for role, count in (("fg", 5), ("bg", 5), ("mask", 5), ("short", 3)):
        (tmp_path / role).mkdir()
        for index in range(count):
            frame = rng.uniform(0.1, 1, (20, 24, 3)).astype(np.float32)
            mask = np.zeros((20, 24, 1), np.float32)
            mask[5:15, 6:18] = 1
            write_exr(tmp_path / role / f"{index:04d}.exr", mask if role == "mask" else frame)
    return tmp_path


def checkpoint(folder: Path, **more) -> Path:
    """Write a tiny checkpoint and the VAE beside it; return its folder."""
    save_checkpoint(folder, tiny_model("tiny-5b", **more), Card({}))
    tiny_codec().vae.save_pretrained(folder / "vae")
    return folder


def generate(footage: Path, model: Path, *words: str) -> np.ndarray:
    """Run `harmovid generate` and return what it wrote."""
    out = footage / f"out-{len(list(footage.iterdir()))}"
    given = ["--fg", str(footage / "fg"), "--mask", str(footage / "mask"), "--vae", str(model)]
    code = command.generate(
        [str(model), *given, "--out", str(out), "--steps", "2", "--window", "9", *words], Console(quiet=True)
    )
    assert code == 0
    return read_frames(Source(out), 0, 5)


def test_a_checkpoint_runs_on_footage(footage):
    """HarmoVid composites foreground and background and changes the foreground's light alone, its own pixels with
    `--pixels`; a deflicker network takes the picture as it is."""
    model = checkpoint(footage / "harmovid")
    fg, bg = (read_frames(Source(footage / role), 0, 5) for role in ("fg", "bg"))
    inside = np.zeros((20, 24), bool)
    inside[5:15, 6:18] = True
    made = generate(footage, model, "--bg", str(footage / "bg"))
    np.testing.assert_allclose(made[:, ~inside], bg[:, ~inside], rtol=1e-3)
    assert np.abs(np.log2(made[:, inside] / fg[:, inside])).mean() > 0.05
    drawn = generate(footage, model, "--bg", str(footage / "bg"), "--pixels")
    assert drawn.shape == made.shape
    assert not np.allclose(drawn[:, ~inside], bg[:, ~inside], rtol=0.05)
    calm = generate(footage, checkpoint(footage / "deflicker", conditioning=DEFLICKER))
    np.testing.assert_allclose(calm[:, ~inside], fg[:, ~inside], rtol=1e-3)


def test_footage_that_does_not_fit_is_refused(footage):
    """A missing background, sources of two lengths, and results that are there each get a sentence."""
    model = checkpoint(footage / "harmovid")
    with pytest.raises(InputError, match="needs --bg"):
        generate(footage, model)
    with pytest.raises(InputError, match="--fg 5, --mask 5, --bg 3"):
        generate(footage, model, "--bg", str(footage / "short"))
    with pytest.raises(InputError, match="is not empty"):
        command.generate(
            [str(model), "--fg", str(footage / "fg"), "--bg", str(footage / "bg"), "--mask", str(footage / "mask"),
             "--vae", "none", "--out", str(footage / "fg")], Console(quiet=True),
        )  # fmt: skip
