"""HarmoVid in Nuke: makes its packages importable. No window, thread or network: render nodes and `nuke -t` run this
too.

Nuke starts even if this fails: the reason is printed, and saved results still render without the plugin.
"""

import os
import sys

try:
    _here = os.path.dirname(os.path.abspath(__file__))
    _packages = os.path.join(_here, "python")
    if os.path.isdir(_packages) and _packages not in sys.path:
        sys.path.insert(0, _packages)
    import harmovid_nuke.vendor

    for _line in harmovid_nuke.vendor.activate(_here):
        print("HarmoVid: " + _line)  # noqa: T201
except Exception as _error:
    print(f"HarmoVid is not available: {_error}")  # noqa: T201
