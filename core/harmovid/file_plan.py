"""Which files a job reads and writes: patterns, frames, the results' names, colour spaces. Opens no picture.

plan = FilePlan.make(engine.layers, {"fg": "fg/", "bg": "bg.####.exr"}, "out/")
plan.layers["fg"].path(1001)
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence, Set, Tuple, Union

from harmovid.context import Context, near
from harmovid.errors import InputError, OutputError, PatternError
from harmovid.frames import MAX_FRAMES, FramePattern, FrameRange, sequences_in
from harmovid.job import IMAGE, MATTE, PANORAMA, VECTORS, LayerInfo
from harmovid.sequences import numbered

EXTENSION = ".exr"
OTHER_EXTENSIONS = (
    ".avi", ".bmp", ".cin", ".dng", ".dpx", ".exrs", ".gif", ".hdr", ".iff", ".jp2", ".jpeg", ".jpg", ".mkv", ".mov",
    ".mp4", ".mxf", ".pic", ".png", ".psd", ".rat", ".rgb", ".sgi", ".sxr", ".tga", ".tif", ".tiff", ".tx", ".webm",
    ".webp",
)  # fmt: skip
"""Extensions of pictures and films: an output with one of these is a mistake, not the name of a folder."""
LISTED = 5
Roots = Sequence[Tuple[Path, str]]
Choice = Union[str, Mapping[str, str]]
Colorspace = Choice
Frames = Union[str, FrameRange, None]
NO_CONTEXT = Context()


@dataclass(frozen=True)
class FilePlan:
    """The files of a job.

    Attributes:
        layers: layer to its files, in the engine's order: the layer that is relit comes first.
        out: the results.
        frames: the job's frames.
        context: further frames that the engine sees, and of which no result is made.
        leader: the layer whose files are the sequence.
        folders: layers that were given as a folder.
        colorspace: layer to OpenColorIO name, for images that were given one.
        exr_layers: image to the layer, part or view in its files, where one was chosen.
        matte_channels: matte to the channel in its files, where one was chosen.
        shared: layers that the server reads itself, to "root:relative/pattern.####.exr".
    """

    layers: Dict[str, FramePattern]
    out: FramePattern
    frames: FrameRange
    colorspace: Dict[str, str] = field(default_factory=dict)
    shared: Dict[str, str] = field(default_factory=dict)
    exr_layers: Dict[str, str] = field(default_factory=dict)
    matte_channels: Dict[str, str] = field(default_factory=dict)
    context: FrameRange = field(default_factory=FrameRange)
    leader: str = ""
    folders: Tuple[str, ...] = ()

    @classmethod
    def make(
        cls,
        infos: Sequence[LayerInfo],
        inputs: Mapping[str, str],
        out: str,
        frames: Frames = None,
        colorspace: Colorspace = "",
        roots: Roots = (),
        exr_layers: Choice = "",
        matte_channels: Choice = "",
        context: Context = NO_CONTEXT,
    ) -> FilePlan:
        """Return the plan.

        Args:
            infos: the engine's layers.
            inputs: layer to a pattern, a file, or a folder with one sequence; empty texts count as not given.
            out: a pattern, or a folder, where results get the first layer's file names.
            frames: "1001-1100x2,1150", a `FrameRange`, or None for all frames of the first image that is a sequence.
            colorspace: OpenColorIO name of all images, or layer to name; without one files say it themselves.
            roots: local folders that the server mounts under a root name, the longest first.
            exr_layers: the layer, part or view that is the picture, of all images or by layer; else the beauty.
            matte_channels: the channel that is the matte, of all mattes or by layer; else by name and content.
            context: the additional frames that the engine sees.

        Raises:
            InputError: a required input is missing, or one that the engine does not take; a matte with a colour space;
                handles below 0.
            PatternError: a pattern or range that cannot be used, or that fits no file.
            OutputError: a result would replace an input.
        """
        given = {info.name: inputs[info.name] for info in infos if inputs.get(info.name)}
        _check_inputs(infos, inputs)
        layers = {name: input_pattern(text) for name, text in given.items()}
        images = [info.name for info in infos if info.kind == IMAGE and info.name in layers]
        mattes = [info.name for info in infos if info.kind == MATTE and info.name in layers]
        others = [info.name for info in infos if info.kind in (PANORAMA, VECTORS) and info.name in layers]
        leader = _leader(layers, images)
        numbers = _frames(frames, layers, layers[leader])
        results = _output(out, next(iter(layers.values())), numbers)
        _refuse_inputs_as_output(results, numbers, layers)
        spaces = _colorspace(colorspace, infos, images)
        return cls(
            layers,
            results,
            numbers,
            spaces,
            _shared(layers, roots),
            _chosen(exr_layers, images, "image", "a layer", others),
            _chosen(matte_channels, mattes, "matte", "a channel"),
            context.frames(numbers, _seen(layers, leader) if context.handles else FrameRange()),
            leader,
            tuple(name for name, text in given.items() if os.path.isdir(text)),
        )

    @property
    def seen(self) -> FrameRange:
        """All frames that the engine sees."""
        return FrameRange([*self.frames, *self.context]) if self.context else self.frames

    def shown_too(self, frame: Optional[int]) -> FilePlan:
        """Return the plan with one more frame that the engine sees; itself if a layer has no file of it."""
        if frame is None or frame in self.seen or frame not in _seen(self.layers, self.leader):
            return self
        return replace(self, context=FrameRange([*self.context, frame]))

    def sequence(self) -> FrameRange:
        """Return the frames that are there of the first image that is a sequence."""
        return self.layers[self.leader].found()

    def beside(self, reach: int) -> FrameRange:
        """Return the frames on disk, at most `reach` frames from those of the job, that the engine does not see."""
        seen = set(self.seen)
        return FrameRange(n for n in near(self.sequence(), self.frames, reach) if n not in seen)

    def folder_words(self) -> List[str]:
        """Return a sentence for each folder: which sequence of it is taken."""
        patterns = {layer: self.layers[layer] for layer in self.folders}
        return [
            f"{layer}: of the folder {each.folder} the sequence {each.text[len(each.folder) :]} is taken, "
            f"frames {each.found()}"
            for layer, each in patterns.items()
        ]

    def left_in_folders(self) -> Dict[str, List[str]]:
        """Return, by layer, the EXR files of its folder that are not of its sequence, nor nearly (`odd_names`)."""
        found: Dict[str, List[str]] = {}
        for layer in self.folders:
            pattern = self.layers[layer]
            own = {*pattern.files().values(), *pattern.near_misses()}
            names = (name for name in sorted(os.listdir(pattern.folder)) if not name.startswith("."))
            others = [name for name in names if name.lower().endswith(EXTENSION) and name not in own]
            if others:
                found[layer] = others
        return found

    def context_words(self) -> List[str]:
        """Return a sentence that names the frames which the engine sees and makes no results of; none without any."""
        if not self.context:
            return []
        return [
            f"the engine sees frames {self.context} as well and makes no results of them (--handles 0: none)"
        ]

    def existing(self) -> FrameRange:
        """Return the job's frames whose results are there already.

        Raises:
            OutputError: the output folder cannot be read.
        """
        try:
            return FrameRange(frame for frame in self.out.existing() if frame in self.frames)
        except PatternError as error:
            raise OutputError(error.message, fix="Check the output folder.") from error

    def odd_names(self) -> Dict[str, Tuple[List[str], List[str]]]:
        """Return, by layer, the files that almost fit its pattern: those that are taken, and those that are left out.

        See `FramePattern.files` and `near_misses`.
        """
        found: Dict[str, Tuple[List[str], List[str]]] = {}
        for layer, pattern in self.layers.items():
            near = pattern.near_misses()
            if near:
                files = pattern.files()
                used = {files[frame] for frame in self.frames if frame in files}
                found[layer] = ([n for n in near if n in used], [n for n in near if n not in used])
        return found

    def gaps(self) -> Dict[str, FrameRange]:
        """Return the frames of the job and its context that have no file, for each layer where there are any."""
        found: Dict[str, FrameRange] = {}
        for layer, pattern in self.layers.items():
            if not pattern.is_single:
                there = pattern.files()
                missing = [frame for frame in self.seen if frame not in there]
                if missing:
                    found[layer] = FrameRange(missing)
        return found


def holes(frames: FrameRange) -> FrameRange:
    """Return the frames between the first and the last that are left out, in the step that they have in common.

    Empty if the numbers lie so far apart that they cannot be one sequence.
    """
    numbers = sorted(frames)
    step = math.gcd(*(after - before for before, after in zip(numbers, numbers[1:])))
    if not step or (numbers[-1] - numbers[0]) // step > MAX_FRAMES:
        return FrameRange()
    return FrameRange(set(range(numbers[0], numbers[-1], step)).difference(numbers))


def input_pattern(text: str) -> FramePattern:
    """Return the pattern of an input; a folder stands for the one EXR sequence that it holds.

    Raises:
        PatternError: there is no such folder, or it holds none or several.
    """
    if os.path.isfile(text):
        pattern = FramePattern.parse(text)
        # A name may read like a pattern: fg@2x.exr. Of a failed render fg.####.exr is one, too, beside the frames.
        return pattern if pattern.files() else FramePattern.single(text)
    if not os.path.isdir(text):
        if text.endswith(("/", "\\")):
            raise PatternError(
                f"there is no folder {text}.",
                fix="Correct the path, or name the frames, like plate.####.exr.",
            )
        return FramePattern.parse(text)
    found = [name for name in sequences_in(text) if name.lower().endswith(EXTENSION)]
    if len(found) == 1:
        return FramePattern.parse(os.path.join(text, found[0]))
    if not found:
        stills = sorted(name for name in os.listdir(text) if name.lower().endswith(EXTENSION))
        raise PatternError(
            f"the folder {text} holds no {'sequence of ' if stills else ''}EXR files.",
            fix=f"Name the one that stands for all frames, like {os.path.join(text, stills[0])}, or a pattern of names."
            if stills
            else "Name the frames, like plate.####.exr.",
        )
    names = ", ".join(os.path.join(text, name) for name in found[:LISTED])
    raise PatternError(f"the folder {text} holds {len(found)} sequences.", fix=f"Name one: {names}.")


def _check_inputs(infos: Sequence[LayerInfo], inputs: Mapping[str, str]) -> None:
    known = {info.name: info for info in infos}
    for name, text in inputs.items():
        if text and name not in known:
            raise InputError(f"the engine takes no input {name!r}.", fix="It takes " + ", ".join(known) + ".")
    for info in infos:
        if info.required and not inputs.get(info.name):
            raise InputError(f"the engine needs the input {info.name!r}.", fix=info.help)


def _frames(wanted: Frames, layers: Mapping[str, FramePattern], leader: FramePattern) -> FrameRange:
    """Return the frames asked for; by default those of the first image that is a sequence."""
    asked = FrameRange.parse(wanted) if isinstance(wanted, str) and wanted else wanted or None
    for pattern in layers.values():
        if not pattern.files():
            pattern.expand()  # refuses, with a hint, a pattern that fits no file at all
    frames = asked if isinstance(asked, FrameRange) else leader.found()
    for name, pattern in layers.items():
        files = pattern.files()
        if not pattern.is_single and not any(frame in files for frame in frames):
            raise PatternError(
                f"{name}: none of the frames {frames} is there.",
                fix=f"{pattern.text} has {pattern.found()}. All inputs have to be numbered alike.",
            )
    return frames


def _leader(layers: Mapping[str, FramePattern], images: Sequence[str]) -> str:
    """Return the first image that is a sequence; the first image where none is."""
    return next((name for name in images if not layers[name].is_single), images[0])


def _seen(layers: Mapping[str, FramePattern], leader: str) -> FrameRange:
    """Return the frames of the sequence that every layer has."""
    files = [pattern.files() for pattern in layers.values() if not pattern.is_single]
    return FrameRange(number for number in layers[leader].found() if all(number in there for there in files))


def _output(text: str, source: FramePattern, frames: FrameRange) -> FramePattern:
    """Return the pattern of the results: `text` itself, or in the folder `text` the input's own name."""
    is_folder = os.path.isdir(text) or text.endswith(("/", os.sep)) or not text.lower().endswith(EXTENSION)
    if is_folder:
        _refuse_other_results(text)
        name = source.text[len(source.folder) :]
        if source.is_single and len(frames) > 1:
            return FramePattern.parse(os.path.join(text, _numbered(name)))
        path = os.path.join(text, name)
        return FramePattern.single(path) if source.is_single else FramePattern.parse(path)
    pattern = FramePattern.parse(text)
    if pattern.is_single and len(frames) > 1:
        raise PatternError(
            f"{text} is one file, but there are {len(frames)} frames.", fix="Write it like out.####.exr."
        )
    return pattern


