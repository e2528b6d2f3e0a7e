"""The layout of raw frames exchanged with ffmpeg, and conversion between them and R, G, B codes.

    layout = Layout.of("yuv420p10le", "tv", "bt709")
    rgba = layout.unpack(data, 1920, 1080)         # (H, W, 3 or 4) float32: 0 is the film's black, 1 its white
    data, clipped = layout.pack(rgba)

Sources: Rec. ITU-R BT.709-6 (2015), BT.601-7 (2011), BT.2020-2 (2015), SMPTE 240M-1999: luma weights, and the
quantization of narrow range, 219 and 224 steps above 16 times 2**(bits - 8). Full range has all 2**bits - 1 steps.
Frames are exchanged with full-size chroma (4:4:4): ffmpeg resamples smaller chroma, all else is done here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Dict, List, Tuple

import numpy as np
import numpy.typing as npt

from harmovid.errors import InputError

Codes = npt.NDArray[np.float32]

LUMA_WEIGHTS: Dict[str, Tuple[float, float]] = {
    "bt709": (0.2126, 0.0722),
    "smpte170m": (0.299, 0.114),
    "bt470bg": (0.299, 0.114),
    "bt2020nc": (0.2627, 0.0593),
    "smpte240m": (0.212, 0.087),
}
"""Weights of red and blue in luma, by ffmpeg's name of the matrix."""

MATRIX_WORDS = {"bt709": "bt709", "bt601": "smpte170m", "bt2020": "bt2020nc", "smpte240m": "smpte240m"}
"""Names of the matrices in job files."""

DEPTHS = (8, 10, 12, 16)
GREY_PLANES = 1


