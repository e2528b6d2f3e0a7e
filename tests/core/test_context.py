"""Context frames of a job: their number and range, never the job's own frames."""

from __future__ import annotations

import pytest
from harmovid.context import Context
from harmovid.errors import InputError
from harmovid.frames import FrameRange

THERE = FrameRange.parse("1001-1100")


@pytest.mark.parametrize(
    ("frames", "context", "expected"),
    [
        ("1050-1059", Context(handles=3), "1047-1049,1060-1062"),
        ("1001-1100", Context(handles=3), ""),
        ("1001-1004", Context(handles=3), "1005-1007"),
        ("1010,1014", Context(handles=2), "1008,1009,1011-1013,1015,1016"),
        ("1050", Context(named="1001,1050,2000"), "1001,2000"),
        ("1050", Context(handles=1, named="1001"), "1001,1049,1051"),
        ("1050-1059", Context(handles=3, step=16), "1033-1049,1060-1062"),
        ("1033-1048", Context(handles=16, step=16), "1017-1032,1049-1064"),
        ("1050-1059", Context(handles=0, step=16), ""),
        ("1200-1210", Context(handles=5), ""),
    ],
)
def test_frames_beside_a_part(frames: str, context: Context, expected: str) -> None:
    """Handles reach as far as there are files, begin at whole steps of the sequence, and leave the part itself out."""
    found = context.frames(FrameRange.parse(frames), THERE)

    assert found == (FrameRange.parse(expected) if expected else FrameRange())


def test_steps_are_counted_by_frames_that_are_there() -> None:
    """A gap in the sequence does not count: an engine counts the frames that it sees."""
    there = FrameRange.parse("1-4,11-40")

    assert min(Context(handles=2, step=8).frames(FrameRange([22]), there)) == 15


def test_fewer_than_no_handles_are_refused() -> None:
    """The error says what to write."""
    with pytest.raises(InputError, match="-1 handles"):
        Context(handles=-1).frames(THERE, THERE)
