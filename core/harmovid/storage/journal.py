"""The resume journal: a file beside the results that records, while the job runs, which of them are safely written.

    with Journal.open("out", job_digest(spec, source, out), out.path) as journal:
        spec = replace(spec, job_id=journal.job_id)

A hidden text file `.harmovid-<digest>.journal` in the output folder. Its first line names the job id, so
that the same command, run again after a crash, finds its job on the server; every further line is one
result that was written, fsynced and renamed. The digest is made of the specification, the inputs' names and the
output: another command has another journal.

    harmovid-journal 2 <job id> <digest> <sent in hex>
    results <frames> <pattern, percent-encoded>
    <frame> <size> <crc32 in hex> <mtime in ns> <inputs in hex>
    kept <number of lines>
    put <frame> <size> <crc32 in hex>
    <frame> <size> <crc32 in hex> <mtime in ns> <inputs in hex>

`put` announces a file that is about to get a result's name: if the run is killed before the next line, the next run
recognises the file as its own. `inputs` is a fingerprint of the frame's input files; if it has changed, the result is
made again. `sent` is the fingerprint of everything that the job sends; if it has changed, the rest is submitted as a
new job. A line that was cut off by a crash is ignored. A run that resumes the job appends all of this anew, with the
results that still exist, up to `kept`. Nothing is ever removed from the file, so a run that is killed at that moment
loses nothing of what earlier runs recorded. A run holds a lock on the journal, so two runs of one command, or two jobs
with the same results, cannot write the same files. The journal is deleted when every result exists; after a job in
which frames failed it stays, so that the same command makes what is missing.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import os
import re
from dataclasses import dataclass
from typing import Callable, Dict, Iterable, List, Mapping, Optional, Protocol

from harmovid.errors import OutputError
from harmovid.job import DONE, JobSpec, new_job_id
from harmovid.storage.checksums import file_crc
from harmovid.storage.claims import Claim, exclusive, other_journals
from harmovid.storage.locks import lock_file

_HEADER = re.compile(r"harmovid-journal 2 ([0-9a-f]{32}) ([0-9a-f]{32}) ([0-9a-f]{8})")
_LINE = re.compile(r"(-?[0-9]{1,10}) ([0-9]{1,12}) ([0-9a-f]{8}) (-?[0-9]{1,20}) ([0-9a-f]{8})")
_PUT = re.compile(r"put (-?[0-9]{1,10}) ([0-9]{1,12}) ([0-9a-f]{8})")
_KEPT = re.compile(r"kept ([0-9]{1,9})")
_READ_BYTES = 1 << 20


UNKNOWN = 0
"""In place of a fingerprint that could not be taken: the inputs count as unchanged."""


class Inputs(Protocol):
    """Inputs that show whether they have changed (`harmovid.storage.files.DirectorySource`)."""

    def places(self) -> List[str]:
        """Return the location of each layer's files as text."""

    def fingerprint(self, frames: Iterable[int]) -> int:
        """Return a number of 32 bits that changes when an input of these frames changes."""

    def fingerprint_of(self, frame: int) -> int:
        """Return the same for one frame; `UNKNOWN` if one of its files is missing."""


@dataclass(frozen=True)
class Written:
    """One result as it was written: its file's size, CRC-32 and modification time, and its inputs' fingerprint."""

    size: int
    crc: int
    mtime_ns: int
    inputs: int = UNKNOWN

    def is_still(self, path: str) -> bool:
        """Return whether the file is unchanged; its content is read only if its modification time has changed."""
        try:
            status = os.stat(path)
            if status.st_size != self.size:
                return False
            return status.st_mtime_ns == self.mtime_ns or file_crc(path) == self.crc
        except OSError:
            return False


