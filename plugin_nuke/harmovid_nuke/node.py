"""The node as an artist meets it."""

from __future__ import annotations

import os
import tempfile
from typing import Any

import nuke

from harmovid_nuke import template


def create(kind: str) -> Any:
    """Make a node below what is selected, and return its Group."""
    selected = nuke.selectedNodes()
    descriptor, path = tempfile.mkstemp(suffix=".nk")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(template.text(kind))
        group = nuke.nodePaste(path)
    finally:
        os.unlink(path)
    for index, one in enumerate(reversed(selected)):
        group.setInput(index, one)
    return group


def knob_changed() -> None:
    pass


def opened() -> None:
    pass
