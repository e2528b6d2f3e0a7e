"""Exit codes of `harmovid`, and the exit code of each error. docs/cli.md has the same table."""

from __future__ import annotations

from typing import Tuple, Type

from harmovid import errors

OK = 0
JOB_FAILED = 1
USAGE = 2
FRAMES_FAILED = 3
UNREACHABLE = 4
AUTH = 5
OUTPUT = 6
# What a shell reports for a process ended by SIGINT: 128 + 2.
CANCELLED = 130

MEANINGS = {
    OK: "everything that was asked for is done",
    JOB_FAILED: "the job failed, or a check found something wrong",
    USAGE: "the command line or an input cannot be used as given",
    FRAMES_FAILED: "some frames failed; the others are written",
    UNREACHABLE: "no server could be reached, or it takes no jobs at present; try again later",
    AUTH: "the server refuses the key, or the key file cannot be used",
    OUTPUT: "results cannot be written",
    CANCELLED: "cancelled",
}

# The first matching class decides, so subclasses come before their parents.
_BY_ERROR: Tuple[Tuple[Type[errors.HarmoVidError], int], ...] = (
    (errors.KeyFileError, AUTH),
    (errors.AuthError, AUTH),
    (errors.InputError, USAGE),
    (errors.FrameError, USAGE),
    (errors.WireError, UNREACHABLE),
    (errors.ServerBusy, UNREACHABLE),
    (errors.ServerDraining, UNREACHABLE),
    (errors.SpoolFull, UNREACHABLE),
    (errors.EngineUnknown, USAGE),
    (errors.JobUnknown, USAGE),
    (errors.JobCancelled, CANCELLED),
    (errors.OutputError, OUTPUT),
)


def for_error(error: errors.HarmoVidError) -> int:
    """Return the exit code of a command that ended with `error`; an error that is not in the table is a failed job."""
    return next((code for cls, code in _BY_ERROR if isinstance(error, cls)), JOB_FAILED)
