"""From a job's command line to its plan: which files, which frames, where to. Opens no picture.

plan = make_plan(args, "harmonize", roots)
plan.layers["fg"].path(1001)
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Set, Tuple

from harmovid.cli.parser import IMAGE_LAYERS, MATTE_LAYERS
from harmovid.errors import InputError, OutputError, PatternError
from harmovid.frames import FramePattern, FrameRange
from harmovid.job import OutputSpec

EXTENSION = ".exr"


@dataclass(frozen=True)
class Plan:
    """A job before it has an engine: everything that command line and folders say.

    `layers` maps a layer to its files, the relit one first; `shared` those that the server reads itself to
    "root:relative/pattern.####.exr".
    """

    task: str
    layers: Dict[str, FramePattern]
    out: FramePattern
    frames: FrameRange
    output: OutputSpec
    label: str
    colorspace: Dict[str, str] = field(default_factory=dict)
    shared: Dict[str, str] = field(default_factory=dict)

    @property
    def target(self) -> str:
        """The layer that is relit and returned."""
        return next(iter(self.layers))


def make_plan(args: argparse.Namespace, task: str, roots: Sequence[Tuple[Path, str]] = ()) -> Plan:
    """Return the plan of a job command's arguments.

    Args:
        args: what `parser.build()` read.
        task: "deflicker" or "harmonize".
        roots: local folders that the server mounts under a root name, the longest first.

    Raises:
        PatternError, InputError: a file pattern, range, colour space or output that cannot be used as given.
    """
    names = (*IMAGE_LAYERS[task], *MATTE_LAYERS[task])
    given = {name: getattr(args, name) for name in names if getattr(args, name)}
    layers = {name: input_pattern(text) for name, text in given.items()}
    frames = _frames(args.frames, layers, IMAGE_LAYERS[task])
    out = _output(args.out, layers[names[0]], frames)
    _refuse_inputs_as_output(out, frames, layers)
    return Plan(
        task=task,
        layers=layers,
        out=out,
        frames=frames,
        output=OutputSpec(
            mode=getattr(args, "mode", "fg"),
            strength=args.strength,
            field_layers=args.field,
            premultiplied=args.premultiplied,
        ),
        label=args.label or f"{task} {out.text[len(out.folder) :]}",
        colorspace=_colorspace(args.colorspace, task),
        shared=_shared(layers, roots),
    )


def input_pattern(text: str) -> FramePattern:
    """Return the pattern of an input; a folder stands for the one EXR sequence that it holds.

    Raises:
        PatternError: the folder holds none or several.
    """
    if not os.path.isdir(text):
        return FramePattern.parse(text)
    found = sequences(Path(text))
    if len(found) == 1:
        return found[0]
    if not found:
        raise PatternError(
            f"the folder {text} holds no EXR files.", fix="Name the frames, like plate.####.exr."
        )
    raise PatternError(
        f"the folder {text} holds {len(found)} sequences.",
        fix="Name one: " + ", ".join(pattern.text for pattern in found[:5]) + ".",
    )


def sequences(folder: Path) -> List[FramePattern]:
    """Return the patterns of all numbered EXR sequences in `folder`, by name."""
    patterns: Dict[str, FramePattern] = {}
    known: List[FramePattern] = []
    for name in sorted(os.listdir(folder)):
        stem, extension = os.path.splitext(name)
        digits = len(stem) - len(stem.rstrip("0123456789"))
        if extension.lower() != EXTENSION or not digits or any(p.number_in(name) is not None for p in known):
            continue
        # "9.exr" before "10.exr" shows no padding; a leading zero or four digits do.
        width = digits if stem[-digits] == "0" or digits >= 4 else 1
        pattern = FramePattern.parse(str(folder / f"{stem[:-digits]}{'#' * width}{extension}"))
        patterns.setdefault(pattern.text, pattern)
        known.append(pattern)
    return list(patterns.values())


def journals_in(folder: str) -> List[str]:
    """Return the names of the resume journals that lie in an output folder (see `harmovid.storage.journal`)."""
    return [path.name for path in Path(folder or ".").glob(".harmovid-*.journal")]


def _frames(text: Optional[str], layers: Dict[str, FramePattern], images: Sequence[str]) -> FrameRange:
    """Return the frames asked for; by default those of the first image that is a sequence."""
    wanted = FrameRange.parse(text) if text else None
    leader = next((layers[name] for name in images if not layers[name].is_single), layers[images[0]])
    for pattern in layers.values():
        pattern.expand()  # refuses, with a hint, a pattern that fits no file at all
    frames = leader.expand(wanted)
    found = leader.existing()
    if not leader.is_single and not any(frame in found for frame in frames):
        raise PatternError(f"none of the frames {frames} is there.", fix=f"{leader.text} has {found}.")
    return frames


def _output(text: str, source: FramePattern, frames: FrameRange) -> FramePattern:
    """Return the pattern of the results: `text` itself, or in the folder `text` the input's own name."""
    is_folder = os.path.isdir(text) or text.endswith(("/", os.sep)) or not text.lower().endswith(EXTENSION)
    if is_folder:
        name = source.text[len(source.folder) :]
        if source.is_single and len(frames) > 1:
            name = f"{os.path.splitext(name)[0]}.####{EXTENSION}"
        return FramePattern.parse(os.path.join(text, name))
    pattern = FramePattern.parse(text)
    if pattern.is_single and len(frames) > 1:
        raise PatternError(
            f"{text} is one file, but there are {len(frames)} frames.", fix="Write it like out.####.exr."
        )
    return pattern


