"""Which file names belong together."""

from __future__ import annotations

from typing import Optional

import pytest
from harmovid.sequences import find, numbered


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["a.9.exr", "a.10.exr"], {"a.#.exr": [9, 10]}),
        (["a009.exr", "a010.exr"], {"a###.exr": [9, 10]}),
        (["a.12345.exr"], {"a.#####.exr": [12345]}),
        (["a.0999.exr", "a.1000.exr", "a.10000.exr"], {"a.####.exr": [999, 1000, 10000]}),
        (["a.998.exr", "a.1000.exr"], {"a.#.exr": [998, 1000]}),
        (["a.-0005.exr", "a.0001.exr"], {"a.####.exr": [1], "a.#####.exr": [-5]}),
        (["a.1001.exr", "b.1001.exr", "a.1001.png"], {
            "a.####.exr": [1001], "b.####.exr": [1001], "a.####.png": [1001],
        }),
        (["p1.exr", "p2.exr", "p4.exr"], {"p#.exr": [1, 2, 4]}),
        (["p10.exr", "p20.exr", "p30.exr"], {"p#.exr": [10, 20, 30]}),
        (["p1001.exr", "p1002.exr"], {"p####.exr": [1001, 1002]}),
        (["1001.exr"], {"####.exr": [1001]}),
        (["a 5.exr", "b-7.exr"], {"a #.exr": [5], "b-#.exr": [7]}),
        (["notes.txt", "still.exr", "1001"], {}),
    ],
)  # fmt: skip
def test_names_are_grouped_by_what_is_around_the_number(
    names: list[str], found: dict[str, list[int]]
) -> None:
    """Padding is read from the names; what has no number before its extension belongs to nothing."""
    assert find(names) == found
    assert find(reversed(names)) == found


@pytest.mark.parametrize(
    "names",
    [
        ["Rec709.exr"], ["Rec709.exr", "Rec2020.exr"], ["Rec601.exr", "Rec709.exr", "Rec2020.exr"],
        ["plate_v001.exr", "plate_v002.exr"], ["v1.exr", "v2.exr"], ["hdri4k.exr", "take-V03.exr"],
    ],
)  # fmt: skip
def test_stills_and_versions_are_no_sequence(names: list[str]) -> None:
    """A number glued to a word counts no frames unless others count on from it, and a version never does."""
    assert find(names) == {}


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("fg.1001.exr", "1001"), ("fg_7.exr", "7"), ("0007.exr", "0007"), ("fg007.exr", "007"), ("fg.-3.exr", "-3"),
        ("Rec709.exr", None), ("fg_v002.exr", None), ("fg1001.exr", None), ("fg.exr", None),
    ],
)  # fmt: skip
def test_the_frame_number_of_one_file(name: str, number: Optional[str]) -> None:
    """One file has a frame number where it is set off or padded."""
    found = numbered(name)
    assert (found["number"] if found else None) == number


def test_what_macos_writes_beside_files_is_no_sequence() -> None:
    """`._` files hold Finder's notes, not frames."""
    assert find(["._p.0001.exr", "p.0001.exr", "._p.0002.exr"]) == {"p.####.exr": [1]}
