"""What a step changes in the project, remembered before it and put back after it.

    kept = Kept([Jobs(session), Presets(session), Page(session)])       # read now
    try:
        ...
    finally:
        problems = kept.put_back()                                      # compared, changed, compared again

Nothing rests on what a call answered: each aspect is read before and after, and what differs is undone. So a call that
Resolve answers with False after having done it is undone, too. A call that fails while putting back is tried again.
"""

from __future__ import annotations

import time
from typing import Any, List, Optional, Sequence, Tuple

from harmovid_resolve.calls import act, listed, maybe, table, text, whole
from harmovid_resolve.errors import HostError
from harmovid_resolve.session import Session

__all__ = [
    "Aspect", "Bin", "BinClips", "CurrentTimeline", "Deliver", "Folder", "Format", "Grade", "Items", "Jobs", "Kept",
    "Mode", "Page", "Playhead", "Presets", "Takes", "Timelines", "Tracks",
]  # fmt: skip

TRIES = 4
"""Each aspect is read and changed so often before it is given up."""

PAGE_S, PAGE_POLL_S = 2.0, 0.05


class Aspect:
    """One thing of a project that can be read and put back."""

    name = ""

    def read(self) -> Any:
        """Return it now, as something that can be compared.

        Raises:
            HostError: Resolve does not tell.
        """
        raise NotImplementedError

    def change(self, before: Any, now: Any) -> None:
        """Bring it from `now` to `before`, by one or several calls.

        Raises:
            HostError: a call failed; the ones before it were made.
        """
        raise NotImplementedError


class Kept:
    """Aspects as they were when this was made; they are put back in the order given.

    Raises:
        HostError: one cannot be read; those read before it are put back.
    """

    def __init__(self, aspects: Sequence[Aspect]) -> None:
        self._before: List[Tuple[Aspect, Any]] = []
        try:
            for aspect in reversed(aspects):
                self._before.insert(0, (aspect, aspect.read()))
        except HostError:
            self.put_back()
            raise

    def put_back(self) -> List[str]:
        """Put everything back and return a sentence for each aspect that could not be."""
        for aspect, before in self._before:
            _put_back(aspect, before)
        # Putting one thing back may have moved another: a deleted timeline changes what is open.
        return [problem for problem in (_put_back(*pair) for pair in self._before) if problem]


def _put_back(aspect: Aspect, before: Any) -> str:
    last = "it keeps changing"
    for _ in range(TRIES):
        try:
            now = aspect.read()
            if now == before:
                return ""
            aspect.change(before, now)
        except HostError as error:
            last = error.message
    return f"{aspect.name} could not be put back: {last}"


class _OfSession(Aspect):
    def __init__(self, session: Session) -> None:
        self.session = session


class Page(_OfSession):
    """The page that the user looks at; several calls of the Deliver page turn to it. Stands last in a list.

    For a moment after a turn Resolve names the page before: so it is opened in any case, and waited for.
    """

    name = "the page"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._opened: Optional[bool] = None

    def read(self) -> Any:
        """Return its name, None where Resolve has no window; once remembered, "" until it was opened again."""
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


class CurrentTimeline(_OfSession):
    """Which timeline is open."""

    name = "the open timeline"

    def read(self) -> Any:
        """Return its id."""
        return text(self.session.timeline(), "GetUniqueId")

    def change(self, before: Any, now: Any) -> None:
        """Open it."""
        for timeline in _timelines(self.session):
            if text(timeline, "GetUniqueId") == before:
                act(self.session.project, "SetCurrentTimeline", timeline)


class Timelines(_OfSession):
    """Which timelines there are: those that came are deleted."""

    name = "the list of timelines"

    def read(self) -> Any:
        """Return their ids."""
        return sorted(text(timeline, "GetUniqueId") for timeline in _timelines(self.session))

    def change(self, before: Any, now: Any) -> None:
        """Delete what is new."""
        new = [one for one in _timelines(self.session) if text(one, "GetUniqueId") not in before]
        if new:
            act(self.session.pool, "DeleteTimelines", new)


