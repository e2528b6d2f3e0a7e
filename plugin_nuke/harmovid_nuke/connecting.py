"""Request a server's engines from a worker thread, so that Nuke does not wait for the network."""

from __future__ import annotations

import threading
import time
import traceback
from typing import Any

import nuke
from harmovid.errors import HarmoVidError
from harmovid.job import EngineInfo

from harmovid_nuke import node as nodes
from harmovid_nuke import private, status, threads


def connect(group: Any) -> threading.Thread:
    """Request the engines of a node's server and rebuild the node's options; return the worker thread, for
    `nuke -t`."""
    name = str(group["engine"].value()).strip() or str(group["harmovid_kind"].value())
    settings = private.settings_of(str(group["server"].value()), str(group["key"].value()))
    worker = threading.Thread(
        target=_ask, args=(group.fullName(), settings, name), name="harmovid-connect", daemon=True
    )
    status.tell(group, "Asking the server ...")
    worker.start()
    if not nuke.GUI:
        threads.serve(lambda: not worker.is_alive())
    return worker


def _ask(node: str, settings: Any, name: str) -> None:
    try:
        with private.connected(settings) as client:
            begun = time.monotonic()
            engine = client.engine(name)
            threads.later(_answered, node, engine, settings.server, time.monotonic() - begun)
    except HarmoVidError as error:
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
        # Without a server the options are not changed.
        group["server_info"].setValue(status.failed(group, error))
