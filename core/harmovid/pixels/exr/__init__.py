"""Reading and writing EXR frames without loss. This module re-exports the public functions of the package.

    frame = exr.read(data_or_path)                        # or exr.read_header(...), without pixels
    layer, rgb = exr.layer_rgb(frame)                     # the beauty, (H, W, 3) float32
    frame, clamped = exr.with_channels(frame, {"R": red}) # pixel types kept, overflow clamped and counted
    data = exr.write(frame)                               # bytes; exr.write(frame, path) also saves

Pixels stay in the file's own types and windows, attributes in the file's own bytes. docs/exr.md says what is
kept, refused and why.
"""

from __future__ import annotations

from harmovid.pixels.exr.choice import main_part, other_views
from harmovid.pixels.exr.frame import ExrFrame, ExrPart, Pixels
from harmovid.pixels.exr.header import COMPRESSIONS, LOSSY, Box, Channel, PartHeader
from harmovid.pixels.exr.layers import (
    HALF_MAX,
    Layer,
    Nonfinite,
    channel_plane,
    count_nonfinite,
    find_layer,
    find_vectors,
    layer_names,
    layer_rgb,
    make_frame,
    moved,
    to_half,
    with_attributes,
    with_channels,
    with_data_window,
)
from harmovid.pixels.exr.mattes import Matte, find_matte, matte_plane, solid
from harmovid.pixels.exr.parse import DEFAULT_LIMITS, ExrHeader, Limits
from harmovid.pixels.exr.reading import read, read_header
from harmovid.pixels.exr.values import Attribute
from harmovid.pixels.exr.writing import write

__all__ = [
    "read", "read_header", "write",
    "ExrFrame", "ExrPart", "ExrHeader", "PartHeader", "Channel", "Attribute", "Box", "Pixels",
    "Limits", "DEFAULT_LIMITS", "COMPRESSIONS", "LOSSY", "HALF_MAX",
    "Layer", "layer_names", "find_layer", "find_vectors", "main_part", "other_views", "layer_rgb", "channel_plane",
    "Matte", "find_matte", "matte_plane", "solid",
    "with_channels", "with_attributes", "with_data_window", "make_frame", "moved",
    "Nonfinite", "count_nonfinite", "to_half",
]  # fmt: skip
