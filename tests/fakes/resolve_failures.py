"""Failures of single calls of Resolve's interface: each call of a run in turn, and what became of run and project.

    reference = succeeded(route, folder)
    for failure in failures(route, folder, reference, ways=("false", "raise")):
        assert failure.whole, failure

A run ends in one of two ways: the project is as it was before, or the result is back as without the failure. There is
nothing between.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, Sequence, Tuple

from fakes.resolve_host.snapshot import difference, snapshot
from fakes.resolve_runs import CopyClient, Film
from harmovid_resolve.errors import HostError

WAYS = ("false", "none", "raise", "performed-false")
"""How a call fails: it does nothing and answers False or None, it raises, or it does its work and answers False."""

_IDS = re.compile(r"[0-9a-f]{8}-0000-4000-8000-0{12}")
_JOB = re.compile(r'"harmovid": "[0-9a-f]{12}"')


@dataclass(frozen=True)
class Route:
    """One way through the plugin.

    Attributes:
        lut: the clip has an input LUT, so its files cannot be read as they are.
        again: a result of it is back already.
        output: `result`, or `cdl` and `field`, which have one way back each.
    """

    name: str
    way: str
    source: str
    lut: bool = False
    again: bool = False
    output: str = "result"


ROUTES = (
    Route("take, own files", "take", "source"),
    Route("take, own files, again", "take", "source", again=True),
    Route("take, graded", "take", "graded"),
    Route("track, rendered", "track", "source", lut=True),
    Route("track, graded", "track", "graded"),
    Route("media pool, rendered", "pool", "source", lut=True),
    Route("CDL", "take", "source", output="cdl"),
    Route("Fusion composition", "take", "source", output="field"),
)


@dataclass(frozen=True)
class Failure:
    """What became of a run in which one call failed.

    Attributes:
        call: name of the call; `number` counts from 1.
        how: one of `WAYS`.
        state: `returned`, `failed`, or `refused` before any clip was begun.
        whole: the project is as before, or as after a run without failure.
        words: what the user reads.
        differs: what is neither, a line each.
    """

    route: str
    call: str
    number: int
    how: str
    state: str
    whole: bool
    words: str
    differs: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Reference:
    """A run without failure: its calls, and the project after it."""

    calls: Tuple[str, ...]
    after: str


def succeeded(route: Route, folder: Path) -> Reference:
    """Run a route without failure."""
    film, _, state, words = _run(route, folder, 0, "false")
    assert state == "returned", words
    return Reference(tuple(film.host.injector.names()), _plain(snapshot(film.host)))


def failures(
    route: Route, folder: Path, reference: Reference, ways: Sequence[str] = WAYS
) -> Iterator[Failure]:
    """Run a route once for each of its calls, which fails; the ways of failing take turns where there are several runs.

    Args:
        ways: each call fails in each of these ways.
    """
    for number in range(1, len(reference.calls) + 1):
        for how in ways:
            yield failed(route, folder, reference, number, how)


def failed(route: Route, folder: Path, reference: Reference, number: int, how: str) -> Failure:
    """Run a route in which one call fails."""
    film, before, state, words = _run(route, folder, number, how)
    after = snapshot(film.host)
    differs: List[str] = list(film.host.violations)
    if state == "returned" and _plain(after) != reference.after:
        differs.append("the result is not back as without the failure")
    if state != "returned":
        differs += difference(before, after)
    differs += [f"{path} was left" for path in (folder / "out").rglob(".rendering*")]
    call = film.host.injector.calls[number - 1][1]
    return Failure(route.name, call, number, how, state, not differs, words, tuple(differs))


def never(route: Route, folder: Path, call: str) -> Failure:
    """Run a route in which every call of a name answers None; whole is as before, or told what is not."""
    film, before, state, words = _run(route, folder, 0, "none", call)
    told = state == "returned" or "could not be put back" in words
    differs = [] if told else difference(before, snapshot(film.host))
    return Failure(route.name, call, 0, "never", state, not differs, words, tuple(differs))


def _run(
    route: Route, folder: Path, number: int, how: str, never_works: str = ""
) -> Tuple[Film, Dict[str, Any], str, str]:
    shutil.rmtree(folder / "out", ignore_errors=True)
    pattern = str(folder / "plate" / "plate.%04d.exr")
    film = Film(folder, pattern=pattern if Path(pattern % 1001).exists() else "", size=(8, 4))
    if route.lut:
        film.clip.properties["Input LUT"] = "film.cube"
    if route.again:
        film.run(CopyClient(), way=route.way, source=route.source)
        film.host.injector.calls.clear()
    before = snapshot(film.host)
    injector = film.host.injector
    injector.fail_at, injector.how = number or None, how
    if never_works:
        injector.before = lambda at, name: setattr(injector, "fail_at", at if name == never_works else None)
    try:
        outcome = film.run(CopyClient(), way=route.way, source=route.source, output=route.output)[0]
    except HostError as error:
        return film, before, "refused", str(error)
    return film, before, outcome.state, " ".join([outcome.text, *outcome.warnings])


def _plain(found: Dict[str, Any]) -> str:
    """Return a snapshot as text in which ids are numbered by where they come first, and a job has no name."""
    seen: Dict[str, str] = {}
    text = _IDS.sub(lambda match: seen.setdefault(match.group(), f"id {len(seen)}"), repr(found))
    return _JOB.sub('"harmovid": ""', text)
