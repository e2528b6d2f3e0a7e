"""Colour spaces by OpenColorIO name, through OpenImageIO's ColorConfig.

A configuration is a path or one of OpenColorIO's built-in ones (`ocio://studio-config-latest`, which includes
the camera logs, or `ocio://cg-config-latest`). As in every OpenColorIO program, `$OCIO` is the default if it is set.

OpenImageIO parses the configuration again for every conversion: 77 ms for the studio configuration, 25 ms for the CG
one (measured, OpenImageIO 3.2.2), for any picture size. Linear spaces with known primaries need no conversion (see
`spaces.Space`).
"""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Optional, Tuple

import numpy as np
import numpy.typing as npt
import OpenImageIO

from harmovid.errors import ColourError
from harmovid.pixels.colour.primaries import AP0, REC709, Float64, Primaries, file_primaries, rgb_to_xyz

Float32 = npt.NDArray[np.float32]

DEFAULT_CONFIG = "ocio://studio-config-latest"
SCENE_LINEAR = "scene_linear"
_INTERCHANGE = "aces_interchange"
_NEAR_COUNT = 4
_NEAR_CUTOFF = 0.45
_WORDS = re.compile(r"[A-Za-z0-9]+")


def _plain(name: str) -> str:
    return "".join(_WORDS.findall(name)).lower()


@dataclass(frozen=True)
class ColourConfig:
    """One OpenColorIO configuration.

    Attributes:
        source: path or `ocio://` name it was loaded from.
        names: its colour spaces, in its own order.
        scene_linear: the space of that role.
    """

    source: str
    names: Tuple[str, ...]
    scene_linear: str
    _config: Any

    def canonical(self, name: str) -> str:
        """Return the configuration's own spelling of a colour space, alias or role.

        Raises:
            ColourError: there is no such space; the error names similar ones.
        """
        found = str(self._config.resolve(name))
        if found in self.names:
            return found
        near = self._near(name)
        fix = f"Did you mean {', '.join(near)}?" if near else f"It has {', '.join(self.names[:8])}, and more."
        raise ColourError(f"The colour configuration {self.source} has no colour space {name!r}.", fix=fix)

    def _near(self, name: str) -> Tuple[str, ...]:
        plain = {_plain(known): known for known in self.names}
        words = [_plain(word) for word in _WORDS.findall(name)]
        inside = [known for low, known in plain.items() if words and all(word in low for word in words)]
        similar = difflib.get_close_matches(_plain(name), plain, _NEAR_COUNT, _NEAR_CUTOFF)
        return tuple(dict.fromkeys([*inside, *(plain[low] for low in similar)]))[:_NEAR_COUNT]

    def is_linear(self, name: str) -> bool:
        """Return whether a colour space is linear in light."""
        return bool(self._config.isColorSpaceLinear(self.canonical(name)))

    def is_data(self, name: str) -> bool:
        """Return whether a "colour space" is for data that is not colour, like Raw."""
        return bool(self._config.isData(self.canonical(name)))

    def primaries(self, name: str) -> Optional[Primaries]:
        """Return a colour space's primaries if the configuration states them, else None."""
        found = self._config.get_chromaticities(self.canonical(name))
        return file_primaries(found) if found else None

    def scene_linear_primaries(self) -> Primaries:
        """Return the primaries of the scene_linear role: as stated, else measured by converting to ACES2065-1, else (in
        a configuration without the role `aces_interchange`) Rec.709's, the default of OpenEXR.
        """
        told = self.primaries(self.scene_linear)
        if told is not None:
            return told
        interchange = self._config.getColorSpaceNameByRole(_INTERCHANGE)
        if not interchange:
            return REC709
        rows = self.convert(np.eye(3, dtype=np.float32)[None], self.scene_linear, str(interchange))[0]
        return _primaries_of(rgb_to_xyz(AP0) @ rows.T.astype(np.float64))

    def convert(self, rgb: Float32, source: str, target: str) -> Float32:
        """Return `(H, W, 3)` float32 in another colour space, unbounded if the configuration's transform
        is.

        A pixel with NaN or infinity in one channel may have it in all three afterwards. Spaces defined by
        tables (Canon Log, ADX) are clamped at the ends of their tables.

        Raises:
            ColourError: there is no such space, or the configuration cannot convert between the two.
        """
        picture = OpenImageIO.ImageBuf(np.ascontiguousarray(rgb, np.float32))
        names = self.canonical(source), self.canonical(target)
        done = OpenImageIO.ImageBufAlgo.colorconvert(picture, *names, False, "", "", self.source, nthreads=1)
        if done.has_error:
            raise ColourError(f"{names[0]} cannot be converted to {names[1]}: {done.geterror()}")
        return np.asarray(done.get_pixels(OpenImageIO.FLOAT), np.float32)


def _primaries_of(to_xyz: Float64) -> Primaries:
    """Return the chromaticities of a matrix from RGB to XYZ."""
    columns = np.concatenate([to_xyz, to_xyz.sum(axis=1, keepdims=True)], axis=1)
    xy = (columns[:2] / columns.sum(axis=0)).T.reshape(-1)
    return file_primaries([float(value) for value in xy])


def load_config(source: str = "") -> ColourConfig:
    """Load a configuration; the same one is not parsed twice.

    Args:
        source: path or `ocio://` name; empty for `$OCIO`, or `DEFAULT_CONFIG` if that is not set.

    Raises:
        ColourError: it cannot be read, or has no scene_linear role.
    """
    return _loaded(source or os.environ.get("OCIO", "") or DEFAULT_CONFIG)


@lru_cache(maxsize=8)
def _loaded(source: str) -> ColourConfig:
    config = OpenImageIO.ColorConfig(source)
    # OpenImageIO silently replaces an unreadable configuration by a small one of its own, so its error must be
    # checked.
    problem = config.geterror()
    if problem:
        raise ColourError(
            f"The colour configuration {source!r} cannot be read: {problem.strip()}",
            fix=f"Point $OCIO to a configuration that exists, or unset it to use {DEFAULT_CONFIG}.",
        )
    names = tuple(config.getColorSpaceNames())
    linear = str(config.getColorSpaceNameByRole(SCENE_LINEAR))
    if linear not in names:
        raise ColourError(
            f"The colour configuration {source!r} has no role scene_linear.", fix="Add that role to it."
        )
    return ColourConfig(source, names, linear, config)