@dataclass(frozen=True)
class Layout:
    """The form in which frames are exchanged with ffmpeg: planes of equal size.

    Attributes:
        kind: "rgb", "yuv" or "grey".
        depth: bits per value.
        alpha: whether there is an alpha plane, always of full range.
        full: whether colour uses the full range, instead of the narrow range of video.
        matrix: of "yuv", by ffmpeg's name.
    """

    kind: str
    depth: int
    alpha: bool = False
    full: bool = False
    matrix: str = ""

    @classmethod
    def of(cls, pix_fmt: str, colour_range: str, matrix: str) -> Layout:
        """Return the layout for a film.

        Args:
            pix_fmt: the film's own pixel format, by ffmpeg's name.
            colour_range: "tv", "pc", or anything else if the film does not state it.
            matrix: one of `LUMA_WEIGHTS`, for films that are not RGB.

        Raises:
            InputError: the format is not supported.
        """
        kind, depth, alpha = _meaning(pix_fmt)
        if kind == "rgb":
            return cls(kind, depth, alpha, True)
        if kind == "yuv" and matrix not in LUMA_WEIGHTS:
            raise InputError(
                f"the film's colours are coded by the matrix {matrix!r}, which is not read here.",
                fix="Convert it to ProRes, or to EXR frames.",
            )
        full = colour_range == "pc" or pix_fmt.startswith("yuvj")
        return cls(kind, depth, alpha, full, matrix if kind == "yuv" else "")

    @property
    def pix_fmt(self) -> str:
        """The pixel format, by ffmpeg's name."""
        name = {"rgb": "gbrap" if self.alpha else "gbrp", "yuv": "yuva444p" if self.alpha else "yuv444p"}
        suffix = "" if self.depth == 8 else f"{self.depth}le"
        return name.get(self.kind, "gray") + suffix

    @property
    def planes(self) -> int:
        """Number of planes of a frame."""
        return (GREY_PLANES if self.kind == "grey" else 3) + int(self.alpha)

    def frame_bytes(self, width: int, height: int) -> int:
        """Return the size of one frame in bytes."""
        return width * height * self.planes * self._type.itemsize

    @property
    def _type(self) -> np.dtype[Any]:
        return np.dtype("u1" if self.depth == 8 else "<u2")

    def unpack(self, data: bytes, width: int, height: int) -> Codes:
        """Return a frame as `(height, width, 3)` codes, or 4 with alpha: float32, black 0, white 1, unclipped."""
        stored = np.frombuffer(data, self._type).reshape(self.planes, height, width).astype(np.float64)
        if self.kind == "rgb":
            green, blue, red = stored[:3] / self._top
        elif self.kind == "grey":
            red = green = blue = self._luma(stored[0])
        else:
            red, green, blue = self._from_yuv(stored)
        channels = [red, green, blue, *([stored[-1] / self._top] if self.alpha else [])]
        return np.stack(channels, axis=-1).astype(np.float32)

    def pack(self, codes: Codes) -> Tuple[bytes, int]:
        """Return codes `(H, W, 3 or 4)` as a frame, and the number of clipped values.

        A missing alpha is 1. NaN becomes black and counts as clipped.
        """
        red, green, blue = np.moveaxis(codes[..., :3].astype(np.float64), -1, 0)
        if self.kind == "rgb":
            planes: List[npt.NDArray[Any]] = [plane * self._top for plane in (green, blue, red)]
        elif self.kind == "grey":
            planes = [self._luma_code(green)]
        else:
            planes = self._to_yuv(red, green, blue)
        if self.alpha:
            given = codes[..., 3] if codes.shape[-1] == 4 else np.ones(codes.shape[:2])
            planes.append(given.astype(np.float64) * self._top)
        stored = np.rint(np.stack(planes))
        with np.errstate(invalid="ignore"):
            inside = (stored >= 0) & (stored <= self._top)
        kept = np.where(np.isfinite(stored), np.clip(stored, 0, self._top), 0)
        return kept.astype(self._type).tobytes(), int(inside.size - np.count_nonzero(inside))

    @property
    def _top(self) -> float:
        return float(2**self.depth - 1)

    @property
    def _unit(self) -> float:
        return float(2 ** (self.depth - 8))

    def _luma(self, stored: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return stored / self._top if self.full else (stored / self._unit - 16) / 219

    def _luma_code(self, luma: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return luma * self._top if self.full else (luma * 219 + 16) * self._unit

    def _from_yuv(self, stored: npt.NDArray[Any]) -> Tuple[npt.NDArray[Any], ...]:
        red_weight, blue_weight = LUMA_WEIGHTS[self.matrix]
        luma, middle = self._luma(stored[0]), 128 * self._unit
        step = self._top if self.full else 224 * self._unit
        blue_part, red_part = (stored[1] - middle) / step, (stored[2] - middle) / step
        red = luma + 2 * (1 - red_weight) * red_part
        blue = luma + 2 * (1 - blue_weight) * blue_part
        green = (luma - red_weight * red - blue_weight * blue) / (1 - red_weight - blue_weight)
        return red, green, blue

    def _to_yuv(
        self, red: npt.NDArray[Any], green: npt.NDArray[Any], blue: npt.NDArray[Any]
    ) -> List[npt.NDArray[Any]]:
        red_weight, blue_weight = LUMA_WEIGHTS[self.matrix]
        luma = red_weight * red + (1 - red_weight - blue_weight) * green + blue_weight * blue
        step, middle = (self._top if self.full else 224 * self._unit), 128 * self._unit
        blue_part = (blue - luma) / (2 * (1 - blue_weight))
        red_part = (red - luma) / (2 * (1 - red_weight))
        return [self._luma_code(luma), blue_part * step + middle, red_part * step + middle]


def _meaning(pix_fmt: str) -> Tuple[str, int, bool]:
    """Return kind, bits and alpha of a pixel format.

    Raises:
        InputError: floating point, palettes and other unsupported formats.
    """
    name = re.sub(r"(le|be)$", "", pix_fmt)
    refused = InputError(
        f"the film's pixels are of the form {pix_fmt}, which is not read here.",
        fix="Convert it to ProRes, or to EXR frames.",
    )
    packed = {
        "rgb24": ("rgb", 8, False), "bgr24": ("rgb", 8, False), "rgb48": ("rgb", 16, False),
        "bgr48": ("rgb", 16, False), "rgba64": ("rgb", 16, True), "bgra64": ("rgb", 16, True),
        "nv12": ("yuv", 8, False), "nv16": ("yuv", 8, False), "p010": ("yuv", 10, False), "p210": ("yuv", 10, False),
        "yuyv422": ("yuv", 8, False), "uyvy422": ("yuv", 8, False), "ayuv64": ("yuv", 16, True),
    }  # fmt: skip
    if name in packed:
        return packed[name]
    if name in ("rgba", "bgra", "argb", "abgr"):
        return "rgb", 8, True
    if name in ("rgb0", "bgr0", "0rgb", "0bgr"):
        return "rgb", 8, False
    match = re.fullmatch(r"(gbra?p|yuva?4\d\dp|yuvj4\d\dp|gray)(\d*)", name)
    if match is None:
        raise refused
    form, depth = match.group(1), int(match.group(2) or 8)
    # ffmpeg widens depths in between without loss.
    fitting = next((known for known in DEPTHS if known >= depth), None)
    if fitting is None or depth not in (8, 9, 10, 12, 16):
        raise refused
    kind = "grey" if form == "gray" else ("rgb" if form.startswith("gbr") else "yuv")
    return kind, fitting, form.startswith(("gbrap", "yuva"))
