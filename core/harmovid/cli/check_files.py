"""What `harmovid check` finds in the files: gaps, file types, headers, sizes. No pixel is decoded.

The standard library is enough to check the first bytes of every file. If the pixel libraries are installed, headers are
read and checked as well, by the code that the server uses (`harmovid.pixels.inputs`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Sequence, Set, Tuple

from harmovid.errors import (
    FrameError,
    FrameMismatch,
    FrameMissing,
    FrameUnreadable,
    HarmoVidError,
)
from harmovid.file_plan import FilePlan
from harmovid.frames import FramePattern, FrameRange
from harmovid.storage.files import DirectorySource, check_exr
from harmovid.storage.kinds import HEAD_BYTES


@dataclass
class LayerFacts:
    """Facts about one input of a job, from its files.

    Attributes:
        found: the frames of the job that have a file.
        size_bytes: of all found files together; a single file counts once.
        header: facts of the first readable frame's header, empty without the pixel libraries.
        problems: one error per frame that the server would refuse or miss.
        remarks: what is ignored or chosen in the files, each sentence once.
    """

    layer: str
    pattern: FramePattern
    found: FrameRange = field(default_factory=FrameRange)
    size_bytes: int = 0
    header: Dict[str, Any] = field(default_factory=dict)
    problems: List[HarmoVidError] = field(default_factory=list)
    remarks: List[str] = field(default_factory=list)

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


def has_pixel_libraries() -> bool:
    """Return whether headers can be read here."""
    try:
        import harmovid.pixels.inputs  # noqa: F401
    except ImportError:
        return False
    return True


def examine(plan: FilePlan, rules: Optional[Any]) -> List[LayerFacts]:
    """Return the facts about each input, after looking at every frame; the target layer comes first.

    Args:
        plan: the job's files.
        rules: the job's `harmovid.pixels.inputs.FrameRules`; with None only the first bytes are checked.
    """
    facts = {layer: LayerFacts(layer, pattern) for layer, pattern in plan.layers.items()}
    view = _Headers(facts, rules, DirectorySource(plan.layers))
    for frame in plan.frames:
        view.look(frame)
    for layer, each in facts.items():
        missing = {problem.frame for problem in each.problems if isinstance(problem, FrameMissing)}
        frames = view.singles.get(layer, plan.frames)
        each.found = FrameRange(frame for frame in frames if frame not in missing)
    return list(facts.values())


class _Headers:
    """Checks the headers of one frame after the other."""

    def __init__(self, facts: Mapping[str, LayerFacts], rules: Optional[Any], files: DirectorySource) -> None:
        self.singles: Dict[str, Tuple[int, ...]] = {}
        self._facts, self._rules, self._files = facts, rules, files
        self._kept: Dict[str, Tuple[Any, ...]] = {}
        self._first: Optional[Tuple[int, Any]] = None
        self._gamuts: Dict[str, str] = {}
        self._other_gamuts: Set[str] = set()

    def look(self, frame: int) -> None:
        """Check each file of a frame on its own, then all of them together."""
        headers = {layer: header for layer in self._facts for header in self._header(layer, frame)}
        if self._rules is None or self._rules.target not in headers:
            return
        try:
            chosen = self._rules.judge(headers)
            self._same_format(frame, headers, chosen)
        except FrameError as error:
            self._note(error.layer or self._rules.target, frame, error)
            return
        for layer, header in headers.items():
            self._take_facts(layer, header, chosen)
            self._same_primaries(layer, frame, header, chosen)
        for remark in chosen.remarks:
            layer, _, said = remark.partition(": ")
            if said not in self._facts[layer].remarks:
                self._facts[layer].remarks.append(said)

    def _header(self, layer: str, frame: int) -> Tuple[Any, ...]:
        """Return the header of one file, or None if it cannot be read; a single file is read once."""
        facts = self._facts[layer]
        if layer in self.singles:
            return self._kept.get(layer, ())
        if facts.pattern.is_single:
            self.singles[layer] = ()
        try:
            path = self._files.path(layer, frame)
            facts.size_bytes += _head(path, frame, layer)
            found: Tuple[Any, ...] = () if self._rules is None else (_read_header(path),)
        except FrameError as error:
            self._note(layer, frame, error)
            return ()
        if facts.pattern.is_single:
            self.singles[layer] = (frame,)
            self._kept[layer] = found
        return found

    def _note(self, layer: str, frame: int, error: FrameError) -> None:
        """Note a problem of a file; one of a single file is not repeated for every frame."""
        problems = self._facts[layer].problems
        if self._facts[layer].pattern.is_single and any(p.message == error.message for p in problems):
            return
        error.frame, error.layer = frame, layer
        problems.append(error)

    def _same_format(self, frame: int, headers: Mapping[str, Any], chosen: Any) -> None:
        """Raise `FrameMismatch` if this frame's format differs from that of the first good frame."""
        window = _part(headers, chosen, self._rules.target).display_window if self._rules else ()
        if self._first is None:
            self._first = (frame, window)
        number, first = self._first
        if window != first:
            raise FrameMismatch(
                f"its format is {size_text(window)}, that of frame {number} is {size_text(first)}.",
                fix="Render all frames with one format.",
            )

    def _same_primaries(self, layer: str, frame: int, header: Any, chosen: Any) -> None:
        """Remark on the first file of an image that states other primaries than the first one."""
        rules = self._rules
        if rules is None or layer not in chosen.images or layer in (*rules.vectors, *rules.colorspace):
            return
        stated = _gamut(_part({layer: header}, chosen, layer).chromaticities)
        first = self._gamuts.setdefault(layer, stated)
        one, other = (text.split(" (")[0].replace(" ", "") for text in (stated, first))
        if one != other and layer not in self._other_gamuts:
            self._other_gamuts.add(layer)
            self._facts[layer].remarks.append(
                f"frame {frame} states other primaries ({stated}) than the first one ({first}); --colorspace names one "
                "for all"
            )

    def _take_facts(self, layer: str, header: Any, chosen: Any) -> None:
        facts = self._facts[layer]
        if not facts.header:
            picture = chosen.images.get(layer)
            matte = chosen.mattes.get(layer)
            names = [matte.channel] if picture is None else [*picture.rgb, *filter(None, [picture.alpha])]
            facts.header = _described(_part({layer: header}, chosen, layer), len(header.parts), names)


