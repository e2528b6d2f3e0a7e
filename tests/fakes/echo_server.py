"""`python tests/fakes/echo_server.py [flags]`: the real server, with `echo_worker` for its engines."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from harmovid_server.__main__ import main
from harmovid_server.main import server

if __name__ == "__main__":
    # The server starts the worker by module name, so its folder must be on the children's path.
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [*filter(None, [os.environ.get("PYTHONPATH")]), str(Path(__file__).parent)]
    )
    server.WORKER_MODULES = {"local": "echo_worker"}
    sys.exit(main())
