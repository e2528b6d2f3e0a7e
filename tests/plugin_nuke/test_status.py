"""A node's display: texts of errors, frames to review, confidence."""

from __future__ import annotations

from typing import Any, Dict

from fakes.nuke_host.host import Host
from fakes.nuke_host.images import RenderError, picture
from harmovid.errors import FrameMissing, Unreachable
from harmovid_nuke import node, status


def test_errors_are_sentences_that_say_what_to_do() -> None:
    """Our own errors keep their fix, with a capital at the start; others ask for the self-test."""
    assert (
        status.words_of(Unreachable("nobody answers at x.", fix="Start it."))
        == "Nobody answers at x. Start it."
    )
    assert "Frame 7 of fg" in status.words_of(FrameMissing("no file.", frame=7, layer="fg"))
    assert "Self-test" in status.words_of(KeyError("x"))


def test_frames_worth_a_look_are_grouped() -> None:
    """Frames left alone, unsure, clipped, not finite or without result are named once per reason."""
    reports: Dict[int, Any] = {
        1: {"engine": {"decision": "nothing", "reason": "no flicker"}},
        2: {"engine": {"confidence": 0.2}},
        3: {"engine": {"trust": 0.1}, "clamped_values": 12},
        4: {"nan": 1},
        5: {"engine": {"confidence": 0.9}},
        6: "nonsense",
    }
    lines = status.worth_a_look(range(1, 8), reports, {7: "no file."})
    assert lines == [
        "left as it was (no flicker): 1",
        "low confidence: 2-3",
        "values clipped: 3",
        "pixels that are not numbers: 4",
        "no result (no file): 7",
    ]


def test_a_status_is_never_taken_for_tcl(host: Host) -> None:
    """Brackets and dollars of a message are removed, because an error node would evaluate them."""
    group = node.create("harmonize")
    group["on_missing"].setValue("error")
    status.tell(group, "line 1 [exec rm]\nline 2 $HOME")
    try:
        picture(group, 1, "main")
    except RenderError as error:
        assert "line 1 (exec rm) line 2 HOME" in str(error)  # noqa: PT017 (also the message is looked at)
    else:
        raise AssertionError("the node is not in error")


def test_the_fingerprint_sees_groups_and_survives_a_limit(host: Host, monkeypatch: Any) -> None:
    """A change inside an upstream Group is noticed; if Python may not read the nodes, the fingerprint is empty."""
    nuke = host.module
    outer = nuke.nodes.Group()
    with outer:
        inner = nuke.nodes.Grade()
        nuke.nodes.Output(inputs=[inner])
    group = node.create("deflicker")
    group.setInput(0, outer)
    before = status.fingerprint(group, [0])
    inner["multiply"].setValue([2, 2, 2, 2])
    assert before
    assert status.fingerprint(group, [0]) != before

    def refuse(*_: Any) -> Any:
        raise RuntimeError("non-commercial mode limits Python to 10 nodes")

    monkeypatch.setattr(type(outer), "writeKnobs", refuse)
    assert status.fingerprint(group, [0]) == ""