def _part(headers: Mapping[str, Any], chosen: Any, layer: str) -> Any:
    """Return the header of the part that holds a layer."""
    return headers[layer].parts[(chosen.images.get(layer) or chosen.mattes[layer]).part]


def _read_header(path: str) -> Any:
    from harmovid.pixels import exr

    return exr.read_header(path)


def _head(path: str, frame: int, layer: str) -> int:
    """Return the file's size, after checking that its first bytes are those of a supported EXR."""
    try:
        with open(path, "rb") as stream:
            head = stream.read(HEAD_BYTES)
            size = os.fstat(stream.fileno()).st_size
    except FileNotFoundError:
        what = (
            f"{path} is a link to a file that is not there."
            if os.path.islink(path)
            else f"there is no file {path}."
        )
        raise FrameMissing(what, fix="Render it, or leave it out of --frames.") from None
    except OSError as error:
        raise FrameUnreadable(
            f"{path} cannot be read: {error.strerror}.", fix="Check its permissions."
        ) from error
    check_exr(head, size, path, frame, layer)
    return size


def _described(part: Any, parts: int, taken: Sequence[str]) -> Dict[str, Any]:
    """Return one part's header as plain facts."""
    channels = {name: _type_name(channel.dtype) for name, channel in part.channels.items()}
    return {
        "format": size_text(part.display_window),
        "display_window": list(part.display_window),
        "data_window": list(part.data_window),
        "channels": channels,
        "taken": list(taken),
        "part": part.name,
        "compression": part.compression,
        "tiled": bool(part.tiled),
        "parts": parts,
        "pixel_aspect": part.pixel_aspect,
        "primaries": _gamut(part.chromaticities),
    }


def _gamut(chromaticities: Any) -> str:
    """Return the name of a header's primaries, or their numbers if they have no name."""
    from harmovid.pixels.colour import primaries

    if chromaticities is None:
        return "Rec. 709 (the file states none)"
    stated = tuple(float(value) for value in chromaticities)
    named = [name for name, known in primaries.GAMUTS.items() if primaries.same_gamut(stated, known)]  # type: ignore[arg-type]
    return named[0] if named else " ".join(f"{value:.4g}" for value in stated)


def _type_name(dtype: Any) -> str:
    return {"float16": "half", "float32": "float", "uint32": "uint"}[
        getattr(dtype, "name", None) or dtype.__name__
    ]


def size_text(box: Any) -> str:
    """Return a window `(x0, y0, x1, y1)`, exclusive, as "1920x1080", with its corner if that is not 0, 0."""
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
    where = f" of the part {header['part']}" if header["parts"] > 1 else ""
    return [
        f"format {header['format']}, data window {data}{aspect}, {header['compression']}{extra}",
        "channels " + "; ".join(f"{', '.join(names)} ({kind})" for kind, names in by_type.items()),
        f"used {', '.join(header['taken'])}{where}",
        f"primaries {header['primaries']}",
    ]
