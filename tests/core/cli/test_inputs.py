"""From a command line to a plan: files, frames, outputs, colour spaces, shared storage."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from harmovid.cli import inputs, parser
from harmovid.errors import InputError, OutputError, PatternError


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


def plan(*words: object, roots: tuple = ()):
    """Return the plan of a command line."""
    args = parser.build().parse_args([str(word) for word in words])
    return inputs.make_plan(args, args.command, roots)


def test_harmonize_takes_the_foregrounds_frames_and_name(shot: Path) -> None:
    """Without --frames the foreground's frames are the job's; a folder as OUT keeps the foreground's name."""
    found = plan("harmonize", shot / "fg/fg.####.exr", shot / "bg/bg.%04d.exr", "-o", shot / "out")

    assert list(found.frames) == [1001, 1002, 1003]
    assert found.target == "fg"
    assert found.out.path(1002) == str(shot / "out" / "fg.1002.exr")
    assert found.label == "harmonize fg.####.exr"


def test_a_still_foreground_follows_the_background(shot: Path) -> None:
    """One foreground file over a moving background gives one result per background frame."""
    found = plan("harmonize", shot / "mask.exr", shot / "bg/bg.####.exr", "-o", f"{shot}/out/")

    assert list(found.frames) == [1001, 1002, 1003, 1004, 1005]
    assert found.out.name(1004) == "mask.1004.exr"


def test_a_folder_as_input_is_its_one_sequence(shot: Path) -> None:
    """A folder with one EXR sequence stands for it; other files in it do not matter."""
    touch(shot / "fg", "notes.txt", "still.exr")

    assert plan("deflicker", shot / "fg", "-o", shot / "out").layers["plate"].name(7) == "fg.0007.exr"


def test_a_folder_with_several_sequences_is_asked_about(shot: Path) -> None:
    """A folder with two sequences raises PatternError that names both."""
    touch(shot / "fg", "hair.1001.exr")

    with pytest.raises(PatternError, match=r"hair\.####\.exr.*fg\.####\.exr|fg\.####\.exr.*hair"):
        plan("deflicker", shot / "fg", "-o", shot / "out")


@pytest.mark.parametrize(
    ("names", "pattern"),
    [
        (("a.9.exr", "a.10.exr"), "a.#.exr"),
        (("a009.exr", "a010.exr"), "a###.exr"),
        (("a.12345.exr",), "a.#####.exr"),
    ],
)
def test_padding_is_read_from_the_names(tmp_path: Path, names: tuple, pattern: str) -> None:
    """Sequences in a folder are told with the padding that their names show."""
    touch(tmp_path, *names)

    assert [found.text for found in inputs.sequences(tmp_path)] == [str(tmp_path / pattern)]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["deflicker", "none.####.exr", "-o", "out"], "no file fits"),
        (["deflicker", "fg/fg.####.exr", "-o", "out", "--frames", "5-9"], "none of the frames 5-9"),
        (["deflicker", "fg/fg.####.exr", "-o", "out", "--frames", "9-5"], "backwards"),
        (["deflicker", "fg/fg.####.exr", "-o", "out.exr"], "is one file"),
        (["deflicker", "fg/fg.####.exr", "-o", "out", "--mask", "nomask.exr"], "nomask"),
        (["deflicker", "empty", "-o", "out"], "no EXR files"),
        (["deflicker", "fg/fg.####.exr", "-o", "out", "--amount", "3"], "from 0 to 2"),
        (["deflicker", "fg/fg.####.exr", "-o", "out", "--colorspace", "bg=ACEScg"], "plate=NAME"),
        (["deflicker", "fg/fg.####.exr", "-o", "out", "--colorspace", "mask=ACEScg"], "no colour space"),
    ],
)
def test_what_cannot_be_used_is_told_before_any_server_is_asked(
    shot: Path, monkeypatch: pytest.MonkeyPatch, words: list, said: str
) -> None:
    """Wrong files, ranges, outputs and spaces raise an input error that says which."""
    touch(shot / "empty")
    monkeypatch.chdir(shot)

    with pytest.raises(InputError, match=said):
        plan(*words)


def test_frames_that_are_missing_in_between_stay_asked_for(shot: Path) -> None:
    """--frames is taken as it is: a gap in it is a frame error later, not a silent skip."""
    found = plan("deflicker", shot / "fg/fg.####.exr", "-o", shot / "out", "--frames", "1002-1005")

    assert list(found.frames) == [1002, 1003, 1004, 1005]


@pytest.mark.parametrize("out", ["fg", "fg/fg.####.exr", "linked", "fg/fg.%d.exr"])
def test_inputs_are_never_overwritten(shot: Path, out: str) -> None:
    """An output that is an input, by the same name or through a link, raises OutputError naming the frame."""
    os.symlink(shot / "fg", shot / "linked")

    with pytest.raises(OutputError, match="one of the inputs") as caught:
        plan("deflicker", shot / "fg" / "fg.####.exr", "-o", shot / out)

    assert caught.value.frame == 1001


def test_an_output_may_not_be_the_other_input(shot: Path) -> None:
    """The background is protected as the foreground is."""
    with pytest.raises(OutputError):
        plan("harmonize", shot / "fg", shot / "bg", "-o", shot / "bg" / "bg.####.exr")


def test_colour_spaces_for_all_and_for_one(shot: Path) -> None:
    """NAME holds for every image, LAYER=NAME wins for its own, and mattes get none."""
    found = plan(
        "harmonize", shot / "fg", shot / "bg", "-o", shot / "out", "--matte", shot / "mask.exr",
        "--colorspace", "bg=sRGB - Texture", "--colorspace", "ACEScg",
    )  # fmt: skip

    assert found.colorspace == {"fg": "ACEScg", "bg": "sRGB - Texture"}


def test_output_choices_reach_the_spec(shot: Path) -> None:
    """Strength, mode, field and alpha handling arrive in the output specification."""
    found = plan(
        "harmonize", shot / "fg", shot / "bg", "-o", shot / "out",
        "--output", "comp", "--strength", "0.5", "--field", "--unpremultiplied",
    )  # fmt: skip

    output = found.output
    assert (output.mode, output.strength, output.field_layers, output.premultiplied) == (
        "comp",
        0.5,
        True,
        False,
    )


def test_mapped_folders_become_paths_in_the_servers_root(shot: Path) -> None:
    """Layers under a mapped folder are named by root and relative path, the longest prefix first."""
    roots = ((shot / "bg", "plates"), (shot, "show"))

    found = plan(
        "harmonize", shot / "fg" / "fg.%04d.exr", shot / "bg", "-o", "/tmp/o", "--matte", shot / "mask.exr",
        roots=roots,
    )  # fmt: skip

    assert found.shared == {
        "fg": "show:fg/fg.####.exr",
        "bg": "plates:bg.####.exr",
        "matte": "show:mask.exr",
    }
