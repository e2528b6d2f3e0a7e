"""The frames that one clip's run needs, layer by layer: existing files, or rendered by Resolve.

plan = Inputs(session).plan(clip, task)             # nothing is done yet; plan.said() for the user
made = Inputs(session).make(plan, render, folder)   # made["plate"] is a pattern of EXR files
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Dict, Tuple

from harmovid_resolve import colour, exr_file, readback, source
from harmovid_resolve.calls import whole
from harmovid_resolve.clip import Clip, Numbers, below, on_track, wanted, with_handles
from harmovid_resolve.contract import Colour, Task
from harmovid_resolve.errors import HostError
from harmovid_resolve.layers import BELOW, PANORAMA, file_of, track_of
from harmovid_resolve.render import Render, check_storage
from harmovid_resolve.session import Session
from harmovid_resolve.working import check_formulas

__all__ = ["Inputs", "Plan"]


@dataclass(frozen=True)
class Plan:
    """How the frames of a clip will be supplied.

    Attributes:
        clip, task: what the user asked for.
        layers: layer to its clip. given: layer to the pattern of its files.
        wanted: frames that are brought back. frames: those with handles.
        files: pattern of the clip's own files; empty if Resolve renders them.
        colour: of the pixels.
        warnings: sentences about what is assumed or left out.
    """

    clip: Clip
    task: Task
    layers: Dict[str, Clip]
    wanted: Numbers
    frames: Numbers
    files: str
    colour: Colour
    warnings: Tuple[str, ...]
    given: Dict[str, str]

    def said(self) -> str:
        """Return the plan as a sentence."""
        got = "read from its files" if self.files else "rendered by Resolve"
        space = self.colour.space or "the files' own colour"
        handles = f"{self.wanted[0] - self.frames[0]} and {self.frames[1] - self.wanted[1]} handles"
        clips = [
            f"{layer} from {one.name} on V{one.track}"
            for layer, one in self.layers.items()
            if one != self.clip
        ]
        more = "".join(f" {each}." for each in (*clips, *(f"{k} from {v}" for k, v in self.given.items())))
        return f"frames {self.wanted[0]}-{self.wanted[1]} with {handles}, {got}, in {space}.{more}"

    def context(self) -> str:
        """Return the handles as text; they get no results."""
        parts = ((self.frames[0], self.wanted[0] - 1), (self.wanted[1] + 1, self.frames[1]))
        return ",".join(f"{first}-{last}" for first, last in parts if first <= last)


class Inputs:
    """Inputs for one batch.

    Args:
        session: the Resolve with the project.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def plan(self, clip: Clip, task: Task) -> Plan:
        """Return how the frames of a clip will be supplied, after checking existing files; nothing is made.

        Raises:
            HostError: they cannot be supplied, or the result could not be brought back as the task says.
        """
        readback.check(clip, task)
        frames, graded = wanted(clip, task), task.source == "graded"
        layers = {
            layer: self._clip(clip, frames, where)
            for layer, where in task.layers.items()
            if not file_of(where)
        }
        span = frames if graded else _span(clip, frames, layers, task.handles)
        warnings = _on_handles(frames, span, graded, task.handles) + _on_takes(clip)
        given = {layer: file_of(where) for layer, where in task.layers.items() if file_of(where)}
        for layer, pattern in given.items():
            _look_at(layer, pattern, span, clip, task.kinds.get(layer, ""))
        own = None if graded or len(layers) > 1 else source.direct(clip, span)
        if own is None:
            check_storage(self._session, task.folder)
        found = (colour.of_render if own is None else colour.of_file)(self._session, clip, task)
        if task.output == "field":
            check_formulas(found)
        said = (f"{clip.name}: {found.guess}.",) if found.guess else ()
        return Plan(clip, task, layers, frames, span, own or "", found, warnings + said, given)

    def _clip(self, clip: Clip, frames: Numbers, where: str) -> Clip:
        """Return the clip that a layer comes from.

        Raises:
            HostError: there is none.
        """
        if where == BELOW:
            return below(self._session, clip, frames)
        track = track_of(where)
        return on_track(clip, frames, track) if track else clip

    def make(self, plan: Plan, render: Render, folder: str) -> Dict[str, str]:
        """Return layer to the pattern of its EXR files, rendered into the folder where necessary.

        Raises:
            HostError: they cannot be rendered; the project is unchanged.
        """
        if plan.files:
            return {**dict.fromkeys(plan.layers, plan.files), **plan.given}
        if len({(one.resolution, one.fps) for one in plan.layers.values()}) > 1:
            sizes = ", ".join(
                f"{one.name} {one.resolution[0]} x {one.resolution[1]}" for one in plan.layers.values()
            )
            raise HostError(f"the clips have different sizes: {sizes}.", fix="Use clips of one size.")
        rendered = {
            layer: render.run(
                one,
                layer,
                _under(plan.clip, one, plan.frames),
                graded=plan.task.source == "graded",
                folder=folder,
                first=plan.frames[0],
            )
            for layer, one in plan.layers.items()
        }
        return {**rendered, **plan.given}


def _look_at(layer: str, pattern: str, span: Numbers, clip: Clip, kind: str) -> None:
    """Look at the files of a layer: those of all frames, or the one that stands for all.

    Raises:
        HostError: some are missing or damaged, or have another size than the clip; the layer is named.
    """
    try:
        if "#" in os.path.basename(pattern):
            source.checked(pattern, span)
            first = source.path_of(pattern, span[0])
        else:
            wrong = exr_file.problem(pattern)
            if wrong:
                raise HostError(f"{os.path.basename(pattern)} {wrong}.", fix="Name EXR files that are there.")
            first = pattern
    except HostError as error:
        told = f"Its files have to be numbered as the clip's source: {span[0]}-{span[1]}."
        raise HostError(f"{layer}: {error.message}", fix=told if "#" in pattern else error.fix) from error
    size = exr_file.size_of(first)
    if kind != PANORAMA and all(clip.resolution) and size is not None and size != clip.resolution:
        raise HostError(
            f"{layer}: its files are {size[0]} x {size[1]}, {clip.name} is {clip.resolution[0]} x "
            f"{clip.resolution[1]}.",
            fix="Write the files in the clip's size.",
        )


def _under(clip: Clip, other: Clip, frames: Numbers) -> Numbers:
    """Return the source frames of another clip that lie under the given frames of a clip."""
    shift = other.first - other.start + clip.start - clip.first
    return frames[0] + shift, frames[1] + shift


def _span(clip: Clip, frames: Numbers, layers: Dict[str, Clip], handles: int) -> Numbers:
    """Return the frames with as many handles as every layer has."""
    before = after = handles
    for one in layers.values():
        first, last = _under(clip, one, frames)
        with_all = with_handles(one, (first, last), handles)
        before, after = min(before, first - with_all[0]), min(after, with_all[1] - last)
    return frames[0] - before, frames[1] + after


def _on_handles(frames: Numbers, span: Numbers, graded: bool, handles: int) -> Tuple[str, ...]:
    """Return a warning if there are fewer handles than asked for."""
    before, after = frames[0] - span[0], span[1] - frames[1]
    if graded and handles:
        return ("graded frames have no handles: the grade ends where the clip does.",)
    if min(before, after) < handles:
        return (f"of {handles} handles the source has {before} before and {after} after.",)
    return ()


def _on_takes(clip: Clip) -> Tuple[str, ...]:
    if whole(clip.item, "GetSelectedTakeIndex") > 1:
        return (f"{clip.name} shows a take that is not its first: that one is taken.",)
    return ()
