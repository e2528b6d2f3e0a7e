"""Every command that docs/training.md shows runs, at tiny size, in the page's order and from a relative folder."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Iterator

import cv2
import numpy as np
import pytest
from accelerate.state import AcceleratorState
from harmovid.cli.console import Console
from harmovid_evaluate import command as evaluate
from harmovid_training import command
from harmovid_training.clips.index import read_index
from harmovid_training.clips.read import read_frames, write_exr
from harmovid_training.models.checkpoint import load_checkpoint
from harmovid_training.stages import run
from harmovid_training.stages.grids import COLUMNS, GAP_PX
from harmovid_training.toy.scenes import Scene, draw_light
from training.inference.tiny import save_tiny_weights
from training.stages.tiny_ic_light import tiny_ic_light

PAGE = Path(__file__).resolve().parents[2] / "docs" / "training.md"
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
    "generate": ["--steps", "2", "--window", "9", "--frames", str(COUNT)],
    "evaluate": [
        "--steps", "2", "--window", "9", "--lines", "48", "--frames", "9", "--set", "lut",
        "--method", "composite as it is",
    ],
}  # fmt: skip
"""Arguments that make a command of the page tiny, by its step."""


def documented() -> list[list[str]]:
    """Return the words of every `harmovid` command in the page's shell blocks."""
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("harmovid ")]


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
    yield tmp_path
    AcceleratorState._reset_state(reset_partial_state=True)


def tiny(words: list[str]) -> list[str]:
    """Return a command of the page with tiny settings, in this one process, its masks given."""
    said = [{"THUDM/CogVideoX-5b": "weights"}.get(word, word) for word in words]
    for flag in ("--gpus", "--masks"):
        if flag in said:
            del said[said.index(flag) : said.index(flag) + 2]
    if "--test" in said:
        said[said.index("--test") + 1] = "1"
    step = said[1] if said[0] == "train" else said[0]
    return [*said, *TINY.get(step, [])]


def do(words: list[str]) -> int:
    """Run one command in this process."""
    room = {"train": command.train, "generate": command.generate, "evaluate": evaluate.run}[words[0]]
    return room(words[1:], Console(quiet=True))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore:__array__ implementation")
def test_every_documented_command_runs_from_a_relative_folder(workplace, capsys):
    """From footage to checkpoints, samples and the table: each command ends with 0, and the roles of stage 1 and 2 are
    still found by stage 3, though every path was given relative to the working folder."""
    commands = [words for words in documented() if words[:2] not in (["train", "toy"], ["train", "rendered"])]
    assert len(commands) >= 10
    for words in commands:
        assert do(tiny(words)) == 0, " ".join(words)
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
    said = ["train", "stage3", "--index", "runs/deflicker/clips.jsonl", "--out", "runs/taught", *TRAINED]
    student = ["--config", "student-latent", "--start", "runs/harmovid"]
    run.TEACHER_STEPS = 2  # 50 on a GPU
    assert do([*said, *student, "--teacher", "runs/harmovid"]) == 0
    assert do([*said, "--teacher", "runs/harmovid"]) == 1
    assert "is no student" in capsys.readouterr().err
    assert do([*said, *student, "--teacher", "runs/deflicker"]) == 1
    assert "is a deflicker network, and a harmovid network is needed" in capsys.readouterr().err
