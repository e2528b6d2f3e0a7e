"""Parts of loading a result: the curve of existing frames, labels of the history."""

from __future__ import annotations

from typing import List

from fakes.nuke_host import tcl
from fakes.nuke_host.knobs import Curve, Double_Knob
from harmovid_nuke import readback
from hypothesis import given
from hypothesis import strategies as st


@given(st.sets(st.integers(-20, 20)), st.integers(-10, 10), st.integers(0, 15))
def test_presence_is_one_on_exactly_the_frames(there: set, first: int, length: int) -> None:
    """The curve read by frame is 1 on the frames that are there and 0 on every other, in and outside the range."""
    wanted = list(range(first, first + length + 1))
    present = sorted(there & set(wanted))
    knob = Double_Knob.__new__(Double_Knob)
    knob._channels = [0.0]
    knob.read_script(tcl.commands("x " + readback.presence(wanted, present))[0][1])
    curve = knob._channels[0]
    assert isinstance(curve, Curve)
    found: List[int] = [frame for frame in range(-40, 60) if curve.at(frame)]
    assert found == present


def test_labels_name_version_range_engine_and_state() -> None:
    """A line of the history has version, frames, engine, outcome and time."""
    entry = {
        "folder": "/x/v012",
        "wanted": "1-9",
        "engine": "harmonize",
        "state": "done",
        "started": "2026-11-29 10:00",
    }
    assert readback.label(entry) == "v012  1-9  harmonize  done  2026-11-29 10:00"
