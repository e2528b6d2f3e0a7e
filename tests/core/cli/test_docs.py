"""docs/cli.md says what the program does: every command, flag and exit code, and no others."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest
from harmovid.cli import exits, parser
from harmovid.engines import default_of, installed
from harmovid.job import EngineInfo

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "cli.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
FLAG = re.compile(r"(?<![\w-])(--?[a-z][a-z-]*)")


def commands() -> dict[str, argparse.ArgumentParser]:
    """Return the parser of each command; the job commands have the inputs of their task's shipped engine."""
    found = _choices(parser.build())
    for task in parser.JOB_COMMANDS:
        found[task] = _choices(parser.build(_engine(task)))[task]
    return found


def _engine(task: str) -> EngineInfo:
    engine = default_of(installed(), task)
    assert engine is not None
    return engine


def _choices(of: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    found = [action for action in of._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(found[0].choices) if found else {}


def documented(section: str) -> set[str]:
    """Return the flags in the first column of a section's tables."""
    cells = re.findall(r"^\| (`.+?) \|", SECTIONS[section], re.MULTILINE)
    return {flag for cell in cells for flag in FLAG.findall(cell)}


def flags(of: argparse.ArgumentParser) -> set[str]:
    """Return the flags that a parser takes, but for help and the engine's options."""
    own = [action for action in of._actions if not action.dest.startswith(parser.OPTION_PREFIX)]
    return {flag for action in own for flag in action.option_strings} - {"-h", "--help"}


def test_every_command_has_its_section_and_no_other() -> None:
    """The page's `harmovid X` sections are the program's commands."""
    assert {name for name in SECTIONS if name.startswith("harmovid ")} == {
        f"harmovid {name}" for name in commands()
    }


@pytest.mark.parametrize("name", [name for name in commands() if name not in ("check", "keys", "serve")])
def test_flags_are_those_of_the_page(name: str) -> None:
    """A command takes the flags of its own section and of the shared one, and no others."""
    shared = documented("Flags that several commands share")
    taken = flags(commands()[name])

    assert taken - shared == documented(f"harmovid {name}")


@pytest.mark.parametrize(("name", "own"), [("deflicker", {"--diagnostics"}), ("harmonize", set())])
def test_check_takes_the_jobs_flags_but_those_that_write(name: str, own: set[str]) -> None:
    """`check` takes what the job takes, but for --report, --diagnostics, --events and --quiet, as the page says."""
    check = flags(_choices(_choices(parser.build(_engine(name)))["check"])[name])
    job = flags(commands()[name])

    assert job - check == {"--report", "--events", "-q", "--quiet"} | own
    assert check <= job


def test_key_actions_are_those_of_the_page() -> None:
    """`keys` has the actions and arguments that its table lists."""
    actions = {
        " ".join([name, *(action.metavar for action in sub._actions if not action.option_strings)])
        for name, sub in _choices(commands()["keys"]).items()
    }
    listed = set(re.findall(r"^\| `([a-z][^`]*)` \|", SECTIONS["harmovid keys"], re.MULTILINE))

    assert listed == actions
    assert documented("harmovid keys") == {"--admin", "--folder"}


def test_arguments_are_those_of_the_page() -> None:
    """Positional arguments are listed under the names that --help shows."""
    for name, sub in commands().items():
        named = {
            a.metavar for a in sub._actions if not a.option_strings and a.metavar not in ("COMMAND", "ACTION")
        }
        assert named <= set(
            re.findall(r"^\| `([A-Z][^`]*)` \|", SECTIONS[f"harmovid {name}"], re.MULTILINE)
        ), name


def test_exit_codes_are_those_of_the_page() -> None:
    """The table of exit codes is the program's own."""
    listed = re.findall(r"^\| (\d+) \| (.+?) \|$", SECTIONS["Exit codes"], re.MULTILINE)

    assert {int(code): text for code, text in listed} == exits.MEANINGS


def test_environment_variables_are_all_listed() -> None:
    """Every HARMOVID_ variable that the command line reads is on the page."""
    core = Path(parser.__file__).parents[1]
    sources = [*core.glob("*.py"), *core.glob("cli/*.py")]
    read = {
        name for path in sources for name in re.findall(r"HARMOVID_[A-Z_]+", path.read_text(encoding="utf-8"))
    }

    assert read == set(re.findall(r"^\| `(HARMOVID_[A-Z_]+)` \|", SECTIONS["Settings"], re.MULTILINE))
