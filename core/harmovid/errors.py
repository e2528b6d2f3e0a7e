"""All errors of HarmoVid. Hosts, client and server deliberately raise nothing else.

    HarmoVidError
    ├── InputError            the user's request cannot be carried out as given
    │   ├── PatternError      a frame pattern or range that cannot be read
    │   ├── OptionError       an engine option that does not exist or is out of range
    │   ├── ColourError       a colour space that the configuration does not know
    │   ├── KeyFileError      a key file that is missing, unreadable or open to others
    │   └── BundleError       an engine bundle that is damaged, or made for another server
    ├── FrameError            one frame cannot be used; the other frames go on
    │   ├── FrameMissing      no file for this frame
    │   ├── FrameUnreadable   damaged, truncated, empty, or not an EXR
    │   ├── FrameRefused      a valid file of an unsupported kind (deep, luminance/chroma, too large)
    │   ├── FrameMismatch     another size than the rest of the shot
    │   └── FrameCorrupt      a checksum does not match after transfer
    ├── WireError             client and server cannot reach or cannot understand each other
    │   ├── ProtocolError     a message that the wire specification does not allow
    │   ├── VersionError      no common protocol version
    │   ├── AuthError         the server refuses our key, or is not the server whose key we hold
    │   └── Unreachable       nobody answers at that address
    ├── JobError              the server cannot take or finish a job
    │   ├── ServerBusy        queue full; retry later
    │   ├── ServerDraining    the server is shutting down; retry elsewhere or later
    │   ├── SpoolFull         the server's disk budget is used up
    │   ├── EngineUnknown     no engine of that name there
    │   ├── EngineFailed      the engine failed on this job
    │   ├── JobUnknown        no such job, or not yours
    │   ├── JobConflict       the same job id with another specification
    │   └── JobCancelled      somebody cancelled it
    └── OutputError           a result cannot be written where the user wants it

Every error says what went wrong, on which frame (if any), and what to do about it. `code` is its name in the wire
protocol; `retryable` says whether the same request may succeed later.
"""

from __future__ import annotations

from typing import Any, Dict, Iterator, Optional, Type

__all__ = [
    "HarmoVidError",
    "InputError", "PatternError", "OptionError", "ColourError", "KeyFileError",
    "BundleError",
    "FrameError", "FrameMissing", "FrameUnreadable", "FrameRefused", "FrameMismatch", "FrameCorrupt",
    "WireError", "ProtocolError", "VersionError", "AuthError", "Unreachable",
    "JobError", "ServerBusy", "ServerDraining", "SpoolFull", "EngineUnknown", "EngineFailed",
    "JobUnknown", "JobConflict", "JobCancelled",
    "OutputError",
    "from_wire",
]  # fmt: skip


