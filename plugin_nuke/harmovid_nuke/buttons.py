"""Actions of a node's buttons, and reactions to knob changes and to opened scripts.

Errors are shown on the node and never raised into Nuke.

    press("send")                       # what the Send button calls
"""

from __future__ import annotations

import traceback
from typing import Any, Callable, Dict

import nuke
from harmovid.errors import HarmoVidError, InputError
from harmovid.frames import FrameRange

from harmovid_nuke import bake, connecting, farm, inputs, jobs, node, plan, readback, status, threads
from harmovid_nuke.knobs import OPTION
from harmovid_nuke.record import RUNNING


def press(name: str) -> None:
    """Run a button's action on `nuke.thisNode()`."""
    press_on(nuke.thisNode(), name)


def press_on(group: Any, name: str) -> None:
    """Run a button's action on a node."""
    try:
        if node.is_newer(group):
            raise InputError("this node was made by a newer HarmoVid.", fix="Update HarmoVid to change it.")
        _BUTTONS[name](group)
    except HarmoVidError as error:
        message(status.failed(group, error))
    except (
        Exception
    ) as error:  # nothing may be raised into Nuke: traceback in its console, message on the node
        traceback.print_exc()
        message(status.failed(group, error))


def message(text: str) -> None:
    """Show a message in a window, or print it without one. It must be a call's last step, as the window is modal."""
    if nuke.GUI:
        nuke.message(text)
    else:
        print("HarmoVid: " + text, flush=True)  # noqa: T201


def _send(group: Any) -> None:
    if group["send_what"].value() == "farm":
        status.tell(group, farm.write_job(group), status.GOOD)
        return
    run = jobs.send(group)
    if not nuke.GUI:
        jobs.wait(run)


def _cancel(group: Any) -> None:
    jobs.cancel(group)


def _missing(group: Any) -> None:
    run = jobs.resume(group)
    if not nuke.GUI:
        jobs.wait(run)


def _redo(group: Any) -> None:
    text = str(group["redo_frames"].value()).replace(" ", "")
    if not text:
        raise InputError("no frames are named.", fix="Write them like 1005, 1009-1010.")
    run = jobs.resume(group, FrameRange.parse(text))
    if not nuke.GUI:
        jobs.wait(run)


def _current_frame(group: Any) -> None:
    group["first"].setValue(nuke.frame())
    group["last"].setValue(nuke.frame())


def _connect(group: Any) -> None:
    connecting.connect(group)


def _show_version(group: Any) -> None:
    record = readback.chosen(group, plan.folder_of(group))
    if record is None:
        raise InputError("there is no such version.", fix="Press Send to make one.")
    node.show(group, record)


def _check(group: Any) -> None:
    if node.check(group):
        status.tell(
            group,
            "The result fits the inputs." if group["has_result"].value() else "No result yet. Press Send.",
        )


def _bake(group: Any) -> None:
    status.tell(group, bake.bake(group), 0)


_BUTTONS: Dict[str, Callable[[Any], None]] = {
    "send": _send,
    "cancel": _cancel,
    "reload": readback.reload,
    "check": _check,
    "reset_range": node.reset_range,
    "current_frame": _current_frame,
    "connect": _connect,
    "show_version": _show_version,
    "missing": _missing,
    "redo": _redo,
    "reset_curves": readback.reset_curves,
    "bake": _bake,
}


def changed(group: Any, name: str) -> None:
    """React to a change of a knob that the plugin uses."""
    if name == OPTION + "preset":
        node.apply_preset(group, str(group[name].value()))
    else:
        if not node.is_newer(group):
            inputs.refresh_choices(group)
        node.check(group)


def opened(group: Any) -> None:
    """Prepare a node of a script that was opened: if its job was interrupted, offer to resume it."""
    record = None if node.is_newer(group) else jobs.unfinished(group)
    if record is None:
        return
    here, total = len(readback.show(group, record)), len(FrameRange.parse(record.wanted))
    text = f"v{record.version:03d} was interrupted: {here} of {total} frames are here. "
    status.tell(group, text + "Press Missing on the History tab to go on.", status.OLD)


def offer_to_resume() -> None:
    """Ask once, after a script was opened, whether to resume interrupted jobs."""
    waiting = [one for one in node.all_of_ours() if _interrupted(one)]
    if not waiting or not nuke.GUI:
        return
    names = ", ".join(one.name() for one in waiting)
    if nuke.ask(f"HarmoVid: jobs of {names} were interrupted. Go on with them?"):
        for group in waiting:
            _go_on(group)


def _go_on(group: Any) -> None:
    try:
        jobs.resume(group)
    except HarmoVidError as error:
        status.failed(group, error)


def _interrupted(group: Any) -> bool:
    record = jobs.unfinished(group)
    return record is not None and record.state == RUNNING and jobs.of(group) is None


def script_opened() -> None:
    """Nuke has opened a script: ask about interrupted jobs when its event loop is idle again."""
    if nuke.GUI:
        threads.from_event_loop(offer_to_resume)
