"""docs/architecture.md lists every module of core, and no other."""

from __future__ import annotations

import re
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
LAYOUT = (
    (REPO / "docs" / "architecture.md").read_text(encoding="utf-8").split("## 3. Layout")[1].split("```")[1]
)
CORE = LAYOUT.split("core/harmovid/pixels/")[0]
NAMED = set(re.findall(r"[a-z_0-9]+\.py", CORE))


def test_the_layout_names_cores_modules_and_no_others() -> None:
    """The page lists exactly the existing modules; the packages of pixels are listed as a whole."""
    paths = [path for path in (REPO / "core" / "harmovid").rglob("*.py") if "pixels" not in path.parts]
    modules = {path.name for path in paths if not path.name.startswith("__")}

    assert NAMED - {"__init__.py"} - modules == set()
    assert modules - NAMED == set()
