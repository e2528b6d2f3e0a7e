"""Frames on disk: where a job's inputs are read from and where its results are written to.

    source = DirectorySource({"plate": FramePattern.parse("shots/plate.####.exr")})
    out = FramePattern.parse("out/plate.####.exr")
    sink = DirectorySink(out, frames, source)
    client.run(spec, source, sink)

`Source` and `Sink` are what `harmovid.client` needs; hosts may bring their own. `read` and `write` are
called from threads of their own, never two calls of one at once. Files are passed on as bytes: only the
first eight are looked at here.
"""

from __future__ import annotations

import errno
import os
import struct
import time
from typing import Any, Dict, Iterable, List, Mapping, Optional, Protocol, Set, Tuple

from harmovid.errors import FrameMissing, FrameRefused, FrameUnreadable, OutputError, PatternError
from harmovid.frames import FramePattern, FrameRange
from harmovid.storage.atomic import WholeFile, stem_of, temporary_stem
from harmovid.storage.checksums import Buffer, crc32
from harmovid.storage.journal import UNKNOWN, Journal
from harmovid.storage.kinds import EXR_DEEP_FLAG, EXR_MAGIC, HEAD_BYTES, other_kind

LISTING_SECONDS = 2.0  # how long a folder listing serves for "the nearest frame is ..."


class Source(Protocol):
    """Gives a job's input frames as EXR file bytes."""

    def read(self, layer: str, frame: int) -> Buffer:
        """Return the whole file of one frame; may be asked for the same frame again.

        Raises:
            FrameError: this frame cannot be supplied; the job goes on without it.
        """


class Receiver(Protocol):
    """Takes one result piece by piece, as it comes; `write` or `commit` raise `OutputError`."""

    def write(self, data: Buffer) -> None:
        """Take the next piece."""

    def commit(self, report: Mapping[str, Any]) -> None:
        """The result is whole and checked: put it where it belongs, as `Sink.write` would."""

    def drop(self) -> None:
        """It will not become whole: forget it."""


class Sink(Protocol):
    """Takes a job's results, as EXR file bytes.

    A sink that also has `receive(frame: int, size: int) -> Receiver` gets each result piece by piece through
    that, and not by `write`: the client then never holds a whole one in memory.
    """

    def begin(self, job_id: str) -> Mapping[int, int]:
        """Return `{frame: CRC-32 of the file}` of results that are safely there already.

        Called once before the job is submitted, and again with a new id if the server cannot go on with the
        old one; what is there stays.
        """

    def write(self, frame: int, data: Buffer, report: Mapping[str, Any]) -> None:
        """Put one result where it belongs; return when it would survive a power cut.

        `report` is what the server says of the result, and under "crc" the CRC-32 of `data`, already checked.

        Raises:
            OutputError: it cannot be written; the job stops here and can be resumed.
        """

    def finish(self, state: str) -> None:
        """Tidy up: the run is over. `state` is the job's final state, or "" when it can still be resumed."""


def check_exr(head: bytes, size: int, what: str, frame: int, layer: str) -> None:
    """Raise unless a file that begins with `head` is an EXR of a kind that the server takes.

    Args:
        head: at least the first 8 bytes, or all there are.
        size: the file's length in bytes.
        what: the file's name for messages.
        frame: its frame number.
        layer: its layer.

    Raises:
        FrameUnreadable: empty, cut off, or not an EXR; the message says what it is.
        FrameRefused: a deep EXR.
    """
    where: Dict[str, Any] = {"frame": frame, "layer": layer}
    if size == 0:
        raise FrameUnreadable(f"{what} is empty.", fix="Render or copy it again.", **where)
    if not head.startswith(EXR_MAGIC):
        raise FrameUnreadable(
            f"{what} is not an EXR but {other_kind(head)}.", fix="Convert it to EXR.", **where
        )
    if len(head) < 8:
        raise FrameUnreadable(f"{what} is cut off in its header.", fix="Render or copy it again.", **where)
    if struct.unpack_from("<I", head, 4)[0] & EXR_DEEP_FLAG:
        raise FrameRefused(f"{what} is a deep EXR.", fix="Flatten it (DeepToImage) first.", **where)


