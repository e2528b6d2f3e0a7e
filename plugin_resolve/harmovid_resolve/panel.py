"""The panel as data, without a window: settings, progress, and the actions of its buttons. A window draws its rows.

    panel = Panel(session, client)
    panel.rows(); panel.set("strength", 0.8); panel.press("start"); panel.poll()

Everything that takes time, and every call of Resolve, is done by one worker thread, one task after the other. Its
messages are applied by `poll`, which the window calls several times a second. No method here raises or waits.
"""

from __future__ import annotations

import os
import queue
import threading
import traceback
from functools import partial
from typing import Any, Callable, Dict, Iterator, List, Optional

from harmovid_resolve import batch as batches
from harmovid_resolve import history, selftest
from harmovid_resolve.batch import Batch, Outcome, Said
from harmovid_resolve.calls import act, listed
from harmovid_resolve.clip import select
from harmovid_resolve.contract import DESCRIBED, FAILED, Task
from harmovid_resolve.errors import HostError
from harmovid_resolve.layers import LAYER, LAYER_FILE, LAYER_TRACK
from harmovid_resolve.rows import CUSTOM, OPTION, PAGES, Row, default_engine, rows, task_of
from harmovid_resolve.session import Session

__all__ = ["Panel"]

OF_ENGINE = (OPTION, LAYER, LAYER_TRACK, LAYER_FILE)
"""Prefixes of the values that belong to an engine."""

Work = Callable[[], None]


