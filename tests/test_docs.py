"""Links in the documents lead to existing files, and commands shown in the README exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
PAGES = [REPO / "README.md", REPO / "CHANGELOG.md", *sorted((REPO / "docs").glob("*.md"))]
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")
COMMAND = re.compile(r"^(harmovid .+?)(?:\s+#.*)?$", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(REPO).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link and picture of a page is a file of this repository."""
    targets = LINK.findall(page.read_text(encoding="utf-8"))

    missing = [target for target in targets if not (page.parent / target).exists()]

    assert missing == []


def readme_commands() -> list[str]:
    """Return the first two words (command and verb) of each `harmovid` line in the README's code blocks."""
    blocks = re.findall(r"```sh\n(.*?)```", (REPO / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    verbs = {shlex.split(line)[1] for block in blocks for line in COMMAND.findall(block)}
    return sorted(verbs)


@pytest.mark.parametrize("verb", readme_commands())
def test_readme_commands_exist(verb: str) -> None:
    """Every `harmovid VERB` that the README shows answers --help."""
    result = subprocess.run(
        [sys.executable, "-m", "harmovid.cli", verb, "--help"], capture_output=True, text=True, timeout=300
    )

    assert result.returncode == 0, result.stderr
    assert verb in result.stdout


@pytest.mark.parametrize("target", ["demo", "test", "check", "bench"])
def test_makefile_has_the_targets_that_the_readme_names(target: str) -> None:
    """The Makefile's targets that the documents name are there."""
    makefile = (REPO / "Makefile").read_text(encoding="utf-8")

    assert re.search(rf"^{target}:", makefile, re.MULTILINE)
