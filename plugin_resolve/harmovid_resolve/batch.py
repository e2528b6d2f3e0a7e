"""Processes clips one after the other: frames out of Resolve, through the client process, and back.

    batch = Batch(session, client, task, said=print)
    outcomes = batch.run()              # batch.cancel() from a button stops it
    print(summary(outcomes))

A clip that fails does not stop the next one. Nothing is brought back into the project before every frame is complete on
the disk; a version that lacks frames is kept, and `resume` makes the missing ones and brings it back.
"""

from __future__ import annotations

import datetime
import os
import re
import time
import traceback
import uuid
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Protocol, Tuple

from harmovid_resolve import cdl, comp, versions
from harmovid_resolve.calls import act, listed, text, whole
from harmovid_resolve.clip import Clip, clip_of, select
from harmovid_resolve.contract import DONE, FAILED, FRAME, PROGRESS, QUEUED, WARNING, Record, RunRequest, Task
from harmovid_resolve.errors import CANCELLED, SKIPPED, HostError
from harmovid_resolve.inputs import Inputs, Plan
from harmovid_resolve.readback import Readback, Result
from harmovid_resolve.render import Render
from harmovid_resolve.session import Session

__all__ = ["Batch", "Client", "Outcome", "Said", "rerun", "summary"]

RETURNED, PARTLY, STOPPED = "returned", "partly", "cancelled"
READY = "ready"


@dataclass(frozen=True)
class Said:
    """A progress message for a panel.

    Attributes:
        text: a sentence.
        clip: number of the clip, from 1. clips: how many there are.
        done, total: frames.
    """

    text: str
    clip: int = 0
    clips: int = 0
    done: int = 0
    total: int = 0


@dataclass(frozen=True)
class Outcome:
    """The result of one clip.

    Attributes:
        clip: its name.
        state: one of `contract.STATES`; `ready` from `Batch.look`; `skipped` for an item that is no clip to process.
        text: a sentence.
        folder: the version's folder; empty if none was made.
        frames: number of results.
        warnings: sentences about what the user should check.
    """

    clip: str
    state: str
    text: str
    folder: str = ""
    frames: int = 0
    warnings: Tuple[str, ...] = ()


class Client(Protocol):
    """The interface of `client.ClientProcess` that a batch uses."""

    def request(self, op: str, **fields: Any) -> Iterator[Dict[str, Any]]:
        """Send a request and yield its events."""


@dataclass
class Batch:
    """The clips of a task, processed one after the other.

    Attributes:
        session: the Resolve with the project.
        client: the client process.
        task: what the user asked for.
        said: called with progress messages.
        wait: sleeps for a number of seconds.
    """

    session: Session
    client: Client
    task: Task
    said: Callable[[Said], None] = lambda said: None
    wait: Callable[[float], None] = time.sleep
    _stop: bool = False
    _at: Tuple[int, int] = (0, 0)
    _readback: Optional[Readback] = None

    def cancel(self) -> None:
        """Stop as soon as possible: the current clip and those that wait."""
        self._stop = True

    def run(self) -> List[Outcome]:
        """Process all clips and return their outcomes; skipped items come last.

        Raises:
            HostError: the task is invalid, or selects no clip.
        """
        clips, skipped = select(self.session, self.task.checked())
        self._readback = Readback(self.session)
        outcomes = []
        for number, clip in enumerate(clips, 1):
            self._at = (number, len(clips))
            outcomes.append(self._one(clip))
        return outcomes + _left_out(skipped)

    def look(self) -> List[Outcome]:
        """Return for each clip whether `run` could process it, without doing it: `ready`, or `failed` with the reason.

        Raises:
            HostError: the task is invalid, or selects no clip.
        """
        clips, skipped = select(self.session, self.task.checked())
        found = []
        for clip in clips:
            try:
                plan = Inputs(self.session).plan(clip, self.task)
                found.append(Outcome(clip.name, READY, plan.said(), warnings=plan.warnings))
            except HostError as error:
                found.append(Outcome(clip.name, "failed", str(error)))
        return found + _left_out(skipped)

    def resume(self, folder: str) -> Outcome:
        """Make the frames that a version lacks, and bring it back into the project, with the version's own task.

        Args:
            folder: the version's folder, as in an `Outcome` or in the history.

        Raises:
            HostError: the record cannot be read, or its clip is not in the project any more.
        """
        record = versions.load(folder)
        if not record.request:
            raise HostError(f"{record.clip} {record.version} had no frames yet.", fix="Start it anew.")
        _span(record.wanted)
        self.task, self._at = Task.from_dict(record.task), (1, 1)
        run = OneClip(self, _clip_again(self.session, record))
        return self._ended(run, lambda: run.resume(folder, record))

    def _one(self, clip: Clip) -> Outcome:
        run = OneClip(self, clip)
        return self._ended(run, run.go)

    def _ended(self, run: OneClip, work: Callable[[], Outcome]) -> Outcome:
        """Run `work` and return its outcome, also if it raises an error."""
        try:
            return work()
        except HostError as error:
            return run.ended(STOPPED if error.code == CANCELLED else "failed", str(error))
        except Exception as error:  # a bug that one clip triggers must not lose the others
            traceback.print_exc()
            return run.ended("failed", f"something went wrong: {error!r}.")

    @property
    def cancelled(self) -> bool:
        """Whether the user wants to stop."""
        return self._stop

    def tell(self, words: str, done: int = 0, total: int = 0) -> None:
        """Report progress."""
        self.said(Said(words, *self._at, done, total))

    def readback(self) -> Readback:
        """Return the batch's `Readback`; clips that go to a new track share it."""
        self._readback = self._readback or Readback(self.session)
        return self._readback


