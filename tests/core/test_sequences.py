"""Which file names belong together."""

from __future__ import annotations

import pytest
from harmovid.sequences import find


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
        (["notes.txt", "still.exr", "1001"], {}),
    ],
)  # fmt: skip
def test_names_are_grouped_by_what_is_around_the_number(
    names: list[str], found: dict[str, list[int]]
) -> None:
    """Padding is read from the names; what has no number before its extension belongs to nothing."""
    assert find(names) == found
    assert find(reversed(names)) == found


def test_what_macos_writes_beside_files_is_no_sequence() -> None:
    """`._` files hold Finder's notes, not frames."""
    assert find(["._p.0001.exr", "p.0001.exr", "._p.0002.exr"]) == {"p.####.exr": [1]}
