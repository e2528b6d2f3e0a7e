"""A job as a small text file, which is dropped into a watched folder.

    [job]
    task = deflicker
    plate = shot010/
    frames = 1001-1100

    [options]
    radius = 12

`[job]` takes `task` or `engine`, the engine's inputs by name, and the other words of `KEYS`; `[options]` the engine's
options. Paths are relative to the job file. Without `out` the results of `shot010.job` go to the folder `shot010.out`.
"""

from __future__ import annotations

import configparser
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Mapping

from harmovid.errors import InputError
from harmovid.file_plan import Roots
from harmovid.job import EngineInfo, Option
from harmovid.job_files import JobFiles

SUFFIX = ".job"
OUT_SUFFIX = ".out"
KEYS = {
    "task": "deflicker or harmonize: the default engine of that task",
    "engine": "an engine by name, in place of a task",
    "out": "pattern or folder of the results",
    "frames": "1001-1100, 1001-1100x2, 1,5,9-12 (default all that are found)",
    "output": "fg or comp",
    "strength": "share of the change that is applied, 0 to 2",
    "field": "yes: add the lighting field as channels, in stops",
    "colorspace": "OpenColorIO name of all images",
    "premultiplied": "no: colours are not multiplied by alpha",
    "overwrite": "yes: replace results that are there already",
}
"""The words of `[job]` that are no inputs."""


@dataclass(frozen=True)
class JobFile:
    """What one job file says.

    Attributes:
        path: the file.
        digest: of its bytes: a changed file is a new job.
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
            InputError: it cannot be read, or names neither a task nor an engine, or both.
        """
        try:
            data = path.read_bytes()
            # Paths are case-sensitive and may hold "%" and ":".
            parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
            parser.optionxform = str  # type: ignore[assignment,method-assign]
            parser.read_string(data.decode("utf-8-sig"), source=path.name)
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
        """Where the results go: as said, or the folder beside the job file."""
        return self._at(self.words.get("out", "")) or str(self.path.with_suffix(OUT_SUFFIX))

    def prepare(self, engine: EngineInfo, roots: Roots = (), again: bool = False) -> JobFiles:
        """Return the job, ready to start.

        Args:
            engine: the engine that `self.engine` names.
            roots: `client.roots`.
            again: an earlier run of this very job did not tell its end: the results that are there are its own.

        Raises:
            InputError: a word that is not known, or has a value that cannot be used; see also `JobFiles.prepare`.
        """
        inputs = {layer.name: self._at(self.words.get(layer.name, "")) for layer in engine.layers}
        known = {**KEYS, **inputs}
        for word in self.words:
            if word not in known:
                raise InputError(
                    f"{self.path.name} has an unknown word {word!r} under [job].",
                    fix="It takes " + ", ".join([*inputs, *KEYS]) + ".",
                )
        return JobFiles.prepare(
            engine,
            {name: text for name, text in inputs.items() if text},
            self._folder_out(),
            frames=self.words.get("frames") or None,
            options=self._options(engine),
            output=self.words.get("output", "fg"),
            strength=self._number("strength", 1.0),
            field=self._yes("field", default=False),
            colorspace=self.words.get("colorspace", ""),
            premultiplied=self._yes("premultiplied", default=True),
            overwrite=again or self._yes("overwrite", default=False),
            label=self.path.stem,
            roots=roots,
        )

    def _folder_out(self) -> str:
        """Return `out`; the folder beside the job file as a folder, whatever is in its name."""
        return self.out if self.words.get("out") else self.out + "/"

    def _at(self, text: str) -> str:
        """Return a path of the file as seen from here; empty stays empty."""
        if not text:
            return ""
        joined = str(self.path.parent / text)
        return joined + "/" if text.endswith("/") else joined

    def _options(self, engine: EngineInfo) -> Dict[str, Any]:
        known = {option.name: option for option in engine.options}
        # What is not known is left as text: the engine's own check names it, and what there is.
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
    """Return what a word of yes or no says; raise `ValueError` for any other."""
    said = configparser.ConfigParser.BOOLEAN_STATES.get(text.strip().lower())
    if said is None:
        raise ValueError(text)
    return said
