"""Every command that docs/training.md shows runs, at tiny size, in the page's order and from a relative folder."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from concurrent.futures import Executor, Future
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Iterator

import cv2
import numpy as np
import pytest
from accelerate.state import AcceleratorState
from harmovid.cli.console import Console
from harmovid_evaluate import command as evaluate
from harmovid_training import command
from harmovid_training.clips.index import read_index
from harmovid_training.clips.read import read_frames, write_exr
from harmovid_training.data.cache import held_out
from harmovid_training.models.checkpoint import load_checkpoint
from harmovid_training.stages import cost, processor_cost, recipe_cost, run
from harmovid_training.stages.config import CONFIGS
from harmovid_training.stages.grids import COLUMNS, GAP_PX
from harmovid_training.toy import __main__ as toy
from harmovid_training.toy import recipe as toy_recipe
from harmovid_training.toy.scenes import Scene, draw_light
from training.clips.test_rendered import CUBE
from training.inference.tiny import save_tiny_weights, tiny_text_to_video
from training.stages.tiny_ic_light import tiny_ic_light
from training.toy.test_toy import MICRO

REPO = Path(__file__).resolve().parents[2]
PAGE = REPO / "docs" / "training.md"
COUNT = 11
CLIPS = ("dancer", "walker", "runner")
SETTINGS = (
    "size=tiny-5b", "iterations=1", "batch=1", "frames=9", "height=48", "width=64", "precision=no", "workers=0",
    "gpus=1", "crop=32",
)  # fmt: skip
TRAINED = [*(word for one in SETTINGS for word in ("--set", one)), "--weights", "weights"]
TINY = {
    "index": ["--workers", "1", "--shortest", "9"],
    "stage1": ["--size", "48x64", "--ic-light-base", "base", "--ic-light-steps", "2", "--ic-light-prompt", "a"],
    "stage2": [*TRAINED, "--rewrite-steps", "2"],
    "stage3": TRAINED,
    "rendered": ["--clips", "1", "--frames", "3", "--size", "48x64"],
    "generate": ["--steps", "2", "--window", "9", "--frames", str(COUNT)],
    "evaluate": [
        "--steps", "2", "--window", "9", "--lines", "48", "--frames", "9", "--set", "lut",
        "--method", "composite as it is",
    ],
}  # fmt: skip
"""Arguments that make a command of the page tiny, by its step."""

PUBLIC = {"THUDM/CogVideoX-5b": "weights", "THUDM/CogVideoX-2b": "text-to-video"}
"""Folders of random weights instead of public models."""

SHARED = ("index", "stage1")
"""Steps that share the clips among their processes: they run in two."""

TOOL = """#!{python}
import sys
from pathlib import Path
from harmovid_training.clips.read import read_exr, write_exr
for file in Path(sys.argv[1]).iterdir():
    write_exr(Path(sys.argv[-1]) / file.name, read_exr(file)[..., :3] * 0.5)
"""
"""A program of the user's own: half the light of its first folder, written to its last."""


def blocks() -> list[str]:
    """Return the lines of the page's shell blocks, joined where they are continued."""
    found = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    lines = "\n".join(found).replace("\\\n", " ").splitlines()
    return [" ".join(line.split()) for line in lines if line.strip()]


def documented() -> list[list[str]]:
    """Return the words of every command in the page's shell blocks but those that install."""
    commands = [shlex.split(line, comments=True) for line in blocks() if not line.startswith("pip install ")]
    assert {words[0] for words in commands} == {"harmovid", "python", "make"}
    return commands


