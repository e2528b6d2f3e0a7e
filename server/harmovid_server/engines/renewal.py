"""A bundle whose files change while its engine serves: the next shot gets the new version, without a restart.

    renewal = Renewal(folder)
    manifest = renewal.read(name)                          # when the engine is loaded
    fresh = renewal.fresh(name, from_bundle, settings)     # when a shot starts: an engine that is loaded, or None

Shots that run keep the networks that they began with. A version that cannot be used is logged and changes nothing.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Callable, Optional, Tuple, TypeVar

from harmovid import bundle
from harmovid.bundle import Manifest
from harmovid.errors import BundleError

from harmovid_server.engines.base import Engine
from harmovid_server.logs import about
from harmovid_server.runtimes.base import RuntimeSettings

log = logging.getLogger("harmovid.worker")

Made = TypeVar("Made", bound=Engine)
Signature = Tuple[Tuple[str, int, int], ...]


class Renewal:
    """Remembers the files of a bundle's folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: Signature = ()

    def read(self, name: str) -> Manifest:
        """Return the manifest that is there now, and note that the engine has these files.

        Args:
            name: of the engine; the manifest must have the same.

        Raises:
            BundleError: the bundle is damaged, or that of another engine.
        """
        # First, so that files that change from here on are seen as new by the next shot.
        self._seen = _signature(self._folder)
        manifest = bundle.read(self._folder)
        if manifest.name != name:
            raise BundleError(
                f"{self._folder} is another engine now, {manifest.name}.", fix="Restart the server."
            )
        return manifest

    def fresh(
        self, name: str, make: Callable[[Path, Manifest], Made], settings: RuntimeSettings
    ) -> Optional[Made]:
        """Return the engine of the new version, activated, if the files have changed since they were last looked at.

        Args:
            name: of the engine that serves.
            make: makes an engine from a bundle.
            settings: of the runtimes.

        Returns:
            None if nothing has changed, or if the new version cannot be used.
        """
        if _signature(self._folder) == self._seen:
            return None
        try:
            manifest = self.read(name)
            fresh = make(self._folder, manifest)
            fresh.activate(settings)
        except BundleError as error:
            log.warning("old version serves on", extra=about(engine=name, error=str(error)))
            return None
        log.info("new version", extra=about(engine=name, version=manifest.version))
        return fresh


def _signature(folder: Path) -> Signature:
    """Return names, sizes and times of the files in a folder; nothing while it is away."""
    try:
        with os.scandir(folder) as entries:
            found = [(entry.name, entry.stat().st_size, entry.stat().st_mtime_ns) for entry in entries]
    except OSError:
        return ()
    return tuple(sorted(found))
