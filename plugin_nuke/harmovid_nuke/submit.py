"""The task of a farm that runs the job: `nuke -t submit.py script.nk Harmonize1`. Exit codes: 0 done, 1 failed, 2
usage."""

from __future__ import annotations

import os
import sys
from typing import List


def main(words: List[str]) -> int:
    """Run the job of a node and return the exit code.

    Args:
        words: script and node, the arguments of this file.
    """
    if len(words) < 2:
        print("usage: nuke -t submit.py SCRIPT.nk NODE", file=sys.stderr)  # noqa: T201
        return 2
    package = os.path.dirname(os.path.abspath(__file__))
    if os.path.dirname(package) not in sys.path:
        sys.path.insert(0, os.path.dirname(package))
    from harmovid.errors import HarmoVidError

    from harmovid_nuke import farm

    try:
        record = farm.run(words[0], words[1])
    except HarmoVidError as error:
        print(f"HarmoVid: {error}", file=sys.stderr, flush=True)  # noqa: T201
        return 1
    missing = record.missing()
    print(f"HarmoVid: {len(record.present())} frames, missing: {missing or 'none'}", flush=True)  # noqa: T201
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
