"""Whom a command talks to: the server of the settings, or a private one that lives as long as the command.

    choice = ask_engine(settings, "deflicker", None)   # which engine, described by whom
    with client(settings) as it: it.engines()          # a server that is named
    with job_client(settings) as it: it.run(...)       # that, or an embedded one

Without a server the engines are described by this installation itself: starting a server only to print a help
text would be slow. The job then goes to an embedded server of the same installation, over the same wire.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Iterator, List, Optional, Sequence

from harmovid.errors import EngineUnknown, HarmoVidError
from harmovid.job import EngineInfo
from harmovid.settings import Settings

if TYPE_CHECKING:
    from harmovid.client import Client

ANY_TASK = "any"


@dataclass(frozen=True)
class Choice:
    """The engine that a job command uses.

    `source` says who described it; `others` are the names of the task's other engines; `problem` is why there
    is no engine.
    """

    engine: Optional[EngineInfo] = None
    source: str = ""
    others: Sequence[str] = ()
    problem: Optional[HarmoVidError] = None


def ask_engine(settings: Settings, task: str, name: Optional[str]) -> Choice:
    """Ask the server, or this installation, for the engine `name` (the task's default if None).

    Nothing is raised: what went wrong is the choice's `problem`.
    """
    try:
        engines = described(settings)
        engine = pick(engines, task, name)
    except HarmoVidError as error:
        return Choice(problem=error)
    source = f"described by {settings.server or 'this installation'}"
    others = [e.name for e in engines if e.task in (task, ANY_TASK) and e.name != engine.name]
    return Choice(engine, source, tuple(others))


def pick(engines: Sequence[EngineInfo], task: str, name: Optional[str]) -> EngineInfo:
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
    own = [engine for engine in fitting if engine.task == task]
    chosen = next((engine for engine in own if engine.default), own[0] if own else None)
    if chosen is None:
        raise EngineUnknown(f"there is no engine for {task}.", fix=f"There are for any task: {known}.")
    return chosen


def described(settings: Settings) -> List[EngineInfo]:
    """Return the engines of the server that is set, or of this installation.

    Raises:
        WireError: the server cannot be reached.
        InputError: no server is set, and none can be started here.
    """
    if settings.server:
        with client(settings) as it:
            return list(it.engines())
    from harmovid.embedded import check_installed

    check_installed()
    return [engine.info for engine in import_module("harmovid_server.engines").load()]


@contextlib.contextmanager
def client(settings: Settings) -> Iterator[Client]:
    """Yield a client of the server that is set, with the key that is set."""
    from harmovid.cli.keys_command import secret_file
    from harmovid.client import Client
    from harmovid.keys import load_secret

    keys = load_secret(secret_file(settings.key)) if settings.key else None
    with Client(settings.server, keys=keys) as it:
        yield it


@contextlib.contextmanager
def job_client(settings: Settings) -> Iterator[Client]:
    """Yield a client of the server that is set, or of a private one that is stopped at the end."""
    if settings.server:
        with client(settings) as it:
            yield it
        return
    from harmovid.client import Client
    from harmovid.embedded import EmbeddedServer

    with EmbeddedServer() as server, Client(server.address, keys=server.keys) as it:
        yield it
