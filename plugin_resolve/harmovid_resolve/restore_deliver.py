"""Aspects of the Deliver page: queue, presets, and settings that Resolve does not tell."""

from __future__ import annotations

from typing import Any, Optional

from harmovid_resolve.calls import act, listed, table, whole
from harmovid_resolve.restore import OfSession
from harmovid_resolve.session import Session

__all__ = ["Deliver", "Format", "Jobs", "Mode", "Presets"]


class Jobs(OfSession):
    """The render queue; new jobs are deleted."""

    name = "the render queue"

    def read(self) -> Any:
        """Return the jobs' ids."""
        return [str(job.get("JobId", "")) for job in listed(self.session.project, "GetRenderJobList")]

    def change(self, before: Any, now: Any) -> None:
        """Delete the new ones."""
        for job in now:
            if job not in before:
                act(self.session.project, "DeleteRenderJob", job)


class Presets(OfSession):
    """The render presets; new ones are deleted."""

    name = "the list of render presets (ours are named HarmoVid)"

    def read(self) -> Any:
        """Return their names."""
        return sorted(map(_preset_name, listed(self.session.project, "GetRenderPresetList")))

    def change(self, before: Any, now: Any) -> None:
        """Delete the new ones."""
        for name in now:
            if name not in before:
                act(self.session.project, "DeleteRenderPreset", name)


class Format(OfSession):
    """Format and codec of the Deliver page."""

    name = "the render format"

    def read(self) -> Any:
        """Return both."""
        both = table(self.session.project, "GetCurrentRenderFormatAndCodec")
        return str(both.get("format", "")), str(both.get("codec", ""))

    def change(self, before: Any, now: Any) -> None:
        """Set both."""
        act(self.session.project, "SetCurrentRenderFormatAndCodec", *before)


class Mode(OfSession):
    """Single clip or individual clips; reading it switches to the Deliver page."""

    name = "the render mode"

    def read(self) -> Any:
        """Return its number."""
        return whole(self.session.project, "GetCurrentRenderMode")

    def change(self, before: Any, now: Any) -> None:
        """Set it."""
        act(self.session.project, "SetCurrentRenderMode", before)


class Deliver(OfSession):
    """All settings of the Deliver page. Resolve tells none of them, so they are saved as a preset and loaded from it.

    Must come before `Presets` in a list, so that the preset is deleted after it was loaded.
    """

    name = "the settings of the Deliver page"

    def __init__(self, session: Session, preset: str) -> None:
        super().__init__(session)
        self._preset = preset
        self._loaded: Optional[bool] = None

    def read(self) -> Any:
        """Save the settings in the first call; later, return whether they have been loaded again."""
        if self._loaded is None:
            act(self.session.project, "SaveAsNewRenderPreset", self._preset)
            self._loaded = False
            return True
        return self._loaded

    def change(self, before: Any, now: Any) -> None:
        """Load them."""
        act(self.session.project, "LoadRenderPreset", self._preset)
        self._loaded = True


def _preset_name(preset: Any) -> str:
    """Return a preset's name; some versions list names, others dicts."""
    if isinstance(preset, dict):
        return str(preset.get("PresetName") or preset.get("RenderPresetName") or preset.get("name") or "")
    return str(preset)
