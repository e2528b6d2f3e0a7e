"""The users of a server: the name of a key, whether it is an administrator's, and its limits.

    users = Users(config)
    users.name(public); users.is_admin(public); users.limits(public).jobs
    users.check(public, jobs=3, frames=200, more=100)      # raises if a limit is exceeded
    users.read_if_changed()                                # old key -> new key of the same name

Limits come from the list of authorized keys, or else from the settings. Without keys there is one user, "".
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Dict, Mapping, Optional

from harmovid.errors import InputError, ServerBusy
from harmovid.key_limits import PRIORITY, KeyLimits
from harmovid.keys import ListedKey

from harmovid_server.config import Config
from harmovid_server.key_list import KeyList

log = logging.getLogger("harmovid.main")

RETRY_S = 30.0


@dataclass(frozen=True)
class Limits:
    """The limits of one user; 0 for no limit."""

    jobs: int
    frames: int
    bytes: int
    priority: int


class Users:
    """The listed keys, and the settings for all users."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._list = KeyList(config.authorized_keys, log) if config.server_key else None
        self._names: Dict[str, str] = {}
        self._limits: Dict[str, Limits] = {}
        self._note_names()

    def names(self) -> Dict[str, str]:
        """Return the names by public key."""
        return dict(self._names)

    def name(self, user: str) -> str:
        """Return the name of a user's key; "" if it is not listed (any more), and without keys."""
        entry = self._entry(user)
        return entry.name if entry is not None else ""

    def is_admin(self, user: str) -> bool:
        """Return whether a user may see, cancel and retry all users' jobs; always False without keys."""
        entry = self._entry(user)
        return entry is not None and entry.admin

    def limits(self, user: str) -> Limits:
        """Return the limits of a user. Called for every job in every round of main."""
        known = self._limits.get(user)
        if known is None:
            known = self._limits[user] = self._limits_of(user)
        return known

    def _limits_of(self, user: str) -> Limits:
        config, entry = self._config, self._entry(user)
        own = entry.limits if entry is not None else KeyLimits()
        return Limits(
            _first(own.jobs, config.user_jobs),
            _first(own.frames, config.user_frames),
            _first(own.bytes, config.user_bytes),
            _first(own.priority, PRIORITY),
        )

    def check(self, user: str, jobs: int, frames: int, more: int) -> None:
        """Raise if a user may not have one more job.

        Args:
            user: the user.
            jobs: number of the user's waiting and running jobs.
            frames: number of their frames without a delivered result.
            more: frames of the new job.

        Raises:
            InputError: the job alone exceeds the limit. ServerBusy: it has to wait for the others.
        """
        limits, who = self.limits(user), self.name(user) or "one user"
        fix = "Wait until some are done, or cancel one: `harmovid status`, `harmovid cancel`."
        if limits.jobs and jobs >= limits.jobs:
            raise ServerBusy(
                f"{jobs} of your jobs are here already; {who} may have {limits.jobs}.",
                fix=fix,
                retry_after_s=RETRY_S,
            )
        if limits.frames and more > limits.frames:
            raise InputError(
                f"the job has {more} frames; {who} may have {limits.frames} here at once.",
                fix="Send it in parts (--frames), or ask the server's administrator for more.",
            )
        if limits.frames and frames + more > limits.frames:
            raise ServerBusy(
                f"{frames} frames of your jobs are here already, with this job {frames + more}; "
                f"{who} may have {limits.frames}.",
                fix=fix,
                retry_after_s=RETRY_S,
            )

    def read_if_changed(self, force: bool = False) -> bool:
        """Reread the key list if it has changed; return True if it was read."""
        if self._list is None or not self._list.read_if_changed(force):
            return False
        self._note_names()
        return True

    def _note_names(self) -> None:
        self._limits.clear()
        self._names = {key: entry.name for key, entry in self._list.listed.items()} if self._list else {}

    def _entry(self, user: str) -> Optional[ListedKey]:
        return self._list.listed.get(user) if self._list is not None else None


def replaced(before: Mapping[str, str], now: Mapping[str, str]) -> Dict[str, str]:
    """Return old key to new key, for names whose key has changed.

    Args:
        before: names by public key, before the change.
        now: the same after it.
    """
    by_name = {name: key for key, name in now.items()}
    return {key: by_name[name] for key, name in before.items() if key not in now and name in by_name}


def _first(own: Optional[int], general: int) -> int:
    return general if own is None else own
