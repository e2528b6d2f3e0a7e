"""The error class of the part in Resolve: what went wrong and what to do about it.

Resolve's own Python has no `harmovid`, so this class exists beside the tree of `harmovid.errors`. It has the same
fields; errors from the client process have the codes of that tree.
"""

from __future__ import annotations

__all__ = ["CANCELLED", "SKIPPED", "HostError"]

CANCELLED, SKIPPED = "cancelled", "skipped"
"""Codes of what the user stopped, and of what is no clip to work on."""


class HostError(Exception):
    """Something cannot be done, here or on the server.

    Args:
        message: what went wrong, with the values that disagree.
        fix: what the user can do about it; may be empty.
        code: `host` for an error of Resolve or of a request to it; otherwise a code of `harmovid.errors`.
    """

    def __init__(self, message: str, *, fix: str = "", code: str = "host") -> None:
        super().__init__(message)
        self.message, self.fix, self.code = message, fix, code

    def __str__(self) -> str:
        return f"{self.message} {self.fix}".strip()
