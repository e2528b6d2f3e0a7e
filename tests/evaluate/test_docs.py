"""docs/evaluate.md says what `harmovid evaluate` takes: every action, flag, set and published method, and no others."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest
from harmovid_evaluate.command import build
from harmovid_evaluate.testsets import SETS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "evaluate.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^### harmovid evaluate (.+?)\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL))
SHARED = {"-q", "--quiet", "--json", "--debug", "-h", "--help"}


def actions() -> dict[str, argparse.ArgumentParser]:
    """Return the parser of each action."""
    found = [action for action in build()._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(found[0].choices)


def test_every_action_has_its_section_and_no_other() -> None:
    """The page's flag sections are the command's actions."""
    assert SECTIONS.keys() == actions().keys()


@pytest.mark.parametrize("name", list(actions()))
def test_flags_are_those_of_the_page(name: str) -> None:
    """An action takes the flags and arguments of its section, and no others."""
    cells = re.findall(r"^\| (`.+?) \|", SECTIONS[name], re.MULTILINE)
    flags = {flag for cell in cells for flag in re.findall(r"(?<![\w-])(--?[a-z][a-z-]*)", cell)}
    taken = {flag for action in actions()[name]._actions for flag in action.option_strings}
    assert taken - SHARED == flags
    words = {action.metavar for action in actions()[name]._actions if not action.option_strings}
    assert words <= {cell.strip("`") for cell in cells}


def test_every_set_is_on_the_page() -> None:
    """The table of sets has each one with its task."""
    rows = re.findall(r"^\| `([a-z-]+)` \| (harmonize|deflicker) \|", PAGE, re.MULTILINE)
    assert sorted(rows) == sorted((each.name, each.task) for each in SETS)
