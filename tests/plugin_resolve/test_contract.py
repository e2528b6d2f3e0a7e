"""What the part in Resolve and the client process say to each other is plain JSON, whole and checked."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import harmovid_resolve
import pytest
from harmovid_resolve.contract import Colour, Record, RunRequest, Task
from harmovid_resolve.errors import HostError

TASK = Task(
    engine="harmonize", options={"exposure": 0.5}, layers={"fg": "clip", "bg": "below"}, folder="/shots"
)
REQUEST = RunRequest("null", {"plate": "in/p.####.exr"}, "out/p.####.exr", "1001-1004", "job1")


@pytest.mark.parametrize("sent", [TASK, REQUEST, Colour("ACEScg"), Record("A", "v001", task=TASK.to_dict())])
def test_what_is_sent_arrives(sent: Task) -> None:
    """Each of them goes through JSON and comes back equal; what a newer version adds is left out."""
    data = json.loads(json.dumps(sent.to_dict()))
    assert type(sent).from_dict({**data, "later": 1}) == sent


def test_what_lacks_a_field_is_named() -> None:
    """A request without a field that it needs is an error that says which."""
    with pytest.raises(HostError, match=r"runrequest cannot be read.*job"):
        RunRequest.from_dict({"engine": "null", "inputs": {}, "out": "", "frames": ""})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"way": "replace"}, "way is 'replace'. It is one of: take, track, pool."),
        ({"output": "comp"}, "output is 'comp'"),
        ({"strength": 3}, "strength is 3. It is a number from 0 to 2."),
        ({"handles": -1}, "handles is -1"),
        ({"luma": True}, "luma is True"),
        ({"folder": ""}, "there is no folder"),
        ({"selection": "colour"}, "no clip colour"),
        ({"layers": {"fg": "below"}}, "layers come from"),
        ({"layers": {}}, "layers come from"),
    ],
)
def test_a_task_that_cannot_be_done_is_refused(changes: dict, said: str) -> None:
    """A value that cannot be chosen is named, with those that can."""
    assert TASK.checked() is TASK
    with pytest.raises(HostError) as refused:
        replace(TASK, **changes).checked()
    assert said in str(refused.value)


def test_resolves_python_needs_nothing_but_its_standard_library() -> None:
    """Every module for Resolve's own Python is imported by one that has no packages and no `harmovid`."""
    folder = Path(harmovid_resolve.__file__).parent
    names = ("contract", "errors", "calls", "session")
    wanted = ", ".join("harmovid_resolve." + name for name in names)
    code = f"import sys; sys.path.insert(0, {str(folder.parent)!r}); import {wanted}"
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True, timeout=300)