def _refuse_other_results(text: str) -> None:
    """Raise `PatternError` for what is no folder but names no EXR files either: res.####.tif, res.mov, res.####."""
    if os.path.isdir(text) or text.endswith(("/", os.sep)):
        return
    stem, extension = os.path.splitext(text)
    pattern = FramePattern.parse(text)
    if pattern.is_single and extension.lower() not in OTHER_EXTENSIONS:
        return
    # ".####" is no extension: res.#### only lacks one.
    known = extension and not set("#@%$") & set(extension)
    raise PatternError(
        f"{text} is no EXR file; results are EXR files.",
        fix=f"Write {stem if known else text}{EXTENSION}, or a folder with / at its end.",
    )


def _numbered(name: str) -> str:
    """Return the pattern for the results of one file that stands for many frames: fg.1001.exr gives fg.####.exr."""
    match = numbered(name)
    if match is None:
        return f"{os.path.splitext(name)[0]}.####{EXTENSION}"
    return f"{match['prefix']}{'#' * max(len(match['number']), 4)}{match['suffix']}"


def _refuse_inputs_as_output(
    out: FramePattern, frames: FrameRange, layers: Mapping[str, FramePattern]
) -> None:
    """Raise `OutputError` where a result would replace one of the inputs, by whatever name or link."""
    present = [frame for frame in frames if os.path.exists(out.path(frame))]
    if not present:
        return
    taken: Set[Tuple[int, int]] = set()
    for pattern in layers.values():
        taken.update(filter(None, (_identity(pattern.folder + name) for name in pattern.files().values())))
    for frame in present:
        if _identity(out.path(frame)) in taken:
            raise OutputError(
                f"{out.path(frame)} is one of the inputs.",
                fix="Write to another folder or name.",
                frame=frame,
            )


