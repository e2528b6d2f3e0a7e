"""Aspects of a clip and its timeline: takes, colour versions, tracks and their items."""

from __future__ import annotations

from typing import Any, List

from harmovid_resolve.calls import act, listed, table, text, whole
from harmovid_resolve.restore import Aspect, OfSession
from harmovid_resolve.session import Session

__all__ = ["Grade", "Items", "Takes", "Tracks"]


class Takes(Aspect):
    """The takes of a timeline item, and the selected one."""

    name = "the takes of the clip"

    def __init__(self, item: Any) -> None:
        self._item = item

    def read(self) -> Any:
        """Return their number, and the number of the selected one."""
        return whole(self._item, "GetTakesCount"), whole(self._item, "GetSelectedTakeIndex")

    def change(self, before: Any, now: Any) -> None:
        """Select the earlier one and delete the new ones; if there were none, end the take selector."""
        count, selected = before
        if now[0] and now[1] != max(selected, 1):
            act(self._item, "SelectTakeByIndex", max(selected, 1))
        for index in range(now[0], max(count, 1), -1):
            act(self._item, "DeleteTakeByIndex", index)
        if not count and whole(self._item, "GetTakesCount"):
            act(self._item, "FinalizeTake")


class Tracks(Aspect):
    """The number of video tracks of a timeline; new ones at the top are deleted with their items."""

    name = "the video tracks"

    def __init__(self, timeline: Any) -> None:
        self._timeline = timeline

    def read(self) -> Any:
        """Return their number."""
        return whole(self._timeline, "GetTrackCount", "video")

    def change(self, before: Any, now: Any) -> None:
        """Delete the new ones, from the top."""
        for track in range(now, before, -1):
            act(self._timeline, "DeleteTrack", "video", track)


class Items(OfSession):
    """The items on a track; new ones are deleted, on the Edit page, the only page where that works."""

    name = "the clips on the track"

    def __init__(self, session: Session, timeline: Any, track: int) -> None:
        super().__init__(session)
        self._timeline, self._track = timeline, track

    def read(self) -> Any:
        """Return their ids; none if the track does not exist."""
        return sorted(text(item, "GetUniqueId") for item in self._items())

    def _items(self) -> List[Any]:
        if self._track > whole(self._timeline, "GetTrackCount", "video"):
            return []
        return listed(self._timeline, "GetItemListInTrack", "video", self._track)

    def change(self, before: Any, now: Any) -> None:
        """Delete the new ones."""
        act(self.session.resolve, "OpenPage", "edit")
        new = [item for item in self._items() if text(item, "GetUniqueId") not in before]
        if new:
            act(self._timeline, "DeleteClips", new, False)


class Grade(Aspect):
    """The colour versions of a timeline item, and the loaded one; new ones are deleted."""

    name = "the colour versions of the clip"
    LOCAL = 0

    def __init__(self, item: Any) -> None:
        self._item = item

    def read(self) -> Any:
        """Return the name of the loaded version, its kind, and the names of the local ones."""
        current = table(self._item, "GetCurrentVersion")
        names = listed(self._item, "GetVersionNameList", self.LOCAL)
        return current.get("versionName", ""), int(current.get("versionType", 0)), sorted(map(str, names))

    def change(self, before: Any, now: Any) -> None:
        """Load the earlier one and delete the new ones."""
        name, kind, names = before
        if now[:2] != (name, kind):
            act(self._item, "LoadVersionByName", name, kind)
        for one in now[2]:
            if one not in names:
                act(self._item, "DeleteVersionByName", one, self.LOCAL)
