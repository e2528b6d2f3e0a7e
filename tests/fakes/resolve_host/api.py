"""Which class of the scripting API has which methods in which version: the table `api.json`.

It was made from the method lists of the typed stubs (fusionscript-stubs 18.5.0 to 21.0.0), and of Blackmagic's text
of 21.0.4 for what came after them; some names of 21.1 are from what others quote of its stubs ("text": true). "since"
is the first version that has a name, "until" the first that has it no more. Parameters are those of the newest stub;
a method with several forms has several lists.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any, Dict, FrozenSet, Tuple

TABLE_FILE = Path(__file__).with_name("api.json")
Version = Tuple[int, ...]

STUDIO_ONLY: FrozenSet[Tuple[str, str]] = frozenset(
    {
        ("Project", "GenerateSpeech"), ("Project", "ResetIntellisearchAnalysis"), ("MediaPool", "CreateStereoClip"),
        ("Folder", "TranscribeAudio"), ("Folder", "ClearTranscription"), ("MediaPoolItem", "TranscribeAudio"),
        ("MediaPoolItem", "ClearTranscription"), ("MediaPoolItem", "RemoveMotionBlur"),
        ("Timeline", "CreateSubtitlesFromAudio"), ("Timeline", "ConvertTimelineToStereo"),
        ("Timeline", "AnalyzeDolbyVision"), ("Timeline", "SetVoiceIsolationState"),
        ("TimelineItem", "CreateMagicMask"), ("TimelineItem", "RegenerateMagicMask"),
        ("TimelineItem", "SmartReframe"), ("TimelineItem", "SetVoiceIsolationState"),
        ("TimelineItem", "GetStereoConvergenceValues"),
    }
)  # fmt: skip
"""What the text says needs Studio; the free edition returns False and opens a dialog."""


@lru_cache(maxsize=1)
def table() -> Dict[str, Dict[str, Any]]:
    """Return the table: class, method, its row."""
    found: Dict[str, Dict[str, Any]] = json.loads(TABLE_FILE.read_text(encoding="utf-8"))
    return found


def number(text: str) -> Version:
    """Return "20.2.2" as numbers that compare."""
    return tuple(int(each) for each in text.split("."))


def methods(kind: str, version: Version) -> FrozenSet[str]:
    """Return the names that a class has in a version."""
    rows = table().get(kind, {})
    return frozenset(name for name, row in rows.items() if _has(row, version))


def _has(row: Dict[str, Any], version: Version) -> bool:
    whole = (*version, 0, 0)[:3]
    until = (*number(row["until"]), 0, 0)[:3] if "until" in row else (999,)
    return (*number(row["since"]), 0, 0)[:3] <= whole < until


_KINDS: Dict[str, Tuple[type, ...]] = {
    "bool": (bool,), "int": (int,), "float": (float,), "str": (str,), "list": (list,), "dict": (dict,),
    "None": (type(None),),
}  # fmt: skip


_ALL_AT_ONCE = {("Project", "GetSetting"), ("Timeline", "GetSetting")}
"""Without a name they return all of them as a dict, says the text; the stubs do not."""


def is_published(kind: str, name: str, answer: Any) -> bool:
    """Return whether an answer is of a published kind; None stands for what is not there, but never for a bool."""
    returns = table().get(kind, {}).get(name, {}).get("returns", ["object"])
    if (kind, name) in _ALL_AT_ONCE and isinstance(answer, dict):
        return True
    if "object" in returns or (answer is None and returns != ["bool"]):
        return True
    return any(type(answer) in _KINDS[each] for each in returns)


def constants(version: Version) -> Dict[str, int]:
    """Return the constants of the Resolve object; the text's MARKER_ ones were measured not to exist."""
    return table()["constants"]
