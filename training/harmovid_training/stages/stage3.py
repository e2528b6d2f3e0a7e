"""Stage 3: `harmovid train --gpus 8 stage3 --index runs/deflicker/clips.jsonl --out runs/harmovid`

Trains HarmoVid on both paths (eq. 5, 6), or with `--config student-latent --start runs/harmovid` its one-step student;
with `--teacher runs/harmovid` the student learns from the network's samples instead of the pairs.

The paper's ablations: `--without stage2` trains on stage 1's flickering clips, `--without pseudo-alpha` uses binary
masks. "Without stage 3" is stage 2's network on stage 1's clips: `harmovid generate runs/deflicker`.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any, Sequence

from harmovid.errors import HarmoVidError

from harmovid_training.stages.run import expect, grammar, parsed, run_training

WITHOUT: dict[str, dict[str, Any]] = {
    "stage2": {"steady": "synthetic"},
    "pseudo-alpha": {"pseudo_alpha": False},
}
"""Changes of the configuration for each ablation."""


def main(words: Sequence[str] | None = None) -> int:
    """Run the script."""
    parser = grammar("stage3", __doc__, "paper-harmovid")
    parser.add_argument(
        "--without", action="append", default=[], choices=sorted(WITHOUT), help="an ablation (repeat)"
    )
    try:
        given, config, index = parsed(parser, words)
        expect(config, "harmovid")
        for name in given.without:
            config = replace(config, **WITHOUT[name])
        run_training(config, index, given.weights, given.out, given.start, teacher=given.teacher)
    except HarmoVidError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
