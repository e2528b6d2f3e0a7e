"""kill -9 of `harmovid watch` at random moments, over films and EXR folders: counts lost, incomplete and leftover
files.

    python bench/watch_kills.py [--kills 100] [--seed 1] [--json FILE]

The server is the tests' reference server, whose engine returns the plate: every result must have the bytes of its
input, and every film that is written the pixel values of the film that was dropped.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from support.kills import arguments, save


def main() -> int:
    """Run it, print the counts, and return 1 if anything is wrong."""
    args = arguments("Kills of a watcher in the middle of its jobs.", 100)
    from core.reference_server import ReferenceServer
    from fakes.watch_kills import kill_often

    with tempfile.TemporaryDirectory() as work, ReferenceServer() as server:
        tally = kill_often(Path(work), server.address, args.kills, args.seed)
    print(f"{tally.kills} kills in {tally.rounds} rounds")
    print("found after a kill: " + ", ".join(f"{at} ({n}x)" for at, n in sorted(tally.kills_at.items())))
    print(f"missing, half, changed or left over: {len(tally.wrong)}")
    for each in tally.wrong:
        print(f"  {each}")
    save(tally, args.json)
    return 1 if tally.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
