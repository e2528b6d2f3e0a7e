"""kill -9 of a Nuke at random moments of its jobs: counts lost frames and frames with wrong bits.

    python bench/nuke_kills.py [--kills 100] [--seed 1] [--json FILE]

The Nuke is the tests' stand-in (`tests/fakes/nuke_host`), the server is real. Each process sends a job of 24 frames or
resumes the interrupted one; after every kill all existing files are compared with those of an undisturbed run.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from support.kills import arguments, save


def main() -> int:
    """Run it, print the counts, and return 1 if a frame was lost or wrong."""
    args = arguments("Kills of a Nuke in the middle of its jobs.", 100)
    from fakes.nuke_kills import kill_often
    from fakes.running import RunningServer

    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        with RunningServer(folder / "server", "--codecs", "1", echo=False) as server:
            tally = kill_often(folder / "shot", server.endpoint, args.kills, args.seed)
    print(f"{tally.kills} kills; {tally.finished} jobs came to their end in between")
    print(
        "results on disk after a kill: "
        + ", ".join(f"{n} ({k}x)" for n, k in sorted(tally.at_frames.items()))
    )
    print(
        f"lost frames: {len(tally.lost)}; wrong or half: {len(tally.damaged)}; files left: {len(tally.left)}"
    )
    save(tally, args.json)
    return 1 if tally.lost or tally.damaged else 0


if __name__ == "__main__":
    sys.exit(main())
