"""Which files a job reads and writes: frames, outputs, colour spaces, shared storage."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from harmovid.errors import InputError, OutputError, PatternError
from harmovid.file_plan import FilePlan
from harmovid.job import MATTE, VECTORS, LayerInfo

DEFLICKER = (LayerInfo("plate", True, ""), LayerInfo("mask", False, "", MATTE))
HARMONIZE = (
    LayerInfo("fg", True, ""), LayerInfo("bg", True, ""), LayerInfo("matte", False, "", MATTE),
    LayerInfo("normals", False, "", VECTORS),
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


def test_what_is_taken_of_a_folder_is_said(shot: Path) -> None:
    """Which sequence it is, with its frames, and the EXR files that are left out; stills beside it do not count."""
    touch(shot / "fg", "Rec709.exr", "plate_v002.exr", "._fg.0001.exr", "notes.txt")
    found = plan({"plate": shot / "fg"}, shot / "out")
    (said,) = found.folder_words()
    assert f"of the folder {shot}/fg/ the sequence fg.####.exr is taken, frames" in said
    assert found.left_in_folders() == {"plate": ["Rec709.exr", "plate_v002.exr"]}
    assert plan({"plate": shot / "fg" / "fg.####.exr"}, shot / "out").folder_words() == []


def test_a_folder_of_stills_is_no_sequence(shot: Path) -> None:
    """Stills whose names end in a number are not taken for frames; the error says what to write."""
    touch(shot / "stills", "Rec709.exr", "Rec2020.exr")
    with pytest.raises(PatternError, match="holds no sequence of EXR files") as caught:
        plan({"plate": shot / "stills"}, shot / "out")
    assert str(shot / "stills" / "Rec2020.exr") in caught.value.fix


@pytest.mark.parametrize("name", ["fg@2x.exr", "x%d.exr"])
def test_a_file_whose_name_reads_like_a_pattern_is_that_file(shot: Path, name: str) -> None:
    """It is one file for all frames, and its results have names of their own; beside real frames it is a pattern."""
    (shot / name).touch()
    found = plan({"plate": shot / name}, shot / "out")
    assert found.layers["plate"].path(7) == str(shot / name)
    assert Path(found.out.path(1)).name == name
    over = plan({"fg": shot / name, "bg": shot / "fg/fg.####.exr"}, shot / "out")
    assert Path(over.out.path(1001)).name == f"{Path(name).stem}.1001.exr"
    touch(shot / "fg", "fg.####.exr")
    assert not plan({"plate": shot / "fg/fg.####.exr"}, shot / "out").layers["plate"].is_single


def test_a_folder_that_is_not_there_is_called_a_folder(shot: Path) -> None:
    """A missing folder with its slash, or the backslash of Windows, is named as such."""
    for text in (f"{shot}/gone/", f"{shot}/gone\\"):
        with pytest.raises(PatternError, match="there is no folder"):
            plan({"plate": text}, shot / "out")


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


def test_inputs_with_other_frame_numbers_are_refused(shot: Path) -> None:
    """A background from 1 to a foreground from 1001: the input is named, with the frames that it has."""
    touch(shot / "late", "bg.0001.exr", "bg.0002.exr")
    with pytest.raises(PatternError, match="bg: none of the frames 1001-1003 is there") as caught:
        plan({"fg": shot / "fg", "bg": shot / "late"}, shot / "out", "1001-1003")
    assert "bg.####.exr has 1-2" in caught.value.fix


def test_a_link_that_leads_nowhere_is_no_input_to_protect(shot: Path) -> None:
    """The check that no result replaces an input passes over it; the frame itself fails later."""
    os.symlink("/nowhere/at/all.exr", shot / "fg" / "fg.1009.exr")
    touch(shot / "out", "fg.1001.exr")
    assert 1009 in plan({"plate": shot / "fg"}, shot / "out").frames


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


@pytest.mark.parametrize(
    ("out", "fix"),
    [
        ("a/res.####.tif", "a/res.####.exr"),
        ("res.%04d.png", "res.%04d.exr"),
        ("res.####.sxr", "res.####.exr"),
        ("res.####", "res.####.exr"),
        ("res_$F4", "res_$F4.exr"),
        ("res@@@@.dpx", "res@@@@.exr"),
        ("res.mov", "res.exr"),
        ("out/res.TIFF", "out/res.exr"),
    ],
)
def test_results_that_are_no_exr_files_are_refused(shot: Path, out: str, fix: str) -> None:
    """A pattern or file of another format is refused and not taken as a folder; the message says what to write."""
    with pytest.raises(PatternError, match="results are EXR files") as caught:
        plan({"fg": shot / "fg" / "fg.####.exr", "bg": shot / "mask.exr"}, shot / out)
    assert fix in caught.value.fix


@pytest.mark.parametrize("out", ["v001", "comp_v1.2", "sh010.final", "res.####.tif/", "made.tif"])
def test_folders_may_have_dots_in_their_names(shot: Path, out: str) -> None:
    """Names that are no picture's, end in a slash or are folders already are folders."""
    (shot / "made.tif").mkdir()
    found = plan({"fg": shot / "fg" / "fg.####.exr", "bg": shot / "mask.exr"}, f"{shot}/{out}")
    assert Path(found.out.text) == shot / out / "fg.####.exr"


