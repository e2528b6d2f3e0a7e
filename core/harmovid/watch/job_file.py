"""A job file: a small text file that is dropped into a watched folder.

    [job]
    task = deflicker
    plate = shot010/
    frames = 1001-1100

    [options]
    radius = 12

`[job]` has `task` or `engine`, the engine's inputs by name, and the other keys of `KEYS`; `[options]` the engine's
options. Paths are relative to the job file. Without `out` the results of `shot010.job` go to the folder `shot010.out`.
An input may be a film (`harmovid.watch.films`).
"""

from __future__ import annotations

import configparser
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import AbstractSet, Any, Dict, Mapping, Optional

from harmovid.errors import InputError
from harmovid.file_plan import FilePlan, Roots
from harmovid.frames import FrameRange
from harmovid.job import IMAGE, EngineInfo, Option, OutputSpec
from harmovid.job_files import JobFiles
from harmovid.storage.files import DirectorySource

SUFFIX = ".job"
OUT_SUFFIX = ".out"
KEYS = {
    "task": "deflicker or harmonize: the default engine of that task",
    "engine": "an engine by name, in place of a task",
    "out": "pattern or folder of the results",
    "frames": "1001-1100, 1001-1100x2, 1,5,9-12 (default all that are found)",
    "handles": "frames to either side that the engine sees too, so that a part of a shot fits the rest",
    "output": "fg or comp",
    "strength": "share of the change that is applied, 0 to 2",
    "field": "yes: add the lighting field as channels, in stops",
    "colorspace": "OpenColorIO name of all images; colorspace.bg = that of one input",
    "premultiplied": "no: colours are not multiplied by alpha",
    "overwrite": "yes: replace results that are there already",
    "film": "the results as a film as well: name.mov, name.mkv or name.mp4, where the plate is a film",
    "first": "number of a film's first frame (default 1)",
    "matrix": "bt709, bt601, bt2020: how a film's colours are coded, where it does not say or is wrong",
    "keep_frames": "yes: keep a film's decoded frames",
}
"""The keys of `[job]` that are not inputs."""
SPACE_OF = "colorspace."
MATRICES = {"": "", "bt709": "bt709", "bt601": "smpte170m", "bt2020": "bt2020nc"}
"""The names of a film's matrix, and those that ffmpeg uses."""


