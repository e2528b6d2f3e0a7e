"""One decoded EXR frame: its parts, their headers, and a native array per channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping, Optional, Tuple

import numpy.typing as npt

from harmovid.pixels.exr.header import Box, PartHeader
from harmovid.pixels.exr.parse import ExrHeader

Pixels = npt.NDArray[Any]
"""One channel: (height, width) of the data window, float16, float32 or uint32 as in the file. Subsampled
channels have (height / y_sampling, width / x_sampling)."""


@dataclass(frozen=True)
class ExrPart:
    """One part: its header and its pixels by full channel name ("R", "diffuse.R")."""

    header: PartHeader
    channels: Mapping[str, Pixels]


@dataclass(frozen=True)
class ExrFrame:
    """A decoded file. Nothing is converted: pixel types, windows and every attribute are those of the
    file.

    Attributes:
        parts: in file order.
        main: index of the part that holds the picture (see `choice.main_part`).

    The properties below are those of that part.
    """

    parts: Tuple[ExrPart, ...]
    main: int = 0

    @property
    def header(self) -> PartHeader:
        """The main part's header."""
        return self.parts[self.main].header

    @property
    def headers(self) -> ExrHeader:
        """The headers of all parts."""
        return ExrHeader(tuple(part.header for part in self.parts), self.main)

    @property
    def channels(self) -> Mapping[str, Pixels]:
        """The main part's pixels by channel name."""
        return self.parts[self.main].channels

    @property
    def data_window(self) -> Box:
        """`(x0, y0, x1, y1)` in pixels, x1 and y1 exclusive: where pixels are stored."""
        return self.header.data_window

    @property
    def display_window(self) -> Box:
        """`(x0, y0, x1, y1)` in pixels, x1 and y1 exclusive: the picture's format."""
        return self.header.display_window

    @property
    def pixel_aspect(self) -> float:
        """Width of a pixel divided by its height."""
        return self.header.pixel_aspect

    @property
    def chromaticities(self) -> Optional[Tuple[float, ...]]:
        """As stored, or None if the file states none: the OpenEXR default is Rec. ITU-R BT.709."""
        return self.header.chromaticities
