"""The stages' scripts on small rendered clips, each alone; `test_walk.py` runs them one after the other."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Iterator

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from harmovid_training.clips.index import make_clip, read_index, write_index
from harmovid_training.clips.read import Source, read_frames, write_exr
from harmovid_training.masks.alpha import pseudo_alpha
from harmovid_training.models.checkpoint import Card, save_checkpoint
from harmovid_training.stages import stage1, stage2, stage3
from harmovid_training.stages.batches import Encoded, PrefetchedBatches, step_indices
from harmovid_training.stages.config import CONFIGS
from harmovid_training.stages.dataset import IndexSamples
from harmovid_training.stages.run import changed
from harmovid_training.toy.scenes import Scene, draw_light
from training.inference.tiny import tiny_codec, tiny_model, tiny_text_to_video
from training.stages.tiny_ic_light import tiny_ic_light

SMALL = ["--size", "48x64"]

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
def staged(footage, tmp_path_factory) -> Path:
    """Return stage 1's folder, made by its script with a harmonizer that answers with a darker foreground."""
    out = tmp_path_factory.mktemp("synthetic")
    tool = out / "tool.py"
    tool.write_text(
        "import sys\nfrom pathlib import Path\nfrom harmovid_training.clips.read import read_exr, write_exr\n"
        "for file in Path(sys.argv[1]).iterdir():\n    write_exr(Path(sys.argv[2]) / file.name, read_exr(file) * 0.5)\n"
    )
    words = [
        "--index",
        str(footage / "real.jsonl"),
        "--out",
        str(out),
        "--panoramas",
        str(footage / "hdri"),
        *SMALL,
    ]
    small = read_index(footage / "real.jsonl").clips[:1]
    write_index(footage / "one.jsonl", small)
    words[1] = str(footage / "one.jsonl")
    assert stage1.main([*words, "--harmonizer", f"{sys.executable} {tool} {{foreground}} {{out}}"]) == 0
    return out


def test_stage_1_writes_all_roles(staged):
    """Background, harmonized clip and plate are written as half floats in their own folders, with the right content."""
    clip = read_index(staged / "clips.jsonl").clips[0]
    read = {role: read_frames(source, 0, clip.frames) for role, source in clip.sources.items()}
    inside = read["mask"] > 0.5
    np.testing.assert_allclose(read["synthetic"][inside], read["real"][inside] * np.float32(0.5), rtol=1e-3)
    np.testing.assert_array_equal(read["synthetic"][~inside], read["background"][~inside])
    far = pseudo_alpha((read["mask"] > 0.5).astype(np.float32), 12.0) == 0
    np.testing.assert_allclose(read["plate"][far], read["real"][far], rtol=1e-3)


def made_by(footage: Path, out: Path, *words: str) -> dict[str, np.ndarray]:
    """Return stage 1's clips of the first two frames' index, made with other harmonizers or backgrounds."""
    assert stage1.main(["--index", str(footage / "short.jsonl"), "--out", str(out), *SMALL, *words]) == 0
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


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # diffusers' own scheduler, under numpy 2
def test_stage_1_runs_ic_light_before_text_to_video_backgrounds(short, tmp_path):
    """IC-Light and text-to-video, tiny and random, run from the command line with local folders."""
    offset, base = tiny_ic_light(tmp_path / "weights")
    tiny_text_to_video().save_pretrained(tmp_path / "t2v")
    words = ["--text-to-video", str(tmp_path / "t2v"), "--ic-light", str(offset), "--ic-light-base", base]
    words += ["--ic-light-steps", "2", "--ic-light-prompt", "a"]
    made = made_by(short, tmp_path / "out", *words)
    inside = made["mask"] > 0.5
    assert np.array_equal(made["synthetic"][~inside], made["background"][~inside])
    assert not np.allclose(made["synthetic"][inside], made["real"][inside], rtol=0.05)
    assert 0 <= made["background"].min() < made["background"].max() <= 1


def test_scripts_say_what_is_wrong(staged, tmp_path, capsys):
    """The wrong network's configuration or checkpoint, an unknown setting and a wrong value end with code 1 and a
    message."""
    common = ["--index", str(staged / "clips.jsonl"), "--out", str(tmp_path)]
    assert stage2.main([*common, "--config", "paper-harmovid"]) == 1
    assert "trains the harmovid network" in capsys.readouterr().err
    assert stage3.main([*common, "--set", "speed=9"]) == 1
    assert "no setting 'speed'" in capsys.readouterr().err
    for setting in ("precision=fp8", "space=rgb", "iterations=many", "objective=best"):
        assert stage2.main([*common, "--set", setting]) == 1
        assert setting.partition("=")[0] in capsys.readouterr().err
    save_checkpoint(tmp_path / "harmovid", tiny_model("tiny-5b"), Card({}))
    for words in (["--start"], ["--rewrite-only"]):
        assert stage2.main([*common, "--set", "frames=9", *words, str(tmp_path / "harmovid")]) == 1
        assert "is a harmovid network, and a deflicker network is needed" in capsys.readouterr().err
    assert changed(CONFIGS["paper-harmovid"], ["iterations=7", "checkpointing=false"]).iterations == 7


@pytest.mark.timeout(600)  # a process is started
def test_prefetched_batches_come_in_the_runs_order(staged):
    """Worker processes give the batches that the loop asks for, from the middle of a run as well."""
    config = changed(CONFIGS["paper-deflicker"], TINY)
    samples = IndexSamples(read_index(staged / "clips.jsonl"), config)
    model = tiny_model("tiny-5b")
    from harmovid_training.models.conditioning import DEFLICKER

    encoded = Encoded(samples, tiny_codec(), DEFLICKER, model.geometry)
    ahead = PrefetchedBatches(encoded, 3, 2, 1, 0, 1, workers=1)
    for step in (1, 2):
        indices = step_indices(step, 2, 1, 0, 1)[0]
        assert torch.equal(ahead(indices).clean, encoded(indices).clean)
