"""The overall part of a result as a CDL on the clip: a new colour version, no pixels.

    warnings = apply(clip, report, version)

The correction must lie under the grade, so it goes into the clip's first node. That node has to be empty, because a
script can neither add a node nor read a CDL back.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping

from harmovid_resolve.calls import act, has, tell
from harmovid_resolve.clip import Clip
from harmovid_resolve.contract import Task
from harmovid_resolve.errors import HostError
from harmovid_resolve.restore import Kept
from harmovid_resolve.restore_clip import Grade

__all__ = ["apply", "cdl_map", "check"]

LOCAL, FIRST_NODE = 0, 1


def check(clip: Clip, task: Task) -> None:
    """Check whether a CDL could be set on a clip, before anything is made.

    Raises:
        HostError: it could not.
    """
    if task.source == "graded":
        raise HostError(
            "a CDL is applied under the grade, but graded pixels would be measured.",
            fix="Choose the clip's own pixels, or choose the output frames.",
        )
    _refuse_full_node(clip)


def apply(clip: Clip, report: Mapping[str, Any], version: str) -> List[str]:
    """Set the CDL of a run's report on a clip, in a new colour version, and return what the user should check.

    Args:
        clip: gets the version; the one that was loaded remains in the clip's list.
        report: of a run with the output `cdl`.
        version: the new version's name.

    Raises:
        HostError: it cannot be set; the clip is unchanged.
    """
    values = cdl_map(report)
    _refuse_full_node(clip)
    kept = Kept([Grade(clip.item)])
    try:
        act(clip.item, "AddVersion", f"HarmoVid {version}", LOCAL)
        act(clip.item, "SetCDL", values)
    except HostError as error:
        problems = kept.put_back()
        if problems:
            raise HostError(f"{error.message} {' '.join(problems)}", fix=error.fix) from error
        raise
    space = str(report["cdl"].get("space", "")) or "linear light"
    return [
        f"{clip.name}: the CDL is for {space}. Resolve does not tell whether it took it: look at the clip; "
        "the colour version before it is still there."
    ]


def cdl_map(report: Mapping[str, Any]) -> Dict[str, str]:
    """Return the CDL of a report in Resolve's form: every value is text.

    Raises:
        HostError: the report has none.
    """
    found = report.get("cdl")
    names = ("Slope", "Offset", "Power")
    if not isinstance(found, Mapping) or not {*(name.lower() for name in names), "saturation"} <= set(found):
        raise HostError(
            "the client process sent no CDL.",
            fix="Run `harmovid plugin install resolve` again: the parts differ.",
        )
    triples = {name: " ".join(f"{float(each):.6f}" for each in found[name.lower()]) for name in names}
    return {"NodeIndex": str(FIRST_NODE), **triples, "Saturation": f"{float(found['saturation']):.6f}"}


def _refuse_full_node(clip: Clip) -> None:
    """Raise `HostError` unless the first node is known to be empty, because a CDL replaces its content."""
    graph = tell(clip.item, "GetNodeGraph") if has(clip.item, "GetNodeGraph") else None
    tools = tell(graph, "GetToolsInNode", FIRST_NODE) if has(graph, "GetToolsInNode") else None
    if not isinstance(tools, (list, tuple, dict)):
        raise HostError(
            "this Resolve does not tell whether the clip's first node is empty, and a CDL would replace what is in it.",
            fix="Choose the output frames instead.",
        )
    if tools:
        raise HostError(
            f"{clip.name} has a grade in its first node, which a CDL would replace.",
            fix="Add an empty serial node before the first one, then start again; or choose the output frames.",
        )
