"""Script text: words, curves, nodes; read by Tcl itself and by the tests' own parser alike."""

from __future__ import annotations

import os
import tkinter
from pathlib import Path
from typing import List

import pytest
from fakes.nuke_host import script, tcl
from fakes.nuke_host.host import Host
from harmovid_nuke import nk, template
from hypothesis import given
from hypothesis import strategies as st

ODD = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0\r"), max_size=40)


def by_tcl(text: str) -> List[str]:
    """Return the words of one command as Tcl itself reads them."""
    interpreter = tkinter.Tcl()
    interpreter.eval("proc take {args} { set ::taken $args }")
    interpreter.eval("take " + text)
    return [str(word) for word in interpreter.splitlist(interpreter.eval("set ::taken"))]


@given(ODD)
def test_any_text_comes_back_from_tcl(text: str) -> None:
    """Tcl and the tests' parser read a quoted word as exactly its text, whatever that is."""
    word = nk.word(text)
    assert by_tcl(word) == [text]
    assert [each.text for each in tcl.commands("take " + word)[0][1:]] == [text]


@given(ODD)
def test_any_text_survives_inside_a_node(text: str) -> None:
    """A value with unbalanced braces does not break the body of the node that holds it."""
    body = nk.script([nk.NkNode("NoOp", {"name": "N", "label": nk.word(text)})])
    words = tcl.commands(tcl.commands(body)[0][1].text)
    assert [each.text for each in words[-1]] == ["label", text]
    assert by_tcl("{" + nk.word(text) + "}")[0] == nk.word(text)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_come_back_exactly(value: float) -> None:
    """A number in a script is the same number when read."""
    assert float(nk.number(value)) == value


def test_curves_come_back(host: Host) -> None:
    """Keys, held or not, come back from a saved script frame by frame, with other frames between them."""
    node = host.module.nodes.Grade()
    node["multiply"].fromScript(nk.curve([(1, 0.5), (3, 1.5)], [(1, 1)], [], []))
    assert [node["multiply"].valueAt(frame, 0) for frame in (1, 2, 3)] == [0.5, 1.0, 1.5]
    assert node["multiply"].valueAt(9, 2) == 0
    node["disable"].fromScript(nk.curve([(1, 1), (3, 0)], steps=True))
    assert [node["disable"].valueAt(frame) for frame in (1, 2, 3)] == [1, 1, 0]


@pytest.mark.parametrize("kind", ["harmonize", "deflicker"])
def test_the_template_is_stable_through_save_and_open(host: Host, tmp_path: Path, kind: str) -> None:
    """A node that is pasted, saved, opened and saved again has the same text, knobs and connections included."""
    path = tmp_path / "node.nk"
    path.write_text(template.text(kind), encoding="utf-8")
    host.module.nodePaste(str(path))
    first = script.write(host.root)
    host.module.scriptClear()
    script.load(host, first)
    assert script.write(host.root) == first
    assert len(first) > len(template.text(kind)) / 2


@pytest.mark.parametrize("kind", ["harmonize", "deflicker"])
def test_tcl_itself_reads_the_template(kind: str) -> None:
    """Tcl runs the template as a script; every node class in it is in the table of classes."""
    interpreter = tkinter.Tcl()
    interpreter.eval("""
        set ::seen {}
        proc unknown {args} { lappend ::seen [lindex $args 0] }
        proc push {args} {}
        proc stack {args} { return N }
        proc end_group {} {}
    """)
    interpreter.eval(template.text(kind))
    seen = {str(word) for word in interpreter.splitlist(interpreter.eval("set ::seen"))} - {"add_layer"}
    assert {"Group", "Read", "MergeExpression", "Assert", "Output"} <= seen


def test_public_scripts_are_read_too() -> None:
    """Scripts and gizmos of others, in the folder that HARMOVID_NUKE_SCRIPTS names, are read without an error."""
    folder = os.environ.get("HARMOVID_NUKE_SCRIPTS")
    if not folder:
        pytest.skip("HARMOVID_NUKE_SCRIPTS names no folder of .nk and .gizmo files")
    files = [path for path in sorted(Path(folder).rglob("*")) if path.suffix in (".nk", ".gizmo")]
    assert files
    for path in files:
        for command in tcl.commands(path.read_text(encoding="utf-8", errors="replace")):
            if len(command) == 2 and command[1].kind == tcl.BRACED:
                tcl.commands(command[1].text)