@pytest.mark.parametrize(
    ("name", "want"),
    [
        ("fg.1001.exr", "fg.####.exr"),
        ("fg_7.exr", "fg_####.exr"),
        ("fg.exr", "fg.####.exr"),
        ("Rec709.exr", "Rec709.####.exr"),
        ("fg_v002.exr", "fg_v002.####.exr"),
    ],
)
def test_one_file_over_a_sequence_gives_its_name_one_number(shot: Path, name: str, want: str) -> None:
    """The number in the name of a single file gives way to that of each frame."""
    (shot / name).touch()
    touch(shot / "seq", "bg.0001.exr", "bg.0002.exr")
    found = plan({"fg": shot / name, "bg": shot / "seq" / "bg.####.exr"}, shot / "out")
    assert Path(found.out.text).name == want
    assert Path(found.out.path(2)).name == want.replace("####", "0002")


def test_odd_names_are_told_apart(shot: Path) -> None:
    """Files of another padding within the shot are taken, others left out; both are listed by layer."""
    touch(shot / "odd", "p.0001.exr", "p.0002.exr", "p.003.exr", "p.-9.exr", "P.0004.exr")
    found = plan({"fg": shot / "odd" / "p.####.exr", "bg": shot / "mask.exr"}, shot / "out")
    assert str(found.frames) == "1-3"
    assert found.odd_names() == {"fg": (["p.003.exr"], ["p.-9.exr", "P.0004.exr"])}
    assert found.gaps() == {}


def test_what_the_server_cannot_find_by_its_pattern_is_sent(shot: Path) -> None:
    """A mapped input with a file of another padding, or a path that is not UTF-8, is not read by the server."""
    roots = [(shot, "show")]
    fine = {"fg": shot / "fg" / "fg.####.exr", "bg": shot / "mask.exr"}
    assert set(plan(fine, shot / "out", roots=roots).shared) == {"fg", "bg"}
    touch(shot / "odd", "p.0001.exr", "p.2.exr")
    touch(shot / os.fsdecode(b"pl\xe9te"), "p.0001.exr")
    for folder in ("odd", os.fsdecode(b"pl\xe9te")):
        odd = {"fg": shot / folder / "p.####.exr", "bg": shot / "mask.exr"}
        assert set(plan(odd, shot / "out", roots=roots).shared) == {"bg"}


def test_layers_and_channels_are_chosen_for_all_or_one(shot: Path) -> None:
    """One name is for all images, or all mattes, that are given; a choice for what is not there is refused."""
    inputs = {"fg": shot / "fg" / "fg.####.exr", "bg": shot / "mask.exr"}
    assert plan(inputs, shot / "out", exr_layers="left").exr_layers == {"fg": "left", "bg": "left"}
    assert plan(inputs, shot / "out", exr_layers={"bg": "d", "fg": ""}).exr_layers == {"bg": "d"}
    for more in ({"matte_channels": "R"}, {"matte_channels": {"bg": "R"}}, {"exr_layers": {"matte": "x"}}):
        with pytest.raises(InputError, match="to choose a"):
            plan(inputs, shot / "out", **more)


def test_the_layer_of_normals_is_chosen_by_name_only(shot: Path) -> None:
    """Normals are no image: one name for all images leaves them alone, their own choice is kept."""
    inputs = dict.fromkeys(("fg", "bg", "normals"), shot / "fg" / "fg.####.exr")
    assert set(plan(inputs, shot / "out", exr_layers="left").exr_layers) == {"fg", "bg"}
    assert plan(inputs, shot / "out", exr_layers={"normals": "N"}).exr_layers == {"normals": "N"}
