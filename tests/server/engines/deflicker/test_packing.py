"""What a session keeps, as the flat entries of a state, comes back to the bit."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy as np
from harmovid_server.engines.deflicker.corrections import Correction, TrackedFrame
from harmovid_server.engines.deflicker.packing import packed, unpacked
from server.engines.deflicker.samples import flickering, links_of, through, window_of

MAPS = {"bands": np.zeros((6, 5, 1, 3)), "patches": np.zeros((6, 3, 4, 3))}


def restored(kind: Any, value: Any) -> Any:
    """Return a value after it was packed beside another one and its plain entries were moved to the front."""
    state = {**packed("value", value), "values": 1, **packed("value2", value)}
    plain = {name: one for name, one in state.items() if not isinstance(one, np.ndarray)}
    return unpacked(kind, "value", {**plain, **state})


def test_frames_come_back_to_the_bit() -> None:
    """Frames with their samples by gap and with or without quantiles, in order, more of them than one digit counts."""
    frames = window_of(12, links_of(12, through(flickering(12, (0.2,)))))
    frames[3].quantiles = np.random.default_rng(1).normal(0, 1, (24, 3))
    again = restored(List[TrackedFrame], frames)

    assert [frame.number for frame in again] == [frame.number for frame in frames]
    for one, other in zip(frames, again):
        np.testing.assert_equal(packed("frame", other), packed("frame", one))
        assert [*one.samples] == [*other.samples]
        assert (type(other.box), type(other.small)) == (tuple, bool)


def test_corrections_come_back_to_the_bit() -> None:
    """Curves, maps in their order, trajectories and level; a correction that is not there is None."""
    found = Correction(flickering(6, (1, 1, 1)), MAPS, flickering(12, (1,)).reshape(6, 2, 10, 3), 1.25)
    again = restored(Optional[Correction], found)

    np.testing.assert_equal(packed("found", again), packed("found", found))
    assert [*again.maps] == [*MAPS]
    assert restored(Optional[Correction], None) is None


def test_empty_lists_and_mappings_come_back() -> None:
    """A frame without motion keeps its place among the others."""
    assert restored(List[int], []) == []
    assert restored(List[Dict[int, float]], [{}, {1: 0.5, 2: 0.25}, {}]) == [{}, {1: 0.5, 2: 0.25}, {}]
    assert restored(Tuple[int, Mapping[str, Any]], (3, {"decision": "nothing"})) == (
        3,
        {"decision": "nothing"},
    )
