"""`python -m harmovid.cli`: the command `harmovid`, if its script is not on the path."""

from __future__ import annotations

import sys

from harmovid.cli import main

if __name__ == "__main__":
    sys.exit(main())
