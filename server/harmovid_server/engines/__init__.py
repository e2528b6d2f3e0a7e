"""Engines: each measures small proxies of a shot and returns lighting fields. `base` defines the interface.

    from harmovid_server import engines
    for engine in engines.load():            # or load(["deflicker"], folders=["/srv/models"])
        print(engine.info.name, engine.proxy_lines)

An engine comes from the entry point group `harmovid.engines` of any installed package, including this one:

    [project.entry-points."harmovid.engines"]
    relight = "my_package.relight:create"    # create() -> Engine, not yet activated

or from a bundle of networks in a folder (`bundles`). An engine is imported when it is loaded, so a server
with only one engine imports only that one.
"""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Optional

from harmovid import bundle, entry_points
from harmovid.errors import BundleError, EngineUnknown

from harmovid_server.engines import bundles
from harmovid_server.engines.base import Engine

OURS = ("null", "deflicker", "harmonize", "harmonize-statistics")
"""Order of the engines that ship; others follow by name."""


def names(folders: Iterable[str] = ()) -> List[str]:
    """Return the names of all engines in the order hosts list them, those of bundle folders last.

    Raises:
        BundleError: a bundle that cannot be used.
    """
    return [*_ordered(_entries()), *_from_folders(folders)]


def load(names: Optional[Iterable[str]] = None, folders: Iterable[str] = ()) -> List[Engine]:
    """Return new engines, not yet activated: those named, in that order, or all of them.

    Args:
        folders: bundles, or folders of bundles, in addition to the installed engines.

    Raises:
        EngineUnknown: no engine has that name. BundleError: a bundle cannot be used, or a name is used twice.
    """
    entries, made = _entries(), _from_folders(folders)
    twice = sorted(set(entries) & set(made))
    if twice:
        raise BundleError(
            f"a bundle of the engine folders is called {twice[0]!r}, as an installed engine is.",
            fix="Change the name in its manifest.json.",
        )
    wanted = [*_ordered(entries), *made] if names is None else list(names)
    for name in wanted:
        if name not in entries and name not in made:
            raise EngineUnknown(
                f"there is no engine {name!r}.",
                fix="There are " + ", ".join([*_ordered(entries), *made]) + ".",
            )
    return [made[name] if name in made else entries[name].load()() for name in wanted]


def _entries() -> Dict[str, Any]:
    return entry_points.find(entry_points.ENGINES)


def _ordered(found: Iterable[str]) -> List[str]:
    return [name for name in OURS if name in set(found)] + sorted(set(found) - set(OURS))


def _from_folders(folders: Iterable[str]) -> Dict[str, Engine]:
    made: Dict[str, Engine] = {}
    for folder in [found for name in folders for found in bundle.find(name)]:
        engine = bundles.create(folder)
        if engine.info.name in made:
            raise BundleError(
                f"{folder}: another bundle is called {engine.info.name!r} too.",
                fix="Change the name in one manifest.json.",
            )
        made[engine.info.name] = engine
    return made
