"""The fetch process: copies frames from shared storage into the spool. Runs only where roots are set.

For shared inputs it sends the same messages as the front does for sent ones: `received`, `source_failed`,
`receive_failed`. It is a separate process, because a hanging network drive must not stop main.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Dict, Sequence

from harmovid.errors import FrameUnreadable, HarmoVidError, SpoolFull

from harmovid_server.child import enter
from harmovid_server.fetch.roots import Roots, copy
from harmovid_server.ipc import IpcClient
from harmovid_server.spool import DISK_FULL, input_path

_POLL_MS = 200


def fetch(link: IpcClient, roots: Roots, spool: Path, message: Dict[str, Any]) -> None:
    """Copy one frame and report `received`, `source_failed` (it is not there) or `receive_failed`."""
    about = {name: message[name] for name in ("job", "layer", "frame")}
    frame, limit = message["frame"], message["limit"]
    try:
        handle = roots.open(roots.check(message["source"]), frame)
    except HarmoVidError as error:
        error.layer = message["layer"]
        link.send("source_failed", **about, error=error.to_wire())
        return
    try:
        size = os.fstat(handle).st_size
        if size > limit:
            full = SpoolFull(f"the file has {size} bytes, room was kept for {limit}.")
            link.send("receive_failed", **about, error=full.to_wire(), size=size)
            return
        size, crc = copy(handle, input_path(spool, message["job"], message["layer"], frame), link.beat_if_due)
        link.send("received", **about, size=size, crc=crc)
    except FileNotFoundError:
        # The job's folder is gone: the job was cancelled during the copy.
        return
    except OSError as error:
        link.send("receive_failed", **about, error=_failed(error, frame).to_wire(), size=0)
    finally:
        os.close(handle)


def _failed(error: OSError, frame: int) -> HarmoVidError:
    if error.errno in DISK_FULL:
        return SpoolFull(f"the spool cannot be written: {error.strerror}.", frame=frame)
    return FrameUnreadable(f"shared storage could not be read: {error.strerror}.", frame=frame)


def main(arguments: Sequence[str]) -> None:
    """Run until main is gone."""
    config, link = enter(arguments)
    roots = Roots(config.roots)
    link.send("hello", role="fetch")
    while True:
        link.beat_if_due()
        message = link.receive(_POLL_MS)
        if message and message["op"] == "fetch":
            fetch(link, roots, config.spool_folder, message)


if __name__ == "__main__":
    main(sys.argv[1:])
