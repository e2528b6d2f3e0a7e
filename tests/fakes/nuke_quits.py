"""An interactive Nuke that is quit while its job runs: sends, waits for the first frame or the end, exits.

python nuke_quits.py FOLDER ENDPOINT
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def main(folder: Path, endpoint: str) -> None:
    """Send and leave."""
    from fakes.nuke_driver import harmonize
    from fakes.nuke_host import qt
    from fakes.nuke_host.host import Host, install

    install()
    host = Host(gui=True)
    with qt.stand_in():
        from harmovid_nuke import jobs

        group = harmonize(host.module, folder, endpoint, 1, 40)
        group["send"].execute()
        run = jobs.latest(group)
        assert run is not None
        host.run_until(lambda: bool(run.reports) or run.over)
    print("quit", flush=True)  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
