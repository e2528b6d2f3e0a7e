"""Parts of a clip and its timeline that are put back: takes, colour versions, tracks and what is on them."""

from __future__ import annotations

from typing import Any, List

from harmovid_resolve.calls import act, listed, table, text, whole
from harmovid_resolve.restore import Aspect, OfSession
from harmovid_resolve.session import Session

__all__ = ["Grade", "Items", "Takes", "Tracks"]


class Takes(Aspect):
    """The takes of a timeline item and which is selected."""

    name = "the takes of the clip"

    def __init__(self, item: Any) -> None:
        self._item = item

    def read(self) -> Any:
        """Return how many there are, and the number of the selected one."""
        return whole(self._item, "GetTakesCount"), whole(self._item, "GetSelectedTakeIndex")

    def change(self, before: Any, now: Any) -> None:
        """Select the old one and delete those that came; where there were none, end the take selector."""
        count, selected = before
        if now[0] and now[1] != max(selected, 1):
            act(self._item, "SelectTakeByIndex", max(selected, 1))
        for index in range(now[0], max(count, 1), -1):
            act(self._item, "DeleteTakeByIndex", index)
        if not count and whole(self._item, "GetTakesCount"):
            act(self._item, "FinalizeTake")


class Tracks(Aspect):
    """How many video tracks a timeline has: those on top that came are deleted with what is on them."""

    name = "the video tracks"

    def __init__(self, timeline: Any) -> None:
        self._timeline = timeline

    def read(self) -> Any:
        """Return how many there are."""
        return whole(self._timeline, "GetTrackCount", "video")

    def change(self, before: Any, now: Any) -> None:
        """Delete what is new, from the top."""
        for track in range(now, before, -1):
            act(self._timeline, "DeleteTrack", "video", track)


class Items(OfSession):
    """The items on a track: those that came are deleted, on the Edit page, where alone that works."""

    name = "the clips on the track"

    def __init__(self, session: Session, timeline: Any, track: int) -> None:
        super().__init__(session)
        self._timeline, self._track = timeline, track

    def read(self) -> Any:
        """Return their ids; none where the track is not there."""
        return sorted(text(item, "GetUniqueId") for item in self._items())

    def _items(self) -> List[Any]:
        if self._track > whole(self._timeline, "GetTrackCount", "video"):
            return []
        return listed(self._timeline, "GetItemListInTrack", "video", self._track)

    def change(self, before: Any, now: Any) -> None:
        """Delete what is new."""
        act(self.session.resolve, "OpenPage", "edit")
        new = [item for item in self._items() if text(item, "GetUniqueId") not in before]
        if new:
            act(self._timeline, "DeleteClips", new, False)


class Grade(Aspect):
    """The colour versions of a timeline item and which is loaded; those that came are deleted."""

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
        """Load the old one and delete those that came."""
        name, kind, names = before
        if now[:2] != (name, kind):
            act(self._item, "LoadVersionByName", name, kind)
        for one in now[2]:
            if one not in names:
                act(self._item, "DeleteVersionByName", one, self.LOCAL)