class DirectorySource:
    """Reads frames from files, one pattern per layer; a single file serves every frame."""

    def __init__(self, patterns: Mapping[str, FramePattern]) -> None:
        self.patterns = dict(patterns)
        self._listed: Dict[str, Tuple[float, Dict[int, str]]] = {}

    def read(self, layer: str, frame: int) -> bytes:
        """Return the frame's file.

        The file is read, not mapped: a mapped file that is replaced while it is sent kills the process, and
        the process may be a host application.

        Raises:
            FrameMissing: no such file; the message names the nearest one that is there.
            FrameUnreadable: empty, not an EXR, or the system cannot read it.
            FrameRefused: a deep EXR.
        """
        pattern = self.patterns[layer]
        path = self.path(layer, frame)
        try:
            with open(path, "rb") as file:
                data = file.read()
        except FileNotFoundError:
            raise self._missing(pattern, layer, frame) from None
        except OSError as error:
            raise FrameUnreadable(
                f"{path} cannot be read: {error.strerror or error}.",
                fix="Check its permissions and the storage.",
                frame=frame,
                layer=layer,
            ) from error
        check_exr(data[:HEAD_BYTES], len(data), path, frame, layer)
        return data

    def path(self, layer: str, frame: int) -> str:
        """Return the path of a frame's file: the pattern's own, or else one of another padding or sign."""
        pattern = self.patterns[layer]
        path = pattern.path(frame)
        if pattern.is_single or os.path.exists(path):
            return path
        return pattern.folder + self._existing(pattern).get(frame, pattern.name(frame))

    def places(self) -> List[str]:
        """Return each layer with where its files lie."""
        layers = sorted(self.patterns.items())
        return [f"{layer} {os.path.abspath(pattern.text)}" for layer, pattern in layers]

    def fingerprint(self, frames: Iterable[int]) -> int:
        """Return a CRC-32 over names, sizes and times of the input files of these frames."""
        crc = 0
        for layer, pattern in sorted(self.patterns.items()):
            for frame in (0,) if pattern.is_single else frames:
                path = os.path.abspath(self.path(layer, frame))
                line = f"{layer} {path} {_size_and_time(path) or 'missing'}\n"
                crc = crc32(line.encode("utf-8", "surrogateescape"), crc)
        return crc

    def fingerprint_of(self, frame: int) -> int:
        """Return the same of one frame; `journal.UNKNOWN` where a file of it is missing."""
        if all(_size_and_time(self.path(layer, frame)) for layer in self.patterns):
            return self.fingerprint([frame])
        return UNKNOWN

    def _missing(self, pattern: FramePattern, layer: str, frame: int) -> FrameMissing:
        files = {} if pattern.is_single else self._existing(pattern)
        nearest = FrameRange(files).nearest(frame)
        fix = pattern.hint() if nearest is None else f"The nearest is {files[nearest]}."
        return FrameMissing(f"there is no file {pattern.path(frame)}.", fix=fix, frame=frame, layer=layer)

    def _existing(self, pattern: FramePattern) -> Dict[int, str]:
        """Return the names of a layer's files by frame, as they were a moment ago."""
        now = time.monotonic()
        listed = self._listed.get(pattern.text)
        if listed is None or now - listed[0] > LISTING_SECONDS:
            try:
                listed = (now, pattern.files())
            except PatternError:
                listed = (now, {})
            self._listed[pattern.text] = listed
        return listed[1]