def _refuse_inputs_as_output(out: FramePattern, frames: FrameRange, layers: Dict[str, FramePattern]) -> None:
    """Raise `OutputError` where a result would replace one of the inputs, by whatever name or link."""
    present = [frame for frame in frames if os.path.exists(out.path(frame))]
    if not present:
        return
    taken: Set[Tuple[int, int]] = set()
    for pattern in layers.values():
        taken.update(_identity(pattern.path(frame)) for frame in pattern.existing())
    for frame in present:
        if _identity(out.path(frame)) in taken:
            raise OutputError(
                f"{out.path(frame)} is one of the inputs.",
                fix="Write to another folder or name.",
                frame=frame,
            )


def _identity(path: str) -> Tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _colorspace(texts: Sequence[str], task: str) -> Dict[str, str]:
    """Return the colour space of each image layer that was given one; `NAME` alone means all images."""
    images, mattes = IMAGE_LAYERS[task], MATTE_LAYERS[task]
    everywhere: Dict[str, str] = {}
    single: Dict[str, str] = {}
    for text in texts:
        layer, equals, name = text.partition("=")
        if equals and layer in mattes:
            raise InputError(
                f"{layer} is a matte and has no colour space.", fix="Leave it out of --colorspace."
            )
        if equals and layer in images and name:
            single[layer] = name
        elif text and not equals:
            everywhere.update(dict.fromkeys(images, text))
        else:
            raise InputError(
                f"--colorspace {text!r} cannot be read.",
                fix="Write NAME or " + " or ".join(f"{image}=NAME" for image in images) + ".",
            )
    return {**everywhere, **single}


def _shared(layers: Dict[str, FramePattern], roots: Sequence[Tuple[Path, str]]) -> Dict[str, str]:
    """Return the layers that lie under a mapped folder, as the server's root and the path in it."""
    found: Dict[str, str] = {}
    for layer, pattern in layers.items():
        folder = Path(os.path.abspath(pattern.folder or "."))
        name = pattern.prefix + "#" * (pattern.width or 0) + pattern.suffix
        for local, root in roots:
            try:
                inside = folder.relative_to(os.path.abspath(local))
            except ValueError:
                continue
            found[layer] = f"{root}:{(inside / name).as_posix()}"
            break
    return found
