"""The start of every child process of main.

config, link = enter(sys.argv[1:])
"""

from __future__ import annotations

import argparse
import signal
from pathlib import Path
from typing import Sequence, Tuple

from harmovid_server import logs
from harmovid_server.config import Config, restore
from harmovid_server.ipc import IpcClient, die_with_parent


def enter(arguments: Sequence[str]) -> Tuple[Config, IpcClient]:
    """Set up a child process: make it end with main, read the settings, set up logging, open the link.

    Ctrl-C in a terminal and systemd's SIGTERM reach the whole process group; children ignore both, and main ends them.
    """
    parser = argparse.ArgumentParser(description="A child process of the HarmoVid server; main starts it.")
    for flag in ("--link", "--name", "--settings"):
        parser.add_argument(flag, required=True)
    parser.add_argument("--parent", required=True, type=int)
    given = parser.parse_args(list(arguments))
    die_with_parent(given.parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    config = restore(Path(given.settings))
    logs.set_up(config.log_level, config.log_json)
    return config, IpcClient(given.link, given.name)
