"""Finds the Resolve that runs this script, and refuses one that cannot be used, with one sentence.

    session = session_of(find(globals()))
    session.timeline()          # the open timeline

Edition and version are checked before anything else: a call that the free edition lacks opens a window there that makes
every later call fail.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from dataclasses import dataclass
from typing import Any, Dict, Mapping, Optional, Tuple

from harmovid_resolve.calls import act, maybe, table, tell, text
from harmovid_resolve.errors import HostError

__all__ = ["OLDEST", "WITHOUT_PLUGIN", "Session", "find", "session_of"]

OLDEST = (18, 5)
STUDIO = "DaVinci Resolve Studio"
WITHOUT_PLUGIN = (
    "Without it: export frames, run `harmovid watch FOLDER` on their folder, import what appears there."
)

# Paths of the library according to Blackmagic's scripting documentation.
_LIBRARIES = {
    "darwin": "/Applications/DaVinci Resolve/DaVinci Resolve.app/Contents/Libraries/Fusion/fusionscript.so",
    "win32": r"C:\Program Files\Blackmagic Design\DaVinci Resolve\fusionscript.dll",
    "linux": "/opt/resolve/libs/Fusion/fusionscript.so",
}


@dataclass(frozen=True)
class Session:
    """A Resolve Studio with an open project.

    Attributes:
        resolve, project, pool: objects of Resolve.
        product, version: its name, and its version as numbers.
        project_name: the project's present name.
    """

    resolve: Any
    project: Any
    pool: Any
    product: str
    version: Tuple[int, ...]
    project_name: str

    def timeline(self) -> Any:
        """Return the open timeline.

        Raises:
            HostError: none is open.
        """
        timeline = maybe(self.project, "GetCurrentTimeline")
        if timeline is None:
            raise HostError("no timeline is open.", fix="Open the timeline with the clip.")
        return timeline

    def settings(self) -> Dict[str, str]:
        """Return all settings of the project as text.

        Raises:
            HostError: Resolve does not tell.
        """
        return {str(name): str(value) for name, value in table(self.project, "GetSetting").items()}

    @property
    def version_text(self) -> str:
        """The version as text."""
        return ".".join(map(str, self.version))


def find(injected: Mapping[str, Any]) -> Any:
    """Return the Resolve object: a global of the script, or else from Blackmagic's library.

    Args:
        injected: the globals of the script that Resolve started, with `resolve`, `app` and `bmd`.

    Raises:
        HostError: no Resolve answers.
    """
    found = injected.get("resolve")
    for holder, method, values in (
        (injected.get("app"), "GetResolve", ()),
        (injected.get("bmd"), "scriptapp", ("Resolve",)),
        (None if found else _library(), "scriptapp", ("Resolve",)),
    ):
        # `dir` does not list all methods of Fusion's objects, so the method is called.
        getter = getattr(holder, method, None)
        if not found and callable(getter):
            found = getter(*values)
    if not found:
        raise HostError(
            "no DaVinci Resolve answers.",
            fix="Start this from Workspace > Scripts in DaVinci Resolve Studio. " + WITHOUT_PLUGIN,
        )
    return found


def session_of(resolve: Any) -> Session:
    """Return the session of a Resolve that can be used.

    Raises:
        HostError: it is the free edition, older than 18.5, or has no open project.
    """
    product = str(tell(resolve, "GetProductName") or "")
    version = _version(resolve)
    named = f"{product or 'an unknown program'} {'.'.join(map(str, version))}".strip()
    if product != STUDIO or version[:2] < OLDEST:
        raise HostError(f"this is {named}; {STUDIO} 18.5 or newer is needed.", fix=WITHOUT_PLUGIN)
    project = maybe(act(resolve, "GetProjectManager"), "GetCurrentProject")
    if project is None:
        raise HostError("no project is open.", fix="Open the project with the clip.")
    return Session(resolve, project, act(project, "GetMediaPool"), product, version, text(project, "GetName"))


def _version(resolve: Any) -> Tuple[int, ...]:
    """Return the version as numbers; empty if it cannot be read."""
    fields = tell(resolve, "GetVersion")
    if isinstance(fields, dict):
        fields = [fields[key] for key in sorted(fields)]
    numbers = []
    for one in list(fields or [])[:3]:
        if not isinstance(one, (int, float)):
            break
        numbers.append(int(one))
    return tuple(numbers)


def _library(environ: Optional[Dict[str, str]] = None) -> Any:
    """Return Blackmagic's module `fusionscript`, or None if it is not installed."""
    given = os.environ if environ is None else environ
    path = given.get("RESOLVE_SCRIPT_LIB", "") or _LIBRARIES.get(sys.platform, "")
    if not os.path.isfile(path):
        return None
    spec = importlib.util.spec_from_file_location("fusionscript", path)
    if spec is None or spec.loader is None:
        return None
    try:
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    except ImportError:
        return None
    return module
