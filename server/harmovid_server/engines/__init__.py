"""Engines: each looks at small proxies of a shot and answers with lighting fields. `base` holds the contract.

    from harmovid_server import engines
    for engine in engines.load():            # or load(["deflicker"])
        print(engine.info.name, engine.proxy_lines)

Engines are imported when they are loaded: a server that offers only one of them pays only for that one.
"""

from __future__ import annotations

from importlib import import_module
from typing import Dict, Iterable, List, Optional

from harmovid.errors import EngineUnknown

from harmovid_server.engines.base import Engine

# Engine name -> module that has a `create()` which returns it; the order is the order hosts list them in.
REGISTRY: Dict[str, str] = {
    "null": "harmovid_server.engines.null",
    "deflicker": "harmovid_server.engines.deflicker",
    "harmonize": "harmovid_server.engines.harmonize",
    "harmonize-statistics": "harmovid_server.engines.statistics",
}


def load(names: Optional[Iterable[str]] = None) -> List[Engine]:
    """Return fresh engines, not yet activated: those named, in that order, or all of them.

    Raises:
        EngineUnknown: for a name that is not in `REGISTRY`.
    """
    return [_create(name) for name in (REGISTRY if names is None else names)]


def _create(name: str) -> Engine:
    if name not in REGISTRY:
        raise EngineUnknown(f"there is no engine {name!r}.", fix="There are " + ", ".join(REGISTRY) + ".")
    engine: Engine = import_module(REGISTRY[name]).create()
    return engine
