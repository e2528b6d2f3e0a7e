"""One run of the client process: a job on the server, and further processing of its results on this machine.

    run = Run(client, engine, request)
    handle = run.start(on_frame)
    report, missing, warnings = run.finish(handle, on_progress)

A plain result is the server's own. If brightness and colour of the change are scaled separately, or if the field or a
CDL is wanted, the server computes the full change with its lighting field in a folder beside the results; the rest is
done here, on the frames' own pixels (`serve_pixels`), and that folder is removed.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from typing import Any, Callable, Dict, List, Optional, Tuple

from harmovid import Client, EngineInfo, FramePattern, FrameRange, HarmoVidError, JobFiles, JobHandle
from harmovid.errors import InputError, JobCancelled
from harmovid.job import FOREGROUND_MATTE

from harmovid_resolve import exr_file
from harmovid_resolve.contract import Colour, RunRequest
from harmovid_resolve.working import space_of_grade

WHOLE = "whole"
"""Name of the folder beside the results for the server's own results."""

OnFrame = Callable[[int, str], None]
OnProgress = Callable[[int, int, str], None]


class Run:
    """One run.

    Attributes:
        request: the request.
        warnings: sentences for the user before the start.
    """

    def __init__(self, client: Client, engine: EngineInfo, request: RunRequest) -> None:
        """Check everything that can be checked before the server is asked.

        Raises:
            InputError, OutputError: see `JobFiles.prepare`; or the results' folder does not exist.
        """
        self._client, self._engine, self.request = client, engine, request
        self.colour = Colour.from_dict(request.colour)
        folder = os.path.dirname(request.out)
        if not os.path.isdir(folder):
            raise InputError(f"there is no folder {folder}.", fix="Make it, or choose another.")
        self._in_steps = request.output != "result" or (request.luma, request.chroma) != (1.0, 1.0)
        if self._in_steps:
            _check_installed()
        self._whole = os.path.join(folder, WHOLE, os.path.basename(request.out))
        self._cancelled = False
        self._handle: Optional[JobHandle] = None
        self._job = self._prepare()
        self.warnings = list(self._job.warnings) + ([self.colour.guess] if self.colour.guess else [])

    def _prepare(self) -> JobFiles:
        request = self.request
        given = {layer: text for layer, text in request.inputs.items() if text}
        told = set(given) - set(request.own_colour)
        images = [layer for layer in self._engine.layers_of("image") if layer in told]
        return JobFiles.prepare(
            self._engine,
            given,
            self._whole if self._in_steps else request.out,
            frames=request.frames or None,
            handles=0,
            context=request.context or None,
            shot=request.shot,
            options=request.options,
            strength=1.0 if self._in_steps else request.strength,
            field=self._in_steps,
            colorspace=dict.fromkeys(images, self.colour.space) if self.colour.space else "",
            premultiplied=self._is_multiplied(given),
            overwrite=request.overwrite or self._in_steps,
            label=request.label,
            roots=self._client.roots,
        )

    def _is_multiplied(self, given: Dict[str, str]) -> bool:
        """Return whether the colours are multiplied by their alpha: by a matte of its own they cannot be."""
        target = FramePattern.parse(given.get(self._engine.target, ""))
        return FOREGROUND_MATTE not in given or exr_file.has_alpha(target.path(target.existing()[0]))

    @property
    def frames_text(self) -> str:
        """The job's frames as text."""
        return str(self._job.frames)

    def start(self, on_frame: OnFrame) -> JobHandle:
        """Start the job; `on_frame` is called when a result is on the disk.

        Raises:
            OutputError: results exist already, or cannot be written. JobCancelled: it was cancelled before.
        """
        self._on_frame = on_frame
        pattern = self._job.plan.out

        def arrived(frame: int, report: Any) -> None:
            if not self._in_steps:
                on_frame(frame, pattern.path(frame))

        handle = self._handle = self._client.start(self._job, on_result=arrived)
        if self._cancelled:
            handle.cancel()
        return handle

    def cancel(self) -> None:
        """Stop it; results that are written stay. May be called from any thread."""
        self._cancelled = True
        if self._handle is not None:
            self._handle.cancel()

    def finish(self, handle: JobHandle, on_progress: OnProgress) -> Tuple[Dict[str, Any], str, List[str]]:
        """Wait for the job's end, process its results, and return the report, the missing frames and warnings.

        Raises:
            HarmoVidError: the job failed or was cancelled, or a result cannot be used or written.
        """
        result = handle.result()
        failed = FrameRange(result.failed)
        warnings = [str(error) for _, error in sorted(result.failed.items())]
        report: Dict[str, Any] = {
            "frames": {str(frame): dict(each) for frame, each in result.reports.items()}
        }
        done = [frame for frame in self._job.frames if frame not in failed]
        if self._in_steps:
            warnings += self._steps(done, report, on_progress)
        if done:
            warnings += self._stills(done[len(done) // 2], report)
        if self._in_steps and not failed:
            shutil.rmtree(os.path.dirname(self._whole), ignore_errors=True)
        return report, str(failed), warnings

    def _steps(self, frames: List[int], report: Dict[str, Any], on_progress: OnProgress) -> List[str]:
        """Make the requested output from the server's results; return warnings."""
        from harmovid_resolve import serve_pixels

        request, space = self.request, self.colour.space
        whole, plate = FramePattern.parse(self._whole), self._job.plan.layers[self._engine.target]
        foreground = any(layer.name == FOREGROUND_MATTE for layer in self._engine.layers)
        if frames:
            serve_pixels.check_space(plate.path(frames[0]), whole.path(frames[0]), space, foreground)
        if request.output == "cdl":
            paths = [whole.path(frame) for frame in frames]
            report["cdl"], warnings = serve_pixels.cdl(paths, space, space_of_grade(self.colour), request)
            return warnings
        out = FramePattern.parse(request.out)
        told = time.monotonic()
        for index, frame in enumerate(frames):
            if self._cancelled:
                raise JobCancelled("the run was cancelled.")
            if request.output == "field":
                serve_pixels.write_field(whole.path(frame), out.path(frame), space)
            else:
                files = plate.path(frame), whole.path(frame), out.path(frame)
                serve_pixels.write_look(*files, space, request, foreground)
            self._on_frame(frame, out.path(frame))
            if time.monotonic() - told > 0.5:
                told = time.monotonic()
                on_progress(index + 1, len(frames), "weighing brightness and colour")
        return []

    def _stills(self, frame: int, report: Dict[str, Any]) -> List[str]:
        """Write a frame before and after as pictures beside the results; return a warning if that failed."""
        try:
            from harmovid_resolve import serve_pixels

            shown = self.request.out if self.request.output == "result" else self._whole
            plate = self._job.plan.layers[self._engine.target]
            paths = (plate.path(frame), FramePattern.parse(shown).path(frame))
            folder = os.path.dirname(self.request.out)
            pair = serve_pixels.stills(paths, frame, folder, self.colour.space)
        except (HarmoVidError, ImportError) as error:
            return [f"there are no stills of this run: {error}"]
        report["stills"] = {"frame": frame, "before": pair[0], "after": pair[1]}
        return []

    def line(self, state: str, missing: str) -> Dict[str, Any]:
        """Return the entry for the list of runs."""
        request = self.request
        return {
            "job": request.job, "label": request.label, "engine": f"{self._engine.name} {self._engine.version}",
            "frames": self.frames_text, "out": request.out, "output": request.output, "strength": request.strength,
            "luma": request.luma, "chroma": request.chroma, "options": dict(self._job.spec.options),
            "colour": dict(request.colour), "state": state, "missing": missing,
        }  # fmt: skip


def _check_installed() -> None:
    """Raise `InputError` if this Python lacks the pixel libraries."""
    try:
        from harmovid_resolve import serve_pixels  # noqa: F401 (only to find out)
    except ImportError as error:
        raise InputError(
            f"luma, chroma, compositions and CDLs are made on this machine, and {error.name} is not installed.",
            fix=f"Run: {sys.executable} -m pip install 'harmovid[pixels]'; or leave luma and chroma at 1, for frames.",
        ) from error
