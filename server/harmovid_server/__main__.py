"""`python -m harmovid_server`: read the settings, serve, exit. `--help` lists every setting.

Exit codes: 0 after a graceful stop, 1 after a forced one or a failure, 2 for settings that cannot be used.
"""

from __future__ import annotations

import os
import sys
from typing import Optional, Sequence

from harmovid.errors import HarmoVidError, InputError

from harmovid_server.config import load
from harmovid_server.main.server import serve

EXIT_FAILED, EXIT_USAGE = 1, 2


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run a server with these arguments (the process's own by default) and return its exit code."""
    try:
        return serve(load(sys.argv[1:] if arguments is None else arguments, os.environ))
    except HarmoVidError as error:
        sys.stderr.write(f"harmovid serve: {error}\n")
        return EXIT_USAGE if isinstance(error, InputError) else EXIT_FAILED


if __name__ == "__main__":
    sys.exit(main())
