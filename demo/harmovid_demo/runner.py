"""Runs the demo: sends frames through a real server with the command line, as a user would, then measures and shows
them.

Demo(out).own_shot(Shot())                  # the project's own shot, with truth
Demo(out, server).user_frames(plate, fg, bg)
"""

from __future__ import annotations

import contextlib
import json
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterator

from harmovid import bundle
from harmovid.errors import InputError, JobError
from harmovid.frames import FramePattern
from harmovid.storage import atomic

from harmovid_demo.compare import Comparison, compare_foregrounds, compare_plates, figures, table
from harmovid_demo.jit import on_compiling
from harmovid_demo.server import harmovid, running_server
from harmovid_demo.sheet import draw_pairs, draw_sheet, save_png
from harmovid_demo.shot import LIGHTS, Shot, generate
from harmovid_demo.wipe import write_wipe

OURS = "HarmoVid"
KNOWN, KNOWN_LIGHT = "light known", "harmonize-light"
"""Label and folder of the answer that is computed from the panoramas of both lights and the figure's normals."""


@dataclass(frozen=True)
class _Job:
    """A command of the demo: its task, its inputs, and further words."""

    task: str
    inputs: list[str]
    words: list[str] = field(default_factory=list)


@dataclass
class Demo:
    """One run of the demo.

    Attributes:
        out: folder for all output.
        server: address of a running server; empty starts one for this run.
        bundles: folder of engine bundles that take the tasks they are for; None takes the engines that ship.
        seconds: how long each step took, in order.
    """

    out: Path
    server: str = ""
    bundles: Path | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    def own_shot(self, shot: Shot) -> list[Comparison]:
        """Render the project's shot, deflicker and harmonize it, and compare with the truth.

        Raises:
            JobError: a command failed; its own message has been printed.
            Unreachable: the server does not answer.
        """
        _say(
            f"Shot: {shot.count} frames of {shot.width}x{shot.height} from {shot.first} on, scene-linear EXR"
        )
        with self._timed("render the shot"), on_compiling(_say_compiling):
            files = generate(self.out / "shot", shot, _render_bar)
        flicker, fg, plate = (files.pattern(name) for name in ("flicker", "fg", "plate"))
        jobs = {"deflicker": _Job("deflicker", [flicker]), "harmonize": _Job("harmonize", [fg, plate])}
        if not self._engine("harmonize"):
            stage, street = (str(files.light(name)) for name in LIGHTS)
            words = ["--light-from", stage, "--light-to", street, "--normals", fg]
            jobs[KNOWN_LIGHT] = _Job("harmonize", [fg, plate], words)
        results = self._run(jobs)
        with self._timed("measure"):
            plates = {
                "flickering": flicker,
                OURS: results["deflicker"],
                "truth": files.pattern("truth_comp"),
            }
            known = {KNOWN: results[KNOWN_LIGHT]} if KNOWN_LIGHT in results else {}
            figure = {
                "as composited": fg,
                OURS: results["harmonize"],
                **known,
                "truth": files.pattern("truth_fg"),
            }
            comparisons = [
                compare_plates("Deflicker", shot.frames, plates, has_truth=True),
                compare_foregrounds("Harmonize", shot.frames, figure, plate, has_truth=True),
            ]
        self._show(comparisons, {"the shot, EXR": str(files.folder), **results})
        return comparisons

    def user_frames(self, plate: str, fg: str, bg: str) -> list[Comparison]:
        """Deflicker the user's `plate` and harmonize `fg` over `bg`, whichever are given; no truth.

        Raises: as for `own_shot`.
        """
        jobs = {
            task: _Job(task, inputs)
            for task, inputs in (("deflicker", [plate]), ("harmonize", [fg, bg]))
            if all(inputs)
        }
        frames = {task: list(FramePattern.parse(job.inputs[0]).expand()) for task, job in jobs.items()}
        results = self._run(jobs)
        comparisons = []
        with self._timed("measure"):
            for task, job in jobs.items():
                versions = {"before": job.inputs[0], OURS: results[task]}
                title = task.capitalize()
                if task == "deflicker":
                    comparisons.append(compare_plates(title, frames[task], versions, has_truth=False))
                else:
                    comparisons.append(
                        compare_foregrounds(title, frames[task], versions, bg, has_truth=False)
                    )
        self._show(comparisons, results)
        return comparisons

    def _run(self, jobs: dict[str, _Job]) -> dict[str, str]:
        """Run the jobs against the server and return the patterns of their results, by the jobs' names."""
        results = {}
        with contextlib.ExitStack() as stack:
            address = self.server
            if not address:
                with self._timed("start the server"):
                    address = stack.enter_context(running_server(self.out, self.bundles))
            _say(f"Server: {address}")
            for name, job in jobs.items():
                with self._timed(name):
                    results[name] = self._job(name, job, address)
        return results

    def _engine(self, task: str) -> str | None:
        """Return the engine of `bundles` that takes the task; None if it is the one that ships."""
        return _engines(self.bundles).get(task) if self.bundles else None

    def _job(self, name: str, job: _Job, address: str) -> str:
        """Run one command, its progress on the terminal, and return the pattern of its results."""
        folder = self.out / name
        folder.mkdir(parents=True, exist_ok=True)
        result = str(folder / Path(job.inputs[0]).name)
        report = str(folder) + ".json"
        words = [job.task, *job.inputs, "-o", result, "--server", address, "--overwrite", "--report", report]
        engine = self._engine(job.task)
        words += [*job.words, *(["--engine", engine] if engine else [])]
        _say("\n$ " + shlex.join(["harmovid", *words]))
        code = subprocess.run(harmovid(*words), check=False).returncode
        if code:
            raise JobError(f"harmovid {job.task} ended with code {code}.", fix="Its own message is above.")
        return result

    def _show(self, comparisons: list[Comparison], places: dict[str, str]) -> None:
        """Write contact sheet, wipe and report; print figures and where everything is."""
        with self._timed("contact sheet and wipe"):
            sheet = self.out / "contact_sheet.png"
            save_png(draw_sheet(comparisons), sheet)
            save_png(draw_pairs(comparisons[::-1]), self.out / "before_after.png")
            wipe = write_wipe(comparisons, self.out)
        for comparison in comparisons:
            _say(f"\n{comparison.title}, {len(comparison.frames)} frames")
            _say("\n".join("  " + line for line in table(comparison)))
        _say("")
        for name, place in {**places, "contact sheet": str(sheet), "wipe": str(wipe)}.items():
            _say(f"{name:16}{place}")
        steps = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.seconds.items())
        _say(f"{'time':16}{sum(self.seconds.values()):.1f} s: {steps}")
        self._save_report(comparisons, places)

    def _save_report(self, comparisons: list[Comparison], places: dict[str, str]) -> None:
        """Write the figures as `report.json`, whole."""
        report: dict[str, Any] = {comparison.title.lower(): figures(comparison) for comparison in comparisons}
        report["seconds"] = {name: round(value, 2) for name, value in self.seconds.items()}
        report["files"] = places
        atomic.write_whole(str(self.out / "report.json"), (json.dumps(report, indent=2) + "\n").encode())

    @contextlib.contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        begun = time.monotonic()
        yield
        self.seconds[step] = time.monotonic() - begun


def check_frames(plate: str, fg: str, bg: str) -> None:
    """Raise `InputError` unless the user's patterns are complete and have frames."""
    if bool(fg) != bool(bg):
        raise InputError(
            "a foreground needs a background, and the other way round.", fix="Give --fg and --bg."
        )
    for pattern in (plate, fg, bg):
        if pattern:
            FramePattern.parse(pattern).expand()


def _engines(bundles: Path) -> dict[str, str]:
    """Return for each task the engine of the last bundle that is for it."""
    manifests = (bundle.read(folder) for folder in bundle.find(bundles))
    return {manifest.task: manifest.name for manifest in manifests}


def _say(line: str) -> None:
    print(line, flush=True)


def _say_compiling() -> None:
    _say("  numba compiles the renderer's loops, once: the first frame takes up to a minute")


def _render_bar(done: int, total: int) -> None:
    """Show the rendering's progress: a counting line on a terminal, one line elsewhere."""
    if sys.stderr.isatty():
        end = "" if done < total else "\n"
        print(f"\r  rendered {done}/{total}", end=end, file=sys.stderr, flush=True)
    elif done == total:
        print(f"  rendered {total} frames", file=sys.stderr, flush=True)
