"""What `harmovid check` finds in the files themselves: gaps, kinds, headers, sizes. No pixel is decoded.

The first bytes of every file are looked at with nothing but the standard library; where the pixel libraries
are installed the headers are read as well, by the code that the server uses.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Tuple

from harmovid.errors import (
    ColourError,
    FrameError,
    FrameMismatch,
    FrameMissing,
    FrameUnreadable,
    HarmoVidError,
)
from harmovid.frames import FramePattern, FrameRange
from harmovid.storage.files import check_exr
from harmovid.storage.kinds import HEAD_BYTES


@dataclass
class LayerFacts:
    """One input of a job as its files show it.

    Attributes:
        found: the frames of the job that have a file.
        size_bytes: of all found files together; a single file counts once.
        header: facts of the first readable frame's header, empty without the pixel libraries.
        problems: one error per frame that the server would refuse or miss.
    """

    layer: str
    pattern: FramePattern
    found: FrameRange = field(default_factory=FrameRange)
    size_bytes: int = 0
    header: Dict[str, Any] = field(default_factory=dict)
    problems: List[HarmoVidError] = field(default_factory=list)

    def to_dict(self) -> Dict[str, Any]:
        """Return the facts as a part of the JSON answer."""
        return {
            "pattern": self.pattern.text,
            "found": str(self.found),
            "count": len(self.found),
            "bytes": self.size_bytes,
            "header": self.header,
            "problems": [problem.to_wire() for problem in self.problems],
        }


def pixel_library() -> Optional[Any]:
    """Return `harmovid.pixels.exr`, or None where the pixel libraries are not installed."""
    try:
        from harmovid.pixels import exr
    except ImportError:
        return None
    return exr


def examine_layer(layer: str, pattern: FramePattern, frames: FrameRange, is_image: bool) -> LayerFacts:
    """Return what the files of one layer show, every frame of the job looked at; mattes need one channel only."""
    facts, library = LayerFacts(layer, pattern), pixel_library()
    good: List[int] = []
    windows: Dict[Tuple[int, ...], int] = {}
    for frame in frames[:1] if pattern.is_single else frames:
        try:
            facts.size_bytes += _head(pattern.path(frame), frame, layer)
            if library is not None:
                _header(facts, library, frame, windows, is_image)
            good.append(frame)
        except (FrameError, ColourError) as error:
            error.frame, error.layer = frame, layer
            facts.problems.append(error)
    missing = [problem.frame for problem in facts.problems if isinstance(problem, FrameMissing)]
    facts.found = FrameRange(
        frame for frame in (good if pattern.is_single else frames) if frame not in missing
    )
    return facts


def _head(path: str, frame: int, layer: str) -> int:
    """Return the file's size after its first bytes have been found to be those of an EXR that is taken."""
    try:
        with open(path, "rb") as stream:
            head = stream.read(HEAD_BYTES)
            size = os.fstat(stream.fileno()).st_size
    except FileNotFoundError:
        raise FrameMissing(
            f"there is no file {path}.", fix="Render it, or leave it out of --frames."
        ) from None
    except OSError as error:
        raise FrameUnreadable(
            f"{path} cannot be read: {error.strerror}.", fix="Check its permissions."
        ) from error
    check_exr(head, size, path, frame, layer)
    return size


def _header(
    facts: LayerFacts, library: Any, frame: int, windows: Dict[Tuple[int, ...], int], is_image: bool
) -> None:
    """Read one header: keep the first one's facts, hold the others against it."""
    header = library.read_header(facts.pattern.path(frame))
    main = header.main_header
    if is_image:
        library.find_layer(header)
    else:
        library.find_matte(header)
    format_ = tuple(main.display_window)
    if not facts.header:
        facts.header = _facts(main, len(header.parts))
        windows[format_] = frame
    elif format_ not in windows:
        first = next(iter(windows.values()))
        raise FrameMismatch(
            f"its format is {size_text(format_)}, that of frame {first} is {facts.header['format']}.",
            fix="Render all frames with one format.",
        )


def _facts(main: Any, parts: int) -> Dict[str, Any]:
    """Return one part's header as plain facts."""
    channels = {name: _type_name(channel.dtype) for name, channel in main.channels.items()}
    facts: Dict[str, Any] = {
        "format": size_text(main.display_window),
        "display_window": list(main.display_window),
        "data_window": list(main.data_window),
        "channels": channels,
        "compression": main.compression,
        "tiled": bool(main.tiled),
        "parts": parts,
        "pixel_aspect": main.pixel_aspect,
    }
    facts["primaries"] = _gamut(main.chromaticities)
    return facts


def _gamut(chromaticities: Any) -> str:
    """Return the name of a header's primaries, or their digits where they have none."""
    from harmovid.pixels.colour import primaries

    if chromaticities is None:
        return "Rec. 709 (the file states none)"
    stated = primaries.file_primaries(chromaticities)
    named = [name for name, known in primaries.GAMUTS.items() if primaries.same_gamut(stated, known)]
    return named[0] if named else " ".join(f"{value:.4g}" for value in stated)


def _type_name(dtype: Any) -> str:
    return {"float16": "half", "float32": "float", "uint32": "uint"}[
        getattr(dtype, "name", None) or dtype.__name__
    ]


def size_text(box: Any) -> str:
    """Return a window `(x0, y0, x1, y1)`, exclusive, as "1920x1080", with its corner where not at 0, 0."""
    x0, y0, x1, y1 = box
    corner = f" at {x0},{y0}" if (x0, y0) != (0, 0) else ""
    return f"{x1 - x0}x{y1 - y0}{corner}"


def header_lines(header: Dict[str, Any]) -> List[str]:
    """Return a header's facts as the lines a person reads."""
    if not header:
        return []
    by_type: Dict[str, List[str]] = {}
    for name, kind in header["channels"].items():
        by_type.setdefault(kind, []).append(name)
    data = size_text(header["data_window"])
    extra = (", tiled" if header["tiled"] else "") + (
        f", {header['parts']} parts" if header["parts"] > 1 else ""
    )
    aspect = "" if header["pixel_aspect"] == 1 else f", pixel aspect {header['pixel_aspect']:g}"
    return [
        f"format {header['format']}, data window {data}{aspect}, {header['compression']}{extra}",
        "channels " + "; ".join(f"{', '.join(names)} ({kind})" for kind, names in by_type.items()),
        f"primaries {header['primaries']}",
    ]
