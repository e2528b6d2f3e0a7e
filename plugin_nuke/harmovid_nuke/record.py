"""The record of one send, stored beside its results, so that it survives the end of Nuke.

    <folder>/v003/job.json               the record: the request and its state
    <folder>/v003/reports.json           the reports of each frame
    <folder>/v003/in/fg.1001.exr         the frames sent; removed when the job is done
    <folder>/v003/result.1001.exr        the results; with several views in a folder per view

Plain Python without a host: a farm's job, a terminal and the node read and write the same files.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

from harmovid.errors import OutputError
from harmovid.frames import FramePattern, FrameRange
from harmovid.storage.atomic import write_whole

RECORD, REPORTS, INPUTS = "job.json", "reports.json", "in"
RUNNING, DONE, PARTLY, FAILED, CANCELLED = "running", "done", "partly", "failed", "cancelled"
WAITING = "waits for the farm"
OPEN_STATES = (RUNNING, FAILED, CANCELLED, PARTLY)
"""States from which a job can be resumed."""

_VERSION = re.compile(r"v(\d{3,})")
_LEFTOVER = re.compile(r"\.(job|reports)\.json\.[0-9a-f]{8}\.tmp")


@dataclass(frozen=True)
class Record:
    """One send.

    Attributes:
        folder: the version's own folder, with forward slashes.
        node: the node's full name; `kind` is its kind.
        wanted: the frames that the artist requested, as text; `frames` are those with handles and a reference frame;
            `shot` those that the input has, "" if that is not known.
        views: the views sent; "" stands for a view without a folder of its own.
        layers: number of the node's input for each layer of the engine that comes from one.
        channels: for layers that are other channels of their input, the name of Nuke's layer.
        files: for layers that come from a file, its name; with a frame number in it if it is a sequence.
        options: the engine's options.
        has_alpha: whether the relit input is a foreground with an alpha channel, which then limits the result.
        datatype, compression: of the frames sent.
        upstream: fingerprint of what was sent (`status.fingerprint`).
        state: one of the constants above.
        message: the last message about it.
    """

    folder: str
    node: str
    kind: str
    engine: str
    wanted: str
    frames: str
    views: Tuple[str, ...] = ("",)
    layers: Dict[str, int] = field(default_factory=dict)
    channels: Dict[str, str] = field(default_factory=dict)
    files: Dict[str, str] = field(default_factory=dict)
    options: Dict[str, Any] = field(default_factory=dict)
    has_alpha: bool = True
    datatype: str = "16 bit half"
    compression: str = "Zip (1 scanline)"
    keep_inputs: bool = False
    server: str = ""
    key: str = ""
    label: str = ""
    upstream: str = ""
    started: str = ""
    state: str = RUNNING
    message: str = ""
    shot: str = ""

    @property
    def version(self) -> int:
        """The version's number."""
        match = _VERSION.fullmatch(os.path.basename(self.folder))
        return int(match.group(1)) if match else 0

    def result(self, view: str) -> str:
        """Return the pattern of the results of a view, as Nuke writes it; `%V` gives that of all views."""
        return "/".join([self.folder, *([view] if view else []), "result.%04d.exr"])

    def input(self, layer: str, view: str) -> str:
        """Return the pattern of the frames sent of a layer."""
        return "/".join([self.folder, INPUTS, *([view] if view else []), f"{layer}.%04d.exr"])

    def still(self, layer: str) -> bool:
        """Return whether a layer is one picture for all frames."""
        return layer in self.files and not any(mark in self.files[layer] for mark in "%#")

    def sent(self, layer: str, view: str) -> str:
        """Return the pattern of the frames sent of a layer, or the file if it is one picture for all frames."""
        pattern = self.input(layer, view)
        return FramePattern.parse(pattern).path(self.frames_of(layer)[0]) if self.still(layer) else pattern

    def frames_of(self, layer: str) -> FrameRange:
        """Return the frames that are sent of a layer: the first one alone of what is one picture for all frames."""
        frames = FrameRange.parse(self.frames)
        return FrameRange([frames[0]]) if self.still(layer) else frames

    @property
    def inputs(self) -> Tuple[str, ...]:
        """The layers that are sent."""
        return (*self.layers, *self.files)

    @property
    def shown(self) -> str:
        """The result's pattern for a Read: with `%V` where there are several views."""
        return self.result("%V" if self.views != ("",) else "")

    def present(self) -> FrameRange:
        """Return the requested frames that have a result now, in every view."""
        found = set(FrameRange.parse(self.wanted))
        for view in self.views:
            found &= set(FramePattern.parse(self.result(view)).existing())
        return FrameRange(found)

    def missing(self) -> FrameRange:
        """Return the requested frames that have no result."""
        present = self.present()
        return FrameRange(frame for frame in FrameRange.parse(self.wanted) if frame not in present)

    def to_dict(self) -> Dict[str, Any]:
        """Return plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Record:
        """Rebuild from plain data; fields that only a newer plugin knows are ignored."""
        known = {name: value for name, value in data.items() if name in cls.__dataclass_fields__}
        known["views"] = tuple(known.get("views", ("",)))
        return cls(**known)

    def save(self, **changes: Any) -> Record:
        """Return the record with changes, written to its folder.

        Raises:
            OutputError: it cannot be written.
        """
        changed = replace(self, **changes)
        text = json.dumps(changed.to_dict(), indent=1) + "\n"
        _write(os.path.join(changed.folder, RECORD), text)
        return changed

    def save_reports(self, reports: Mapping[int, Mapping[str, Any]]) -> None:
        """Add reports of frames to the existing ones.

        Raises:
            OutputError: they cannot be written.
        """
        merged = {str(frame): dict(said) for frame, said in {**self.reports(), **reports}.items()}
        _write(os.path.join(self.folder, REPORTS), json.dumps(merged, sort_keys=True, default=str) + "\n")

    def reports(self) -> Dict[int, Dict[str, Any]]:
        """Return the report of each frame."""
        found = _read(os.path.join(self.folder, REPORTS))
        return {int(frame): said for frame, said in found.items()} if isinstance(found, dict) else {}


def load(folder: str) -> Optional[Record]:
    """Return the record in a version's folder, or None; the folder may have been moved."""
    data = _read(os.path.join(folder, RECORD))
    if not isinstance(data, dict):
        return None
    try:
        return replace(Record.from_dict(data), folder=Path(folder).as_posix())
    except TypeError:
        return None


