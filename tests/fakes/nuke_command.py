"""The command `nuke` of the stand-in, as farms call it.

nuke -t SCRIPT.py WORDS             # runs the Python script
nuke -x -F FRAME SCRIPT.nk          # renders the frame of every Write
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import List

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def main(words: List[str]) -> None:
    """Run the command line."""
    from fakes.nuke_host.host import Host, install

    install()
    host = Host(gui=False)
    if words[0] == "-t":
        sys.argv = words[1:]
        runpy.run_path(words[1], run_name="__main__")
        return
    frame, script = int(words[2]), words[3]
    nuke = host.module
    nuke.scriptOpen(script)
    for write in nuke.allNodes("Write"):
        nuke.execute(write, frame, frame, 1)
    if host.violations:
        raise SystemExit(str(host.violations))


if __name__ == "__main__":
    main(sys.argv[1:])