@dataclass(frozen=True)
class JobFile:
    """The content of one job file.

    Attributes:
        path: the file.
        digest: of its bytes, since a changed file is a new job.
        engine: the name of an engine or of a task.
        words: `[job]` without `task` and `engine`, as text.
        options: `[options]`, as text.
    """

    path: Path
    digest: str
    engine: str
    words: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> JobFile:
        """Read a job file.

        Raises:
            InputError: it cannot be read, or does not name exactly one of task and engine.
        """
        try:
            data = path.read_bytes()
            # Paths are case-sensitive and may contain "%" and ":".
            parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
            parser.optionxform = str  # type: ignore[assignment,method-assign]
            # Windows' editor writes UTF-16 under the name Unicode.
            coding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
            parser.read_string(data.decode(coding), source=path.name)
        except (OSError, UnicodeDecodeError, configparser.Error) as error:
            reason = " ".join(str(error).split())
            raise InputError(
                f"{path.name} cannot be read: {reason}.", fix="Write it as docs/watch.md shows."
            ) from error
        sections = {name: dict(parser[name]) for name in parser.sections()}
        unknown = sorted(set(sections) - {"job", "options"})
        if unknown:
            raise InputError(
                f"{path.name} has a section [{unknown[0]}].", fix="It takes [job] and [options]."
            )
        words = sections.get("job", {})
        task, engine = words.pop("task", ""), words.pop("engine", "")
        if bool(task) == bool(engine):
            raise InputError(
                f"{path.name} names {'both a task and an engine' if task else 'neither a task nor an engine'}.",
                fix="Write one line under [job]: task = deflicker, or task = harmonize, or engine = NAME.",
            )
        digest = hashlib.sha256(data).hexdigest()
        return cls(path, digest, task or engine, words, sections.get("options", {}))

    @property
    def out(self) -> str:
        """The results' pattern or folder; default a folder beside the job file."""
        return self._at(self.words.get("out", "")) or str(self.path.with_suffix(OUT_SUFFIX))

    @property
    def film(self) -> str:
        """The film of the results to be written, "" for none."""
        return self._at(self.words.get("film", ""))

    @property
    def first(self) -> int:
        """The frame number of a film's first frame.

        Raises:
            InputError: it is not a whole number.
        """
        text = self.words.get("first", "1")
        try:
            return int(text)
        except ValueError as error:
            raise self._bad("first", text, "a whole number") from error

    @property
    def matrix(self) -> str:
        """The colour matrix of films, by ffmpeg's name; "" for that stated by the film.

        Raises:
            InputError: the name is unknown.
        """
        text = self.words.get("matrix", "")
        if text not in MATRICES:
            raise self._bad("matrix", text, "one of " + ", ".join(filter(None, MATRICES)))
        return MATRICES[text]

    @property
    def overwrite(self) -> bool:
        """Whether existing results may be replaced."""
        return self._yes("overwrite", default=False)

    @property
    def keep_frames(self) -> bool:
        """Whether a film's decoded frames stay when the job is done."""
        return self._yes("keep_frames", default=False)

    def space_of(self, layer: str) -> str:
        """Return the colour space given for an input, or ""."""
        return self.words.get(SPACE_OF + layer, self.words.get("colorspace", ""))

    def inputs(self, engine: EngineInfo) -> Dict[str, str]:
        """Return the engine's inputs joined to the folder of the job file: layer to pattern, file, folder or film.

        Raises:
            InputError: an unknown key in [job].
        """
        layers = [layer.name for layer in engine.layers]
        known = {*KEYS, *layers, *(SPACE_OF + layer for layer in engine.layers_of(IMAGE))}
        for word in self.words:
            if word not in known:
                fix = "It takes " + ", ".join([*layers, *KEYS]) + "."
                if word in [option.name for option in engine.options]:
                    fix = "It is an option of the engine: write it under [options]."
                raise InputError(f"{self.path.name} has an unknown key {word!r} under [job].", fix=fix)
        return {layer: self._at(self.words[layer]) for layer in layers if self.words.get(layer)}

    def fingerprint(self, engine: EngineInfo) -> int:
        """Return a number that changes when the job's input files or its frames do; films are ignored.

        Raises:
            InputError, OutputError: see `harmovid.file_plan.FilePlan.make`.
        """
        plan = FilePlan.make(
            engine.layers, self.inputs(engine), self._folder_out(), self.words.get("frames") or None
        )
        return DirectorySource(plan.layers).fingerprint(plan.frames)

    def check(self, engine: EngineInfo) -> None:
        """Check all values, as `prepare` does, without the input files: they may still have to be decoded.

        Raises:
            InputError: an unknown key or option, or a value that cannot be used.
        """
        self.inputs(engine)
        engine.check_options(self._options(engine))
        premultiplied, field_too = self._yes("premultiplied", default=True), self._yes("field", default=False)
        OutputSpec(self.words.get("output", "fg"), self._number("strength", 1.0), field_too, premultiplied)
        _ = self.first, self.matrix, self.overwrite, self.keep_frames, self._handles()
        if self.words.get("frames"):
            FrameRange.parse(self.words["frames"])

    def prepare(
        self,
        engine: EngineInfo,
        roots: Roots = (),
        own: AbstractSet[str] = frozenset(),
        decoded: Mapping[str, str] = {},
    ) -> JobFiles:
        """Return the job, ready to start.

        Args:
            engine: the engine that `self.engine` names.
            roots: `client.roots`.
            own: paths of results that an earlier run of this job wrote and that may be replaced.
            decoded: the patterns of inputs that are films.

        Raises:
            InputError: an unknown key, or an invalid value; see also `JobFiles.prepare`.
        """
        given = {**self.inputs(engine), **decoded}
        spaces = {layer: self.space_of(layer) for layer in engine.layers_of(IMAGE) if layer in given}
        return JobFiles.prepare(
            engine,
            given,
            self._folder_out(),
            frames=self.words.get("frames") or None,
            options=self._options(engine),
            output=self.words.get("output", "fg"),
            strength=self._number("strength", 1.0),
            field=self._yes("field", default=False),
            colorspace={layer: space for layer, space in spaces.items() if space},
            premultiplied=self._yes("premultiplied", default=True),
            overwrite=self.overwrite,
            label=self.path.stem,
            roots=roots,
            own=own,
            handles=self._handles(),
        )

    def _folder_out(self) -> str:
        """Return `out`; the default folder with a separator at its end, so that its name is never a pattern."""
        return self.out if self.words.get("out") else self.out + "/"

    def _at(self, text: str) -> str:
        """Return a path joined to the folder of the job file; empty stays empty."""
        if not text:
            return ""
        joined = str(self.path.parent / text)
        return joined + "/" if text.endswith("/") else joined

    def _options(self, engine: EngineInfo) -> Dict[str, Any]:
        known = {option.name: option for option in engine.options}
        # Unknown options stay text: the engine's check then names them and the valid ones.
        return {
            name: self._value(known[name], text) if name in known else text
            for name, text in self.options.items()
        }

    def _value(self, option: Option, text: str) -> Any:
        try:
            if option.kind == "bool":
                return _yes_or_no(text)
            if option.kind in ("int", "frame"):
                return int(text)
            return float(text) if option.kind == "float" else text
        except ValueError as error:
            raise self._bad(option.name, text, {"bool": "yes or no"}.get(option.kind, "a number")) from error

    def _handles(self) -> Optional[int]:
        text = self.words.get("handles", "")
        try:
            return int(text) if text else None
        except ValueError as error:
            raise self._bad("handles", text, "a whole number") from error

    def _number(self, word: str, default: float) -> float:
        text = self.words.get(word, "")
        try:
            return float(text) if text else default
        except ValueError as error:
            raise self._bad(word, text, "a number") from error

    def _yes(self, word: str, default: bool) -> bool:
        text = self.words.get(word, "")
        try:
            return _yes_or_no(text) if text else default
        except ValueError as error:
            raise self._bad(word, text, "yes or no") from error

    def _bad(self, word: str, text: str, wanted: str) -> InputError:
        return InputError(f"{word} in {self.path.name} is {text!r}.", fix=f"It must be {wanted}.")


def _yes_or_no(text: str) -> bool:
    """Return the value of a yes or no word; raise `ValueError` for any other."""
    said = configparser.ConfigParser.BOOLEAN_STATES.get(text.strip().lower())
    if said is None:
        raise ValueError(text)
    return said
