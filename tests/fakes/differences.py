"""What differs between two folders of results, in words that suffice to look for the cause.

check_same_results(out, whole, frames)      # AssertionError: frame 1007: R: 3 of 3072 pixels, by 0.00098 at most
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Iterable, Iterator, List

import numpy as np
from harmovid.pixels import exr
from harmovid.pixels.exr import ExrPart

RESULT = "p.{}.exr"


def check_same_results(made: Path, expected: Path, frames: Iterable[int], context: str = "") -> None:
    """Fail unless both folders have the same names and the results of `frames` have the same bytes.

    Args:
        made, expected: folders of results named `p.<frame>.exr`.
        frames: the results to compare.
        context: added to the failure's message.
    """
    found = [*name_differences(made, expected), *file_differences(made, expected, frames)]
    assert not found, "\n".join([f"{made} differs from {expected}:", *found, context])


def check_same_files(made: Path, expected: Path, frames: Iterable[int]) -> None:
    """Fail unless the results of `frames` have the same bytes; other names do not count."""
    found = list(file_differences(made, expected, frames))
    assert not found, "\n".join([f"{made} differs from {expected}:", *found])


def name_differences(made: Path, expected: Path) -> List[str]:
    """Return which names, hidden ones too, are in one of two folders only."""
    here, there = set(os.listdir(made)), set(os.listdir(expected))
    found = [f"missing: {', '.join(sorted(there - here))}"] if there - here else []
    return found + ([f"too many: {', '.join(sorted(here - there))}"] if here - there else [])


def file_differences(made: Path, expected: Path, frames: Iterable[int]) -> Iterator[str]:
    """Yield what differs in each frame's file: attributes, channels, and by how much."""
    for frame in frames:
        one, other = made / RESULT.format(frame), expected / RESULT.format(frame)
        if not one.exists() or not other.exists():
            yield f"frame {frame}: no file {one if other.exists() else other}"
        elif one.read_bytes() != other.read_bytes():
            parts = zip(exr.read(one).parts, exr.read(other).parts)
            said = [said for a, b in parts for said in (*_attributes(a, b), *_channels(a, b))]
            sizes = f"the same attributes and pixels in {one.stat().st_size} and {other.stat().st_size} bytes"
            yield f"frame {frame}: {'; '.join(said) or sizes}"


def _attributes(one: ExrPart, other: ExrPart) -> Iterator[str]:
    here, there = one.header.attributes, other.header.attributes
    for name in sorted({*here, *there}):
        if here.get(name) != there.get(name):
            yield f"attribute {name}: {one.header.get(name)!r} instead of {other.header.get(name)!r}"


def _channels(one: ExrPart, other: ExrPart) -> Iterator[str]:
    for name in sorted({*one.channels, *other.channels}):
        a, b = one.channels.get(name), other.channels.get(name)
        if a is None or b is None:
            yield f"channel {name} is in one file only"
        elif a.shape != b.shape or a.dtype != b.dtype:
            yield f"channel {name}: {a.dtype} {a.shape} instead of {b.dtype} {b.shape}"
        elif a.tobytes() != b.tobytes():
            apart = np.abs(a.astype(np.float64) - b.astype(np.float64))
            yield f"channel {name}: {np.count_nonzero(apart)} of {a.size} pixels, by {np.nanmax(apart):.3g} at most"
