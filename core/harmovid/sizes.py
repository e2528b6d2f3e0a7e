"""Byte counts as a person writes them: "20GiB", "512M", "1048576"."""

from __future__ import annotations

import re

KIB, MIB, GIB, TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40
_UNITS = {"": 1, "K": KIB, "M": MIB, "G": GIB, "T": TIB}


def parse_bytes(text: str) -> int:
    """Return the number of bytes in "20GiB", "512M" or "1048576"; raise ValueError for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if not match:
        raise ValueError(f"{text!r} is not a size such as 20GiB")
    return int(float(match[1]) * _UNITS[match[2].upper()])
