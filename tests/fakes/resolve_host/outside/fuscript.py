"""Runs a script as Resolve's menu does: in a process of its own, with injected globals and without `__file__`.

python fuscript.py SCRIPT
"""

from __future__ import annotations

import importlib.util
import os
import sys
from types import ModuleType


def main(path: str) -> None:
    """Run a script."""
    library = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fusionscript.py")
    spec = importlib.util.spec_from_file_location("fusionscript", library)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    bmd = ModuleType("bmd")
    bmd.scriptapp = module.scriptapp  # type: ignore[attr-defined]
    found = {"__name__": "__main__", "bmd": bmd, **module.script_globals()}
    # The menu's process does not have the folder of this file on its path.
    sys.path[:] = [each for each in sys.path if os.path.abspath(each) != os.path.dirname(library)]
    with open(path, encoding="utf-8") as file:
        code = compile(file.read(), "<string>", "exec")
    exec(code, found)  # noqa: S102


if __name__ == "__main__":
    main(sys.argv[1])
