"""The outcome of a job: the summary at its end, the JSON answer, and the exit code.

outcome = Outcome(total=100)
outcome.delivered(1001, report)     # as results arrive
outcome.failed(error)
lines = outcome.summary()
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

from harmovid.cli import exits
from harmovid.errors import HarmoVidError, OutputError
from harmovid.frames import FrameRange
from harmovid.storage import atomic

# Counts in a frame's report that the user should know, and their wording.
WARNINGS = {
    "nan": "pixels that are not numbers (NaN), left unchanged",
    "inf": "infinite pixels, left unchanged",
    "clamped_values": "values too large for their pixel type, clamped",
    "added_light_pixels": "pixels of light with alpha 0, added to the background "
    "(is the foreground premultiplied? otherwise --unpremultiplied)",
    "left_out_light_pixels": "pixels of light with alpha 0 outside the matte that was given, left out",
}
# The effect of a matte of one value.
SOLID = {"white": "it limits nothing", "black": "nothing is changed or measured"}
# The engine's decision to leave the frame unchanged.
NOTHING = "nothing"
# Frames that failed for one reason are listed up to this many; the JSON report has all.
LISTED_FRAMES = 20


@dataclass
class Outcome:
    """The results and failures of one job's frames.

    `frames` maps a frame to its report (what engine and pixels said of it), `failures` to its error; `remarks` are
    the warnings that were known before the start.
    """

    total: int
    job_id: str = ""
    out: str = ""
    state: str = ""
    resumed: int = 0
    seconds: float = 0.0
    frames: Dict[int, Mapping[str, Any]] = field(default_factory=dict)
    failures: Dict[int, HarmoVidError] = field(default_factory=dict)
    error: Optional[HarmoVidError] = None
    remarks: List[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """The exit code for this outcome."""
        if self.error is not None:
            return exits.for_error(self.error)
        return exits.FRAMES_FAILED if self.failures else exits.OK

    def warnings(self) -> List[str]:
        """Return one sentence per kind of warning, with its frames."""
        lines = []
        for name, meaning in WARNINGS.items():
            counts = {frame: _count(report.get(name)) for frame, report in self.frames.items()}
            hit = [frame for frame, count in counts.items() if count]
            if hit:
                lines.append(f"{sum(counts.values())} {meaning} (frames {FrameRange(hit)})")
        for said, frames in self._remarks().items():
            lines.append(f"{said} (frames {FrameRange(frames)})")
        return lines + self._solid_mattes()

    def _solid_mattes(self) -> List[str]:
        """Return a sentence for each matte that is white, or black, everywhere in all frames."""
        found = [report.get("solid") for report in self.frames.values()]
        maps = [each for each in found if isinstance(each, dict)]
        if not maps or len(maps) < len(found):
            return []
        alike = {name: colour for name, colour in maps[0].items() if all(m.get(name) == colour for m in maps)}
        return [
            f"{name} is {colour} everywhere in all frames: {SOLID[colour]}; --mask-channel chooses another channel"
            for name, colour in alike.items()
            if colour in SOLID
        ]

    def _remarks(self) -> Dict[str, List[int]]:
        """Return the remarks of the reports, each with its frames: lossy compression, why nothing was done."""
        found: Dict[str, List[int]] = {}
        for frame, report in self.frames.items():
            if report.get("compression"):
                found.setdefault(f"written as {report['compression']}", []).append(frame)
            notes = report.get("notes")
            for note in notes if isinstance(notes, list) else []:
                found.setdefault(str(note), []).append(frame)
            engine = report.get("engine")
            said = engine.get("notes") if isinstance(engine, dict) else ()
            for note in said if isinstance(said, list) else []:
                found.setdefault(str(note), []).append(frame)
            # A server's report is only checked to hold plain values.
            if isinstance(engine, dict) and engine.get("decision") == NOTHING:
                reason = engine.get("reason") or "the engine gives no reason"
                found.setdefault(f"unchanged: {reason}", []).append(frame)
        return found

    def summary(self) -> List[str]:
        """Return the lines that are printed for a person at the end: what is written, then warnings and failures."""
        lines = [f"{len(self.frames) + self.resumed} of {self.total} frames written to {self.out}"]
        if self.resumed:
            lines[0] += f" ({self.resumed} of them were there from an earlier run)"
        if self.seconds > 0 and self.frames:
            lines[0] += f" in {self.seconds:.1f} s, {len(self.frames) / self.seconds:.2f} fps"
        lines += [f"warning: {line}" for line in self.warnings()]
        lines += self._failure_lines()
        return lines

    def _failure_lines(self) -> List[str]:
        grouped: Dict[Tuple[str, str, str], List[int]] = {}
        for frame, error in sorted(self.failures.items()):
            # A file name in the message would keep equal errors from being grouped.
            text = error.message if len(self.failures) <= LISTED_FRAMES else ""
            grouped.setdefault((error.code, text, error.fix), []).append(frame)
        lines = []
        for (code, text, fix), frames in grouped.items():
            noun = "frame" if len(frames) == 1 else "frames"
            lines.append(f"failed: {noun} {FrameRange(frames)}: {text or code.replace('_', ' ')}")
            if fix:
                lines.append(f"        {fix}")
        return lines

    def to_dict(self) -> Dict[str, Any]:
        """Return the outcome as the object of `--json`."""
        data: Dict[str, Any] = {
            "ok": self.exit_code == exits.OK,
            "exit": self.exit_code,
            "job": self.job_id,
            "state": self.state,
            "out": self.out,
            "frames": {"total": self.total, "written": len(self.frames), "resumed": self.resumed},
            "failed": [error.to_wire() for _, error in sorted(self.failures.items())],
            "warnings": [*self.remarks, *self.warnings()],
            "seconds": round(self.seconds, 3),
        }
        if self.error is not None:
            data["error"] = self.error.to_wire()
        return data

    def save(self, path: Path) -> None:
        """Write `to_dict` plus every frame's own report to `path`, through a temporary name.

        Raises:
            OutputError: if it cannot be written.
        """
        data = {
            **self.to_dict(),
            "reports": {str(frame): dict(self.frames[frame]) for frame in sorted(self.frames)},
        }
        save_text(path, json.dumps(data, indent=2, default=str) + "\n")


def _count(value: Any) -> int:
    return value if isinstance(value, int) else 0


def check_place(path: Path) -> None:
    """Check that a report can be written, before a job of hours is run for it.

    Raises:
        OutputError: there is no such folder, it cannot be written, or the path is a folder or a file of another kind.
    """
    with contextlib.suppress(FileNotFoundError, IsADirectoryError, PermissionError), open(path, "rb") as file:
        if file.read(1) not in (b"", b"{"):
            raise OutputError(f"{path} is there already, and is no report.", fix="Name another file.")
    folder = path.parent
    if path.is_dir() or not folder.is_dir():
        wrong = f"{path} is a folder." if path.is_dir() else f"there is no folder {folder}."
        raise OutputError(f"{path} cannot be written: {wrong}", fix="Name a file in a folder that is there.")
    if not os.access(folder, os.W_OK):
        raise OutputError(f"{path} cannot be written: {folder} is not writable.", fix="Name another file.")


def save_text(path: Path, text: str) -> None:
    """Write `text` to `path`, whole or not at all.

    Raises:
        OutputError: if it cannot be written.
    """
    try:
        atomic.write_whole(str(path), text.encode("utf-8"))
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}.", fix="Name another file.") from error
