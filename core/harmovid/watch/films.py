"""Films (video files) as inputs of a job: decoded to EXR frames beside the job file, and the results as a film.

    films = Films.of(said, engine)                 # None if all inputs are EXR files
    inputs = films.decode()                        # layer to pattern, in shot010.in/
    film = films.write(job.plan.out, job.frames)   # if the job file asks for one
    films.clean()

The frames hold the film's code values in its own colour space, which the job file has to name: code values are not
light, and nothing is guessed. A killed decoding is resumed. Pixel libraries are imported only by the functions here.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Tuple

from harmovid.errors import FrameError, InputError, OutputError
from harmovid.frames import FramePattern, FrameRange
from harmovid.job import IMAGE, EngineInfo
from harmovid.storage.atomic import stem_of, sync_folder, temporary_stem, write_whole
from harmovid.storage.checksums import crc32
from harmovid.watch.job_file import JobFile

IN_SUFFIX = ".in"
MARKER = "film.json"
EXTENSIONS = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mxf", ".webm")
"""Extensions of films; a test compares them with those of `harmovid.pixels.films`."""


def is_film(text: str) -> bool:
    """Return whether an input is a film, by its name."""
    return os.path.splitext(text)[1].lower() in EXTENSIONS


@dataclass(frozen=True)
class Written:
    """A film of the results under its temporary name, with remarks for the user."""

    temporary: str
    path: str
    remarks: Tuple[str, ...]

    def commit(self) -> None:
        """Give the film its final name; return when it is stored durably.

        Raises:
            OutputError: it cannot be renamed.
        """
        try:
            descriptor = os.open(self.temporary, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.replace(self.temporary, self.path)
        except OSError as error:
            raise OutputError(
                f"{self.path} cannot be written: {error.strerror}.", fix="Check the folder."
            ) from error
        sync_folder(os.path.dirname(self.path))


def crc_of(path: str) -> int:
    """Return the CRC-32 of a file."""
    crc = 0
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            crc = crc32(piece, crc)
    return crc


class Films:
    """The films of one job.

    Attributes:
        paths: layer to film.
        remarks: what is assumed where the films state nothing; set by `decode`.
    """

    def __init__(
        self, said: JobFile, paths: Mapping[str, str], others: Mapping[str, str], target: str
    ) -> None:
        """Use `of` instead."""
        self._said, self.paths, self._others, self._target = said, dict(paths), dict(others), target
        self._folder = said.path.with_suffix(IN_SUFFIX)
        self.remarks: List[str] = []

    @classmethod
    def of(cls, said: JobFile, engine: EngineInfo, private: bool = False) -> Optional[Films]:
        """Return the films among a job's inputs, or None if there are none.

        Everything that can be checked before the films are decoded is checked here: that may take long, and what the
        job file says is only used after it.

        Args:
            said: the job file.
            engine: its engine.
            private: whether the server is a private one, with this machine's colour spaces.

        Raises:
            InputError: a film has no colour space, an unknown one (`ColourError`), or does not exist; a film of the
                results needs a film as target; a value that cannot be used; the pixel libraries are not installed.
        """
        inputs = said.inputs(engine)
        found = {layer: path for layer, path in inputs.items() if is_film(path)}
        if not found:
            if said.film:
                raise InputError(
                    f"{said.path.name} asks for a film, but none of its inputs is one.",
                    fix="Take out the line film = ..., or name a film as the input.",
                )
            return None
        _check_installed()
        others = {layer: path for layer, path in inputs.items() if layer not in found}
        films = cls(said, found, others, engine.target)
        films._check(engine)
        said.check(engine)
        if private:
            _check_spaces([said.space_of(layer) for layer in engine.layers_of(IMAGE) if layer in inputs])
        return films

    def _check(self, engine: EngineInfo) -> None:
        if self._said.film and engine.target not in self.paths:
            raise InputError(
                f"{self._said.path.name} asks for a film, but {engine.target} is not one.",
                fix="Take out the line film = ..., or name a film there.",
            )
        if self._said.film:
            _check_kind(self._said.film)
        for layer, path in self.paths.items():
            if not os.path.isfile(path):
                raise InputError(f"there is no film {path}.", fix="Copy it there, or correct the job file.")
            if layer in engine.layers_of(IMAGE) and not self._said.space_of(layer):
                raise InputError(
                    f"{layer} is a film, and {self._said.path.name} does not say in which colour space.",
                    fix="Write colorspace = NAME under [job], an OpenColorIO name; for ordinary video "
                    "that is sRGB Encoded Rec.709 (sRGB) or Gamma 2.4 Encoded Rec.709.",
                )
            # Also with overwrite = yes: the film would be lost, and the job would start again on its own result.
            if os.path.exists(self._said.film) and os.path.samefile(path, self._said.film):
                raise InputError(f"{self._said.film} is one of the inputs.", fix="Give film = another name.")

    def fingerprint(self) -> int:
        """Return a number that changes when a film or another input does; decoded frames do not matter."""
        lines = [_line(layer, path) for layer, path in sorted(self.paths.items())]
        for layer, text in sorted(self._others.items()):
            folder = text if os.path.isdir(text) else os.path.dirname(text)
            names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
            lines += [_line(layer, os.path.join(folder, name)) for name in names]
        return crc32("\n".join(lines).encode("utf-8", "surrogateescape"))

    def decode(
        self, on_frame: Callable[[str, int], None] = lambda layer, frame: None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Dict[str, str]:  # fmt: skip
        """Write the films' frames and return the pattern of each; existing frames stay.

        Args:
            on_frame: called with layer and frame when a frame is written.
            stopped: called before every frame; if it returns True, the work stops.

        Raises:
            FrameError: a film is damaged. OutputError: the folder holds other files, or cannot be written.
            JobCancelled: it was stopped.
        """
        self.remarks = []
        if self._said.film:
            self._check_form()
        told = self._take_folder()
        for layer in self.paths:
            if told[layer].get("frames") != str(self._pattern(layer).existing()):
                told[layer] = self._decode(layer, on_frame, stopped)
                self._note(told)
            self.remarks += [f"{layer}: {remark}." for remark in told[layer]["remarks"]]
        return {layer: self._pattern(layer).text for layer in self.paths}

    def _decode(
        self, layer: str, on_frame: Callable[[str, int], None], stopped: Callable[[], bool]
    ) -> Dict[str, Any]:
        """Write one film's frames and return its entry for the marker file; of a film that fails nothing stays."""
        from harmovid.pixels.films import decode, probe

        path = self.paths[layer]
        try:
            info = probe(path, self._said.matrix)
            done = decode(
                path, info, self._pattern(layer), self._said.first,
                on_frame=lambda frame: on_frame(layer, frame), stopped=stopped,
            )  # fmt: skip
        except (InputError, FrameError):
            self.clean()
            raise
        told = {"frames": str(done.frames), "remarks": [*info.remarks, *done.remarks]}
        return {**_identity(path, self._said), **told}

    def _check_form(self) -> None:
        """Raise `InputError` if the film of the results cannot have the form of the target's film."""
        from harmovid.pixels.films import layout_of, probe

        layout_of(probe(self.paths[self._target], self._said.matrix), self._said.film)

    def _pattern(self, layer: str) -> FramePattern:
        return FramePattern.parse(str(self._folder / f"{layer}.####.exr"))

    def _take_folder(self) -> Dict[str, Dict[str, Any]]:
        """Create the folder or reuse it; return the entries of its marker file by film.

        Frames of other films in it are removed; any other files are refused.
        """
        now = {layer: _identity(path, self._said) for layer, path in self.paths.items()}
        try:
            self._folder.mkdir(exist_ok=True)
            names = [name for name in os.listdir(self._folder) if temporary_stem(name) is None]
            told = _read(self._folder / MARKER) or {}
            if names and MARKER not in names:
                raise OutputError(
                    f"{self._folder} is there already and is not of this job.",
                    fix="Move it away, or rename the job file.",
                )
            fits = all({**told.get(layer, {}), **each} == told.get(layer) for layer, each in now.items())
            if not fits:
                self._remove_frames()
                told = now
            self._remove_leftovers()
        except OSError as error:
            raise self._not_written(error) from error
        self._note(told)
        return {layer: dict(told[layer]) for layer in self.paths}

    def _note(self, told: Mapping[str, Any]) -> None:
        try:
            write_whole(str(self._folder / MARKER), (json.dumps(told, indent=1) + "\n").encode("utf-8"))
        except OSError as error:
            raise self._not_written(error) from error

    def _not_written(self, error: OSError) -> OutputError:
        return OutputError(f"{self._folder} cannot be written: {error.strerror}.", fix="Check the folder.")

    def _remove_frames(self) -> None:
        """Remove the frames of this job's layers, and nothing else."""
        for layer in {*self.paths, *self._others}:
            pattern = self._pattern(layer)
            for name in pattern.files().values():
                (self._folder / name).unlink()

    def _remove_leftovers(self) -> None:
        for name in os.listdir(self._folder):
            if temporary_stem(name) is not None:
                (self._folder / name).unlink()

    def write(
        self, out: FramePattern, frames: FrameRange, target: str, stopped: Callable[[], bool] = lambda: False
    ) -> Written:
        """Write the film of the results that the job file asks for, under a temporary name.

        Args:
            out: the pattern of the results.
            frames: the frames of the results.
            target: the layer whose film defines the format.
            stopped: called before every frame; if it returns True, the work stops.

        Raises:
            InputError: films of that type are not supported. OutputError: it cannot be written. JobCancelled: it was
                stopped.
        """
        from harmovid.pixels.films import encode, probe

        path = self._said.film
        self._remove_unfinished(path)
        info = probe(self.paths[target], self._said.matrix)
        whole = frames == self._pattern(target).existing()
        temporary, clipped = encode(
            path, info, out, frames, sound=self.paths[target] if whole and info.sound else "", stopped=stopped
        )
        remarks = []
        if clipped:
            remarks.append(
                f"{clipped} numbers of the results are outside what a film holds; they were clipped in it."
            )
        if info.sound and not whole:
            remarks.append("the film of the results has no sound: it holds only a part of the frames.")
        return Written(temporary, path, tuple(remarks))

    def _remove_unfinished(self, path: str) -> None:
        folder, name = os.path.split(path)
        for found in os.listdir(folder or "."):
            if temporary_stem(found) == stem_of(name):
                os.unlink(os.path.join(folder, found))

    def clean(self) -> None:
        """Remove the decoded frames, unless the job file keeps them."""
        if self._said.keep_frames:
            return
        with contextlib.suppress(OSError):
            self._remove_frames()
            (self._folder / MARKER).unlink()
            self._folder.rmdir()