class OneClip:
    """One clip of a batch that is being processed."""

    def __init__(self, batch: Batch, clip: Clip) -> None:
        self._batch, self._clip, self._task = batch, clip, batch.task
        self._folder = ""
        self._record: Optional[Record] = None
        self._warnings: List[str] = []

    def go(self) -> Outcome:
        """Make the results and bring them back.

        Raises:
            HostError: it failed.
        """
        batch, clip, task = self._batch, self._clip, self._task
        if batch.cancelled:
            raise HostError("not begun.", code=CANCELLED)
        plan = Inputs(batch.session).plan(clip, task)
        self._warnings += plan.warnings
        batch.tell(f"{clip.name}: {plan.said()}")
        self._folder = versions.new_version(task.folder, clip.name, task.version)
        version = os.path.basename(self._folder)
        self._record = versions.save(
            self._folder,
            Record(
                clip.name, version, clip.id, text(clip.timeline, "GetUniqueId"), task.to_dict(),
                started=datetime.datetime.now().strftime("%Y-%m-%d %H:%M"),
            ),
        )  # fmt: skip
        render = Render(batch.session, batch.wait, lambda: batch.cancelled, batch.tell)
        try:
            made = Inputs(batch.session).make(plan, render, versions.input_folder(self._folder))
        finally:
            self._warnings += render.warnings
        request = self._request(plan, made)
        self._save(request=request.to_dict(), wanted=f"{plan.wanted[0]}-{plan.wanted[1]}")
        return self.finish(request, plan.wanted, not plan.files)

    def finish(self, request: RunRequest, wanted: Tuple[int, int], rendered: bool) -> Outcome:
        """Have the client process run a request, check that all results exist, and bring them back.

        Raises:
            HostError: the run failed or was cancelled, or the results cannot be brought back.
        """
        report = self._run(request)
        missing = self._missing(request, wanted)
        if missing:
            return self.ended(PARTLY, _lacks(missing))
        return self._back(request, wanted, rendered, report)

    def _missing(self, request: RunRequest, wanted: Tuple[int, int]) -> List[int]:
        """Return the frames without a complete result; a CDL has no frames."""
        return versions.missing(request.out, *wanted) if self._task.output != "cdl" else []

    def _back(
        self, request: RunRequest, wanted: Tuple[int, int], rendered: bool, report: Mapping[str, Any]
    ) -> Outcome:
        """Bring the complete results back."""
        self._warnings += self._returned(request, wanted, rendered, report)
        versions.drop_inputs(self._folder)
        return self.ended(RETURNED, f"{wanted[1] - wanted[0] + 1} frames, {_where(self._task)}.")

    def resume(self, folder: str, record: Record) -> Outcome:
        """Continue a version that lacks frames, or whose results were not brought back into the project.

        The same request is sent again, so that the engine sees the whole shot. An interrupted run continues where it
        stopped; if the run had ended, all frames are made again.

        Raises:
            HostError: it failed, or there is nothing to do.
        """
        wanted = _span(record.wanted)
        rendered = os.path.isdir(versions.input_folder(folder))
        request = RunRequest.from_dict({**record.request, "overwrite": True})
        complete = self._task.output != "cdl" and not self._missing(request, wanted)
        if complete and record.state == RETURNED:
            raise HostError(f"{record.version} of {record.clip} is complete and in the project already.")
        self._folder, self._record = folder, record
        if complete:
            return self._back(request, wanted, rendered, {})
        return self.finish(request, wanted, rendered)

    def ended(self, state: str, words: str) -> Outcome:
        """Save the final state in the record and return the outcome."""
        frames = 0
        if self._record is not None:
            try:
                self._save(state=state, message=words)
            except HostError as error:
                self._warnings.append(str(error))
            if self._record.request:
                first, last = _span(self._record.wanted)
                frames = last - first + 1 - len(versions.missing(self._record.request["out"], first, last))
            else:
                versions.drop_inputs(self._folder)
        return Outcome(self._clip.name, state, words, self._folder, frames, tuple(self._warnings))

    def _save(self, **changes: Any) -> None:
        if self._record is not None:
            self._record = versions.save(self._folder, self._record, **changes)

    def _request(self, plan: Plan, made: Dict[str, str]) -> RunRequest:
        task = self._task
        return RunRequest(
            engine=task.engine, inputs=made, out=versions.result(self._folder, self._clip.name),
            frames=f"{plan.wanted[0]}-{plan.wanted[1]}", job=uuid.uuid4().hex[:12], context=plan.context(),
            shot=f"{plan.clip.first}-{plan.clip.last}",
            options=dict(task.options), strength=task.strength, luma=task.luma, chroma=task.chroma,
            output=task.output, colour=plan.colour.to_dict(), own_colour=list(plan.given),
            label=f"{self._batch.session.project_name} {self._clip.name}", server=task.server,
        )  # fmt: skip

    def _run(self, request: RunRequest) -> Mapping[str, Any]:
        """Have the client process run a request and return its report.

        Raises:
            HostError: it failed or was cancelled.
        """
        batch, asked = self._batch, False
        for event in batch.client.request("run", **request.to_dict()):
            kind = event.get("event")
            if kind == WARNING:
                words = str(event.get("text", ""))
                # Assumptions about the colour are in the plan's warnings already.
                if words != request.colour.get("guess"):
                    self._warnings.append(words)
            elif kind in (QUEUED, PROGRESS, FRAME):
                words = str(event.get("text") or f"frame {event.get('frame', '')}")
                batch.tell(
                    f"{self._clip.name}: {words}", int(event.get("done") or 0), int(event.get("total") or 0)
                )
            elif kind == FAILED:
                code = str(event.get("code", "client"))
                raise HostError(
                    str(event.get("error", "it failed.")), fix=str(event.get("fix", "")), code=code
                )
            elif kind == DONE:
                return dict(event.get("report") or {})
            if batch.cancelled and not asked:
                asked = True
                for _ in batch.client.request("cancel", job=request.job):
                    pass
        raise HostError("the client process ended without a message.", fix="Try again.", code="client")

    def _returned(
        self, request: RunRequest, wanted: Tuple[int, int], rendered: bool, report: Mapping[str, Any]
    ) -> List[str]:
        """Bring the results back into the project and return warnings."""
        batch, task, version = self._batch, self._task, os.path.basename(self._folder)
        batch.tell(f"{self._clip.name}: back into the project")
        if task.output == "cdl":
            return cdl.apply(self._clip, report, version)
        if task.output == "field":
            colour = Inputs(batch.session).plan(self._clip, task).colour
            return comp.apply(self._clip, request.out, wanted, task, version, colour)
        return batch.readback().bring(
            self._clip, task, Result(request.out, wanted, version, request.job, rendered)
        )


