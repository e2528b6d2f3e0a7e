"""The node classes of Nuke that we use: our own table, checked against published data where that is available."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Dict

import pytest
from fakes.nuke_host import tcl
from harmovid_nuke import template

TABLE: Dict[str, Any] = json.loads((Path(__file__).parent / "node_classes.json").read_text(encoding="utf-8"))
DRAWN = {"version", "origset"}
"""Knobs of scripts that the published data may lack: a Read's counter of reloads, and that its range was looked up."""


@pytest.mark.parametrize("kind", ["harmonize", "deflicker"])
def test_the_template_uses_known_knobs_only(kind: str) -> None:
    """Every class and knob of the template is in the table; the Group's own are declared in it."""
    own = set()
    for command in tcl.commands(template.text(kind)):
        cls = command[0].text
        if cls in ("add_layer", "push", "set", "end_group"):
            continue
        known = {**TABLE[""]["knobs"], **TABLE[cls]["knobs"]}
        for words in tcl.commands(command[1].text):
            if words[0].text == "addUserKnob":
                own.add(tcl.elements(words[1].text)[1])
            elif words[0].text != "inputs":
                assert words[0].text in known or (cls == "Group" and words[0].text in own), words[0].text


def test_the_table_agrees_with_published_data() -> None:
    """Knob classes and the words of enumerations are those of a reference of Nuke's nodes, where there is one."""
    folder = os.environ.get("HARMOVID_NUKE_REFERENCE")
    if not folder:
        pytest.skip("HARMOVID_NUKE_REFERENCE names no folder with one JSON file per node class")
    for cls, facts in TABLE.items():
        path = Path(folder) / f"{cls}.json"
        if not cls or not path.exists():
            continue
        said = json.loads(path.read_text(encoding="utf-8"))
        published = {**said["arguments"], **said.get("internal_arguments", {})}
        for name, (kind, _default, *choices) in facts["knobs"].items():
            assert name in published or name in DRAWN, (cls, name)
            if name in published:
                assert published[name]["knob_type"] == kind, (cls, name)
            if choices and name in published:
                # "B\tB side": the value in scripts, a tab, and the label in the panel.
                words = {str(word).partition("\t")[0] for word in published[name]["values"]["values"]}
                assert set(choices[0]) <= words, (cls, name)
