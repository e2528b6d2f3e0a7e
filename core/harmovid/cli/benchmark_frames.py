"""Generated inputs for `harmovid benchmark`, for every engine that needs images and mattes only."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Dict, List, Tuple

from harmovid.errors import InputError
from harmovid.job import FOREGROUND_MATTE, IMAGE, MATTE, EngineInfo

SIZES: Dict[str, Tuple[int, int]] = {"540p": (960, 540), "1080p": (1920, 1080), "4K": (4096, 2160)}
"""Name to width and height in pixels."""

DISTINCT = 4
"""Number of different pictures per input; more would only take longer to make."""


def missing_inputs(engine: EngineInfo) -> List[str]:
    """Return the inputs that an engine needs and that cannot be generated."""
    return [layer.name for layer in engine.layers if layer.required and layer.kind not in (IMAGE, MATTE)]


def write_inputs(engine: EngineInfo, size: str, frames: int, folder: Path) -> Dict[str, str]:
    """Write the frames 1 to `frames` of every required input; return layer to pattern.

    Files of an earlier call with the same folder, size and count are used again.

    Raises:
        InputError: the pixel libraries are not installed, or an input cannot be generated.
    """
    if missing := missing_inputs(engine):
        raise InputError(f"no frames can be generated for {', '.join(missing)}.", fix="Leave the engine out.")
    cut_out = any(layer.name == FOREGROUND_MATTE for layer in engine.layers)
    patterns = {}
    for layer in engine.layers:
        if layer.required:
            has_alpha = layer.kind == MATTE or (cut_out and layer.name == engine.target)
            kind = "cutout" if has_alpha else "full"
            patterns[layer.name] = _write(folder / f"{kind}-{size}-{frames}", size, frames, has_alpha)
    return patterns


def _write(folder: Path, size: str, frames: int, has_alpha: bool) -> str:
    if not folder.is_dir():
        folder.mkdir()
        files = _pictures(size, min(DISTINCT, frames), has_alpha)
        for number in range(1, frames + 1):
            path = folder / f"in.{number}.exr"
            if number <= len(files):
                path.write_bytes(files[number - 1])
            else:
                os.link(folder / f"in.{1 + (number - 1) % len(files)}.exr", path)
    return str(folder / "in.#.exr")


def _pictures(size: str, count: int, has_alpha: bool) -> List[bytes]:
    try:
        from harmovid.pixels.generated import picture
    except ImportError as error:
        raise InputError(
            "frames cannot be generated here: the pixel libraries are not installed.",
            fix="Run pip install 'harmovid[pixels]'.",
        ) from error
    return [picture(*SIZES[size], seed, has_alpha) for seed in range(count)]
