"""Frame ranges and file patterns: read as compositors write them, refused with the fix."""

from __future__ import annotations

import re
from pathlib import Path
from typing import List, Optional, Set

import pytest
from harmovid.errors import PatternError
from harmovid.frames import MAX_FRAMES, FramePattern, FrameRange
from hypothesis import example, given, settings
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "frames", "short"),
    [
        ("1001", [1001], "1001"),
        ("1001-1003", [1001, 1002, 1003], "1001-1003"),
        ("1001-1008x3,1150", [1001, 1004, 1007, 1150], "1001-1007x3,1150"),
        ("-5--1", [-5, -4, -3, -2, -1], "-5--1"),
        ("-2-1", [-2, -1, 0, 1], "-2-1"),
        ("-4-4x4", [-4, 0, 4], "-4-4x4"),
        ("5,3,4", [3, 4, 5], "3-5"),
        ("1-4,3-6,5", [1, 2, 3, 4, 5, 6], "1-6"),
        (" 1 , 2-3 ", [1, 2, 3], "1-3"),
        ("7-7", [7], "7"),
        ("1,3", [1, 3], "1,3"),
    ],
)
def test_ranges_are_read_and_said_briefly(text: str, frames: List[int], short: str) -> None:
    """Numbers, spans, steps, negative numbers; overlaps are merged, order does not matter."""
    parsed = FrameRange.parse(text)
    assert list(parsed) == frames
    assert str(parsed) == short
    assert FrameRange.parse(short) == parsed


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("", "1001-1100"), ("abc", "1001-1100"), ("1-", "1001-1100"), ("1,,2", "1001-1100"),
        ("1-5x", "1001-1100"),
        ("1-5x-1", "1001-1100"), ("1:5", "1001-1100"), ("10-1", "Write 1-10"), ("-1--5", "Write -5--1"),
        ("1-5x0", "step is 1 or more"), ("1-99999999999", "At most"), (f"1-{MAX_FRAMES + 1}", "At most"),
        ("9" * 5000, "2147483647"), ("4294967296", "32 bits"), ("١-٣", "1001-1100"),
    ],
)  # fmt: skip
def test_bad_ranges_are_refused_with_the_fix(text: str, fix: str) -> None:
    """The message names the part that is wrong and how to write it."""
    with pytest.raises(PatternError, match=re.escape(fix)) as caught:
        FrameRange.parse(text)
    assert len(str(caught.value)) < 300


def test_a_million_frames_are_fine_and_absurd_ones_are_refused() -> None:
    """The longest range is accepted; many overlapping spans are refused before they use much memory."""
    assert len(FrameRange.parse(f"1-{MAX_FRAMES}")) == MAX_FRAMES
    with pytest.raises(PatternError):
        FrameRange.parse(",".join(["1-1000000"] * 10_000))


@given(st.sets(st.integers(-(2**31), 2**31 - 1), max_size=40) | st.sets(st.integers(-20, 20)))
@example({-10, 1, 12})
@example({-99, 1, 101})
@settings(max_examples=200, deadline=None)
def test_text_and_numbers_are_the_same_range(numbers: Set[int]) -> None:
    """Any set of frames is the same after conversion to text and back."""
    frames = FrameRange(numbers)
    assert list(frames) == sorted(numbers)
    if numbers:
        assert FrameRange.parse(str(frames)) == frames
        assert len(str(frames)) <= len(",".join(map(str, sorted(numbers))))


def test_a_range_is_a_sequence() -> None:
    """Index, slice, membership, the nearest frame, equality and hash."""
    frames = FrameRange.parse("1-9x2")
    assert (frames[0], frames[-1], frames[1:3], len(frames)) == (1, 9, (3, 5), 5)
    assert 5 in frames
    assert 4 not in frames
    assert "5" not in frames
    assert [frames.nearest(n) for n in (-7, 4, 8, 99)] == [1, 3, 7, 9]
    assert FrameRange().nearest(1) is None
    assert {frames, FrameRange([9, 7, 5, 3, 1])} == {frames}


@pytest.mark.parametrize(
    ("text", "name", "negative"),
    [
        ("plate.####.exr", "plate.0007.exr", "plate.-005.exr"),
        ("plate.#.exr", "plate.7.exr", "plate.-5.exr"),
        ("plate.%04d.exr", "plate.0007.exr", "plate.-005.exr"),
        ("plate.%d.exr", "plate.7.exr", "plate.-5.exr"),
        ("plate_@@@.exr", "plate_007.exr", "plate_-05.exr"),
        ("plate.$F4.exr", "plate.0007.exr", "plate.-005.exr"),
        ("plate.$F.exr", "plate.7.exr", "plate.-5.exr"),
        ("me@home.##.exr", "me@home.07.exr", "me@home.-5.exr"),
        ("still.exr", "still.exr", "still.exr"),
    ],
)
@pytest.mark.parametrize(
    "folder", ["", "shots/", "/mnt/show #1/%04d/", "C:\\show\\", "\\\\server\\share\\a/"]
)
def test_every_convention_names_the_same_files(folder: str, text: str, name: str, negative: str) -> None:
    """Nuke's #, printf's %04d, Shake's @ and Houdini's $F; folders are taken literally, on any system."""
    pattern = FramePattern.parse(folder + text)
    assert pattern.path(7) == folder + name
    assert pattern.path(-5) == folder + negative
    assert pattern.is_single == (text == "still.exr")


