"""`python -m harmovid_demo`: the demo from the command line; `make demo` calls it.

Without frames of your own it renders the project's shot, whose truth is known; with `--plate` it takes yours.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Sequence

from harmovid.errors import HarmoVidError

from harmovid_demo.runner import Demo, check_frames
from harmovid_demo.shot import Shot

FAILED = 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m harmovid_demo",
        description="Sends EXR frames through a real HarmoVid server and shows before and after.",
    )
    add = parser.add_argument
    add("--out", type=Path, default=Path("out/demo"), help="folder for results (default %(default)s)")
    add("--plate", default="", metavar="PLATE", help="deflicker your own plate.####.exr")
    add("--fg", default="", metavar="FG", help="harmonize your own foreground (with --bg)")
    add("--bg", default="", metavar="BG", help="the background for --fg")
    add("--server", default="", metavar="ADDR", help="use a running server instead of starting one")
    add("--bundles", type=Path, metavar="DIR", help="engine bundles to use for the tasks that they are for")
    add("--width", type=int, default=Shot.width, help="width of the rendered shot (default %(default)s)")
    add("--frames", type=int, default=Shot.count, help="frames of the rendered shot (default %(default)s)")
    return parser


def main(words: Sequence[str] | None = None) -> int:
    """Run the demo and return 0, or 1 where anything failed (its message is on stderr)."""
    args = _parser().parse_args(words)
    demo = Demo(args.out, args.server, args.bundles)
    try:
        if args.plate or args.fg or args.bg:
            check_frames(args.plate, args.fg, args.bg)
            demo.user_frames(args.plate, args.fg, args.bg)
        else:
            height = args.width * Shot.height // Shot.width
            demo.own_shot(Shot(width=args.width, height=height, count=args.frames))
    except HarmoVidError as error:
        print(f"the demo failed: {error}", file=sys.stderr)
        return FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
