"""The stages' scripts from footage to checkpoint, on small rendered clips with tiny networks of the real classes."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Iterator

import cv2
import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from diffusers import CogVideoXDDIMScheduler, CogVideoXPipeline
from harmovid_training.clips.index import make_clip, read_index, write_index
from harmovid_training.clips.read import Source, read_frames, write_exr
from harmovid_training.masks.alpha import pseudo_alpha
from harmovid_training.models.checkpoint import load_checkpoint
from harmovid_training.models.cogvideox import SCHEDULER
from harmovid_training.models.sizes import make
from harmovid_training.stages import run, stage1, stage2, stage3
from harmovid_training.stages.batches import Ahead, Encoded, step_indices
from harmovid_training.stages.config import CONFIGS
from harmovid_training.stages.dataset import IndexSamples
from harmovid_training.stages.grids import COLUMNS, GAP_PX
from harmovid_training.stages.run import changed
from harmovid_training.toy.scenes import Scene, draw_light
from training.inference.tiny import tiny_codec, tiny_model, tiny_text_to_video
from training.stages.tiny_ic_light import tiny_ic_light
from transformers import T5Config, T5EncoderModel

TINY = [
    "size=tiny-5b", "iterations=2", "batch=2", "frames=9", "height=48", "width=64", "precision=no", "workers=0",
    "gpus=1",
]  # fmt: skip


@pytest.fixture(autouse=True)
def fresh_process() -> Iterator[None]:
    """Forget the precision that Accelerate fixes for a process."""
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(scope="module")
def footage(tmp_path_factory) -> Path:
    """Return a folder with an index of two real clips, 11 frames each, and a panorama."""
    folder = tmp_path_factory.mktemp("footage")
    clips = []
    for seed in range(2):
        light = draw_light(np.random.default_rng(seed))
        clip, mask = Scene(seed).render(light, light, 11)
        for role, frames in (("real", clip), ("mask", mask[..., None])):
            place = folder / str(seed) / role
            place.mkdir(parents=True)
            for index, frame in enumerate(frames):
                write_exr(place / f"{index:04d}.exr", frame)
        sources = {
            "real": Source(folder / str(seed) / "real"),
            "mask": Source(folder / str(seed) / "mask", matte=True),
        }
        clips.append(make_clip(f"clip-{seed}", sources, "CC0"))
    write_index(folder / "real.jsonl", clips)
    (folder / "hdri").mkdir()
    write_exr(
        folder / "hdri" / "sky.exr", np.random.default_rng(0).uniform(0.1, 3, (32, 64, 3)).astype(np.float32)
    )
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """Return a folder of tiny random weights in the layout of the public models."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    scheduler = CogVideoXDDIMScheduler.from_config(SCHEDULER)
    CogVideoXPipeline(None, None, tiny_codec().vae, make("tiny-5b").transformer, scheduler).save_pretrained(
        folder
    )
    sizes = {"d_model": 8, "d_kv": 4, "d_ff": 16, "num_layers": 1, "num_heads": 2, "vocab_size": 32}
    T5EncoderModel(T5Config(**sizes)).save_pretrained(folder / "text_encoder")
    return folder


@pytest.fixture(scope="module")
def staged(footage, tmp_path_factory) -> Path:
    """Return stage 1's folder, made by its script with a harmonizer that answers with a darker foreground."""
    out = tmp_path_factory.mktemp("synthetic")
    tool = out / "tool.py"
    tool.write_text(
        "import sys\nfrom pathlib import Path\nfrom harmovid_training.clips.read import read_exr, write_exr\n"
        "write_exr(Path(sys.argv[2]) / '00000.exr', read_exr(Path(sys.argv[1]) / '00000.exr') * 0.5)\n"
    )
    words = ["--index", str(footage / "real.jsonl"), "--out", str(out), "--panoramas", str(footage / "hdri")]
    small = read_index(footage / "real.jsonl").clips[:1]
    write_index(footage / "one.jsonl", small)
    words[1] = str(footage / "one.jsonl")
    assert stage1.main([*words, "--harmonizer", f"{sys.executable} {tool} {{foreground}} {{out}}"]) == 0
    return out


def test_stage_1_writes_all_roles(staged):
    """Background, harmonized clip, plate and alpha stand beside each other, and hold what their names say."""
    clip = read_index(staged / "clips.jsonl").clips[0]
    read = {role: read_frames(source, 0, clip.frames) for role, source in clip.sources.items()}
    inside = read["mask"] > 0.5
    np.testing.assert_array_equal(read["synthetic"][inside], read["real"][inside] * np.float32(0.5))
    np.testing.assert_array_equal(read["synthetic"][~inside], read["background"][~inside])
    np.testing.assert_allclose(read["alpha"], pseudo_alpha(read["mask"]), atol=1e-6)
    far = pseudo_alpha(read["mask"], 12.0) == 0
    np.testing.assert_array_equal(read["plate"][far], read["real"][far])


def made_by(footage: Path, out: Path, *words: str) -> dict[str, np.ndarray]:
    """Return stage 1's clips of the first two frames' index, made with other harmonizers or backgrounds."""
    assert stage1.main(["--index", str(footage / "short.jsonl"), "--out", str(out), *words]) == 0
    clip = read_index(out / "clips.jsonl").clips[0]
    return {role: read_frames(source, 0, clip.frames) for role, source in clip.sources.items()}