def _check_installed() -> None:
    try:
        import harmovid.pixels.films  # noqa: F401 (only to find out)
    except ImportError as error:
        raise InputError(
            f"films need the pixel libraries, and {error.name} is not installed.",
            fix="Run: pip install 'harmovid[pixels,films]'",
        ) from error


def _check_kind(film: str) -> None:
    from harmovid.pixels.films import FILM_KINDS

    if os.path.splitext(film)[1].lower() not in FILM_KINDS:
        raise InputError(
            f"{film} is no film that is written here.", fix="Name it " + ", ".join(FILM_KINDS) + "."
        )
    if not os.path.isdir(os.path.dirname(film)):
        raise InputError(f"there is no folder {os.path.dirname(film)}.", fix="Make it, or name another film.")


def _check_spaces(names: Iterable[str]) -> None:
    from harmovid.pixels.colour.spaces import space_of

    for name in filter(None, names):
        space_of(name)


def _line(layer: str, path: str) -> str:
    try:
        status = os.stat(path)
    except OSError:
        return f"{layer} {path} missing"
    return f"{layer} {path} {status.st_size} {status.st_mtime_ns}"


def _identity(path: str, said: JobFile) -> Dict[str, Any]:
    return {"film": _line("", path), "first": said.first, "matrix": said.matrix}


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
