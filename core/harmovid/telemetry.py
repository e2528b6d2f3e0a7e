"""Telemetry of libraries, off: nothing of HarmoVid reports to anybody.

ONNX Runtime's own packages send facts about models and machine to Microsoft since version 1.29 on Linux, too. A process
of a few seconds ends before the first report; a server does not.
"""

from __future__ import annotations

import os

ONNX_RUNTIME = "ORT_DISABLE_TELEMETRY"
"""Read once, when the library is loaded (its Privacy.md)."""


def switch_off() -> None:
    """Tell libraries that report to their makers not to, in this process and its children.

    To be called before they are imported. Whoever has set the variable to something else keeps that.
    """
    os.environ.setdefault(ONNX_RUNTIME, "1")
