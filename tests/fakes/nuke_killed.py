"""A terminal Nuke that sends a shot's job, or resumes an interrupted one; it is meant to be killed.

python nuke_killed.py FOLDER ENDPOINT FIRST LAST        # prints "sending" when the job begins, "done FOLDER" at its end
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve()
sys.path[:0] = [str(HERE.parents[1])]


def main(folder: Path, endpoint: str, first: int, last: int) -> int:
    """Open or make the script, and run the job to its end."""
    from fakes.nuke_driver import harmonize
    from fakes.nuke_host.host import Host, install

    install()
    host = Host(gui=False)
    from harmovid_nuke import jobs

    script = folder / "shot.nk"
    if script.exists():
        host.module.scriptOpen(str(script))
        group = host.module.toNode("Harmonize1")
    else:
        group = harmonize(host.module, folder, endpoint, first, last)
    found = jobs.unfinished(group)
    run = jobs.send(group) if found is None else jobs.go_on(group, found)
    print("sending", flush=True)  # noqa: T201
    jobs.wait(run)
    assert host.violations == [], host.violations
    print("done", run.record.folder, flush=True)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
