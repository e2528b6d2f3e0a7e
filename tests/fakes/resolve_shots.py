"""Small shots as Resolve renders them, for tests of the client process: float EXRs with true frame numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Dict

import numpy as np
from harmovid.pixels import exr

WIDTH, HEIGHT = 32, 18
FIRST, LAST = 1001, 1006


def flicker(frame: int) -> float:
    """Return by how many stops a frame is off."""
    return 0.4 * (-1) ** frame


def picture(frame: int) -> np.ndarray:
    """Return a textured linear picture `(H, W, 3)` float32 that flickers, with values above 1 and below 0."""
    rng = np.random.default_rng(7)
    base = rng.gamma(2.0, 0.12, (HEIGHT, WIDTH, 3)).astype(np.float32)
    base[0, :4] = ((-0.01, 0.02, 3.0), (4.0, 2.0, 1.0), (0.0, 0.0, 0.0), (0.5, 0.5, 0.5))
    return (base * np.float32(2.0 ** flicker(frame))).astype(np.float32)


def write_plate(folder: Path, name: str = "plate") -> str:
    """Write the shot and return its pattern."""
    folder.mkdir(parents=True, exist_ok=True)
    for frame in range(FIRST, LAST + 1):
        pixels = picture(frame)
        header = exr.PartHeader.make((0, 0, WIDTH, HEIGHT))
        planes = {channel: np.ascontiguousarray(pixels[..., i]) for i, channel in enumerate("RGB")}
        exr.write(exr.make_frame(header, planes), folder / f"{name}.{frame}.exr")
    return str(folder / f"{name}.####.exr")


def read_rgb(path: str) -> np.ndarray:
    """Return the colours of a file."""
    return exr.layer_rgb(exr.read(path))[1]


def request(plate: str, out: str, **changes: object) -> Dict[str, object]:
    """Return the fields of a `run`."""
    fields: Dict[str, object] = {
        "engine": "deflicker",
        "inputs": {"plate": plate},
        "out": out,
        "frames": f"{FIRST}-{LAST}",
        "job": "job1",
    }
    return {**fields, **changes}