def test_commands_stand_in_blocks():
    """Whatever command the page's sentences name is the beginning of one in its shell blocks; its table of
    configurations names those that there are."""
    text = re.sub(r"```.*?```", "", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    named = [" ".join(one.split()) for one in re.findall(r"`((?:harmovid|python|make) [^`]+)`", text)]
    assert named
    lines = blocks()
    assert [one for one in named if not any(line.startswith(one) for line in lines)] == []
    rows = re.findall(r"^\| (`[^|]+) \| [^|]+ \| [^|]+ \|$", text, re.MULTILINE)
    configurations = {name for row in rows for name in re.findall(r"`([\w.-]+)`", row) if "..." not in name}
    assert {"paper-1.5-harmovid", "student-pixel"} <= configurations <= set(CONFIGS)


class SerialExecutor(Executor):
    """Stands for the toy's two processes, each of which would import torch: runs its work here, at once."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def submit(self, call: Any, /, *words: Any, **named: Any) -> Future[Any]:
        """Run the call now."""
        done: Future[Any] = Future()
        done.set_result(call(*words, **named))
        return done


def run_launched(words: list[str], check: bool) -> subprocess.CompletedProcess[bytes]:
    """Run what `torch.distributed.run` would start, the share of each process after the other in this process.

    Only `index` runs in processes of its own here: that shows the launcher, which is the same for every step.
    """
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    assert words[: len(launcher) + 1] == [sys.executable, *launcher]
    module, *rest = words[len(launcher) + 1 :]
    if module == command.STEPS["index"]:
        own = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.run(words, env=own, check=check)
    with pytest.MonkeyPatch.context() as launched:
        launched.setenv("WORLD_SIZE", "2")
        for rank in ("0", "1"):
            launched.setenv("RANK", rank)
            code = import_module(module).main(rest)
            if code:
                break
    return subprocess.CompletedProcess(words, code)


@pytest.fixture
def workplace(tmp_path, monkeypatch) -> Iterator[Path]:
    """Work in a folder with tiny versions of the files that the page's commands name."""
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(CLIPS):
        light = draw_light(np.random.default_rng(number))
        clip, mask = Scene(number).render(light, light, COUNT)
        for role, frames in (("real", clip), ("mask", mask[..., None])):
            place = tmp_path / "footage" / name / role
            place.mkdir(parents=True)
            for index, frame in enumerate(frames):
                write_exr(place / f"{index:04d}.exr", frame, half=True)
    street = tmp_path / "backgrounds" / "street"
    street.mkdir(parents=True)
    for index, frame in enumerate(Scene(9).plate(draw_light(np.random.default_rng(9)), COUNT)):
        write_exr(street / f"{index:04d}.exr", frame)
    (tmp_path / "hdri").mkdir()
    sky = np.random.default_rng(0).uniform(0.1, 3, (32, 64, 3)).astype(np.float32)
    write_exr(tmp_path / "hdri" / "sky.exr", sky)
    offset, _ = tiny_ic_light(tmp_path)
    offset.rename(tmp_path / "iclight_sd15_fbc.safetensors")
    save_tiny_weights(Path("weights"))
    tiny_text_to_video().save_pretrained("text-to-video")
    make_programs(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    make_material(tmp_path / "material")
    monkeypatch.setattr(run, "TEACHER_STEPS", 2)  # 50 on a GPU
    make_costs_small(monkeypatch)
    monkeypatch.setattr(command, "subprocess", SimpleNamespace(run=run_launched))
    monkeypatch.setattr(toy_recipe, "ProcessPoolExecutor", SerialExecutor)
    yield tmp_path
    AcceleratorState._reset_state(reset_partial_state=True)


def make_programs(folder: Path) -> None:
    """Write the user's own programs that the page names."""
    folder.mkdir()
    for name in ("my-harmonizer", "my-remover"):
        (folder / name).write_text(TOOL.format(python=sys.executable), encoding="utf-8")
        (folder / name).chmod(0o755)


def make_material(folder: Path) -> None:
    """Write two panoramas to train on, and cubes in place of figures."""
    (folder / "models" / "makehuman").mkdir(parents=True)
    for name in ("female_generic", "female_casualsuit02", "bob01"):
        (folder / "models" / "makehuman" / f"{name}.obj").write_text(CUBE)
    (folder / "hdri").mkdir()
    names = [name for name in (f"p{index}.exr" for index in range(40)) if not held_out(folder / name)][:2]
    for index, name in enumerate(names):
        write_exr(folder / "hdri" / name, np.full((16, 32, 3), 0.2 + index, np.float32))


def make_costs_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count tiny networks and short shots instead of the published ones."""
    small = {"size": "tiny-5b", "frames": 9, "height": 48, "width": 64, "crop": 32}
    configs = {name: replace(config, **small) for name, config in CONFIGS.items()}
    for module in (cost, recipe_cost):
        monkeypatch.setattr(module, "CONFIGS", configs)
    monkeypatch.setattr(cost, "LONG_FRAMES", 33)
    monkeypatch.setattr(recipe_cost, "FRAMES", 33)
    monkeypatch.setattr(recipe_cost, "SIZE", (48, 64))
    monkeypatch.setattr(processor_cost, "PANORAMA_ROWS", 64)
    monkeypatch.setattr(cost, "processor_seconds", partial(cost.processor_seconds, 3, (48, 64)))


def tiny(words: list[str]) -> list[str]:
    """Return a `harmovid` command of the page, without that word, with tiny settings and its masks given; in two
    processes where they share the clips."""
    said = [PUBLIC.get(word, word) for word in words[1:]]
    step = said[said.index("train") + (3 if "--gpus" in said else 1)] if said[0] == "train" else said[0]
    if "--gpus" in said:
        place = said.index("--gpus")
        said[place : place + 2] = ["--gpus", "2"] if step in SHARED else []
    if "--masks" in said:
        del said[said.index("--masks") : said.index("--masks") + 2]
    if "--test" in said:
        said[said.index("--test") + 1] = "1"
    brief = ["--frames", "3"] if {"--engine", "--text-to-video", "--harmonizer"} & set(said) else []
    return [*said, *TINY.get(step, []), *brief]


def do(words: list[str]) -> int:
    """Run one command of the page in this process."""
    if words[0] == "make":
        assert words == ["make", "train-toy"]
        recipe = (REPO / "Makefile").read_text(encoding="utf-8").split("\ntrain-toy:")[1].split("\n")[1]
        assert "/python -m harmovid_training.toy --out out/toy" in recipe
        return toy.main(["--out", "out/toy"], MICRO)
    if words[0] == "python":
        shutil.copytree("out/toy", "out/toy-seeds/seed-0")  # one seed, trained by the line before
        once = ["1" if before == "--seeds" else word for before, word in zip(words[2:], words[3:])]
        return int(import_module(words[2]).main(once, MICRO))
    said = tiny(words)
    if said[:2] == ["train", "toy"]:
        return toy.main(said[2:], MICRO)
    room = {"train": command.train, "generate": command.generate, "evaluate": evaluate.run}[said[0]]
    return room(said[1:], Console(quiet=True))


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.filterwarnings("ignore:__array__ implementation")
def test_every_documented_command_runs_from_a_relative_folder(workplace, capsys):
    """From footage to checkpoints, samples and the table: each command ends with 0, and the roles of stage 1 and 2 are
    still found by stage 3, though every path was given relative to the working folder."""
    for words in documented():
        assert do(words) == 0, " ".join(words)
    said = capsys.readouterr().out
    assert "### Bars" in said
    assert len(re.findall(r"^\| stage \d: ", said, re.MULTILINE)) == 8
    assert len(read_index(Path("real.test.jsonl")).clips) == 1
    clip = read_index(Path("runs/deflicker/clips.jsonl")).clips[0]
    assert set(clip.sources) >= {"real", "mask", "background", "synthetic", "plate", "steady"}
    for source in clip.sources.values():
        assert len(read_frames(source, 0, COUNT)) == COUNT
    assert load_checkpoint(Path("runs/harmovid")).conditioning.name == "harmovid"
    assert len(list(Path("out/dancer").glob("*.exr"))) == COUNT
    assert Path("out/evaluation/table.md").is_file()
    steady, background, mask = (
        read_frames(clip.sources[role], 0, COUNT) for role in ("steady", "background", "mask")
    )
    assert np.array_equal(steady[mask < 0.5], background[mask < 0.5])
    check_the_run(Path("runs/harmovid"))
    check_teachers(capsys)
    assert load_checkpoint(Path("runs/srgb")).space == "srgb"
    tool = read_index(Path("synthetic-tool/clips.jsonl")).clips[0]
    real, mask, *made = (
        read_frames(tool.sources[role], 0, 3) for role in ("real", "mask", "synthetic", "plate")
    )
    for frames in made:
        np.testing.assert_allclose(
            frames[mask > 0.5], real[mask > 0.5] * np.float32(0.5), rtol=1e-2, atol=1e-3
        )
    assert len(read_index(Path("rendered/clips.jsonl")).clips) == 1


def check_the_run(folder: Path) -> None:
    """The checkpoint's card has data, loss and error; its validation wrote a picture of three rows."""
    card = (folder / "README.md").read_text()
    index = read_index(Path("runs/deflicker/clips.jsonl"))
    for words in (
        index.licences[0],
        index.hash,
        "training loss, mean of the last",
        "square error of sample 0",
    ):
        assert words in card
    assert list((folder / "events").glob("events*"))
    picture = cv2.imread(str(folder / "grids" / "step-000001.png"))
    assert picture.shape == (3 * (48 + GAP_PX), COLUMNS * (64 + GAP_PX), 3)
    assert picture.std() > 10


def check_teachers(capsys: pytest.CaptureFixture[str]) -> None:
    """A student learns from a teacher of its kind; a run that is no student, and another network, are refused."""
    said = ["harmovid", "train", "stage3", "--index", "runs/deflicker/clips.jsonl", "--out", "runs/other"]
    student = ["--config", "student-latent", "--start", "runs/harmovid"]
    assert do([*said, "--teacher", "runs/harmovid"]) == 1
    assert "is no student" in capsys.readouterr().err
    assert do([*said, *student, "--teacher", "runs/deflicker"]) == 1
    assert "is a deflicker network, and a harmovid network is needed" in capsys.readouterr().err
