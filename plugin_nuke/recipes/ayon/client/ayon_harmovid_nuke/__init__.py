"""The AYON addon's client: puts the plugin beside it on NUKE_PATH when AYON starts a Nuke.

Before zipping: `harmovid plugin install nuke --nuke-dir client/ayon_harmovid_nuke/nuke`.
"""

from __future__ import annotations

import os
from typing import Any, Dict

from ayon_core.addon import AYONAddon

__all__ = ["HarmovidNukeAddon"]

PLUGIN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "nuke", "harmovid")


class HarmovidNukeAddon(AYONAddon):  # type: ignore[misc]
    """Tells AYON what to add to the environment of a Nuke."""

    name = "harmovid_nuke"
    version = "0.1.0"

    def add_implementation_envs(self, env: Dict[str, str], _app: Any) -> None:
        """Append the plugin to NUKE_PATH, once; what is there stays in front."""
        paths = [path for path in (env.get("NUKE_PATH") or "").split(os.pathsep) if path]
        if PLUGIN not in paths:
            paths.append(PLUGIN)
        env["NUKE_PATH"] = os.pathsep.join(paths)
