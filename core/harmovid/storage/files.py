"""Frames on disk: where a job's inputs are read from and where its results are written to.

    source = DirectorySource({"plate": FramePattern.parse("shots/plate.####.exr")})
    out = FramePattern.parse("out/plate.####.exr")
    sink = DirectorySink(out, frames, source)
    client.run(spec, source, sink)

`harmovid.client` needs a `Source` and a `Sink`; hosts may implement their own. `read` and `write` are called from
separate threads, but never twice at the same time. Files are passed on as bytes; only the first eight are checked here.
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

LISTING_SECONDS = 2.0  # how long a folder listing is reused for "the nearest frame is ..."


class Source(Protocol):
    """Reads a job's input frames as bytes of EXR files."""

    def read(self, layer: str, frame: int) -> Buffer:
        """Return the file of one frame; may be called again for the same frame.

        Raises:
            FrameError: this frame cannot be supplied; the job goes on without it.
        """


class Receiver(Protocol):
    """Takes one result in chunks, as they arrive; `write` and `commit` may raise `OutputError`."""

    def write(self, data: Buffer) -> None:
        """Write the next chunk."""

    def commit(self, report: Mapping[str, Any]) -> None:
        """Store the result, which is complete and checked, as `Sink.write` would."""

    def drop(self) -> None:
        """Discard the incomplete result."""


class Sink(Protocol):
    """Stores a job's results, as bytes of EXR files.

    A sink that also has `receive(frame: int, size: int) -> Receiver` gets each result in chunks through that
    instead of `write`, so the client never has a whole one in memory.
    """

    def begin(self, job_id: str) -> Mapping[int, int]:
        """Return `{frame: CRC-32 of the file}` of results that are stored safely already.

        Called once before the job is submitted, and again with a new id if the server cannot go on with the
        old one; existing results stay.
        """

    def write(self, frame: int, data: Buffer, report: Mapping[str, Any]) -> None:
        """Store one result; return when it would survive a power cut.

        `report` is the server's report of the result, with the checked CRC-32 of `data` under "crc".

        Raises:
            OutputError: it cannot be written; the job stops here and can be resumed.
        """

    def finish(self, state: str) -> None:
        """Clean up after the run. `state` is the job's final state, or "" if the job can be resumed."""


