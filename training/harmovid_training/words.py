"""Arguments that several command lines share."""

from __future__ import annotations

from harmovid.errors import OptionError


def size_of(text: str) -> tuple[int, int]:
    """Return the height and width that `480x720` names.

    Raises:
        OptionError: no such size.
    """
    rows, _, columns = text.partition("x")
    if not (rows.isdecimal() and columns.isdecimal() and int(rows) and int(columns)):
        raise OptionError(f"a size is HEIGHTxWIDTH, not {text!r}.", fix="Write for instance 480x720.")
    return int(rows), int(columns)