@pytest.fixture(scope="module")
def short(footage) -> Path:
    """Return the footage with a third index: the first clip's first three frames."""
    sources = {}
    for role in ("real", "mask"):
        place = footage / "short" / role
        place.mkdir(parents=True)
        for file in sorted((footage / "0" / role).iterdir())[:3]:
            shutil.copy(file, place)
        sources[role] = Source(place, matte=role == "mask")
    write_index(footage / "short.jsonl", [make_clip("short", sources, "CC0")])
    return footage


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the server runs on Linux")
def test_stage_1_runs_our_engine_frame_by_frame(short, tmp_path):
    """`--engine harmonize` changes the foreground through a real server, a job per frame, and nothing else."""
    made = made_by(short, tmp_path, "--panoramas", str(short / "hdri"), "--engine", "harmonize")
    inside = made["mask"] > 0.5
    assert np.array_equal(made["synthetic"][~inside], made["background"][~inside])
    change = np.log2(made["synthetic"][inside] / made["real"][inside])
    assert np.abs(change).mean() > 0.02
    assert np.isfinite(change).all()


def test_stage_1_runs_ic_light_before_text_to_video_backgrounds(short, tmp_path):
    """Both published kinds of network, tiny and random, from the command line and local folders."""
    offset, base = tiny_ic_light(tmp_path / "weights")
    tiny_text_to_video().save_pretrained(tmp_path / "t2v")
    words = ["--text-to-video", str(tmp_path / "t2v"), "--ic-light", str(offset), "--ic-light-base", base]
    made = made_by(short, tmp_path / "out", *words)
    inside = made["mask"] > 0.5
    assert np.array_equal(made["synthetic"][~inside], made["background"][~inside])
    assert not np.allclose(made["synthetic"][inside], made["real"][inside], rtol=0.05)
    assert 0 <= made["background"].min() < made["background"].max() <= 1


def test_stages_2_and_3_train_rewrite_and_leave_checkpoints(staged, weights, tmp_path, capsys):
    """Stage 2 trains and writes steady clips, stage 3 trains on them, its student goes on from there, taught by it; all
    come back."""
    change = [word for setting in TINY for word in ("--set", setting)]
    common = [*change, "--weights", str(weights)]
    deflicker, harmovid = tmp_path / "deflicker", tmp_path / "harmovid"
    stage2.STEPS = 2
    assert stage2.main(["--index", str(staged / "clips.jsonl"), "--out", str(deflicker), *common]) == 0
    clip = read_index(deflicker / "clips.jsonl").clips[0]
    steady, background, mask = (
        read_frames(clip.sources[role], 0, 11) for role in ("steady", "background", "mask")
    )
    assert np.array_equal(steady[mask < 0.5], background[mask < 0.5])
    assert stage3.main(["--index", str(deflicker / "clips.jsonl"), "--out", str(harmovid), *common]) == 0
    student = ["--config", "student-latent", "--start", str(harmovid), "--teacher", str(harmovid)]
    student += ["--out", str(tmp_path / "student")]
    run.TEACHER_STEPS = 2
    assert stage3.main(["--index", str(deflicker / "clips.jsonl"), *student, *common]) == 0
    lone = ["--index", str(deflicker / "clips.jsonl"), "--out", str(tmp_path / "none"), *common]
    assert stage3.main([*lone, "--teacher", str(harmovid)]) == 1
    assert "is no student" in capsys.readouterr().err
    assert stage3.main([*lone, "--config", "student-latent", "--teacher", str(deflicker)]) == 1
    assert "no teacher of harmovid" in capsys.readouterr().err
    assert load_checkpoint(deflicker).conditioning.name == "deflicker"
    assert load_checkpoint(tmp_path / "student").conditioning.name == "harmovid"
    card = (harmovid / "README.md").read_text()
    assert "1 clips: CC0" in card
    assert read_index(deflicker / "clips.jsonl").hash in card
    assert "training loss, mean of the last 2 steps" in card
    assert "square error of sample 0" in card
    assert list((harmovid / "events").glob("events*"))
    picture = cv2.imread(str(harmovid / "grids" / "step-000002.png"))
    assert picture.shape == (3 * (48 + GAP_PX), COLUMNS * (64 + GAP_PX), 3)
    assert picture.std() > 10


def test_scripts_say_what_is_wrong(staged, tmp_path, capsys):
    """The wrong network's configuration, an unknown setting, and a missing role end with code 1 and words."""
    common = ["--index", str(staged / "clips.jsonl"), "--out", str(tmp_path)]
    assert stage2.main([*common, "--config", "paper-harmovid"]) == 1
    assert "trains the harmovid network" in capsys.readouterr().err
    assert stage3.main([*common, "--set", "speed=9"]) == 1
    assert "no setting 'speed'" in capsys.readouterr().err
    assert changed(CONFIGS["paper-harmovid"], ["iterations=7", "checkpointing=false"]).iterations == 7


def test_prefetched_batches_come_in_the_runs_order(staged, weights):
    """Worker processes give the batches that the loop asks for, from the middle of a run as well."""
    config = changed(CONFIGS["paper-deflicker"], TINY)
    samples = IndexSamples(read_index(staged / "clips.jsonl"), config)
    model = tiny_model("tiny-5b")
    from harmovid_training.models.conditioning import DEFLICKER

    encoded = Encoded(samples, tiny_codec(), DEFLICKER, model.geometry)
    ahead = Ahead(encoded, 3, 2, 1, 0, 1, workers=1)
    for step in (1, 2):
        indices = step_indices(step, 2, 1, 0, 1)[0]
        assert torch.equal(ahead(indices).clean, encoded(indices).clean)
