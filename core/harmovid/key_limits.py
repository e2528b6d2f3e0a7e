"""Limits of one key on a server: the words after a key in the list of authorized keys.

    anna rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7 jobs=4 frames=20000 bytes=50GiB priority=60

    KeyLimits.parse(["jobs=4", "bytes=50GiB"]).jobs        # 4

Missing limits are those of the server's settings (`user_jobs`, `user_frames`, `user_bytes`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Optional, Sequence

from harmovid.sizes import parse_bytes

PRIORITY, PRIORITY_MOST = 50, 100
"""Priority of a key without one, and the highest priority."""

FORMS = "jobs=N, frames=N, bytes=SIZE, priority=0..100"


@dataclass(frozen=True)
class KeyLimits:
    """Limits of one key; None if the key has none of its own, 0 for no limit.

    Attributes:
        jobs: jobs that wait or run.
        frames: frames of those jobs without a delivered result.
        bytes: space of these jobs in the server's spool.
        priority: 0 to 100; a free slot goes to the highest that waits.
    """

    jobs: Optional[int] = None
    frames: Optional[int] = None
    bytes: Optional[int] = None
    priority: Optional[int] = None

    @classmethod
    def parse(cls, words: Sequence[str]) -> KeyLimits:
        """Read `name=value` words; raise ValueError for one that is unknown, given twice, or not a number."""
        found: Dict[str, int] = {}
        for word in words:
            name, equals, text = word.partition("=")
            if not equals or name not in cls.__dataclass_fields__ or name in found:
                raise ValueError(f"{word!r} is none of {FORMS}")
            if name == "bytes":
                found[name] = parse_bytes(text)
            elif text.isascii() and text.isdecimal():
                found[name] = int(text)
            else:
                raise ValueError(f"{word!r} has no whole number")
        if found.get("priority", 0) > PRIORITY_MOST:
            raise ValueError(f"priority={found['priority']} is above {PRIORITY_MOST}")
        return cls(**found)