def rerun(
    session: Session, client: Client, folder: str, said: Callable[[Said], None] = lambda said: None
) -> Outcome:
    """Make the frames that a version lacks and bring it back: `Batch.resume` without a way to cancel.

    Raises:
        HostError: the record cannot be read, or its clip is not in the project any more.
    """
    return Batch(session, client, Task(), said).resume(folder)


def summary(outcomes: List[Outcome]) -> str:
    """Return the outcomes of a batch as lines of text, failures first."""
    good = [one for one in outcomes if one.state == RETURNED]
    asked = [one for one in outcomes if one.state != SKIPPED]
    lines = [f"{len(good)} of {len(asked)} clips are back."]
    for one in sorted(outcomes, key=lambda one: one.state == RETURNED):
        lines.append(f"{one.clip}: {one.text}")
        lines += [f"    {warning}" for warning in one.warnings]
    return "\n".join(lines)


def _clip_again(session: Session, record: Record) -> Clip:
    """Return the clip of a record, from its timeline in the project."""
    for index in range(1, whole(session.project, "GetTimelineCount") + 1):
        timeline = act(session.project, "GetTimelineByIndex", index)
        if text(timeline, "GetUniqueId") != record.timeline:
            continue
        for track in range(1, whole(timeline, "GetTrackCount", "video") + 1):
            for item in listed(timeline, "GetItemListInTrack", "video", track):
                if text(item, "GetUniqueId") == record.item:
                    return clip_of(timeline, item)
    raise HostError(f"{record.clip} is not in this project.", fix="Open the project that it was sent from.")


def _left_out(skipped: List[Tuple[str, str, bool]]) -> List[Outcome]:
    return [Outcome(name, SKIPPED if rightly else "failed", words) for name, words, rightly in skipped]


def _span(said: str) -> Tuple[int, int]:
    """Return the first and last frame in a text like 1001-1024."""
    match = re.fullmatch(r"(-?\d+)-(-?\d+)", said)
    if match is None:
        raise HostError(f"the record names the frames {said!r}.", fix="Start it anew.")
    return int(match.group(1)), int(match.group(2))


def _lacks(missing: List[int]) -> str:
    shown = ", ".join(map(str, missing[:8])) + (f" and {len(missing) - 8} more" if len(missing) > 8 else "")
    return f"{len(missing)} frames have no result: {shown}. Nothing went back yet; make them again from the history."


def _where(task: Task) -> str:
    if task.output != "result":
        return {"cdl": "as a grade on the clip", "field": "as a Fusion composition"}[task.output]
    return {"take": "as a take", "track": "on a new track", "pool": "in the media pool"}[task.way]
