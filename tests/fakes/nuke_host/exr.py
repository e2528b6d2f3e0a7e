"""EXR files of the stand-in Nuke, through the OpenEXR module: channel names, windows, aspect, data types."""

from __future__ import annotations

import os
from typing import Any, Dict, Tuple

import numpy as np
import OpenEXR

SHORT = {"R": "red", "G": "green", "B": "blue", "A": "alpha"}
LONG = {long: short for short, long in SHORT.items()}
COMPRESSIONS = {
    "none": OpenEXR.NO_COMPRESSION, "Zip (1 scanline)": OpenEXR.ZIPS_COMPRESSION,
    "Zip (16 scanlines)": OpenEXR.ZIP_COMPRESSION, "PIZ Wavelet (32 scanlines)": OpenEXR.PIZ_COMPRESSION,
    "RLE": OpenEXR.RLE_COMPRESSION,
}  # fmt: skip


def nuke_name(name: str) -> str:
    """Return Nuke's name of an EXR channel: "R" is rgba.red, "harmovid.R" is harmovid.red."""
    layer, _, channel = name.rpartition(".")
    return f"{layer or 'rgba'}.{SHORT.get(channel, channel)}"


def exr_name(name: str) -> str:
    """Return the EXR channel of one of Nuke's."""
    layer, _, channel = name.rpartition(".")
    short = LONG.get(channel, channel)
    return short if layer == "rgba" else f"{layer}.{short}"


def load(path: str) -> Any:
    """Return the file as a `Picture`.

    Raises:
        RenderError: it cannot be read.
    """
    from fakes.nuke_host.images import Picture, RenderError

    try:
        with OpenEXR.File(path, separate_channels=True) as file:
            header = dict(file.header())
            planes = {name: np.array(channel.pixels) for name, channel in file.channels().items()}
    except Exception as error:
        raise RenderError(f"{path} cannot be read: {error}") from error
    (dx0, dy0), (dx1, dy1) = header["displayWindow"]
    (x0, y0), (x1, y1) = header["dataWindow"]
    channels = {nuke_name(name): plane.astype(np.float32) for name, plane in planes.items()}
    size = (int(dx1 - dx0 + 1), int(dy1 - dy0 + 1))
    box = (int(x0), int(y0), int(x1) + 1, int(y1) + 1)
    return Picture(size, box, channels, float(header.get("pixelAspectRatio", 1.0)), {"exr": header})


def save(
    path: str, image: Any, names: Tuple[str, ...], half: bool, compression: str, metadata: Dict[str, Any]
) -> None:
    """Write channels of a picture, whole or not at all: Nuke renders to a temporary name, too."""
    kind = np.float16 if half else np.float32
    with np.errstate(over="ignore"):
        channels = {exr_name(name): image.plane(name, image.box).astype(kind) for name in names}
    x0, y0, x1, y1 = image.box
    header = {
        "compression": COMPRESSIONS[compression],
        "displayWindow": (
            np.array([0, 0], np.int32),
            np.array([image.size[0] - 1, image.size[1] - 1], np.int32),
        ),
        "dataWindow": (np.array([x0, y0], np.int32), np.array([x1 - 1, y1 - 1], np.int32)),
        "pixelAspectRatio": float(image.aspect),
        "type": OpenEXR.scanlineimage,
        **metadata,
    }
    temporary = path + ".tmp"
    with OpenEXR.File(header, channels) as file:
        file.write(temporary)
    os.replace(temporary, path)
