"""What runs of the Resolve plugin need: a project with a clip, and clients that answer the contract.

film = Film(tmp_path)                       # a stand-in Resolve with plate.[1001-1010].exr, of which 1003 to 1008 show
outcomes = film.run(CopyClient(), way="track")
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np
from fakes.resolve_host import media, model, scene
from fakes.resolve_host.host import Host
from fakes.resolve_host.quirks import Quirks
from harmovid_resolve import exr_file
from harmovid_resolve.batch import Batch, Client, Outcome
from harmovid_resolve.contract import Task
from harmovid_resolve.session import Session, session_of
from harmovid_resolve.source import path_of

SIZE = (16, 8)
FIRST, LAST = 1001, 1010
SHOWN = (1003, 1008)
"""The source frames that the clip on the timeline shows."""

Event = Dict[str, Any]


CDL = {"slope": [1.1, 1, 0.9], "offset": [0, 0, 0], "power": [1, 1, 1], "saturation": 1, "space": "ACEScg"}


def plate(number: int, size: Tuple[int, int] = SIZE) -> np.ndarray:
    """Return a frame `(height, width, 3)`: one picture that flickers, with a pixel below 0 and far above 1 in it."""
    made = np.random.default_rng(7).uniform(0.05, 0.9, (size[1], size[0], 3))
    made[0, 0] = (-0.25, 12.5, 64.0)
    return np.asarray(made * (1 + 0.3 * (number % 3) + 0.001 * (number - FIRST)), np.float32)


class Film:
    """A project with one clip on the lower of two tracks, and the calls that a panel makes.

    Args:
        folder: where its files lie.
        pattern: files that are there already; by default they are written.
    """

    def __init__(
        self,
        folder: Path,
        version: Tuple[int, ...] = (21, 0, 4),
        quirks: Optional[Quirks] = None,
        size: Tuple[int, int] = SIZE,
        pattern: str = "",
    ) -> None:
        self.folder = folder
        self.host = Host(version=version, folder=folder, quirks=quirks)
        self.project = scene.new_project(self.host, size=size)
        # What no call can empty again is full from the start, as on a seat where somebody has rendered before.
        self.project.deliver.settings.update(TargetDir=str(folder), CustomName="mine")
        frames = {number: plate(number, size) for number in range(FIRST, LAST + 1)}
        self.pattern = pattern or scene.write_sequence(folder / "plate", frames, half=False)
        self.clip = self.add_clip(self.pattern)
        scene.add_timeline(self.host, "Assembly")
        self.timeline = scene.add_timeline(self.host, "Edit", tracks=2)
        self.item = scene.place(self.timeline, self.clip, first=SHOWN[0], last=SHOWN[1])
        self.host.open_page("color")
        self.said: List[str] = []

    def add_clip(self, pattern: str, first: int = FIRST, last: int = LAST) -> model.Clip:
        """Put a sequence into the media pool."""
        clip = media.sequence(pattern, first, last, 24.0)
        assert clip is not None
        self.project.folder.clips.append(clip)
        return clip

    def session(self) -> Session:
        """Return the plugin's session."""
        return session_of(self.host.resolve())

    def task(self, **changes: Any) -> Task:
        """Return a task with a folder and a colour space."""
        return Task(**{"folder": str(self.folder / "out"), "colour_space": "ACEScg", **changes})

    def batch(self, client: Client, **changes: Any) -> Batch:
        """Return a batch that never waits."""
        return Batch(
            self.session(),
            client,
            self.task(**changes),
            lambda said: self.said.append(said.text),
            lambda _: None,
        )

    def run(self, client: Client, **changes: Any) -> List[Outcome]:
        """Run a task."""
        return self.batch(client, **changes).run()

    def shown(self) -> List[model.Item]:
        """Return the items of the top video track."""
        return self.timeline.tracks["video"][-1].items


class CopyClient(Client):
    """Answers a run with copies of the first layer: what the null engine does, without a server.

    Args:
        missing: frames that get no result.
        during: called before each frame with its number.
        failure: an event that ends the run before the first frame.
    """

    def __init__(
        self,
        missing: Sequence[int] = (),
        during: Callable[[int], None] = lambda number: None,
        failure: Optional[Event] = None,
    ) -> None:
        self.missing, self.during, self.failure = list(missing), during, failure
        self.requests: List[Tuple[str, Dict[str, Any]]] = []
        self.stopped = False

    def request(self, op: str, **fields: Any) -> Iterator[Event]:
        """Answer a request."""
        self.requests.append((op, fields))
        if op == "cancel":
            self.stopped = True
            yield {"event": "done", "report": {}, "missing_frames": ""}
            return
        yield {"event": "queued", "text": "first in the queue"}
        if self.failure is not None:
            yield self.failure
            return
        numbers = _numbers(fields["frames"])
        pattern = next(iter(fields["inputs"].values()))
        for place, number in enumerate(numbers, 1):
            self.during(number)
            yield {
                "event": "progress",
                "done": place,
                "total": len(numbers),
                "text": f"{place} of {len(numbers)}",
            }
            if self.stopped:
                yield {"event": "failed", "error": "the job was cancelled.", "fix": "", "code": "cancelled"}
                return
            target = path_of(fields["out"], number)
            if number not in self.missing and not exr_file.problem(target):
                continue  # made by an earlier run
            if number not in self.missing:
                Path(target).unlink(missing_ok=True)
                os.link(path_of(pattern, number), target)
                yield {"event": "frame", "frame": number, "path": target}
        report = {"frames": {}, **({"cdl": CDL} if fields["output"] == "cdl" else {})}
        yield {"event": "done", "report": report, "missing_frames": ",".join(map(str, self.missing))}


def _numbers(frames: str) -> List[int]:
    found: List[int] = []
    for part in frames.split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found
