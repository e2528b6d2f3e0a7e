"""Choosing an engine by name or task, and the engines of this installation.

engine = choose(client.engines(), "harmonize")          # by name, else the task's default
for info in installed(): print(info.name)               # this installation's own, without a server
"""

from __future__ import annotations

from typing import List, Optional, Sequence

from harmovid import entry_points
from harmovid.errors import EngineUnknown, InputError
from harmovid.job import EngineInfo

ANY_TASK = "any"


def choose(engines: Sequence[EngineInfo], name: str) -> EngineInfo:
    """Return the engine called `name`, else the default engine of the task `name`.

    Raises:
        EngineUnknown: there is neither; the fix lists the engines.
    """
    for engine in engines:
        if engine.name == name:
            return engine
    found = default_of(engines, name)
    if found is None:
        known = ", ".join(engine.name for engine in engines) or "none"
        raise EngineUnknown(f"there is no engine {name!r}.", fix=f"There are: {known}.")
    return found


def for_task(engines: Sequence[EngineInfo], task: str, name: Optional[str] = None) -> EngineInfo:
    """Return the engine of that name, or the task's default.

    Raises:
        EngineUnknown: there is none, or it is for another task.
    """
    fitting = [engine for engine in engines if engine.task in (task, ANY_TASK)]
    known = ", ".join(engine.name for engine in fitting) or "none"
    if name is not None:
        found = [engine for engine in fitting if engine.name == name]
        if not found:
            raise EngineUnknown(f"there is no engine {name!r} for {task}.", fix=f"There are: {known}.")
        return found[0]
    chosen = default_of(engines, task)
    if chosen is None:
        raise EngineUnknown(f"there is no engine for {task}.", fix=f"There are for any task: {known}.")
    return chosen


def default_of(engines: Sequence[EngineInfo], task: str) -> Optional[EngineInfo]:
    """Return the default engine of a task, or None if no engine is for that task."""
    own = [engine for engine in engines if engine.task == task]
    return next((engine for engine in own if engine.default), own[0] if own else None)


def installed() -> List[EngineInfo]:
    """Return the descriptions of the engines that are installed beside this package (`harmovid.engines`).

    Loading them imports numpy and what else they need, so hosts ask a server instead. An engine that cannot be loaded
    is left out; `harmovid doctor` says why.

    Raises:
        InputError: none is installed, or none can be loaded.
    """
    found = entry_points.find(entry_points.ENGINES)
    fix = "Run pip install 'harmovid[server]', or name a running server with --server."
    if not found:
        raise InputError("no engine is installed here.", fix=fix)
    infos: List[EngineInfo] = []
    problem: Optional[Exception] = None
    for entry in found.values():
        try:
            infos.append(entry.load()().info)
        except Exception as error:  # code of another package: a broken engine must not hide the others
            problem = problem or error
    if not infos:
        raise InputError(f"no engine can be loaded here: {problem}.", fix=fix) from problem
    return infos
