"""Aspects of a project: the page and timeline that the user sees, timelines and bins."""

from __future__ import annotations

import time
from typing import Any, List, Optional

from harmovid_resolve.calls import act, listed, maybe, text, whole
from harmovid_resolve.restore import OfSession
from harmovid_resolve.session import Session

__all__ = ["Bin", "BinClips", "CurrentTimeline", "Folder", "Page", "Playhead", "Timelines"]

PAGE_S, PAGE_POLL_S = 2.0, 0.05


class Page(OfSession):
    """The page that the user sees; several calls of the Deliver page switch to it. Must come last in a list.

    For a moment after a switch Resolve still names the page before, so the page is always opened, and waited for.
    """

    name = "the page"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._opened: Optional[bool] = None

    def read(self) -> Any:
        """Return its name, None if Resolve has no window; after the first call "" until the page was opened again."""
        if self._opened is False:
            return ""
        page = maybe(self.session.resolve, "GetCurrentPage")
        self._opened = bool(self._opened) or page is None
        return page

    def change(self, before: Any, now: Any) -> None:
        """Open it."""
        act(self.session.resolve, "OpenPage", before)
        self._opened = True
        for _ in range(int(PAGE_S / PAGE_POLL_S)):
            if maybe(self.session.resolve, "GetCurrentPage") == before:
                return
            time.sleep(PAGE_POLL_S)


class CurrentTimeline(OfSession):
    """The open timeline."""

    name = "the open timeline"

    def read(self) -> Any:
        """Return its id."""
        return text(self.session.timeline(), "GetUniqueId")

    def change(self, before: Any, now: Any) -> None:
        """Open it."""
        for timeline in _timelines(self.session):
            if text(timeline, "GetUniqueId") == before:
                act(self.session.project, "SetCurrentTimeline", timeline)


class Timelines(OfSession):
    """The timelines; new ones are deleted."""

    name = "the list of timelines (ours are named HarmoVid)"

    def read(self) -> Any:
        """Return their ids."""
        return sorted(text(timeline, "GetUniqueId") for timeline in _timelines(self.session))

    def change(self, before: Any, now: Any) -> None:
        """Delete the new ones."""
        new = [one for one in _timelines(self.session) if text(one, "GetUniqueId") not in before]
        if new:
            act(self.session.pool, "DeleteTimelines", new)


class Folder(OfSession):
    """The open bin of the media pool."""

    name = "the open bin"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._folder: Any = None

    def read(self) -> Any:
        """Return its id."""
        folder = act(self.session.pool, "GetCurrentFolder")
        self._folder = self._folder or folder
        return text(folder, "GetUniqueId")

    def change(self, before: Any, now: Any) -> None:
        """Open it."""
        act(self.session.pool, "SetCurrentFolder", self._folder)


class Playhead(OfSession):
    """The position of the playhead in the open timeline."""

    name = "the playhead"

    def read(self) -> Any:
        """Return the timecode; None on pages that have none."""
        return maybe(self.session.timeline(), "GetCurrentTimecode")

    def change(self, before: Any, now: Any) -> None:
        """Set it."""
        if before:
            act(self.session.timeline(), "SetCurrentTimecode", before)


class Bin(OfSession):
    """A bin under the media pool's root; it is deleted if it is new."""

    def __init__(self, session: Session, title: str) -> None:
        super().__init__(session)
        self.title = title
        self.name = f"the bin {title}"

    def read(self) -> Any:
        """Return whether it exists."""
        return self.folder() is not None

    def folder(self) -> Any:
        """Return it, or None."""
        root = act(self.session.pool, "GetRootFolder")
        for folder in listed(root, "GetSubFolderList"):
            if text(folder, "GetName") == self.title:
                return folder
        return None

    def change(self, before: Any, now: Any) -> None:
        """Delete it."""
        if now and not before:
            act(self.session.pool, "DeleteFolders", [self.folder()])


class BinClips(OfSession):
    """The clips in a bin; new ones are deleted. Must come before `Bin` in a list."""

    def __init__(self, session: Session, bin_: Bin) -> None:
        super().__init__(session)
        self._bin = bin_
        self.name = f"the clips of {bin_.name}"

    def read(self) -> Any:
        """Return their ids."""
        return sorted(text(clip, "GetUniqueId") for clip in self.clips())

    def clips(self) -> List[Any]:
        """Return them."""
        folder = self._bin.folder()
        return listed(folder, "GetClipList") if folder is not None else []

    def change(self, before: Any, now: Any) -> None:
        """Delete the new ones."""
        new = [clip for clip in self.clips() if text(clip, "GetUniqueId") not in before]
        if new:
            act(self.session.pool, "DeleteClips", new)


def _timelines(session: Session) -> List[Any]:
    count = whole(session.project, "GetTimelineCount")
    return [act(session.project, "GetTimelineByIndex", index) for index in range(1, count + 1)]
