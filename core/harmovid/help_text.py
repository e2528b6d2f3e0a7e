"""The argument parser that programs of HarmoVid derive theirs from: a help text that cannot be written is an error."""

from __future__ import annotations

import argparse
import sys
from typing import Any


class HelpParser(argparse.ArgumentParser):
    """An `argparse.ArgumentParser` whose help text is not lost in silence."""

    def print_help(self, file: Any = None) -> None:
        """Print the help text. argparse's own method would ignore that it cannot be written."""
        (file or sys.stdout).write(self.format_help())
