"""Request the description of a server's engine from a worker thread, so that Nuke does not wait for the network."""

from __future__ import annotations

import threading
import time
import traceback
from typing import Any

import nuke
from harmovid.errors import HarmoVidError
from harmovid.job import EngineInfo

from harmovid_nuke import engine_cache, inputs, private, status, threads
from harmovid_nuke import node as nodes


def connect(group: Any, quiet: bool = False) -> threading.Thread:
    """Request the engine of a node's server and rebuild the node's options and inputs; return the worker thread.

    In `nuke -t` this waits until it is done.

    Args:
        group: the node.
        quiet: say nothing if the server cannot be reached: nobody has asked for it.
    """
    name = str(group["engine"].value()).strip() or inputs.kind_of(group)
    settings = private.settings_of(str(group["server"].value()), str(group["key"].value()))
    worker = threading.Thread(
        target=_ask, args=(group.fullName(), settings, name, quiet), name="harmovid-connect", daemon=True
    )
    if not quiet:
        status.tell(group, "Asking the server ...")
    worker.start()
    if not nuke.GUI:
        threads.serve(lambda: not worker.is_alive())
    return worker


def _ask(node: str, settings: Any, name: str, quiet: bool) -> None:
    try:
        with private.connected(settings) as client:
            begun = time.monotonic()
            engine = client.engine(name)
            engine_cache.keep(name, engine)
            threads.later(_answered, node, engine, settings.server, time.monotonic() - begun)
    except HarmoVidError as error:
        if not quiet:
            threads.later(_refused, node, error)
    except Exception as error:  # the thread's outermost level
        traceback.print_exc()
        threads.later(_refused, node, error)


def _answered(node: str, engine: EngineInfo, server: str, seconds: float) -> None:
    group = nodes.find(node, missing_ok=True)
    if group is None:
        return
    nodes.take_engine(group, engine)
    group["server_info"].setValue(described(engine, server, seconds))
    status.tell(group, f"Connected: {engine.name} {engine.version}.", status.GOOD)


def described(engine: EngineInfo, server: str, seconds: float) -> str:
    """Return one line about a server: the engine, the provider that runs it, and why no faster one is used."""
    runtime = engine.runtime or {}
    runs = " ".join(
        str(runtime[key]) for key in ("runtime", "provider", "device", "precision") if runtime.get(key)
    )
    parts = [
        f"{engine.name} {engine.version}",
        runs,
        str(runtime.get("reason", "")),
        server or "private server",
    ]
    return ", ".join(part for part in parts if part) + f" ({seconds * 1000:.0f} ms)"


def _refused(node: str, error: BaseException) -> None:
    group = nodes.find(node, missing_ok=True)
    if group is not None:
        # Without a server options and inputs stay as they are.
        group["server_info"].setValue(status.failed(group, error))