def test_numbers_wider_than_the_padding_are_written_in_full() -> None:
    """Frame 12345 of #### has five digits, and is found again."""
    pattern = FramePattern.parse("p.####.exr")
    assert pattern.name(12345) == "p.12345.exr"
    assert pattern.number_in("p.12345.exr") == 12345


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("p.0007.exr", 7), ("p.-005.exr", -5), ("p.0000.exr", 0), ("p.7.exr", None), ("p.00007.exr", None),
        ("p.12345.exr", 12345), ("q.0007.exr", None), ("p.0007.exr.tmp", None),
        ("p.exr", None), ("p..exr", None),
        ("p.99999999999.exr", None), ("p.4294967296.exr", None), ("p.-0000.exr", None), ("p.٠٠٠٧.exr", None),
    ],
)  # fmt: skip
def test_only_names_the_pattern_would_write_are_its_frames(name: str, number: Optional[int]) -> None:
    """Another padding is another sequence."""
    assert FramePattern.parse("p.####.exr").number_in(name) == number


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("", "plate.####.exr"), ("shots/", "plate.####.exr"), ("a\0b", "plate.####.exr"),
        ("a.##.b.##.exr", "Leave one"), ("p.*.exr", "####"), ("p.?.exr", "####"), ("p.[1-10].exr", "####"),
        ("p.%4d.exr", "%04d"), ("p.{frame}.exr", "####"), ("p.%0999d.exr", "####"),
    ],
)  # fmt: skip
def test_other_forms_are_refused_with_the_fix(text: str, fix: str) -> None:
    """Wildcards and brackets are not guessed at."""
    with pytest.raises(PatternError, match=re.escape(fix)):
        FramePattern.parse(text)


def touch(folder: Path, *names: str) -> None:
    """Make empty files."""
    for name in names:
        (folder / name).write_bytes(b"")


def test_existing_frames_are_found(tmp_path: Path) -> None:
    """All frames of the pattern, in order, and nothing else in the folder."""
    touch(
        tmp_path,
        "p.0010.exr",
        "p.0009.exr",
        "p.-001.exr",
        "p.11.exr",
        "q.0012.exr",
        ".p.0013.exr.1234abcd.tmp",
    )
    pattern = FramePattern.parse(f"{tmp_path}/p.####.exr")
    assert list(pattern.existing()) == [-1, 9, 10]
    assert pattern.expand() == FrameRange([-1, 9, 10])
    assert pattern.expand(FrameRange.parse("9-12")) == FrameRange.parse("9-12")


def test_a_single_file_counts_as_the_number_in_its_name(tmp_path: Path) -> None:
    """plate.1005.exr alone is frame 1005; a name without a number is frame 1."""
    touch(tmp_path, "p.1005.exr", "still.exr", "Rec709.exr")
    assert list(FramePattern.parse(f"{tmp_path}/p.1005.exr").existing()) == [1005]
    assert list(FramePattern.parse(f"{tmp_path}/still.exr").existing()) == [1]
    assert list(FramePattern.parse(f"{tmp_path}/Rec709.exr").existing()) == [1]
    assert not FramePattern.parse(f"{tmp_path}/other.exr").existing()


@pytest.mark.parametrize(
    ("pattern", "fix"),
    [
        ("plate.####.exr", "Did you mean plate.#####.exr (frames 1001-1010)"),
        ("plat.#####.exr", "Did you mean plate.#####.exr"),
        ("nowhere/plate.####.exr", "There is no folder"),
        ("empty/plate.####.exr", "holds no numbered files"),
        ("empty", "is a folder"),
    ],
)
def test_a_pattern_that_fits_nothing_says_what_is_there(tmp_path: Path, pattern: str, fix: str) -> None:
    """The error names the sequence that was probably meant."""
    touch(tmp_path, *(f"plate.{n:05d}.exr" for n in range(1001, 1011)))
    (tmp_path / "empty").mkdir()
    with pytest.raises(PatternError, match=re.escape(fix)):
        FramePattern.parse(f"{tmp_path}/{pattern}").expand()


def touched(folder: Path, *names: str) -> FramePattern:
    """Make empty files and return the pattern p.####.exr in their folder."""
    for name in names:
        (folder / name).touch()
    return FramePattern.parse(str(folder / "p.####.exr"))


@pytest.mark.parametrize("odd", ["p.-0001.exr", "p.2.exr", "p.002.exr", "p.00002.exr", "p.+0002.exr"])
def test_a_file_of_another_padding_or_sign_joins_its_sequence(tmp_path: Path, odd: str) -> None:
    """If no file has the right name, one with the same number is used and reported."""
    number = int(odd[2:-4])
    p = touched(tmp_path, "p.0000.exr", "p.0001.exr", odd)
    assert p.files() == {0: "p.0000.exr", 1: "p.0001.exr", number: odd}
    assert p.found() == FrameRange([0, 1, number])
    assert p.near_misses() == [odd]
    assert p.existing() == FrameRange([0, 1])


def test_the_right_name_goes_first_and_far_numbers_are_another_sequence(tmp_path: Path) -> None:
    """A second spelling of a frame, a lone number elsewhere, other letters and part frames are left out."""
    odd = ["p.3.exr", "P.0004.EXR", "p.0005.5.exr", "p.5.exr", "p.900.exr"]
    p = touched(tmp_path, "p.0003.exr", "p.0006.exr", *odd, "p2.0001.exr", "p.x.exr", "q.0001.exr")
    assert p.found() == FrameRange([3, 5, 6])
    assert p.files()[900] == "p.900.exr"
    assert p.near_misses() == odd
    assert FramePattern.parse(str(tmp_path / "p#.exr")).near_misses() == []


def test_a_folder_of_odd_names_alone_is_taken_as_it_is(tmp_path: Path) -> None:
    """Where no file fits exactly, those that nearly do are the sequence."""
    p = touched(tmp_path, "p.01.exr", "p.02.exr", "p.9.exr")
    assert p.found() == FrameRange([1, 2, 9])
    assert p.existing() == FrameRange()
