"""`python -m harmovid_server`: read the settings, serve, exit. `--help` lists every setting.

Exit codes: 0 after a graceful stop, 1 after a forced one, 2 for settings that cannot be used.
"""

from __future__ import annotations

import os
import sys
from typing import Optional, Sequence

from harmovid.errors import InputError

from harmovid_server.config import load
from harmovid_server.lifecycle import serve

EXIT_USAGE = 2


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run a server with these arguments (the process's own by default) and return its exit code."""
    try:
        return serve(load(sys.argv[1:] if arguments is None else arguments, os.environ))
    except InputError as error:
        sys.stderr.write(f"harmovid serve: {error}\n")
        return EXIT_USAGE


if __name__ == "__main__":
    sys.exit(main())
