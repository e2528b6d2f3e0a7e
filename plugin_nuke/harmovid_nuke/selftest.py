"""Self-test in the menu: checks what the tests' stand-in for Nuke cannot prove, and writes a report to send to us.

    path = run()                        # a JSON file in the user's home

The checks are independent of each other and delete their nodes. Nothing is sent over the network.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
import threading
import time
import traceback
from typing import Any, Callable, Dict, List, Tuple

import nuke
from harmovid.frames import FramePattern
from harmovid.job import IMAGE, MATTE, PANORAMA, VECTORS, EngineInfo, LayerInfo
from harmovid.storage.atomic import write_whole

from harmovid_nuke import graph, knobs, node, private, render, result_curve, threads, vendor

FILE = "harmovid-nuke-selftest.json"
WAIT_S = 10.0
GREY = 0.25
KINDS = (IMAGE, MATTE, VECTORS, PANORAMA)


def run(path: str = "") -> str:
    """Run every check and return the path of the report.

    Args:
        path: where to write it; by default into the home folder.
    """
    found = [_checked(name, check) for name, check in CHECKS]
    report = {
        "written": time.strftime("%Y-%m-%d %H:%M"),
        "checks": found,
        "ok": all(each["ok"] for each in found),
    }
    path = path or os.path.join(os.path.expanduser("~"), FILE)
    write_whole(path, (json.dumps(report, indent=1, default=str) + "\n").encode("utf-8"))
    return path


def _checked(name: str, check: Callable[[], Any]) -> Dict[str, Any]:
    begun = time.monotonic()
    try:
        said, ok = check(), True
    except Exception:  # a failed check is what the report is for
        said, ok = traceback.format_exc(), False
    return {"check": name, "ok": ok, "said": said, "seconds": round(time.monotonic() - begun, 3)}


def _expect(condition: bool, text: str) -> None:
    if not condition:
        raise RuntimeError(text)


def _versions() -> Dict[str, Any]:
    return {
        "nuke": nuke.NUKE_VERSION_STRING,
        "python": sys.version,
        "platform": platform.platform(),
        "abi": vendor.abi(),
        "gui": nuke.GUI,
        "colour": str(nuke.root()["colorManagement"].value()),
        "views": list(nuke.views()),
    }


def _packages() -> Dict[str, str]:
    import msgpack
    import zmq

    return {
        "pyzmq": zmq.pyzmq_version(),
        "libzmq": zmq.zmq_version(),
        "msgpack": str(msgpack.version),
        "at": zmq.__file__,
    }


def _knobs() -> Dict[str, List[str]]:
    """Return the knobs that the plugin sets but this Nuke lacks."""
    missing: Dict[str, List[str]] = {}
    for kind in graph.INPUTS:
        for inner in graph.inside(kind):
            made = getattr(nuke.nodes, inner.cls)()
            lacking = [name for name in inner.knobs if made.knob(name) is None]
            nuke.delete(made)
            if lacking:
                missing[inner.cls] = lacking
    _expect(not missing, f"knobs are missing: {missing}")
    return missing


def _group() -> str:
    """Make both nodes, save and read back their text, and delete them."""
    for kind in graph.INPUTS:
        with render.undisturbed():
            made = node.create(kind)
            # The description that was got last may have added pipes.
            found = [one.name() for one in made.nodes() if one.Class() != "Input"]
            nuke.delete(made)
        wanted = [inner.name for inner in graph.inside(kind) if inner.cls != "Input"]
        _expect(sorted(found) == sorted(wanted), f"{kind} has inside: {found}")
    return "both made"


def _inputs() -> Dict[str, Any]:
    """Give a node the inputs of a made-up engine: pipes by name and number, a choice of channels, a file."""
    infos = tuple(LayerInfo(f"selftest_{kind}", False, "", kind) for kind in KINDS)
    layers = (LayerInfo("fg", True, ""), LayerInfo("bg", True, ""), *infos)
    engine = EngineInfo("self-test", "1", "harmonize", "", "fg", layers)
    with render.undisturbed():
        made = node.create("harmonize")
        try:
            node.take_engine(made, engine)
            pipes = {int(one["number"].value()): one.name() for one in made.nodes() if one.Class() == "Input"}
            count = made.maxInputs()
            classes = {info.name: made[knobs.INPUT + info.name].Class() for info in infos}
            saved = made.writeKnobs(nuke.TO_SCRIPT)
        finally:
            nuke.delete(made)
    _expect(sorted(pipes) == list(range(count)), f"the pipes are {pipes} of {count}")
    _expect({"selftest_image", "selftest_matte"} <= set(pipes.values()), f"the pipes are {pipes}")
    _expect(all(knobs.INPUT + info.name in saved for info in infos), "the knobs are not saved")
    return {"pipes": pipes, "knobs": classes}


def _constant() -> Any:
    made = nuke.nodes.Constant()
    made["channels"].setValue("rgba")
    made["color"].setValue([GREY, GREY, GREY, 1.0])
    return made


def _expressions() -> Dict[str, float]:
    """Test the inner apply node with known numbers: half a stop, and its luma and chroma."""
    with render.undisturbed():
        plate, group = _constant(), node.create("harmonize")
        group.setInput(0, plate)
        apply, field = group.node("Apply"), group.node("Field")
        try:
            for index in range(3):
                field[f"expr{index}"].setValue("0.5")
            field["expr3"].setValue("1")
            apply["disable"].fromScript("false")
            lit = float(group.sample("rgba.red", 4, 4))
            group["strength"].setValue(0)
            plain = float(group.sample("rgba.red", 4, 4))
        finally:
            nuke.delete(group)
            nuke.delete(plate)
    _expect(abs(lit / GREY - 2**0.5) < 1e-4, f"half a stop gave {lit} of {GREY}")
    _expect(plain == GREY, f"strength 0 gave {plain} of {GREY}")
    return {"half a stop": lit, "strength 0": plain}


def _files() -> Dict[str, Any]:
    """Write an EXR as a send does and return the contents of its header."""
    with tempfile.TemporaryDirectory() as folder, render.undisturbed():
        plate = _constant()
        write = nuke.nodes.Write()
        pattern = folder.replace("\\", "/") + "/t.%04d.exr"
        try:
            for name, value in (("file_type", "exr"), ("file", pattern), ("channels", "rgba"), ("raw", True)):
                write[name].setValue(value)
            write.setInput(0, plate)
            dynamic = {
                name: write.knob(name) is not None
                for name in ("datatype", "compression", "metadata", "autocrop")
            }
            nuke.execute(write, 1, 1, 1)
        finally:
            nuke.delete(write)
            nuke.delete(plate)
        path = FramePattern.parse(pattern).path(1)
        result_curve.grade_of(path)
        return {"bytes": os.path.getsize(path), "knobs of EXR": dynamic}


def _threads() -> str:
    """Call the main thread from a worker, as a job does."""
    if not nuke.GUI:
        return "not in a terminal"
    asked = threading.Event()
    worker = threading.Thread(target=lambda: threads.later(asked.set), daemon=True)
    worker.start()
    worker.join(WAIT_S)
    return "queued" if not asked.is_set() else "done"


def _server() -> Dict[str, Any]:
    settings = private.settings_of("", "")
    if not settings.server:
        return {"server": "", "python": settings.python}
    with private.connected(settings) as client:
        return {"server": settings.server, "engines": [engine.name for engine in client.engines()]}


CHECKS: Tuple[Tuple[str, Callable[[], Any]], ...] = (
    ("versions", _versions),
    ("compiled packages", _packages),
    ("knobs", _knobs),
    ("nodes", _group),
    ("inputs", _inputs),
    ("expressions", _expressions),
    ("EXR files", _files),
    ("threads", _threads),
    ("server", _server),
)
