"""HarmoVid in Nuke: where its packages are. No window, no thread, no network: blades and `nuke -t` run this, too.

Whatever is wrong here, Nuke starts: the reason is printed, and saved results render without us.
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
