"""Which files a job reads and writes: frames, outputs, colour spaces, shared storage."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from harmovid.errors import InputError, OutputError, PatternError
from harmovid.file_plan import FilePlan
from harmovid.job import MATTE, LayerInfo

DEFLICKER = (LayerInfo("plate", True, ""), LayerInfo("mask", False, "", MATTE))
HARMONIZE = (
    LayerInfo("fg", True, ""), LayerInfo("bg", True, ""), LayerInfo("matte", False, "", MATTE),
)  # fmt: skip


def touch(folder: Path, *names: str) -> None:
    """Make empty files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()


@pytest.fixture
def shot(tmp_path: Path) -> Path:
    """Return a folder with fg 1001-1003, bg 1001-1005 and one still mask."""
    touch(tmp_path / "fg", *(f"fg.{n}.exr" for n in range(1001, 1004)))
    touch(tmp_path / "bg", *(f"bg.{n}.exr" for n in range(1001, 1006)))
    touch(tmp_path, "mask.exr")
    return tmp_path


def plan(inputs: dict[str, Path | str], out: Path | str, frames: str | None = None, **more: Any) -> FilePlan:
    """Return the plan of a harmonizing engine's job, or of a deflickering one's where a plate is given."""
    layers = HARMONIZE if "fg" in inputs else DEFLICKER
    return FilePlan.make(layers, {name: str(path) for name, path in inputs.items()}, str(out), frames, **more)


def test_the_first_images_frames_and_name_are_taken(shot: Path) -> None:
    """Without a range the foreground's frames are the job's; a folder as output keeps the foreground's name."""
    found = plan({"bg": shot / "bg/bg.%04d.exr", "fg": shot / "fg/fg.####.exr"}, shot / "out")

    assert list(found.frames) == [1001, 1002, 1003]
    assert list(found.layers) == ["fg", "bg"]
    assert found.out.path(1002) == str(shot / "out" / "fg.1002.exr")


def test_a_still_foreground_follows_the_background(shot: Path) -> None:
    """One foreground file over a moving background gives one result per background frame."""
    found = plan({"fg": shot / "mask.exr", "bg": shot / "bg/bg.####.exr"}, f"{shot}/out/")

    assert list(found.frames) == [1001, 1002, 1003, 1004, 1005]
    assert found.out.name(1004) == "mask.1004.exr"


def test_a_folder_as_input_is_its_one_sequence(shot: Path) -> None:
    """A folder with one EXR sequence stands for it; other files in it do not matter."""
    touch(shot / "fg", "notes.txt", "still.exr", "preview.0001.png")

    assert plan({"plate": shot / "fg"}, shot / "out").layers["plate"].name(7) == "fg.0007.exr"


def test_a_folder_with_several_sequences_is_asked_about(shot: Path) -> None:
    """A folder with two sequences raises PatternError that names both."""
    touch(shot / "fg", "hair.1001.exr")

    with pytest.raises(PatternError, match=r"fg\.####\.exr.*hair\.####\.exr"):
        plan({"plate": shot / "fg"}, shot / "out")


@pytest.mark.parametrize(
    ("inputs", "more", "said"),
    [
        ({"plate": "none.####.exr"}, {}, "no file fits"),
        ({"plate": "fg/fg.####.exr"}, {"frames": "5-9"}, "none of the frames 5-9"),
        ({"plate": "fg/fg.####.exr"}, {"frames": "9-5"}, "backwards"),
        ({"plate": "fg/fg.####.exr"}, {"out": "out.exr"}, "is one file"),
        ({"plate": "fg/fg.####.exr", "mask": "nomask.exr"}, {}, "nomask"),
        ({"plate": "empty"}, {}, "no EXR files"),
        ({"plate": "fg/fg.####.exr"}, {"colorspace": {"bg": "ACEScg"}}, "There are plate"),
        ({"plate": "fg/fg.####.exr"}, {"colorspace": {"mask": "ACEScg"}}, "no colour space"),
        ({"plate": "fg/fg.####.exr", "hair": "fg"}, {}, "no input 'hair'"),
        ({"plate": ""}, {}, "needs the input 'plate'"),
    ],
)
def test_what_cannot_be_used_is_told_before_any_server_is_asked(
    shot: Path, monkeypatch: pytest.MonkeyPatch, inputs: dict, more: dict, said: str
) -> None:
    """Wrong inputs, files, ranges, outputs and spaces raise an input error that says which."""
    touch(shot / "empty")
    monkeypatch.chdir(shot)

    with pytest.raises(InputError, match=said):
        plan(inputs, **{"out": "out", **more})


def test_frames_that_are_missing_in_between_stay_asked_for(shot: Path) -> None:
    """A range is taken as it is: a gap in it is a frame error later, not a silent skip; the plan knows the gaps."""
    found = plan({"plate": shot / "fg/fg.####.exr"}, shot / "out", "1002-1005")

    assert list(found.frames) == [1002, 1003, 1004, 1005]
    assert {layer: list(frames) for layer, frames in found.gaps().items()} == {"plate": [1004, 1005]}


@pytest.mark.parametrize("out", ["fg", "fg/fg.####.exr", "linked", "fg/fg.%d.exr"])
def test_inputs_are_never_overwritten(shot: Path, out: str) -> None:
    """An output that is an input, by the same name or through a link, raises OutputError naming the frame."""
    os.symlink(shot / "fg", shot / "linked")

    with pytest.raises(OutputError, match="one of the inputs") as caught:
        plan({"plate": shot / "fg" / "fg.####.exr"}, shot / out)

    assert caught.value.frame == 1001


def test_an_output_may_not_be_the_other_input(shot: Path) -> None:
    """The background is protected as the foreground is."""
    with pytest.raises(OutputError):
        plan({"fg": shot / "fg", "bg": shot / "bg"}, shot / "bg" / "bg.####.exr")


def test_a_colour_space_is_of_all_images_or_of_one(shot: Path) -> None:
    """A name holds for every image that is given and for no matte; a map names single ones."""
    inputs = {"fg": shot / "fg", "bg": shot / "bg", "matte": shot / "mask.exr"}

    assert plan(inputs, shot / "out", colorspace="ACEScg").colorspace == {"fg": "ACEScg", "bg": "ACEScg"}
    assert plan(inputs, shot / "out", colorspace={"bg": "ACEScg", "fg": ""}).colorspace == {"bg": "ACEScg"}


def test_mapped_folders_become_paths_in_the_servers_root(shot: Path) -> None:
    """Layers under a mapped folder are named by root and relative path, the longest prefix first."""
    roots = ((shot / "bg", "plates"), (shot, "show"))

    found = plan(
        {"fg": shot / "fg" / "fg.%04d.exr", "bg": shot / "bg", "matte": shot / "mask.exr"},
        "/tmp/o",
        roots=roots,
    )

    assert found.shared == {
        "fg": "show:fg/fg.####.exr",
        "bg": "plates:bg.####.exr",
        "matte": "show:mask.exr",
    }
