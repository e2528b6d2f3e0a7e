"""Which engine a job command uses, and where its description comes from.

Without a server the descriptions come from this installation, because starting a server only to print a help text would
be slow. If the settings name another interpreter for the private server, that server is asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Sequence

from harmovid import engines
from harmovid.client import connect
from harmovid.embedded import check_startable
from harmovid.errors import HarmoVidError
from harmovid.job import EngineInfo
from harmovid.settings import Settings


@dataclass(frozen=True)
class Choice:
    """The engine that a job command uses.

    Attributes:
        engine: its description, or None.
        source: where the description comes from.
        others: names of the task's other engines.
        problem: why there is no engine.
    """

    engine: Optional[EngineInfo] = None
    source: str = ""
    others: Sequence[str] = ()
    problem: Optional[HarmoVidError] = None


def ask_engine(settings: Settings, task: str, name: Optional[str]) -> Choice:
    """Return the engine `name`, or the task's default if None. Errors are returned as the choice's `problem`."""
    try:
        found = described(settings)
        engine = engines.for_task(found, task, name)
    except HarmoVidError as error:
        return Choice(problem=error)
    others = [e.name for e in found if e.task in (task, engines.ANY_TASK) and e.name != engine.name]
    return Choice(engine, f"described by {settings.server or 'this installation'}", tuple(others))


def described(settings: Settings) -> List[EngineInfo]:
    """Return the engines of the server in the settings, or of this installation.

    Raises:
        WireError: the server cannot be reached.
        InputError: no server is set, and none can be started here.
    """
    if settings.server or settings.python:
        with connect(settings) as client:
            return client.engines()
    check_startable()
    return engines.installed()


def stand_in(task: str) -> Optional[EngineInfo]:
    """Return this installation's engine for a task, used to parse the command line if no server answers."""
    try:
        return engines.default_of(engines.installed(), task)
    except HarmoVidError:
        return None