def job_digest(spec: JobSpec, source: Inputs, output: str) -> str:
    """Return 32 hex digits that are equal for the same job on files of the same names to the same output.

    Args:
        spec: the job; its id and its context do not count.
        source: the inputs.
        output: the output pattern's text.
    """
    plain = {**spec.to_dict(), "job_id": "", "context": ""}
    said = [plain, source.places(), os.path.abspath(output)]
    text = json.dumps(said, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def journal_path(folder: str, digest: str) -> str:
    """Return the path of the journal of the job with this digest in an output folder."""
    return os.path.join(folder or ".", f".harmovid-{digest[:12]}.journal")


def entries_of(path: str) -> Dict[int, Written]:
    """Return the results that a journal records as written, or announces, without locking it; none if there is none.

    `Written.is_still` says whether a file is unchanged since.
    """
    try:
        with open(path, "rb") as file:
            lines = _latest(file.read().decode("ascii", "replace"))
    except OSError:
        return {}
    found = _announced(lines)
    found.update(_recorded(lines))
    return found


def has_journals(folder: str) -> bool:
    """Return whether an output folder has a journal: a job was interrupted there, or is running."""
    return bool(glob.glob(os.path.join(glob.escape(folder or "."), ".harmovid-*.journal")))


class Journal:
    """One job's journal, open and locked.

    Attributes:
        job_id: the id under which the job is to be submitted.
        outdated: results of this job, by frame, whose inputs have changed since.
        is_changed: whether anything that the job sends has changed since its last run.
    """

    def __init__(
        self,
        path: str,
        descriptor: int,
        digest: str,
        claim: Optional[Claim] = None,
        inputs: Optional[Inputs] = None,
        sent: int = UNKNOWN,
    ) -> None:
        self.path = path
        self.outdated: Dict[int, Written] = {}
        self.is_changed = False
        self._digest = digest
        self._claim = claim
        self._inputs, self._sent = inputs, sent
        self._file: Optional[int] = descriptor
        self._written: Dict[int, Written] = {}
        self.job_id = new_job_id()

    @classmethod
    def open(
        cls,
        folder: str,
        digest: str,
        path_of: Callable[[int], str],
        claim: Optional[Claim] = None,
        inputs: Optional[Inputs] = None,
        sent: int = UNKNOWN,
    ) -> Journal:
        """Open or create the journal in `folder`, and check which of its results still exist unchanged.

        If one is gone, the server may have forgotten it as well: the job then gets a new id, and the other results
        count for the new job.

        Args:
            folder: the output folder; created if it is missing.
            digest: `job_digest` of the job.
            path_of: frame number to the path of its result.
            claim: the results that the job will write; no other job may be writing one of them.
            inputs: the results' inputs; without them they count as unchanged.
            sent: a number of 32 bits that changes when anything that is sent changes.

        Raises:
            OutputError: another run holds it, another job writes the same results, or it cannot be written.
        """
        path = journal_path(folder, digest)
        try:
            os.makedirs(folder or ".", exist_ok=True)
            with exclusive(folder):
                is_new = not os.path.exists(path)
                flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
                journal = cls(path, os.open(path, flags, 0o666), digest, claim, inputs, sent)
                journal._take(folder, path_of, is_new)
                return journal
        except OSError as error:
            raise OutputError(
                f"{path} cannot be written: {error.strerror or error}.", fix="Check the output folder."
            ) from error

    def _take(self, folder: str, path_of: Callable[[int], str], is_new: bool) -> None:
        """Lock the journal, refuse results that another job is writing, and read the journal."""
        try:
            self._lock()
            if self._claim is not None:
                _refuse_clash(folder, self.path, self._claim)
            self._load(path_of)
        except BaseException:
            self.close()
            if is_new:
                with contextlib.suppress(OSError):
                    os.unlink(self.path)
            raise

    def begin(self, job_id: str) -> Mapping[int, int]:
        """Set the job's id, and return `{frame: CRC-32}` of the results that are written."""
        if job_id != self.job_id:
            self.job_id = job_id
            self._begin_anew()
        return {frame: entry.crc for frame, entry in self._written.items()}

    def announce(self, frame: int, size: int, crc: int) -> None:
        """Record that a file is about to get the name of a frame's result.

        Raises:
            OSError: the journal cannot be written.
        """
        # Not fsynced: what a killed process wrote stays; after a power cut the file may count as somebody else's.
        self._append(f"put {frame} {size} {crc:08x}\n", sync=False)

    def record(self, frame: int, path: str, crc: int) -> None:
        """Record one result that is on the disk under its final name.

        Raises:
            OSError: the journal cannot be written.
        """
        status = os.stat(path)
        entry = Written(status.st_size, crc, status.st_mtime_ns, self._inputs_of(frame))
        self._append(_line(frame, entry))
        self._written[frame] = entry

    def _inputs_of(self, frame: int) -> int:
        return UNKNOWN if self._inputs is None else self._inputs.fingerprint_of(frame)

    def finish(self, state: str) -> None:
        """Close; remove the file if every result exists, or if the job has ended with nothing written."""
        if self._file is None:
            return
        if state == DONE and self._written and self._is_something_missing():
            # The server's job has ended: what is missing will be another one.
            self.begin(new_job_id())
            self.close()
            return
        self.close()
        if state == DONE or (state and not self._written):
            with contextlib.suppress(OSError):
                os.unlink(self.path)

    def _is_something_missing(self) -> bool:
        if any(frame not in self._written for frame in self.outdated):
            return True
        claim = self._claim
        return claim is not None and not all(os.path.exists(claim.pattern.path(n)) for n in claim.frames)

    def close(self) -> None:
        """Close the file, which releases its lock; may be called again."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _lock(self) -> None:
        try:
            lock_file(self._descriptor())
        except OSError as error:
            raise OutputError(
                f"another run of the same job is writing to {os.path.dirname(self.path)}.",
                fix="Wait for it, or stop it.",
            ) from error

    def _load(self, path_of: Callable[[int], str]) -> None:
        lines = _latest(_read_all(self._descriptor()))
        header = _HEADER.fullmatch(lines[0])
        found = _recorded(lines)
        for frame, put in _announced(lines).items():
            if frame not in found and put.is_still(path_of(frame)):
                found[frame] = put
        there = {frame: entry for frame, entry in found.items() if entry.is_still(path_of(frame))}
        self.outdated = {frame: entry for frame, entry in there.items() if self._has_changed(frame, entry)}
        self._written = {frame: entry for frame, entry in there.items() if frame not in self.outdated}
        self.is_changed = header is not None and int(header.group(3), 16) != self._sent
        same = header and header.group(2) == self._digest and not self.is_changed
        if header and same and len(self._written) == len(found):
            self.job_id = header.group(1)
        self._begin_anew()

    def _has_changed(self, frame: int, entry: Written) -> bool:
        now = self._inputs_of(frame)
        return UNKNOWN not in (now, entry.inputs) and now != entry.inputs

    def _begin_anew(self) -> None:
        """Append id, claim and the known results; they count once the line `kept` is complete."""
        known = {**self.outdated, **self._written}
        # The file may end in a line that was cut off.
        text = f"\nharmovid-journal 2 {self.job_id} {self._digest} {self._sent:08x}\n"
        text += f"{self._claim.line()}\n" if self._claim is not None else ""
        text += "".join(_line(frame, entry) for frame, entry in known.items())
        self._append(text + f"kept {len(known)}\n")

    def _append(self, text: str, sync: bool = True) -> None:
        descriptor, data = self._descriptor(), text.encode("ascii")
        os.lseek(descriptor, 0, os.SEEK_END)
        while data:
            data = data[os.write(descriptor, data) :]
        if sync:
            os.fsync(descriptor)

    def _descriptor(self) -> int:
        if self._file is None:
            raise OutputError(f"{self.path} is closed.", fix="Open a new journal for a new run.")
        return self._file


def _latest(text: str) -> List[str]:
    """Return the lines from the last complete header on; the last one is cut off, or empty."""
    lines = text.split("\n")
    begun: Optional[int] = None
    whole = 0
    for number, line in enumerate(lines[:-1]):
        if _HEADER.fullmatch(line):
            begun = number
        elif begun is not None and (kept := _KEPT.fullmatch(line)):
            if len(_recorded([*lines[begun:number], ""])) == int(kept.group(1)):
                whole = begun
            begun = None
    return lines[whole:]


def _recorded(lines: List[str]) -> Dict[int, Written]:
    """Return the results that are recorded as written."""
    # The last piece has no newline behind it: empty, or cut off by a crash.
    found = (match.groups() for match in filter(None, map(_LINE.fullmatch, lines[1:-1])))
    return {
        int(frame): Written(int(size), int(crc, 16), int(mtime), int(inputs, 16))
        for frame, size, crc, mtime, inputs in found
    }


def _announced(lines: List[str]) -> Dict[int, Written]:
    """Return the results that were about to get their names; their modification time is -1."""
    found = (match.groups() for match in filter(None, map(_PUT.fullmatch, lines[1:-1])))
    return {int(frame): Written(int(size), int(crc, 16), -1) for frame, size, crc in found}


def _refuse_clash(folder: str, own: str, claim: Claim) -> None:
    """Raise `OutputError` if a running job has claimed one of the results of `claim`."""
    for path in other_journals(folder, own):
        other = _running_claim(path)
        common = claim.clash(other) if other is not None else ()
        if common:
            raise OutputError(
                f"another job is writing {claim.pattern.text}, frames {common}, at this moment.",
                fix="Wait for it, stop it, or write to another folder.",
            )


def _running_claim(path: str) -> Optional[Claim]:
    """Return the claim of another journal's job, or None if no run holds that journal."""
    try:
        descriptor = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
    except OSError:
        return None  # it has just ended
    try:
        lock_file(descriptor)
    except OSError:
        claims = map(Claim.parse, _read_all(descriptor).split("\n"))
        return next((claim for claim in claims if claim is not None), None)
    finally:
        os.close(descriptor)
    return None


def _line(frame: int, entry: Written) -> str:
    return f"{frame} {entry.size} {entry.crc:08x} {entry.mtime_ns} {entry.inputs:08x}\n"


def _read_all(descriptor: int) -> str:
    os.lseek(descriptor, 0, os.SEEK_SET)
    pieces: List[bytes] = []
    while True:
        pieces.append(os.read(descriptor, _READ_BYTES))
        if not pieces[-1]:
            return b"".join(pieces).decode("ascii", "replace")
