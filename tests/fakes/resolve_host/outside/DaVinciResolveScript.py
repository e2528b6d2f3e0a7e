"""Blackmagic's own module for scripts outside, as the stand-in has it: everything is in the library beside it."""

import importlib.util
import os
import sys

_library = os.environ.get("RESOLVE_SCRIPT_LIB", os.path.join(os.path.dirname(__file__), "fusionscript.py"))
_spec = importlib.util.spec_from_file_location("fusionscript", _library)
if _spec is None or _spec.loader is None:
    raise ImportError("Could not locate module dependencies")
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
sys.modules[__name__] = _module
