"""The calls of a host plugin as a program for any Python from 3.9 on; `test_hosts.py` runs it in real interpreters.

    python program.py names
    python program.py wire tests/golden/wire/v1
    python program.py job SERVER_PYTHON FOLDER      # plate.####.exr in FOLDER, results beside them

Prints one JSON object. Uses no test library and no numpy.
"""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path
from typing import Any, Dict, List

import harmovid


def names() -> Dict[str, Any]:
    """Load every name of the host API; return the large libraries that were imported with them."""
    for name in harmovid.__all__:
        getattr(harmovid, name)
    heavy = [name for name in ("numpy", "OpenEXR", "tqdm", "torch") if name in sys.modules]
    return {"python": list(sys.version_info[:2]), "names": len(harmovid.__all__), "heavy": heavy}


def wire(folder: str) -> Dict[str, Any]:
    """Decode every golden message and encode it again; return those that differ."""
    from harmovid.transport import wire

    channels = (
        wire.TO_SERVER_CONTROL, wire.TO_SERVER_DATA, wire.TO_CLIENT_CONTROL, wire.TO_CLIENT_DATA,
    )  # fmt: skip
    different: List[str] = []
    files = sorted(Path(folder).glob("*.bin"))
    for path in files:
        data = path.read_bytes()
        (size,) = struct.unpack_from("<I", data)
        parts = [data[4 : 4 + size], data[4 + size :]]
        # A BYE and an ERROR may come on several channels; any that takes it does.
        messages = [
            message for message in (_decoded(wire, parts, channel) for channel in channels) if message
        ]
        again = wire.encode(messages[0].type, messages[0].body, messages[0].ref) if messages else []
        if [bytes(part) for part in again] != parts:
            different.append(path.name)
    return {"messages": len(files), "different": different}


def _decoded(wire: Any, parts: List[bytes], channel: str) -> Any:
    try:
        return wire.decode(parts, channel)
    except harmovid.HarmoVidError:
        return None


def job(python: str, folder: str) -> Dict[str, Any]:
    """Run a job on a private server of another interpreter, as a host does; return how it ended."""
    with harmovid.connect(harmovid.Settings(python=python)) as client:
        engine = client.engine("deflicker")
        made = harmovid.JobFiles.prepare(
            engine, {"plate": folder + "/plate.####.exr"}, out=folder + "/out.####.exr"
        )
        result = client.start(made).result()
    options = [option.label for option in engine.options]
    return {"state": result.progress.state, "failed": sorted(result.failed), "options": options}


if __name__ == "__main__":
    commands = {"names": names, "wire": wire, "job": job}
    sys.stdout.write(json.dumps(commands[sys.argv[1]](*sys.argv[2:])) + "\n")
