"""MediaPool, Folder and MediaStorage."""

from __future__ import annotations

import math
import os
from typing import Any, Dict, List, Optional, Tuple

from fakes.resolve_host import media, model, scene
from fakes.resolve_host.base import HostFrozen, Remote, model_of

STILL_S = 5
CLIP_INFO = {"mediaPoolItem", "startFrame", "endFrame", "mediaType", "trackIndex", "recordFrame"}


class MediaPool(Remote):
    def GetRootFolder(self) -> Any:
        return self._host.wrap(self._model.root)

    def GetCurrentFolder(self) -> Any:
        return self._host.wrap(self._model.folder)

    def SetCurrentFolder(self, folder: Any) -> bool:
        found = model_of(folder, model.Folder)
        if found is None:
            return False
        self._model.folder = found
        return True

    def AddSubFolder(self, folder: Any, name: str) -> Any:
        parent = model_of(folder, model.Folder)
        if parent is None or not name or any(each.name == name for each in parent.folders):
            return None
        parent.folders.append(model.Folder(name))
        self._model.folder = parent.folders[-1]
        self._host.changed()
        return self._host.wrap(parent.folders[-1])

    def RefreshFolders(self) -> bool:
        return True

    def GetUniqueId(self) -> str:
        return self._model.id + "-pool"

    def DeleteFolders(self, subfolders: List[Any]) -> bool:
        found = self._all(subfolders, model.Folder)
        if not found or self._model.root in found:
            return False
        for folder in found:
            self._delete_clips(folder.all_clips())
            for parent in self._model.root.walk():
                parent.folders[:] = [each for each in parent.folders if each is not folder]
            for each in folder.walk():
                each.deleted = True
        if self._model.folder.deleted:
            self._model.folder = self._model.root
        self._host.changed()
        return True

    def MoveFolders(self, folders: List[Any], targetFolder: Any) -> bool:
        found, target = self._all(folders, model.Folder), model_of(targetFolder, model.Folder)
        if not found or target is None or any(target in folder.walk() for folder in found):
            return False
        for parent in self._model.root.walk():
            parent.folders[:] = [each for each in parent.folders if each not in found]
        target.folders += found
        self._host.changed()
        return True

    # Clips.

    def ImportMedia(self, items: List[Any]) -> List[Any]:
        if not isinstance(items, list) or not items:
            return []
        fps = float(self._model.settings["timelineFrameRate"].split()[0])
        if all(isinstance(each, str) for each in items):
            found = media.clips_of(items, fps)
        else:
            found = [clip for each in items for clip in [self._described(each, fps)] if clip is not None]
        self._model.folder.clips += found
        if found:
            self._host.changed()
        return [self._host.wrap(clip) for clip in found]

    def _described(self, info: Any, fps: float) -> Optional[model.Clip]:
        if not isinstance(info, dict) or "FilePath" not in info:
            return None
        unknown = set(info) - {"FilePath", "StartIndex", "EndIndex"}
        if unknown:
            raise self._host.broken(f"ImportMedia with {sorted(unknown)}")
        first = info.get("StartIndex", 0)
        last = info.get("EndIndex", first)
        if first == last and self._host.quirks.import_refuses_still_dicts:
            return None
        return media.sequence(info["FilePath"], first, last, fps)

    def DeleteClips(self, clips: List[Any]) -> bool:
        found = self._all(clips, model.Clip)
        if not found:
            return False
        self._delete_clips(found)
        return True

    def _delete_clips(self, clips: List[model.Clip]) -> None:
        for clip in clips:
            if clip.timeline is not None and not clip.timeline.deleted:
                self._delete_timeline(clip.timeline)
            clip.deleted = True
        for folder in self._model.root.walk():
            folder.clips[:] = [each for each in folder.clips if not each.deleted]
        self._model.selected_clips[:] = [each for each in self._model.selected_clips if not each.deleted]
        self._host.changed()

    def MoveClips(self, clips: List[Any], targetFolder: Any) -> bool:
        found, target = self._all(clips, model.Clip), model_of(targetFolder, model.Folder)
        if not found or target is None:
            return False
        for folder in self._model.root.walk():
            folder.clips[:] = [each for each in folder.clips if each not in found]
        target.clips += found
        self._host.changed()
        return True

    def RelinkClips(self, mediaPoolItem: List[Any], folderPath: str) -> bool:
        found = self._all(mediaPoolItem, model.Clip)
        if not found or not os.path.isdir(folderPath):
            return False
        for clip in found:
            clip.pattern = os.path.join(folderPath, os.path.basename(clip.pattern))
        return True

    def UnlinkClips(self, mediaPoolItem: List[Any]) -> bool:
        return bool(self._all(mediaPoolItem, model.Clip))

    def GetSelectedClips(self) -> List[Any]:
        return [self._host.wrap(clip) for clip in self._model.selected_clips]

    def SetSelectedClip(self, mediaPoolItem: Any) -> bool:
        clip = model_of(mediaPoolItem, model.Clip)
        if clip is None:
            return False
        self._model.selected_clips = [clip]
        return True

    # Timelines.

    def CreateEmptyTimeline(self, name: str) -> Any:
        timeline = self._new_timeline(name)
        return self._host.wrap(timeline)

    def _new_timeline(self, name: str) -> Optional[model.Timeline]:
        if not name or not isinstance(name, str) or any(each.name == name for each in self._model.timelines):
            return None
        timeline = scene.empty_timeline(self._model, name)
        if self._host.quirks.create_timeline_selects or self._model.timeline is None:
            self._model.timeline = timeline
        self._host.changed()
        return timeline

    def CreateTimelineFromClips(self, name: str, *clips: Any) -> Any:
        infos = self._infos(clips)
        if infos is None or not infos:
            return None
        # Measured: fails unless the clips are in the current folder.
        if not all(model_of(each["mediaPoolItem"], model.Clip) in self._model.folder.clips for each in infos):
            return None
        if any("trackIndex" in info for info in infos):
            raise self._host.broken("CreateTimelineFromClips with trackIndex")
        timeline = self._new_timeline(name)
        if timeline is None:
            return None
        for info in infos:
            self._place(timeline, info)
        return self._host.wrap(timeline)

    def DeleteTimelines(self, timeline: List[Any]) -> bool:
        found = self._all(timeline, model.Timeline)
        if not found or any(job.timeline in found for job in self._host.queue.waiting):
            return False
        for each in found:
            self._delete_timeline(each)
        self._delete_clips([each.clip for each in found if each.clip])
        return True

    def _delete_timeline(self, timeline: model.Timeline) -> None:
        timeline.deleted = True
        self._model.timelines[:] = [each for each in self._model.timelines if each is not timeline]
        if self._model.timeline is timeline:
            self._model.timeline = self._model.timelines[0] if self._model.timelines else None

    # Placing clips.

    def AppendToTimeline(self, *clips: Any) -> List[Any]:
        if len(clips) == 1 and isinstance(clips[0], dict) and self._host.quirks.bare_dict_freezes:
            self._host.violations.append("AppendToTimeline with a dict that is not in a list")
            raise HostFrozen("AppendToTimeline with a dict that is not in a list freezes Resolve")
        infos, timeline = self._infos(clips), self._model.timeline
        if infos is None or timeline is None:
            return []
        placed = [item for info in infos for item in self._place(timeline, info)]
        if self._host.quirks.append_errors:
            for item in placed:
                item.volatile = True
            return []
        return [self._host.wrap(item) for item in placed]

    def _infos(self, clips: Tuple[Any, ...]) -> Optional[List[Dict[str, Any]]]:
        """Return the clips of a call as dicts, or None where one is no clip."""
        given = clips[0] if len(clips) == 1 and isinstance(clips[0], list) else list(clips)
        infos = [each if isinstance(each, dict) else {"mediaPoolItem": each} for each in given]
        for info in infos:
            unknown = set(info) - CLIP_INFO
            if unknown:
                raise self._host.broken(f"a clipInfo with {sorted(unknown)}")
            if model_of(info.get("mediaPoolItem"), model.Clip) is None:
                return None
        return infos

    def _place(self, timeline: model.Timeline, info: Dict[str, Any]) -> List[model.Item]:
        """Put one clip on a timeline; return its item, a dead one where there was no room, none where it cannot be."""
        clip = model_of(info["mediaPoolItem"], model.Clip)
        kind = "audio" if info.get("mediaType") == 2 or clip.kind == "Audio" else "video"
        index = int(info.get("trackIndex", 1))
        tracks = timeline.tracks.setdefault(kind, [])
        if not 1 <= index <= len(tracks):
            return []
        track = tracks[index - 1]
        first, count = self._extent(clip, info)
        if count < 1:
            return []
        length = max(1, math.floor(count * timeline.fps / clip.fps + 1e-6))
        if clip.kind == "Still" and self._host.quirks.stills_ignore_end:
            length = round(STILL_S * timeline.fps)
        start = int(
            info.get("recordFrame", max([item.end for item in track.items], default=timeline.start_frame))
        )
        item = model.Item(clip.name, kind="audio" if kind == "audio" else "clip", clip=clip, start=start)
        item.end, item.source_in, item.speed = start + length, first, clip.fps / timeline.fps
        item.volatile = self._host.quirks.save_loses_items
        same = [each for line in self._model.timelines for each in line.items("video") if each.clip is clip]
        if same and self._host.quirks.remote_versions:
            item.versions = [each.copy() for each in same[0].versions]
        if _overlaps(track, item) and self._host.quirks.overlaps_slide:
            item.start = max(each.end for each in track.items)
            item.end = item.start + length
        if track.locked or (self._host.quirks.overlaps_dropped and _overlaps(track, item)):
            # Measured: what is returned for an item that was not placed is none.
            item.id, item.deleted = "", True
            return [item]
        track.items.append(item)
        track.items.sort(key=lambda each: each.start)
        self._host.changed()
        return [item]

    def _extent(self, clip: model.Clip, info: Dict[str, Any]) -> Tuple[int, int]:
        """Return the first frame of a clip that is wanted, and how many."""
        first = int(info.get("startFrame", clip.first))
        if "endFrame" not in info:
            return first, clip.last - first + 1
        end = int(info["endFrame"])
        return first, end - first if self._host.quirks.exclusive_end else end - first + 1

    def _all(self, remotes: Any, kind: type) -> List[Any]:
        """Return the data of a list of objects; [] where it is no list or one is none of that kind."""
        if not isinstance(remotes, list):
            return []
        found = [model_of(each, kind) for each in remotes]
        return [] if None in found else found


