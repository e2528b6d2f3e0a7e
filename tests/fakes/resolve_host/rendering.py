"""The render queue: jobs from the state of the Deliver page, and files frame by frame.

A render goes on by `frames_per_poll` frames with every IsRenderingInProgress and GetRenderJobStatus, so that a test is
the same on every machine; with `threaded` it runs beside the script, as in the real host.
"""

from __future__ import annotations

import functools
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Tuple

from fakes.resolve_host import composing, formats, model, pictures

if TYPE_CHECKING:
    from fakes.resolve_host.host import Host


_STALL_S = 0.005


class RenderQueue:
    """What renders now; the jobs themselves belong to the project."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.frames_per_poll = 4
        self.threaded = False
        self.waiting: List[model.RenderJob] = []
        self.stuck = False
        """Measured: a project that is left while it renders leaves the queue rendering for ever."""

    def busy(self) -> bool:
        """Return whether a job renders."""
        return bool(self.waiting) or self.stuck

    def start(self, jobs: List[model.RenderJob]) -> bool:
        """Begin to render; one render at a time."""
        if self.busy() or not jobs:
            return False
        for job in jobs:
            job.status, job.done, job.error = "Ready", 0, ""
        self.waiting = list(jobs)
        self.waiting[0].status = "Rendering"
        if self.threaded:
            threading.Thread(target=self._run, daemon=True, name="fake render").start()
        return True

    def leave_project(self) -> None:
        """Note that the user's project is about to be another one."""
        self.stuck = self.busy()
        self.waiting = []

    def stop(self) -> None:
        """Cancel: the frames that are finished stay, and half of the one that was being written."""
        with self.host.lock:
            if self.waiting and self.waiting[0].status == "Rendering":
                job = self.waiting[0]
                if self.host.quirks.cancel_truncates and job.done < len(job.outputs) and self._draws(job):
                    self._write(job, job.done)
                    pictures.cut_in_half(job.outputs[job.done].path)
                job.status = "Cancelled"
            self.waiting = []

    def poll(self) -> None:
        """Go on by some frames, unless a thread does."""
        if not self.threaded:
            for _ in range(self.frames_per_poll):
                self.step()

    def finish(self) -> None:
        """Render all that waits."""
        while self.waiting:
            before = self.waiting[0].done, len(self.waiting)
            self.step()
            if self.waiting and before == (self.waiting[0].done, len(self.waiting)):
                return

    def _run(self) -> None:
        while self.waiting:
            before = self.waiting[0].done if self.waiting else -1
            self.step()
            if self.waiting and self.waiting[0].done == before:
                time.sleep(_STALL_S)

    def step(self) -> None:
        """Render one frame."""
        with self.host.lock:
            if not self.waiting:
                return
            job, quirks = self.waiting[0], self.host.quirks
            if job.done == quirks.progress_stops_at:
                return
            if job.done >= len(job.outputs):
                self._end(job, "Complete")
            elif job.timeline.deleted or job.done == quirks.render_fails_at:
                self._end(job, "Failed", "The render failed")
            else:
                self._frame(job)

    def _frame(self, job: model.RenderJob) -> None:
        place, quirks = job.done, self.host.quirks
        try:
            if self._draws(job) and place not in quirks.render_skips:
                self._write(job, place)
                if place in quirks.render_truncates:
                    pictures.cut_in_half(job.outputs[place].path)
        except OSError as error:
            self._end(job, "Failed", f"The clip could not be rendered: {error}")
            return
        job.done += 1
        if job.done == len(job.outputs):
            self._end(job, "Complete")

    def _end(self, job: model.RenderJob, status: str, error: str = "") -> None:
        if self.host.quirks.render_moves_playhead and job.done:
            job.timeline.playhead = job.outputs[job.done - 1].record
        job.status, job.error = status, error
        self.waiting.pop(0)
        if self.waiting:
            self.waiting[0].status = "Rendering"

    def _draws(self, job: model.RenderJob) -> bool:
        """Return whether a job writes pictures: not if a preset had switched video off, whatever the job says."""
        return bool(job.deliver.settings.get("ExportVideo", True)) and not job.deliver.video_off

    def _write(self, job: model.RenderJob, place: int) -> None:
        output, deliver, host = job.outputs[place], job.deliver, self.host
        size = self._size(job, output)
        look = composing.Look(
            host.lut_folder, size, not deliver.grade_off, not deliver.sizing_off, output.item
        )
        pixels = composing.frame_of(host.project, job.timeline, output.record, look)
        if not deliver.settings.get("ExportAlpha", False):
            pixels = pixels[..., :3]
        half, compression = formats.exr_storage(deliver)
        os.makedirs(os.path.dirname(output.path), exist_ok=True)
        pictures.write(output.path, pixels, half, compression, self._attributes(job, output))

    def _size(self, job: model.RenderJob, output: model.Output) -> Tuple[int, int]:
        settings = job.deliver.settings
        clip = output.item.shown()[0] if output.item else None
        if job.deliver.source_size and clip is not None:
            return clip.size
        return int(settings.get("FormatWidth", job.timeline.size[0])), int(
            settings.get("FormatHeight", job.timeline.size[1])
        )

    def _attributes(self, job: model.RenderJob, output: model.Output) -> Dict[str, Any]:
        return {"Software": "DaVinci Resolve (stand-in)", "timelineFrame": str(output.record)}


