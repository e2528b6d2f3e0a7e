"""Stage 3: `accelerate launch -m harmovid_training.stages.stage3 --index runs/deflicker/clips.jsonl --out
runs/harmovid`

Trains HarmoVid on both paths (eq. 5, 6), or with `--config student-latent --start runs/harmovid` its one-step student;
with `--teacher runs/harmovid` that learns from the network's samples instead of from the pairs.
"""

from __future__ import annotations

import sys
from typing import Sequence

from harmovid.errors import HarmoVidError

from harmovid_training.stages.run import expect, parse, run_training


def main(words: Sequence[str] | None = None) -> int:
    """Run the script."""
    try:
        given, config, index = parse(words, "stage3", __doc__, "paper-harmovid")
        expect(config, "harmovid")
        run_training(config, index, given.weights, given.out, given.start, teacher=given.teacher)
    except HarmoVidError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