class Panel:
    """The state and the actions of a window.

    Attributes:
        values: the task's fields, engine options under `rows.OPTION` + name, inputs under the prefixes of `layers`, and
            the other settings.
        busy: whether the worker is doing something.
    """

    def __init__(
        self, session: Session, client: batches.Client, values: Optional[Dict[str, Any]] = None
    ) -> None:
        """Take the Resolve and the client process; ask the server for its engines."""
        self._session, self._client = session, client
        self.values: Dict[str, Any] = {
            **Task().to_dict(),
            "preset": CUSTOM,
            "advanced": False,
            **(values or {}),
        }
        self._engines: List[Dict[str, Any]] = []
        self._line, self._lines, self._history = "Asking the server for its engines.", [""], [""]
        self._share, self._stills = 0.0, ("", "")
        self._outcomes: List[Outcome] = []
        self._versions: List[Dict[str, Any]] = []
        self._batch: Optional[Batch] = None
        self.busy = False
        self._work: queue.SimpleQueue[Optional[Work]] = queue.SimpleQueue()
        self._news: queue.SimpleQueue[Work] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run_worker, daemon=True)
        self._thread.start()
        self._do(self._connect)

    # Called by the window.

    def rows(self) -> List[Row]:
        """Return everything to show."""
        idle, clip, past = not self.busy, PAGES[0], PAGES[4]
        return [
            *rows(self.values, self._engines),
            Row(clip, "heading", "work", "Work"),
            Row(clip, "button", "look", "Check", help="Say what would be done; nothing is.", enabled=idle),
            Row(clip, "button", "start", "Start", help="Make the frames and bring them back.", enabled=idle),
            Row(clip, "button", "cancel", "Cancel", help="Stop; frames that are there stay.", enabled=not idle),
            Row(clip, "progress", "progress", "progress", self._share),
            Row(clip, "line", "line", "", self._line),
            Row(clip, "list", "lines", "", list(self._lines)),
            Row(past, "choice", "chosen", "version", self._chosen(), "The newest first.",
                choices=tuple(self._names()), labels=tuple(self._names())),
            Row(past, "list", "history", "", list(self._history)),
            Row(past, "button", "refresh", "Refresh", help="Read the output folder again.", enabled=idle),
            Row(past, "button", "missing", "Missing frames", enabled=idle and bool(self._versions),
                help="Make what this version lacks, and bring it back."),
            Row(past, "button", "stills", "Before and after", enabled=idle and bool(self._versions),
                help="A frame of this version before and after, as pictures."),
            Row(past, "button", "selftest", "Self-test", enabled=idle,
                help="Try every call of this Resolve in bins of its own, and write a report."),
            Row(past, "pictures", "pictures", "", list(self._stills)),
        ]  # fmt: skip

    def set(self, name: str, value: Any) -> None:
        """Set a row. Setting a preset sets its options; setting an option deselects the preset."""
        self.values[name] = value
        if name == "preset":
            self._take_preset(str(value))
        elif name.startswith(OPTION):
            self.values["preset"] = CUSTOM
        elif name == "selection" and value == "colour" and not self.values["clip_colour"]:
            self.values["clip_colour"] = "Orange"
        elif name == "engine":
            self.values = {key: each for key, each in self.values.items() if not key.startswith(OF_ENGINE)}
            self.values["preset"] = CUSTOM
        elif name == "server":
            self._do(self._connect)

    def press(self, name: str) -> None:
        """Press a button."""
        if name == "cancel":
            if self._batch is not None:
                self._batch.cancel()
                self._line = "Stopping."
            return
        action = {
            "selftest": self._test_seat,
            "look": self._look, "start": self._start, "refresh": self._refresh, "missing": self._missing,
            "stills": self._show_stills,
        }.get(name)  # fmt: skip
        if action is not None and not self.busy:
            self._do(action)

    def poll(self) -> bool:
        """Apply the worker's messages; return whether there were any."""
        heard = False
        for news in iter(self._next, None):
            news()
            heard = True
        return heard

    def close(self) -> None:
        """Stop running work and end the worker; the client process belongs to the caller."""
        if self._batch is not None:
            self._batch.cancel()
        self._work.put(None)

    @property
    def in_project(self) -> bool:
        """Whether a batch is running, which has to restore the project before Resolve may be left."""
        return self._batch is not None

    def wait(self, timeout_s: float) -> bool:
        """Wait until the worker has ended after `close`; return whether it has."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    # The worker.

    def _next(self) -> Optional[Work]:
        try:
            return self._news.get_nowait()
        except queue.Empty:
            return None

    def _do(self, work: Work) -> None:
        self.busy = True
        self._work.put(work)

    def _run_worker(self) -> None:
        for work in iter(self._work.get, None):
            try:
                work()
            except HostError as error:
                self._say(str(error))
            except Exception as error:  # the worker's outermost level: the panel must go on
                traceback.print_exc()
                self._say(f"Something went wrong: {error!r}.")
            self._news.put(self._update_busy)

    def _update_busy(self) -> None:
        self.busy = not self._work.empty()

    def _tell(self, **changes: Any) -> None:
        """Have the window's thread set attributes of this object."""

        def take() -> None:
            for name, value in changes.items():
                setattr(self, name, value)

        self._news.put(take)

    def _say(self, text: str) -> None:
        self._tell(_line=text)

    def _heard(self, said: Said) -> None:
        """Pass on the progress of a batch."""
        share = said.done / said.total if said.total else 0.0
        if said.clips:
            share = (said.clip - 1 + share) / said.clips
        where = f"clip {said.clip} of {said.clips}, " if said.clips > 1 else ""
        count = f" ({said.done} of {said.total})" if said.total else ""
        self._tell(_line=f"{where}{said.text}{count}", _share=share)

    # The worker's tasks.

    def _connect(self) -> None:
        for event in self._client.request("engines", server=str(self.values["server"])):
            if event.get("event") == DESCRIBED:
                self._news.put(partial(self._take_engines, list(event["engines"])))
            elif event.get("event") == FAILED:
                raise HostError(str(event.get("error", "no answer.")), fix=str(event.get("fix", "")))
        if not self.values["folder"]:
            self._news.put(partial(self.set, "folder", _usual_folder(self._session)))
        self._refresh()

    def _take_engines(self, found: List[Dict[str, Any]]) -> None:
        self._engines = found
        if self.values["engine"] not in [engine["name"] for engine in found]:
            self.values["engine"] = default_engine(found)
        self._line = "Ready. Put the playhead on a clip, and press Start."

    def _task(self) -> Task:
        return task_of(self.values, self._engines).checked()

    def _look(self) -> None:
        outcomes = Batch(self._session, self._client, self._task(), self._heard).look()
        ready = [one for one in outcomes if one.state == "ready"]
        self._tell(
            _line=f"{len(ready)} of {len(outcomes)} clips can be done.",
            _lines=[
                line
                for one in outcomes
                for line in (f"{one.clip}: {one.text}", *(f"    {w}" for w in one.warnings))
            ],
        )

    def _start(self) -> None:
        task = self._task()
        select(self._session, task)  # raises before a folder is made
        try:
            os.makedirs(task.folder, exist_ok=True)
        except OSError as error:
            raise HostError(
                f"{task.folder} cannot be made: {error.strerror}.", fix="Choose another folder."
            ) from error
        self._run(Batch(self._session, self._client, task, self._heard))
        self._refresh()

    def _run(self, work: Batch) -> None:
        self._batch = work
        try:
            outcomes = work.run()
        finally:
            self._batch = None
        lines = batches.summary(outcomes).splitlines()
        self._tell(_line=lines[0], _lines=lines[1:], _share=1.0)

    def _missing(self) -> None:
        record = self._version()
        work = self._batch = Batch(self._session, self._client, Task(), self._heard)
        try:
            outcome = work.resume(str(record["folder"]))
        finally:
            self._batch = None
        self._tell(_line=f"{outcome.clip}: {outcome.text}", _lines=list(outcome.warnings))
        self._refresh()

    def _refresh(self) -> None:
        found = (
            history.versions(str(self.values["folder"])) if os.path.isdir(str(self.values["folder"])) else []
        )
        lines = [
            f"{one['started']}  {one['clip']} {one['version']}  {one['state']}  {one['wanted']}  "
            f"{one['task'].get('engine', '')}  {one['message']}"
            for one in found
        ]
        self._tell(_versions=found, _history=lines or ["Nothing was made in this folder yet."])

    def _test_seat(self) -> None:
        """Run the self-test, whose report the user sends to us."""
        folder = str(self.values["folder"])
        if not os.path.isdir(folder):
            raise HostError(f"there is no folder {folder}.", fix="Choose an output folder for the report.")
        self._say("The self-test runs; it takes a minute, and takes out what it makes.")
        path = selftest.run({"resolve": self._session.resolve}, folder)
        self._say(f"The report is {path}. Please send it to us.")

    def _show_stills(self) -> None:
        """Show the stills that the client process has written beside a version's results."""
        folder = str(self._version()["folder"])
        names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        pair = [
            next((name for name in names if name.startswith(f"{which}.")), "")
            for which in ("before", "after")
        ]
        if not all(pair):
            raise HostError("this version has no stills.", fix="They are made when its frames are done.")
        before, after = (os.path.join(folder, name) for name in pair)
        self._tell(_stills=(before, after), _line=f"{pair[0]} and {pair[1]} in {folder}.")

    # Helpers.

    def _names(self) -> Iterator[str]:
        return (f"{one['clip']} {one['version']}" for one in self._versions)

    def _chosen(self) -> str:
        names = list(self._names())
        chosen = self.values.get("chosen", "")
        return str(chosen) if chosen in names else (names[0] if names else "")

    def _version(self) -> Dict[str, Any]:
        """Return the record of the selected version."""
        chosen = self._chosen()
        for one in self._versions:
            if f"{one['clip']} {one['version']}" == chosen:
                return one
        raise HostError("there is no version yet.", fix="Press Refresh, or Start a clip.")

    def _take_preset(self, name: str) -> None:
        engine = next((one for one in self._engines if one["name"] == self.values["engine"]), {})
        for preset in engine.get("presets", ()):
            if preset["name"] == name:
                for option in engine.get("options", ()):
                    self.values[OPTION + option["name"]] = preset["options"].get(
                        option["name"], option.get("default")
                    )


def _usual_folder(session: Session) -> str:
    """Return a folder in Resolve's first media storage location, since it renders into those only; else in the home
    folder.
    """
    try:
        found = listed(act(session.resolve, "GetMediaStorage"), "GetMountedVolumeList")
    except HostError:
        found = []
    places = [str(place) for place in found if os.path.isdir(str(place))]
    return os.path.join(places[0] if places else os.path.expanduser("~"), "HarmoVid")
