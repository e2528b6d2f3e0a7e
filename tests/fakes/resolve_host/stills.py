"""Picture files of stills: the formats that Resolve exports, of which EXR is none."""

from __future__ import annotations

import os
from typing import Any

import cv2
import numpy as np
import OpenImageIO

FORMATS = ("dpx", "cin", "tif", "jpg", "png", "ppm", "bmp", "xpm")


def save(path: str, pixels: Any) -> bool:
    """Write RGB pixels as a display picture of the format that the name ends in; return whether that is possible."""
    extension = os.path.splitext(path)[1].lstrip(".").lower()
    if extension not in FORMATS or not os.path.isdir(os.path.dirname(path)):
        return False
    deep = extension in ("dpx", "tif", "png")
    top = 65535 if deep else 255
    values = np.round(np.clip(np.nan_to_num(pixels[..., :3]), 0, 1) * top).astype(
        np.uint16 if deep else np.uint8
    )
    if extension == "dpx":
        image = OpenImageIO.ImageBuf(np.ascontiguousarray(values))
        return bool(image.write(path))
    return bool(cv2.imwrite(path, values[..., ::-1])) if extension not in ("cin", "xpm") else False