def versions(folder: str) -> List[Record]:
    """Return the records under a node's folder, the newest first."""
    try:
        names = [name for name in os.listdir(folder) if _VERSION.fullmatch(name)]
    except OSError:
        return []
    ordered = sorted(names, key=lambda name: int(name[1:]), reverse=True)
    return [found for found in (load(os.path.join(folder, name)) for name in ordered) if found is not None]


def new_version(folder: str) -> str:
    """Make the folder of the next version and return it. Simultaneous sends get different folders.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        os.makedirs(folder, exist_ok=True)
        taken = [int(name[1:]) for name in os.listdir(folder) if _VERSION.fullmatch(name)]
        for number in range(max(taken, default=0) + 1, max(taken, default=0) + 100):
            made = f"{Path(folder).as_posix()}/v{number:03d}"
            try:
                os.mkdir(made)
            except FileExistsError:
                continue
            return made
    except OSError as error:
        raise OutputError(
            f"no folder can be made in {folder}: {error.strerror}.", fix="Set the folder on the Output tab."
        ) from error
    raise OutputError(f"{folder} has too many versions at once.", fix="Send again.")


def remove_leftovers(folder: str) -> None:
    """Remove incomplete records of a killed Nuke."""
    for name in os.listdir(folder):
        if _LEFTOVER.fullmatch(name):
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(folder, name))


def _write(path: str, text: str) -> None:
    try:
        write_whole(path, text.encode("utf-8"))
    except OSError as error:
        fix = "Free some room or set another folder on the Output tab, then press Missing."
        raise OutputError(f"{path} cannot be written: {error.strerror}.", fix=fix) from error


def _read(path: str) -> Any:
    try:
        with open(path, "rb") as file:
            return json.load(file)
    except (OSError, ValueError):
        return None
