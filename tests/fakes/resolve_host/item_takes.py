"""Takes of a timeline item: the first is the clip itself, the selected one is what plays."""

from __future__ import annotations

from typing import Any, Dict

from fakes.resolve_host import model
from fakes.resolve_host.base import Remote, model_of


class HasTakes(Remote):
    def AddTake(self, mediaPoolItem: Any, startFrame: Any = None, endFrame: Any = None) -> bool:
        item, clip = self._model, model_of(mediaPoolItem, model.Clip)
        if clip is None or item.kind != "clip":
            return False
        first = clip.first if startFrame is None else int(startFrame)
        last = clip.last if endFrame is None else int(endFrame) - int(self._host.quirks.take_end_exclusive)
        if not clip.first <= first <= last <= clip.last:
            return False
        if not item.takes:
            own_last = item.source_frame(item.end - 1)
            item.takes, item.take = [model.Take(item.clip, item.source_in, own_last)], 1
        item.takes.append(model.Take(clip, first, last))
        if self._host.quirks.add_take_selects:
            item.take = len(item.takes)
        self._host.changed()
        return True

    def GetSelectedTakeIndex(self) -> int:
        return self._model.take if self._model.takes and self._told() else 0

    def GetTakesCount(self) -> int:
        return len(self._model.takes) if self._told() else 0

    def GetTakeByIndex(self, idx: int) -> Dict[str, Any]:
        if not self._is_take(idx) or not self._told():
            return {}
        take = self._model.takes[idx - 1]
        end = take.end + int(self._host.quirks.take_end_exclusive)
        return {"startFrame": take.start, "endFrame": end, "mediaPoolItem": self._host.wrap(take.clip)}

    def DeleteTakeByIndex(self, idx: int) -> bool:
        item = self._model
        # The selected take cannot be deleted; the last but one ends the take selector.
        if not self._is_take(idx) or idx == item.take:
            return False
        item.takes.pop(idx - 1)
        item.take -= int(idx < item.take)
        if len(item.takes) == 1:
            self._end_takes()
        self._host.changed()
        return True

    def SelectTakeByIndex(self, idx: int) -> bool:
        if not self._is_take(idx):
            return False
        self._model.take = idx
        self._host.changed()
        return True

    def FinalizeTake(self) -> bool:
        if not self._model.takes:
            return False
        self._end_takes()
        self._host.changed()
        return True

    def _told(self) -> bool:
        """Return whether take getters answer: measured to do so for the current timeline alone."""
        current = self._host.project.timeline
        here = current is not None and current.track_of(self._model) is not None
        return here or not self._host.quirks.takes_of_current_timeline

    def _is_take(self, index: Any) -> bool:
        return isinstance(index, int) and 1 <= index <= len(self._model.takes)

    def _end_takes(self) -> None:
        """Let the selected take be the clip, and forget the others."""
        item = self._model
        item.clip, item.source_in = item.shown()
        item.takes, item.take = [], 0
