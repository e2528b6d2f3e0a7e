"""The list of authorized keys as a running server sees it: read again when its file changes.

    keys = KeyList("/etc/harmovid/authorized_keys", log)
    keys.read_if_changed()             # often: one stat
    keys.listed[public].name

The front lets clients in by it, main takes names and limits from it.
"""

from __future__ import annotations

import logging
import os
from typing import Dict, Optional, Tuple

from harmovid.errors import KeyFileError
from harmovid.keys import AuthorizedKeys, ListedKey


class KeyList:
    """The keys of a file, by public key; a file that is not there lists nobody."""

    def __init__(self, path: str, log: logging.Logger) -> None:
        """Read the list.

        Args:
            path: the file.
            log: of the process that uses the list.

        Raises:
            KeyFileError: the list cannot be read or has a malformed line.
        """
        self.listed: Dict[str, ListedKey] = {}
        self._file = AuthorizedKeys(path)
        self._log = log
        self._seen: Optional[Tuple[int, ...]] = None
        self._read()

    def read_if_changed(self, force: bool = False) -> bool:
        """Read the list again if the file is another one than last time; True if it was read.

        A list that cannot be read leaves the last good one in force: nobody is let in or shut out by a slip.
        """
        if not force and self._stamp() == self._seen:
            return False
        try:
            self._read()
        except KeyFileError as error:
            self._seen = self._stamp()
            self._log.error("authorized keys are left as they were: %s", error)
            return False
        return True

    def _read(self) -> None:
        stamp = self._stamp()
        self.listed = self._file.listed()
        self._seen = stamp

    def _stamp(self) -> Optional[Tuple[int, ...]]:
        try:
            facts = os.stat(self._file.path)
        except OSError:
            return None
        return facts.st_mtime_ns, facts.st_size, facts.st_ino
