"""Engine descriptions that this user's Nuke got last, so that a new node has its inputs and options at once.

    keep("harmonize", client.engine("harmonize"))
    load("harmonize")                   # also when no server can be reached; None if none was ever asked

A node keeps its own copy in the script; this file is for nodes that are new.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any, Dict, Optional

from harmovid.job import EngineInfo
from harmovid.settings import config_folder
from harmovid.storage.atomic import write_whole

FILE = "nuke-engines.json"


def _path() -> Path:
    return config_folder() / FILE


def _read() -> Dict[str, Any]:
    try:
        data = json.loads(_path().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def load(name: str) -> Optional[EngineInfo]:
    """Return the description kept under a name; None if there is none, or it cannot be read.

    Args:
        name: what the server was asked for: a task, which is a node's kind, or an engine.
    """
    try:
        return EngineInfo.from_dict(_read()[name])
    except (KeyError, TypeError, AttributeError, ValueError):
        return None


def keep(name: str, engine: EngineInfo) -> None:
    """Keep a description; a folder that cannot be written changes nothing."""
    data = {**_read(), name: engine.to_dict()}
    with contextlib.suppress(OSError):
        _path().parent.mkdir(parents=True, exist_ok=True)
        write_whole(str(_path()), (json.dumps(data, indent=1) + "\n").encode("utf-8"))
