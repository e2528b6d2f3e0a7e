"""A Nuke whose Python has only the installed plugin: opens a script, presses Send and prints the outcome.

    python3.9 -S -E nuke_in_python.py NUKE_FOLDER SCRIPT RENDERER

Prints one JSON object. `RENDERER` is a Python with numpy that renders for it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve()


def main(folder: str, script: str, renderer: str) -> dict:
    """Start as Nuke does: its init.py, the plugin's, then the script."""
    sys.path.append(str(HERE.parents[1]))
    door = Path(folder, "harmovid", "init.py")
    exec(compile(door.read_text(encoding="utf-8"), str(door), "exec"), {"__file__": str(door)})  # noqa: S102
    from fakes.nuke_host.host import Host, install

    install()
    host = Host(gui=False, renderer=renderer)
    host.module.scriptOpen(script)
    group = host.module.toNode("Harmonize1")
    group["send"].execute()
    import zmq

    return {
        "python": list(sys.version_info[:2]),
        "status": group["status"].value(),
        "violations": host.violations,
        "zmq": zmq.__file__,
        "numpy": "numpy" in sys.modules,
    }


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))  # noqa: T201