def _identity(path: str) -> Optional[Tuple[int, int]]:
    """Return what a file is, whatever its name; None for a link to a file that is not there."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _colorspace(given: Colorspace, infos: Sequence[LayerInfo], images: Sequence[str]) -> Dict[str, str]:
    """Return the colour space of each image that was given one; "" means as the file says."""
    if isinstance(given, str):
        return dict.fromkeys(images, given) if given else {}
    mattes: List[str] = [info.name for info in infos if info.kind != IMAGE]
    for layer in given:
        if layer in mattes:
            raise InputError(f"{layer} is a matte and has no colour space.", fix="Give it none.")
        if layer not in images:
            raise InputError(
                f"there is no image {layer!r} to have a colour space.",
                fix="There are " + ", ".join(images) + ".",
            )
    return {layer: name for layer, name in given.items() if name}


def _chosen(
    given: Choice, layers: Sequence[str], kind: str, what: str, others: Sequence[str] = ()
) -> Dict[str, str]:
    """Return what was chosen for each input of a kind; one text is for all of them, "" means no choice.

    `others` are inputs of which something can be chosen too, but only by name.

    Raises:
        InputError: an input that is none of that kind, or not given.
    """
    if isinstance(given, str):
        if given and not layers:
            raise InputError(
                f"no {kind} is given to choose {what} of.", fix=f"Give the {kind}, or no choice."
            )
        return dict.fromkeys(layers, given) if given else {}
    for layer in given:
        if layer not in (*layers, *others):
            raise InputError(
                f"there is no {kind} {layer!r} to choose {what} of.",
                fix="There are " + ", ".join(layers) + "." if layers else f"Give the {kind}, or no choice.",
            )
    return {layer: name for layer, name in given.items() if name}


def _shared(layers: Mapping[str, FramePattern], roots: Roots) -> Dict[str, str]:
    """Return the layers that lie under a mapped folder, as the server's root and the path in it.

    A path that is not UTF-8 cannot be told to the server, and a name that does not fit its pattern is not found there:
    such files are sent.
    """
    found: Dict[str, str] = {}
    for layer, pattern in layers.items():
        if any(pattern.name(frame) != name for frame, name in pattern.files().items()):
            continue
        folder = Path(os.path.abspath(pattern.folder or "."))
        name = pattern.prefix + "#" * (pattern.width or 0) + pattern.suffix
        if pattern.is_single != FramePattern.parse(name).is_single:
            continue  # a file whose name reads like a pattern
        for local, root in roots:
            try:
                inside = folder.relative_to(os.path.abspath(local))
            except ValueError:
                continue
            if _is_utf8(str(inside / name)):
                found[layer] = f"{root}:{(inside / name).as_posix()}"
            break
    return found


def _is_utf8(path: str) -> bool:
    """Return whether a path is UTF-8: other bytes are lone surrogates in Python (PEP 383)."""
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