class HarmoVidError(Exception):
    """Base class of all errors: a message, the fix, and optionally the frame and layer concerned.

    Args:
        message: what went wrong, with the values that disagree.
        fix: what the user can do about it, as a sentence; empty if nothing can be done.
        frame: frame number as the user counts it.
        layer: the input or output the frame belongs to ("plate", "bg", ...).
        retry_after_s: for retryable errors, when to try again.
    """

    code = "error"
    retryable = False

    def __init__(
        self,
        message: str,
        *,
        fix: str = "",
        frame: Optional[int] = None,
        layer: Optional[str] = None,
        retry_after_s: Optional[float] = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix
        self.frame = frame
        self.layer = layer
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        where = ""
        if self.frame is not None:
            where = f"frame {self.frame}" + (f" of {self.layer}" if self.layer else "") + ": "
        elif self.layer:
            where = f"{self.layer}: "
        return where + self.message + (f" {self.fix}" if self.fix else "")

    def to_wire(self) -> Dict[str, Any]:
        """Return the error as a dict, the body of ERROR in the wire protocol; absent fields are left out."""
        body: Dict[str, Any] = {"code": self.code, "message": self.message, "retryable": self.retryable}
        for name in ("fix", "frame", "layer", "retry_after_s"):
            value = getattr(self, name)
            if value not in (None, ""):
                body[name] = value
        return body


class InputError(HarmoVidError):
    """The user's request cannot be carried out as given."""

    code = "input"


class PatternError(InputError):
    """A frame pattern or frame range that cannot be read."""

    code = "pattern"


class OptionError(InputError):
    """An engine option that does not exist, has the wrong type or is out of range."""

    code = "option"


class ColourError(InputError):
    """A colour space name that the active OpenColorIO configuration does not know."""

    code = "colour"


class KeyFileError(InputError):
    """A key file that is missing, unreadable, malformed or readable by others."""

    code = "key_file"


class BundleError(InputError):
    """An engine bundle that is missing, damaged, or made for another runtime, colour encoding or server."""

    code = "bundle"


class FrameError(HarmoVidError):
    """One frame cannot be used; its neighbours are not affected."""

    code = "frame"


class FrameMissing(FrameError):
    """There is no file for this frame."""

    code = "frame_missing"


class FrameUnreadable(FrameError):
    """The file is damaged, truncated, empty, or not an EXR despite its name."""

    code = "frame_unreadable"


class FrameRefused(FrameError):
    """A valid file of an unsupported kind: deep, luminance/chroma, or beyond the size limits."""

    code = "frame_refused"


class FrameMismatch(FrameError):
    """The frame's display window differs from the rest of the shot."""

    code = "frame_mismatch"


class FrameCorrupt(FrameError):
    """A checksum does not match after transfer; sending the frame again may help."""

    code = "frame_corrupt"
    retryable = True


class WireError(HarmoVidError):
    """Client and server cannot reach or cannot understand each other."""

    code = "wire"


class ProtocolError(WireError):
    """A message that `docs/wire.md` does not allow."""

    code = "protocol"


class VersionError(WireError):
    """Client and server share no protocol version."""

    code = "version"


class AuthError(WireError):
    """The server refuses our key, or it is not the server whose key we hold."""

    code = "auth"


class Unreachable(WireError):
    """Nobody answers at that address, or the connection was lost for too long."""

    code = "unreachable"
    retryable = True


class JobError(HarmoVidError):
    """The server cannot take or finish a job."""

    code = "job"


class ServerBusy(JobError):
    """The server's queue is full."""

    code = "busy"
    retryable = True


class ServerDraining(JobError):
    """The server is shutting down and takes no new jobs."""

    code = "draining"
    retryable = True


class SpoolFull(JobError):
    """The server's disk budget is used up."""

    code = "spool_full"
    retryable = True


class EngineUnknown(JobError):
    """The server has no engine of that name."""

    code = "engine_unknown"


class EngineFailed(JobError):
    """The engine failed on this job."""

    code = "engine_failed"


class JobUnknown(JobError):
    """No such job on this server, or it belongs to another user."""

    code = "job_unknown"


class JobConflict(JobError):
    """The job id is already taken by a job with another specification."""

    code = "job_conflict"


class JobCancelled(JobError):
    """The job was cancelled."""

    code = "cancelled"


class OutputError(HarmoVidError):
    """A result cannot be written where the user wants it (full disk, no permission)."""

    code = "output"


def _tree(root: Type[HarmoVidError]) -> Iterator[Type[HarmoVidError]]:
    yield root
    for child in root.__subclasses__():
        yield from _tree(child)


def from_wire(body: Dict[str, Any]) -> HarmoVidError:
    """Return the exception that an ERROR body describes; an unknown code becomes `HarmoVidError`.

    Args:
        body: what `HarmoVidError.to_wire` made, after the wire's schema check.
    """
    classes = {cls.code: cls for cls in _tree(HarmoVidError)}
    cls = classes.get(str(body.get("code")), HarmoVidError)
    error = cls(
        str(body.get("message", "unknown error")),
        fix=str(body.get("fix", "")),
        frame=body.get("frame"),
        layer=body.get("layer"),
        retry_after_s=body.get("retry_after_s"),
    )
    if cls is HarmoVidError:
        error.retryable = bool(body.get("retryable", False))
    return error
