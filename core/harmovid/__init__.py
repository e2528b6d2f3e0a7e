"""HarmoVid's host API: the client that plugins, scripts and the command line use.

    from harmovid import JobFiles, connect, load_settings

    with connect(load_settings()) as client:
        engine = client.engine("harmonize")
        job = JobFiles.prepare(engine, {"fg": "fg.####.exr", "bg": "bg.####.exr"}, out="out/fg.####.exr")
        client.start(job).result()

These names are all that a host needs; docs/api.md shows them. They are loaded when they are first used. The package
runs in Nuke and Resolve (Python 3.9 and newer) on the standard library, pyzmq and msgpack. Pixels live in
`harmovid.pixels`, which needs numpy, OpenEXR and OpenImageIO and which hosts never import.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, List

if TYPE_CHECKING:
    from harmovid.client import Client, JobStatus, connect
    from harmovid.errors import HarmoVidError
    from harmovid.frames import FramePattern, FrameRange
    from harmovid.job import EngineInfo, Progress
    from harmovid.job_files import JobFiles
    from harmovid.job_handle import JobHandle
    from harmovid.settings import Settings, load_settings
    from harmovid.transport.runner import JobResult

__version__ = "0.1.0"
__all__ = [
    "connect", "load_settings", "Settings", "Client", "JobFiles", "JobHandle", "JobResult", "JobStatus", "Progress",
    "EngineInfo", "FramePattern", "FrameRange", "HarmoVidError",
]  # fmt: skip

_MODULES = {
    "connect": "client",
    "Client": "client",
    "JobStatus": "client",
    "HarmoVidError": "errors",
    "FramePattern": "frames",
    "FrameRange": "frames",
    "EngineInfo": "job",
    "Progress": "job",
    "JobFiles": "job_files",
    "JobHandle": "job_handle",
    "Settings": "settings",
    "load_settings": "settings",
    "JobResult": "transport.runner",
}


def __getattr__(name: str) -> Any:
    """Load a name of `__all__` when it is first used (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> List[str]:
    return sorted({*globals(), *__all__})
