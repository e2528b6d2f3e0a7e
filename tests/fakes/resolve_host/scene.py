"""Projects for tests: sequences on disk, clips in the pool, items on timelines, as the user would have made them.

clip = scene.add_sequence(host, tmp_path / "plate", frames)          # {1001: pixels, ...} as EXR files
timeline = scene.add_timeline(host, "Edit")
item = scene.place(timeline, clip)                                   # data; host.wrap(item) is the API object
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Mapping, Optional, Tuple

import numpy as np
from fakes.resolve_host import media, model, pictures

if TYPE_CHECKING:
    from fakes.resolve_host.host import Host


def default_settings() -> Dict[str, str]:
    """Return the settings of a new project; only those that matter here."""
    return {
        "timelineResolutionWidth": "1920",
        "timelineResolutionHeight": "1080",
        "timelineFrameRate": "24",
        "timelinePlaybackFrameRate": "24",
        "timelineSampleRate": "48000",
        "colorScienceMode": "davinciYRGB",
        "colorAcesIDT": "",
        "colorAcesODT": "",
        "colorSpaceInput": "Rec.709 Gamma 2.4",
        "colorSpaceTimeline": "Rec.709 Gamma 2.4",
        "colorSpaceOutput": "Rec.709 Gamma 2.4",
        "colorSpaceInputGamma": "",
        "colorSpaceTimelineGamma": "",
        "colorSpaceOutputGamma": "",
        "separateColorSpaceAndGamma": "0",
        "isAutoColorManage": "0",
        "rcmPresetMode": "Custom",
        "inputDRT": "None",
        "outputDRT": "None",
        "colorSpaceOutputGamutMapping": "None",
        "timelineWorkingLuminanceMode": "SDR 100",
        "timelineWorkingLuminance": "100",
        "nodeStackLayers": "1",
        "superScale": "1",
        "imageResizeMode": "scaleToFit",
        "videoMonitorFormat": "HD 1080p 24",
        "videoDataLevels": "Video",
    }


def new_project(
    host: Host, name: str = "Film", size: Optional[Tuple[int, int]] = None, fps: float = 24
) -> model.Project:
    """Make a saved project current, with a timeline size in pixels and a frame rate."""
    project = model.Project(name, settings=default_settings())
    project.settings["timelineFrameRate"] = f"{fps:g}"
    if size is not None:
        project.settings["timelineResolutionWidth"], project.settings["timelineResolutionHeight"] = map(
            str, size
        )
    project.saves = 1
    host.projects.append(project)
    host.project = project
    return project


def empty_timeline(project: model.Project, name: str) -> model.Timeline:
    """Add a timeline that starts at one hour, with a video and an audio track, and its clip in the current folder."""
    fps = float(project.settings["timelineFrameRate"].split()[0])
    start = round(fps) * 3600
    timeline = model.Timeline(name, start_frame=start, fps=fps, playhead=start)
    timeline.size = (
        int(project.settings["timelineResolutionWidth"]),
        int(project.settings["timelineResolutionHeight"]),
    )
    timeline.tracks = {
        "video": [model.Track("Video 1", "video")],
        "audio": [model.Track("Audio 1", "audio", "stereo")],
        "subtitle": [],
    }
    timeline.clip = model.Clip(name, kind="Timeline", fps=fps, size=timeline.size, timeline=timeline)
    project.folder.clips.append(timeline.clip)
    project.timelines.append(timeline)
    return timeline


def add_timeline(host: Host, name: str, tracks: int = 1, current: bool = True) -> model.Timeline:
    """Add a timeline with some video tracks."""
    timeline = empty_timeline(host.project, name)
    timeline.tracks["video"] = [model.Track(f"Video {i}", "video") for i in range(1, tracks + 1)]
    if current:
        host.project.timeline = timeline
    return timeline


def write_sequence(folder: Path, frames: Mapping[int, Any], name: str = "plate", half: bool = True) -> str:
    """Write frames as EXR files, name.1001.exr; return their printf pattern."""
    folder.mkdir(parents=True, exist_ok=True)
    pattern = str(folder / f"{name}.%04d.exr")
    for number, pixels in frames.items():
        pictures.write(pattern % number, np.asarray(pixels, np.float32), half, "ZIP", {})
    return pattern


def add_sequence(
    host: Host, folder: Path, frames: Mapping[int, Any], name: str = "plate", half: bool = True
) -> model.Clip:
    """Write frames as EXR files and put them into the current folder of the media pool."""
    pattern = write_sequence(folder, frames, name, half)
    fps = float(host.project.settings["timelineFrameRate"].split()[0])
    clip = media.sequence(pattern, min(frames), max(frames), fps)
    assert clip is not None
    host.project.folder.clips.append(clip)
    return clip


def place(
    timeline: model.Timeline,
    clip: model.Clip,
    track: int = 1,
    start: Optional[int] = None,
    first: Optional[int] = None,
    last: Optional[int] = None,
    speed: float = 1.0,
) -> model.Item:
    """Put the frames first to last of a clip on a video track, by default after what is there."""
    line = timeline.tracks["video"][track - 1]
    begin = max([each.end for each in line.items], default=timeline.start_frame) if start is None else start
    first = clip.first if first is None else first
    last = clip.last if last is None else last
    length = max(1, int((last - first + 1) / abs(speed)))
    item = model.Item(clip.name, clip=clip, start=begin, end=begin + length, source_in=first, speed=speed)
    line.items.append(item)
    line.items.sort(key=lambda each: each.start)
    return item


def place_other(
    timeline: model.Timeline, kind: str, name: str, start: int, length: int, track: int = 1
) -> model.Item:
    """Put a title, a generator or a transition on a video track."""
    item = model.Item(name, kind=kind, start=start, end=start + length)
    line = timeline.tracks["video"][track - 1]
    line.items.append(item)
    line.items.sort(key=lambda each: each.start)
    return item
