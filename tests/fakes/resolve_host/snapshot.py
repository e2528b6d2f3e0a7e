"""A whole project as plain data, to compare before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, List

from fakes.resolve_host import model

if TYPE_CHECKING:
    from fakes.resolve_host.host import Host


def snapshot(host: Host) -> Dict[str, Any]:
    """Return all that a user could see of the current project and of the application, as dicts, lists and values.

    Left out: whether the project is saved, the state of the files on disk, and which preset the Deliver page names,
    which no call can set back to "Custom" nor read.
    """
    project = host.project
    return {
        "page": host.page,
        "project": project.name,
        "projects": sorted(each.name for each in host.projects),
        "settings": dict(project.settings),
        "current timeline": project.timeline.id if project.timeline else None,
        "timelines": [_timeline(each) for each in project.timelines],
        "pool": _folder(project.root),
        "current folder": project.folder.id,
        "selected clips": [clip.id for clip in project.selected_clips],
        "deliver": _deliver(project.deliver),
        "render presets": {name: _deliver(each) for name, each in project.presets.items()},
        "queue": [{"id": job.id, "status": job.status, **job.told} for job in project.jobs],
        "rendering": host.queue.busy(),
        "groups": [group.name for group in project.groups],
        "albums": [{"name": a.name, "stills": [s.id for s in a.stills]} for a in project.albums],
        "current album": project.album,
        "keyframe mode": host.keyframe_mode,
        "layout presets": list(host.layout_presets),
        "dialog": host.modal,
    }


def difference(before: Any, after: Any, path: str = "") -> List[str]:
    """Return what differs between two snapshots, a line each."""
    if isinstance(before, dict) and isinstance(after, dict):
        keys = sorted({*before, *after}, key=str)
        missing = object()
        return [
            line
            for key in keys
            for line in difference(before.get(key, missing), after.get(key, missing), f"{path}/{key}")
        ]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return [
            line for i, pair in enumerate(zip(before, after)) for line in difference(*pair, f"{path}[{i}]")
        ]
    return [] if before == after else [f"{path}: {_shown(before)} -> {_shown(after)}"]


def _shown(value: Any) -> str:
    text = "nothing" if type(value) is object else repr(value)
    return text if len(text) < 300 else text[:300] + "..."


def _marked(thing: model.Marked) -> Dict[str, Any]:
    return {
        "id": thing.id,
        "name": thing.name,
        "markers": {frame: marker.told() for frame, marker in sorted(thing.markers.items())},
        "flags": list(thing.flags),
        "color": thing.color,
        "marks": {kind: dict(marks) for kind, marks in thing.marks.items() if marks},
    }


def _timeline(timeline: model.Timeline) -> Dict[str, Any]:
    return {
        **_marked(timeline),
        "start": timeline.start_frame,
        "size": timeline.size,
        "playhead": timeline.playhead,
        "settings": dict(timeline.settings),
        "selected": [item.id for item in timeline.selected],
        "nodes": [_node(node) for node in timeline.nodes.nodes],
        "tracks": {kind: [_track(track) for track in tracks] for kind, tracks in timeline.tracks.items()},
    }


def _track(track: model.Track) -> Dict[str, Any]:
    plain = {name: getattr(track, name) for name in ("name", "subtype", "enabled", "locked")}
    return {**plain, "items": [_item(item) for item in track.items]}


def _item(item: model.Item) -> Dict[str, Any]:
    return {
        **_marked(item),
        "kind": item.kind,
        "clip": item.clip.id if item.clip else None,
        "place": (item.start, item.end, item.source_in, item.speed),
        "enabled": item.enabled,
        "properties": dict(item.properties),
        "takes": [(take.clip.id, take.start, take.end) for take in item.takes],
        "take": item.take,
        "versions": [(grade.name, [_node(node) for node in grade.nodes]) for grade in item.versions],
        "version": item.version,
        "comps": [comp.data() for comp in item.comps],
        "linked": [other.id for other in item.linked],
        "group": item.group.name if item.group else None,
        "caches": dict(item.caches),
    }


def _node(node: model.Node) -> Dict[str, Any]:
    return {
        "enabled": node.enabled,
        "cdl": node.cdl,
        "lut": node.lut,
        "by hand": node.function,
        "cache": node.cache,
    }


def _folder(folder: model.Folder) -> Dict[str, Any]:
    return {
        "id": folder.id,
        "name": folder.name,
        "clips": [_clip(clip) for clip in folder.clips],
        "folders": [_folder(each) for each in folder.folders],
    }


def _clip(clip: model.Clip) -> Dict[str, Any]:
    plain = ("pattern", "first", "last", "fps", "kind", "start_timecode", "proxy")
    return {
        **_marked(clip),
        **{name: getattr(clip, name) for name in plain},
        "properties": dict(clip.properties),
        "metadata": dict(clip.metadata),
        "third party": dict(clip.third_party),
    }


def _deliver(deliver: model.Deliver) -> Dict[str, Any]:
    plain = {name: value for name, value in vars(deliver).items() if name not in ("settings", "preset")}
    return {**plain, "settings": dict(deliver.settings)}