def make_job(host: Host, project: model.Project) -> Optional[model.RenderJob]:
    """Return a job of the current timeline from the Deliver page, or None where it has no frames or no folder."""
    timeline, deliver = project.timeline, project.deliver.copy()
    folder = deliver.settings.get("TargetDir", "")
    if timeline is None or not folder or not timeline.items():
        return None
    if host.quirks.render_needs_media_storage and not _in_media_storage(host, folder):
        host.modal = host.quirks.storage_opens_dialog
        return None
    first, last = mark_range(timeline, deliver)
    named = functools.partial(_named, deliver, host.quirks.separator)
    outputs = (_whole if deliver.mode == 1 else _single)(timeline, deliver, first, last, named)
    if not outputs:
        return None
    job = model.RenderJob(deliver, timeline, outputs)
    job.told = _told(job, project, first, last)
    return job


def mark_range(timeline: model.Timeline, deliver: model.Deliver) -> Tuple[int, int]:
    """Return the first and last record frame to render; marks outside of the timeline are moved into it."""
    start, end = timeline.start_frame, timeline.end_frame - 1
    if deliver.settings.get("SelectAllFrames", False):
        return start, end
    marks = timeline.marks.get("video", {})
    first = deliver.settings.get("MarkIn", marks.get("in", 0) + start)
    last = deliver.settings.get("MarkOut", marks["out"] + start if "out" in marks else end)
    return min(max(int(first), start), end), min(max(int(last), start), end)


def _in_media_storage(host: Host, folder: str) -> bool:
    inside = Path(folder).resolve()
    return any(inside.is_relative_to(Path(volume).resolve()) for volume in host.volumes)


def _named(deliver: model.Deliver, separator: str, name: str, number: int) -> str:
    between = separator or ("_" if name[-1:].isdigit() else "")
    file = f"{name}{between}{number:0{deliver.digits}d}.{deliver.format}"
    return os.path.join(deliver.settings["TargetDir"], file)


def _whole(
    timeline: model.Timeline, deliver: model.Deliver, first: int, last: int, named: Callable[[str, int], str]
) -> List[model.Output]:
    """Return the files of a render as a single clip, numbered as the timeline is, or from ClipStartFrame on."""
    name = deliver.settings.get("CustomName") or timeline.name
    shift = deliver.settings.get("ClipStartFrame", first) - first
    return [model.Output(record, named(name, record + shift)) for record in range(first, last + 1)]


def _single(
    timeline: model.Timeline, deliver: model.Deliver, first: int, last: int, named: Callable[[str, int], str]
) -> List[model.Output]:
    """Return the files of a render as individual clips: each item alone, numbered as its source is."""
    found: List[model.Output] = []
    tracks = [track for track in timeline.tracks["video"] if track.enabled]
    items = [item for track in tracks for item in track.items if item.enabled and item.shown()[0] is not None]
    shown = [item for item in items if item.start <= last and item.end > first]
    for index, item in enumerate(shown, 1):
        name = deliver.settings.get("CustomName") or item.name
        name = name if len(shown) == 1 else f"{name}_{index:04d}"
        before = after = int(deliver.settings.get("AddFrameHandles", 0))
        clip, source_in = item.shown()
        assert clip is not None
        if deliver.settings.get("UseFullExtents"):
            before, after = source_in - clip.first, clip.last - item.source_frame(item.end - 1)
        start = deliver.settings.get("ClipStartFrame", source_in - before)
        frames = range(max(item.start, first) - before, min(item.end, last + 1) + after)
        found += [model.Output(r, named(name, start + i), item) for i, r in enumerate(frames)]
    return found


def _told(job: model.RenderJob, project: model.Project, first: int, last: int) -> Dict[str, Any]:
    settings, deliver = job.deliver.settings, job.deliver
    return {
        "JobId": job.id,
        "RenderJobName": f"Job {len(project.jobs) + 1}",
        "TimelineName": job.timeline.name,
        "TargetDir": settings["TargetDir"],
        "OutputFilename": os.path.basename(job.outputs[0].path),
        "IsExportVideo": bool(settings.get("ExportVideo", True)),
        "IsExportAudio": bool(settings.get("ExportAudio", True)),
        "FormatWidth": settings.get("FormatWidth", job.timeline.size[0]),
        "FormatHeight": settings.get("FormatHeight", job.timeline.size[1]),
        "FrameRate": str(job.timeline.fps),
        "MarkIn": first,
        "MarkOut": last,
        "ExportAlpha": bool(settings.get("ExportAlpha", False)),
        "RenderMode": "Single clip" if deliver.mode == 1 else "Individual clips",
        "PresetName": deliver.preset,
        "VideoFormat": deliver.format,
        "VideoCodec": deliver.codec,
    }