def _overlaps(track: model.Track, item: model.Item) -> bool:
    return any(
        each.kind != "transition" and each.start < item.end and item.start < each.end for each in track.items
    )


class Folder(Remote):
    def GetClipList(self) -> List[Any]:
        return [self._host.wrap(clip) for clip in self._model.clips]

    def GetName(self) -> str:
        return self._model.name

    def GetSubFolderList(self) -> List[Any]:
        return [self._host.wrap(folder) for folder in self._model.folders]

    def GetIsFolderStale(self) -> bool:
        return False

    def GetUniqueId(self) -> str:
        return self._model.id


class MediaStorage(Remote):
    def GetMountedVolumeList(self) -> List[str]:
        return [str(each) for each in self._host.volumes]

    def GetSubFolderList(self, folderPath: str) -> List[str]:
        inside = (
            sorted(os.scandir(folderPath), key=lambda each: each.name) if os.path.isdir(folderPath) else []
        )
        return [each.path for each in inside if each.is_dir()]

    def GetFileList(self, folderPath: str) -> List[str]:
        if not os.path.isdir(folderPath):
            return []
        return [clip.shown_path() for clip in media.clips_of([folderPath], 24.0)]

    def RevealInStorage(self, path: str) -> bool:
        return os.path.exists(path)

    def AddItemListToMediaPool(self, *items: Any) -> List[Any]:
        given = items[0] if len(items) == 1 and isinstance(items[0], list) else list(items)
        project = self._host.project
        fps = float(project.settings["timelineFrameRate"].split()[0])
        paths = [each["media"] if isinstance(each, dict) else each for each in given]
        found = media.clips_of(paths, fps)
        project.folder.clips += found
        return [self._host.wrap(clip) for clip in found]