def check_exr(head: bytes, size: int, what: str, frame: int, layer: str) -> None:
    """Raise unless a file that begins with `head` is an EXR of a supported kind.

    Args:
        head: at least the first 8 bytes, or the whole file if it is shorter.
        size: the file's length in bytes.
        what: the file's name for messages.
        frame: its frame number.
        layer: its layer.

    Raises:
        FrameUnreadable: empty, truncated, or not an EXR; the message names the type.
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
    """Reads frames from files, one pattern per layer; a single file is used for every frame."""

    def __init__(self, patterns: Mapping[str, FramePattern]) -> None:
        self.patterns = dict(patterns)
        self._listed: Dict[str, Tuple[float, Dict[int, str]]] = {}
        self._read: Dict[Tuple[str, int], str] = {}  # size and time of files as they were read

    def read(self, layer: str, frame: int) -> bytes:
        """Return the frame's file.

        The file is read, not mapped: a mapped file that is replaced while it is sent kills the process, and
        the process may be a host application.

        Raises:
            FrameMissing: there is no such file; the message names the nearest existing one.
            FrameUnreadable: empty, not an EXR, or the system cannot read it.
            FrameRefused: a deep EXR.
        """
        pattern = self.patterns[layer]
        path = self.path(layer, frame)
        # Before it is opened: a file that is replaced meanwhile must count as changed, not as read.
        self._read[layer, frame] = _size_and_time(path)
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
        """Return the path of a frame's file: that of the pattern, or else one with another padding or sign."""
        pattern = self.patterns[layer]
        path = pattern.path(frame)
        if pattern.is_single or os.path.exists(path):
            return path
        return pattern.folder + self._existing(pattern).get(frame, pattern.name(frame))

    def places(self) -> List[str]:
        """Return each layer with the location of its files."""
        layers = sorted(self.patterns.items())
        return [f"{layer} {os.path.abspath(pattern.text)}" for layer, pattern in layers]

    def fingerprint(self, frames: Iterable[int]) -> int:
        """Return a CRC-32 over names, sizes and times of the input files of these frames."""
        crc = 0
        for layer, pattern in sorted(self.patterns.items()):
            for frame in (0,) if pattern.is_single else frames:
                crc = self._add(crc, layer, frame, _size_and_time(self.path(layer, frame)))
        return crc

    def fingerprint_of(self, frame: int) -> int:
        """Return the same for one frame; `journal.UNKNOWN` if one of its files is missing.

        Files that have been read count as they were then: a result belongs to what was sent for it, not to what has
        replaced it since.
        """
        crc = 0
        for layer in sorted(self.patterns):
            told = self._read.get((layer, frame)) or _size_and_time(self.path(layer, frame))
            if not told:
                return UNKNOWN
            crc = self._add(crc, layer, frame, told)
        return crc

    def _add(self, crc: int, layer: str, frame: int, size_and_time: str) -> int:
        """Return the CRC-32 `crc` continued by one file."""
        line = f"{layer} {os.path.abspath(self.path(layer, frame))} {size_and_time or 'missing'}\n"
        return crc32(line.encode("utf-8", "surrogateescape"), crc)

    def _missing(self, pattern: FramePattern, layer: str, frame: int) -> FrameMissing:
        files = {} if pattern.is_single else self._existing(pattern)
        nearest = FrameRange(files).nearest(frame)
        path = self.path(layer, frame)
        if os.path.islink(path):
            said, fix = (
                f"{path} is a link to a file that is not there.",
                "Bring the file back, or link another.",
            )
        else:
            said = f"there is no file {pattern.path(frame)}."
            fix = pattern.hint() if nearest is None else f"The nearest is {files[nearest]}."
        return FrameMissing(said, fix=fix, frame=frame, layer=layer)

    def _existing(self, pattern: FramePattern) -> Dict[int, str]:
        """Return the names of a layer's files by frame, from a listing that may be a moment old."""
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
    """Writes results to files atomically, and records them in the journal, if there is one."""

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
            pattern: the results' pattern.
            frames: all frames of the job.
            source: the inputs, none of which may be overwritten.
            journal: records what is written, for resuming; it must belong to the same pattern.
            overwrite: whether results may replace files of others.
            own: frames whose files belong to this job and may be replaced.

        Raises:
            PatternError: several frames have the same file name.
            OutputError: a result would replace an input, or the folder cannot be created.
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
        """Return the results that earlier runs of the same job have written and that are unchanged since."""
        written = {} if self._journal is None else self._journal.begin(job_id)
        self._own.update(written, () if self._journal is None else self._journal.outdated)
        return written

    def write(self, frame: int, data: Buffer, report: Mapping[str, Any]) -> None:
        """Write one result and record it in the journal, with the checksum from `report`.

        Raises:
            OutputError: disk full, no permission, folder gone, or a file of others has the result's name; no
                temporary file remains.
        """
        receiver = self.receive(frame, len(data))
        try:
            receiver.write(data)
            receiver.commit({"crc": crc32(data), **report})
        except BaseException:  # also after Ctrl-C: the unfinished file must not stay
            receiver.drop()
            raise

    def receive(self, frame: int, size: int) -> Receiver:
        """Begin one result, which is not kept in memory.

        Raises:
            OutputError: the folder is gone, or no file can be created in it.
        """
        return _FileReceiver(self, frame, size)

    def put(self, frame: int, file: WholeFile, size: int, crc: int) -> None:
        """Give a complete result its name and record it in the journal.

        Args:
            frame: whose result it is.
            file: the result, written.
            size: its length in bytes.
            crc: its CRC-32.

        Raises:
            OutputError: a file of others has that name.
            OSError: it cannot be renamed or recorded.
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
        """Close the journal; remove it if there is nothing to resume."""
        if self._journal is not None:
            self._journal.finish(state)

    def _remove_leftovers(self) -> None:
        """Remove temporary files of an earlier, killed run; the journal's lock ensures that none is running."""
        folder = self.pattern.folder or "."
        stems = {stem_of(self.pattern.name(frame)) for frame in self._frames}
        for name in os.listdir(folder):
            if temporary_stem(name) in stems:
                os.unlink(os.path.join(folder, name))


class _FileReceiver:
    """One result being written to a file in the output folder."""

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
    """Return a file's size and modification time as text, "" if there is no file."""
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
    """Raise `OutputError` if a result has the path of an input; ignoring case."""
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
