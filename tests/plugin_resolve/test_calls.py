"""Answers of Resolve are checked: what it does not do silently is an error that names the call."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any, Dict, Iterator, Tuple

import harmovid_resolve
import pytest
from fakes.resolve_host import api
from fakes.resolve_runs import Film
from harmovid_resolve import calls
from harmovid_resolve.errors import HostError

ROOM = Path(harmovid_resolve.__file__).parent
ASKING = {"act", "number", "whole", "text", "flag", "table", "listed", "maybe", "tell"}

NEWER = {
    "AssignToColorGroup", "DeleteRenderPreset", "GetColorGroup", "GetMarkInOut", "GetNodeGraph",
    "GetSelectedClips", "GetSourceEndTime", "GetSourceStartTime", "GetToolsInNode", "GetTrackTypeAndIndex",
    "ImportRenderPreset", "ResetAllGrades",
}  # fmt: skip
"""Methods that 18.5 lacks: each is called only where `has` has found it, or its like of the same version."""


FUSION = {"FindTool"}
"""Methods of Fusion's objects, which the table does not hold."""


class Thing:
    """An object whose answers are set."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def Ask(self, *values: Any) -> Any:  # noqa: N802
        """Answer."""
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize("answer", [None, False, "", [], {}, RuntimeError("gone")])
def test_an_act_that_answers_nothing_is_an_error(answer: Any) -> None:
    """Whatever way Resolve has of not doing it, the error names the call."""
    with pytest.raises(HostError, match="Resolve refused Ask"):
        calls.act(Thing(answer), "Ask", 1)


@pytest.mark.parametrize(
    ("ask", "good", "bad"),
    [
        (calls.number, [0, 2, 1.5], [False, True, None, "1"]),
        (calls.whole, [0, 2.0], [False, None, "1"]),
        (calls.text, ["", "Edit"], [False, None, 3]),
        (calls.flag, [True, False, 1, 0], [None, "yes"]),
        (calls.table, [{}, {"in": 1}], [False, None, []]),
        (calls.listed, [[], [1], {1: "a"}], [False, None, "a"]),
    ],
)
def test_a_question_takes_its_kind_of_answer_alone(ask: Any, good: list, bad: list) -> None:
    """False is no number and no text, though Python would take it for one."""
    for answer in good:
        found = ask(Thing(answer), "Ask")
        assert found == (
            list(answer.values()) if ask is calls.listed and isinstance(answer, dict) else answer
        )
    for answer in bad:
        with pytest.raises(HostError, match="it answered"):
            ask(Thing(answer), "Ask")


def test_what_need_not_be_there_is_asked_for_twice(film: Film) -> None:
    """One answer of None where there is something does not make it vanish; two do."""
    film.host.injector.fail_at, film.host.injector.how = 1, "none"
    assert calls.maybe(film.host.wrap(film.timeline), "GetCurrentVideoItem") is not None
    film.timeline.playhead = film.item.end
    assert calls.maybe(film.host.wrap(film.timeline), "GetCurrentVideoItem") is None


def test_a_method_is_there_when_dir_names_it(film: Film) -> None:
    """`hasattr` says yes to everything on objects of Resolve; asking for what is not there is an error."""
    timeline = film.host.wrap(film.timeline)
    assert hasattr(timeline, "GetTimelineByName")
    assert not calls.has(timeline, "GetTimelineByName")
    with pytest.raises(HostError, match="has no GetTimelineByName"):
        calls.act(timeline, "GetTimelineByName", "Edit")


def test_a_value_is_settled_by_reading_it_back() -> None:
    """It is written until it is read; what is never taken is False, what fails once is not."""
    values = {"tries": 0, "at": "old"}

    def write() -> None:
        values["tries"] += 1
        if values["tries"] == 1:
            raise HostError("no.")
        values["at"] = "new"

    assert calls.settled(lambda: values["at"], write, "new")
    assert values["tries"] == 2
    assert not calls.settled(lambda: "old", lambda: None, "new")


def test_every_method_that_is_called_is_published() -> None:
    """Each name exists in Blackmagic's table; what 18.5 lacks is known, so it is looked for before it is called."""
    rows: Dict[str, Tuple[int, ...]] = {}
    for kind, methods in api.table().items():
        for name, row in methods.items() if kind != "constants" else ():
            since = (*api.number(row["since"]), 0)[:3]
            rows[name] = min(since, rows.get(name, since))
    named = {name for _, name in _called()} - FUSION
    assert len(named) > 60
    assert {name for name in named if name not in rows} == set()
    newer = {name for name in named if rows[name] > (18, 5, 0)}
    assert newer == NEWER & named


def _called() -> Iterator[Tuple[str, str]]:
    """Yield module and method of every checked call in the modules for Resolve's Python."""
    for path in ROOM.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                not isinstance(node, ast.Call)
                or not isinstance(node.func, ast.Name)
                or node.func.id not in ASKING
            ):
                continue
            if len(node.args) > 1 and isinstance(node.args[1], ast.Constant):
                yield path.name, str(node.args[1].value)
