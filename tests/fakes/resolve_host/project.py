"""Project: timelines, settings, and the Deliver page with its queue."""

from __future__ import annotations

import os
from typing import Any, Dict, List, Optional

from fakes.resolve_host import formats, model, pictures, rendering, stills
from fakes.resolve_host.application import loaded
from fakes.resolve_host.base import Remote, model_of


class Project(Remote):
    def GetMediaPool(self) -> Any:
        from fakes.resolve_host.media_pool import MediaPool

        return MediaPool(self._host, self._model)

    def GetTimelineCount(self) -> int:
        return len(self._model.timelines)

    def GetTimelineByIndex(self, idx: int) -> Any:
        inside = isinstance(idx, int) and 1 <= idx <= len(self._model.timelines)
        return self._host.wrap(self._model.timelines[idx - 1]) if inside else None

    def GetCurrentTimeline(self) -> Any:
        return self._host.wrap(self._model.timeline)

    def SetCurrentTimeline(self, timeline: Any) -> bool:
        found = model_of(timeline, model.Timeline)
        if found is None or found not in self._model.timelines or self._host.queue.busy():
            return False
        self._model.timeline = found
        return True

    def GetGallery(self) -> Any:
        from fakes.resolve_host.gallery import Gallery

        return Gallery(self._host, self._model)

    def GetName(self) -> str:
        return self._model.name

    def SetName(self, projectName: str) -> bool:
        if not projectName or any(each.name == projectName for each in self._host.projects):
            return False
        self._model.name = projectName
        return True

    def GetUniqueId(self) -> str:
        return self._model.id

    def GetPresetList(self) -> List[Dict[str, Any]]:
        return [{"Name": name} for name in self._model.project_presets]

    # Settings.

    def GetSetting(self, settingName: Optional[str] = None) -> Any:
        if not settingName:
            return dict(self._model.settings)
        return self._model.settings.get(settingName, "")

    def SetSetting(self, settingName: str, settingValue: Any) -> bool:
        if settingName not in self._model.settings or not isinstance(settingValue, (str, int, float)):
            return False
        fixed = settingName == "timelinePlaybackFrameRate"
        if fixed or (settingName == "timelineFrameRate" and self._model.timelines):
            return False
        if settingName not in self._host.quirks.lying_project_settings:
            self._model.settings[settingName] = str(settingValue)
            self._host.changed()
        return True

    def RefreshLUTList(self) -> bool:
        folder = self._host.lut_folder
        found = folder.rglob("*.cube") if folder.is_dir() else ()
        self._host.known_luts = frozenset(each.relative_to(folder).as_posix() for each in found)
        return True

    # Render presets.

    def GetRenderPresetList(self) -> List[str]:
        return [*formats.STOCK, *self._model.presets]

    def LoadRenderPreset(self, presetName: str) -> bool:
        stock = formats.STOCK.get(presetName)
        preset = self._model.presets.get(presetName) or (stock() if stock else None)
        if preset is None:
            return False
        self._opens_deliver()
        self._model.deliver = loaded(preset, self._model.deliver)
        self._model.deliver.preset = presetName
        return True

    def SaveAsNewRenderPreset(self, presetName: str) -> bool:
        if not presetName or presetName in (*formats.STOCK, *self._model.presets):
            return False
        self._model.presets[presetName] = self._model.deliver.copy()
        return True

    def DeleteRenderPreset(self, presetName: str) -> bool:
        return self._model.presets.pop(presetName, None) is not None

    # Render format, mode and settings.

    def GetRenderFormats(self) -> Dict[str, str]:
        return dict(formats.FORMATS)

    def GetRenderCodecs(self, renderFormat: str) -> Dict[str, str]:
        return dict(formats.CODECS.get(renderFormat, {}))

    def GetRenderResolutions(self, format: str = "", codec: str = "") -> List[Dict[str, int]]:
        return [{"Width": width, "Height": height} for width, height in ((1920, 1080), (3840, 2160))]

    def GetCurrentRenderFormatAndCodec(self) -> Dict[str, str]:
        return {"format": self._model.deliver.format, "codec": self._model.deliver.codec}

    def SetCurrentRenderFormatAndCodec(self, format: str, codec: str) -> bool:
        self._opens_deliver()
        if codec not in formats.CODECS.get(format, {}).values():
            return False
        self._model.deliver.format, self._model.deliver.codec = format, codec
        self._model.deliver.preset = "Custom"
        return True

    def GetCurrentRenderMode(self) -> int:
        self._opens_deliver()
        return self._model.deliver.mode

    def SetCurrentRenderMode(self, renderMode: int) -> bool:
        self._opens_deliver()
        if renderMode not in (0, 1):
            return False
        self._model.deliver.mode = int(renderMode)
        return True

    def SetRenderSettings(self, settings: Dict[str, Any]) -> bool:
        self._opens_deliver()
        if not isinstance(settings, dict) or not all(self._settable(*pair) for pair in settings.items()):
            return False
        kept = {key: value for key, value in settings.items() if key not in self._host.quirks.lying_settings}
        deliver = self._model.deliver
        deliver.settings.update(kept)
        deliver.preset = "Custom"
        if kept.get("ExportVideo") and not self._host.quirks.stale_deliver:
            deliver.video_off = False
        if self._host.quirks.marks_shared and self._model.timeline is not None:
            self._share_marks(kept)
        return True

    def _settable(self, key: Any, value: Any) -> bool:
        """Return whether a pair is taken; one that is not makes SetRenderSettings refuse them all."""
        if not formats.known_setting(key, self._host.version) or key in self._host.quirks.refused_settings:
            return False
        if not isinstance(value, formats.SETTINGS[key][0]):
            return False
        if key == "TargetDir":
            return os.path.isdir(value)
        return key != "CustomName" or value != ""

    def _share_marks(self, settings: Dict[str, Any]) -> None:
        timeline = self._model.timeline
        for key, mark in (("MarkIn", "in"), ("MarkOut", "out")):
            if key in settings:
                for kind in ("video", "audio"):
                    value = max(int(settings[key]) - timeline.start_frame, 0)
                    timeline.marks.setdefault(kind, {})[mark] = value

    def _opens_deliver(self) -> None:
        if self._host.quirks.render_calls_open_deliver:
            self._host.open_page("deliver")

    # The queue.

    def AddRenderJob(self) -> str:
        self._opens_deliver()
        job = rendering.make_job(self._host, self._model)
        if job is None:
            return ""
        self._model.jobs.append(job)
        return job.id

    def DeleteRenderJob(self, jobId: str) -> bool:
        job = self._job(jobId)
        if job is None or job in self._host.queue.waiting:
            return False
        self._model.jobs.remove(job)
        return True

    def DeleteAllRenderJobs(self) -> bool:
        if self._host.queue.busy():
            return False
        self._model.jobs.clear()
        return True

    def GetRenderJobList(self) -> List[Dict[str, Any]]:
        return [dict(job.told) for job in self._model.jobs]

    def StartRendering(self, *jobIds: Any, isInteractiveMode: bool = False) -> bool:
        self._opens_deliver()
        wanted = jobIds[0] if jobIds and isinstance(jobIds[0], list) else list(jobIds)
        if not jobIds:
            jobs = list(self._model.jobs)
        else:
            jobs = [job for job in (self._job(each) for each in wanted) if job is not None]
        if len(jobs) < len(wanted):
            return False
        return self._host.queue.start(jobs)

    def StopRendering(self) -> None:
        self._host.queue.stop()

    def IsRenderingInProgress(self) -> bool:
        self._host.queue.poll()
        return self._host.queue.busy()

    def GetRenderJobStatus(self, jobId: str) -> Dict[str, Any]:
        self._host.queue.poll()
        job = self._job(jobId)
        if job is None:
            return {}
        status = {"JobStatus": self._host.quirks.word(job.status), "CompletionPercentage": job.percent}
        if job.status == "Rendering":
            status["EstimatedTimeRemainingInMs"] = 10 * (len(job.outputs) - job.done)
        if job.status in ("Complete", "Cancelled"):
            status["TimeTakenToRenderInMs"] = 10 * job.done
        if job.error:
            status["Error"] = job.error
        return status

    def _job(self, job_id: Any) -> Optional[model.RenderJob]:
        return next((job for job in self._model.jobs if job.id == job_id), None)

    # Stills and groups.

    def ExportCurrentFrameAsStill(self, filePath: str) -> bool:
        timeline = self._model.timeline
        on_deliver = self._host.page == "deliver" and self._host.quirks.still_refused_on_deliver
        if timeline is None or timeline.top_item(timeline.playhead) is None or on_deliver:
            return False
        try:
            luts = self._host.lut_folder
            pixels = pictures.frame_of(self._model, timeline, timeline.playhead, timeline.size, luts)
            return stills.save(filePath, pixels)
        except OSError:
            return False

    def GetColorGroupsList(self) -> List[Any]:
        return [self._host.wrap(group) for group in self._model.groups]

    def AddColorGroup(self, groupName: str) -> Any:
        if not groupName or any(group.name == groupName for group in self._model.groups):
            return None
        self._model.groups.append(model.ColorGroup(groupName))
        return self._host.wrap(self._model.groups[-1])

    def DeleteColorGroup(self, colorGroup: Any) -> bool:
        group = model_of(colorGroup, model.ColorGroup)
        if group is None:
            return False
        for timeline in self._model.timelines:
            for item in timeline.items():
                item.group = None if item.group is group else item.group
        self._model.groups.remove(group)
        group.deleted = True
        return True
