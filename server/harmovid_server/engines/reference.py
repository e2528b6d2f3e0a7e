"""A reference frame that a harmonizer matches alone: which one, and the errors if it cannot be used.

reference = reference_of(shot)              # None if the user names none
raise nothing_to_measure(1001)
"""

from __future__ import annotations

from typing import Optional

from harmovid.errors import OptionError

from harmovid_server.engines.base import ShotInfo

REFERENCE = "reference_frame"
"""The option's name."""


def reference_of(shot: ShotInfo) -> Optional[int]:
    """Return the reference frame of a shot, or None.

    Raises:
        OptionError: it is not one of the frames that the engine sees.
    """
    named = shot.options.get(REFERENCE)
    reference = None if named is None else int(named)
    if reference is not None and reference not in shot.frames:
        raise OptionError(
            f"the reference frame {reference} is not one of the frames that the engine sees.",
            fix="Name one of the shot, or none.",
        )
    return reference


def nothing_to_measure(reference: int) -> OptionError:
    """Return the error for a reference frame with too little in it."""
    return OptionError(
        f"the reference frame {reference} has too little foreground or background to measure.",
        fix="Name another one, or none.",
    )


def not_seen(reference: int) -> OptionError:
    """Return the error for frames that wait for a reference frame that was never seen."""
    return OptionError(
        f"the reference frame {reference} could not be read: there is nothing to match.",
        fix="Repair its files, or name another one, or none.",
    )