class Folder(_OfSession):
    """Which bin of the media pool is open."""

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


class Jobs(_OfSession):
    """The render queue: jobs that came are deleted."""

    name = "the render queue"

    def read(self) -> Any:
        """Return the jobs' ids."""
        return [str(job.get("JobId", "")) for job in listed(self.session.project, "GetRenderJobList")]

    def change(self, before: Any, now: Any) -> None:
        """Delete what is new."""
        for job in now:
            if job not in before:
                act(self.session.project, "DeleteRenderJob", job)


class Presets(_OfSession):
    """The render presets: those that came are deleted."""

    name = "the list of render presets"

    def read(self) -> Any:
        """Return their names."""
        return sorted(map(_preset_name, listed(self.session.project, "GetRenderPresetList")))

    def change(self, before: Any, now: Any) -> None:
        """Delete what is new."""
        for name in now:
            if name not in before:
                act(self.session.project, "DeleteRenderPreset", name)


class Format(_OfSession):
    """Format and codec of the Deliver page."""

    name = "the render format"

    def read(self) -> Any:
        """Return both."""
        both = table(self.session.project, "GetCurrentRenderFormatAndCodec")
        return str(both.get("format", "")), str(both.get("codec", ""))

    def change(self, before: Any, now: Any) -> None:
        """Set both."""
        act(self.session.project, "SetCurrentRenderFormatAndCodec", *before)


class Mode(_OfSession):
    """Single clip or individual clips; asking for it turns to the Deliver page."""

    name = "the render mode"

    def read(self) -> Any:
        """Return its number."""
        return whole(self.session.project, "GetCurrentRenderMode")

    def change(self, before: Any, now: Any) -> None:
        """Set it."""
        act(self.session.project, "SetCurrentRenderMode", before)


class Deliver(_OfSession):
    """All settings of the Deliver page. Resolve tells none of them: they are saved as a preset and loaded from it.

    Stands before `Presets` in a list, so that the preset goes when it has been loaded.
    """

    name = "the settings of the Deliver page"

    def __init__(self, session: Session, preset: str) -> None:
        super().__init__(session)
        self._preset = preset
        self._loaded: Optional[bool] = None

    def read(self) -> Any:
        """Save the settings when first asked; after that tell whether they have been loaded again."""
        if self._loaded is None:
            act(self.session.project, "SaveAsNewRenderPreset", self._preset)
            self._loaded = False
            return True
        return self._loaded

    def change(self, before: Any, now: Any) -> None:
        """Load them."""
        act(self.session.project, "LoadRenderPreset", self._preset)
        self._loaded = True


class Playhead(_OfSession):
    """Where the playhead of the open timeline is."""

    name = "the playhead"

    def read(self) -> Any:
        """Return the timecode; None on pages that have none."""
        return maybe(self.session.timeline(), "GetCurrentTimecode")

    def change(self, before: Any, now: Any) -> None:
        """Set it."""
        if before:
            act(self.session.timeline(), "SetCurrentTimecode", before)


class Bin(_OfSession):
    """A bin under the media pool's root: when it came, it is deleted."""

    def __init__(self, session: Session, title: str) -> None:
        super().__init__(session)
        self.title = title
        self.name = f"the bin {title}"

    def read(self) -> Any:
        """Return whether it is there."""
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


class BinClips(_OfSession):
    """The clips in a bin: those that came are deleted. Stands before `Bin` in a list."""

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
        """Delete what is new."""
        new = [clip for clip in self.clips() if text(clip, "GetUniqueId") not in before]
        if new:
            act(self.session.pool, "DeleteClips", new)


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


class Items(_OfSession):
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


def _timelines(session: Session) -> List[Any]:
    count = whole(session.project, "GetTimelineCount")
    return [act(session.project, "GetTimelineByIndex", index) for index in range(1, count + 1)]


def _preset_name(preset: Any) -> str:
    """Return a preset's name; some versions list names, others dicts."""
    if isinstance(preset, dict):
        return str(preset.get("PresetName") or preset.get("RenderPresetName") or preset.get("name") or "")
    return str(preset)
