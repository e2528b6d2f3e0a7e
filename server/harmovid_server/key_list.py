"""The list of authorized keys in a running server: reread when its file changes.

    keys = KeyList("/etc/harmovid/authorized_keys", log)
    keys.read_if_changed()             # call often: costs one stat
    keys.listed[public].name

The front admits clients by it; main uses its names and limits.
"""

from __future__ import annotations

import logging
import os
from typing import Dict, Optional, Tuple

from harmovid.errors import KeyFileError
from harmovid.keys import AuthorizedKeys, ListedKey


class KeyList:
    """The keys of a file, by public key; a missing file lists nobody."""

    def __init__(self, path: str, log: logging.Logger) -> None:
        """Read the list.

        Args:
            path: the file.
            log: the log of the process that uses the list.

        Raises:
            KeyFileError: the list cannot be read or has a malformed line.
        """
        self.listed: Dict[str, ListedKey] = {}
        self._file = AuthorizedKeys(path)
        self._log = log
        self._seen: Optional[Tuple[int, ...]] = None
        self._read()

    def read_if_changed(self, force: bool = False) -> bool:
        """Reread the list if the file has changed; return True if it was read.

        If the list cannot be read, the last good one stays in force, so that a typing error admits or excludes nobody.
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