class DirectorySink:
    """Writes results to files, each whole or not at all, and notes them in the journal when it has one."""

    def __init__(
        self,
        pattern: FramePattern,
        frames: FrameRange,
        source: Optional[DirectorySource] = None,
        journal: Optional[Journal] = None,
        overwrite: bool = False,
        own: Iterable[int] = (),
    ) -> None:
        """Make the output folder.

        Args:
            pattern: where the results go.
            frames: all frames of the job.
            source: the inputs, none of which may be written over.
            journal: remembers what is written, for resuming; it must belong to the same pattern.
            overwrite: results may replace files that are not of this job.
            own: frames whose files are this job's own and may be replaced.

        Raises:
            PatternError: one file name for several frames.
            OutputError: a result would replace an input, or the folder cannot be made.
        """
        self.pattern = pattern
        self._frames = frames
        self._journal = journal
        self._overwrite = overwrite
        self._own: Set[int] = set(own)
        if pattern.is_single and len(frames) > 1:
            raise PatternError(
                f"{pattern.text} is one file, but there are {len(frames)} frames.",
                fix="Write it like out.####.exr.",
            )
        try:
            os.makedirs(pattern.folder or ".", exist_ok=True)
        except OSError as error:
            raise output_error(error, pattern.folder, 0) from error
        if source is not None:
            _refuse_overwrite(pattern, frames, source)
        if journal is not None:
            self._remove_leftovers()

    def begin(self, job_id: str) -> Mapping[int, int]:
        """Return what earlier runs of the same job have written and is still as it was written."""
        written = {} if self._journal is None else self._journal.begin(job_id)
        self._own.update(written, () if self._journal is None else self._journal.outdated)
        return written

    def write(self, frame: int, data: Buffer, report: Mapping[str, Any]) -> None:
        """Write one result and note it in the journal, with the checksum that `report` has.

        Raises:
            OutputError: disk full, no permission, folder gone, or a file that is not of this job has the result's
                name; no temporary file stays behind.
        """
        receiver = self.receive(frame, len(data))
        try:
            receiver.write(data)
            receiver.commit({"crc": crc32(data), **report})
        except BaseException:  # also Ctrl-C: the half file must not stay
            receiver.drop()
            raise

    def receive(self, frame: int, size: int) -> Receiver:
        """Begin one result; nothing of it is held in memory.

        Raises:
            OutputError: the folder is gone, or no file can be made in it.
        """
        return _FileReceiver(self, frame, size)

    def put(self, frame: int, file: WholeFile, size: int, crc: int) -> None:
        """Give a whole result its name and note it in the journal.

        Args:
            frame: whose result it is.
            file: the result, written.
            size: its length in bytes.
            crc: its CRC-32.

        Raises:
            OutputError: a file that is not of this job has the name.
            OSError: it cannot be renamed or noted.
        """
        path = self.pattern.path(frame)
        if self._journal is not None:
            self._journal.announce(frame, size, crc)
        try:
            file.commit(replace=self._overwrite or frame in self._own)
        except FileExistsError as error:
            raise OutputError(
                f"{path} has appeared since the job began, and is not of this job.",
                fix="Allow it to be replaced (--overwrite), or write to another folder.",
                frame=frame,
            ) from error
        self._own.add(frame)
        if self._journal is not None:
            self._journal.record(frame, path, crc)

    def finish(self, state: str) -> None:
        """Close the journal; it is removed when there is nothing to go on with."""
        if self._journal is not None:
            self._journal.finish(state)

    def _remove_leftovers(self) -> None:
        """Remove temporary files of a killed earlier run; the journal's lock says that none is running."""
        folder = self.pattern.folder or "."
        stems = {stem_of(self.pattern.name(frame)) for frame in self._frames}
        for name in os.listdir(folder):
            if temporary_stem(name) in stems:
                os.unlink(os.path.join(folder, name))


class _FileReceiver:
    """One result on its way into a file of the output folder."""

    def __init__(self, sink: DirectorySink, frame: int, size: int) -> None:
        self._sink, self._frame, self._size = sink, frame, size
        self._path = sink.pattern.path(frame)
        try:
            self._file = WholeFile(self._path)
        except OSError as error:
            raise output_error(error, self._path, size, frame) from error

    def write(self, data: Buffer) -> None:
        """See `Receiver`."""
        try:
            self._file.write(data)
        except OSError as error:
            raise output_error(error, self._path, self._size, self._frame) from error

    def commit(self, report: Mapping[str, Any]) -> None:
        """See `Receiver`."""
        try:
            self._sink.put(self._frame, self._file, self._size, report["crc"])
        except OSError as error:
            raise output_error(error, self._path, self._size, self._frame) from error

    def drop(self) -> None:
        """See `Receiver`."""
        self._file.drop()


def _size_and_time(path: str) -> str:
    """Return a file's size and time of change as text, nothing where there is no file."""
    try:
        status = os.stat(path)
    except OSError:
        return ""
    return f"{status.st_size} {status.st_mtime_ns}"


def output_error(error: OSError, path: str, size: int, frame: Optional[int] = None) -> OutputError:
    """Return the `OutputError` for a failed write of `size` bytes, with the fix for its cause."""
    resume = "then run the same command again: it goes on where it stopped."
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        fix = f"The disk is full; free at least {max(size >> 20, 1)} MiB, {resume}"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        fix = f"Make it writable for you or write elsewhere, {resume}"
    else:
        fix = f"Check the storage, {resume}"
    return OutputError(f"{path} cannot be written: {error.strerror or error}.", fix=fix, frame=frame)


def _refuse_overwrite(pattern: FramePattern, frames: FrameRange, source: DirectorySource) -> None:
    """Raise `OutputError` if a result has the path of an input; upper and lower case count as the same."""
    inputs: Set[Tuple[Any, str]] = set()
    for layer in source.patterns.values():
        folder = _folder_identity(layer.folder)
        inputs.update((folder, layer.name(frame).casefold()) for frame in frames)
    own = _folder_identity(pattern.folder)
    for frame in frames:
        if (own, pattern.name(frame).casefold()) in inputs:
            raise OutputError(
                f"{pattern.path(frame)} is one of the inputs.",
                fix="Write to another folder or name.",
                frame=frame,
            )


def _folder_identity(folder: str) -> Any:
    try:
        status = os.stat(folder or ".")
    except OSError:
        return os.path.abspath(folder)
    return status.st_dev, status.st_ino
