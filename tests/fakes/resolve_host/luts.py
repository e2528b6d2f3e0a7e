"""LUT files that TimelineItem.ExportLUT writes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
from fakes.resolve_host import api, model
from fakes.resolve_host.grading import graded

if TYPE_CHECKING:
    from fakes.resolve_host.host import Host

SIZES = {"EXPORT_LUT_17PTCUBE": 17, "EXPORT_LUT_33PTCUBE": 33, "EXPORT_LUT_65PTCUBE": 65}


def export(host: Host, grade: model.Grade, kind: Any, path: str) -> bool:
    """Write a grade as a .cube file; the extension is appended where it is missing."""
    constants = api.constants(host.version)
    size = next((size for name, size in SIZES.items() if constants[name] == kind), None)
    if size is None or not os.path.isdir(os.path.dirname(path)):
        return False
    axis = np.linspace(0, 1, size, dtype=np.float32)
    blue, green, red = np.meshgrid(axis, axis, axis, indexing="ij")
    colours = np.stack([red, green, blue], axis=-1).reshape(1, -1, 3)
    rows = graded(colours, grade, host.lut_folder)[0]
    text = "\n".join([f"LUT_3D_SIZE {size}", *(f"{r:.6f} {g:.6f} {b:.6f}" for r, g, b in rows)])
    with open(path if path.endswith(".cube") else path + ".cube", "w", encoding="utf-8") as file:
        file.write(text + "\n")
    return True
