"""MediaPoolItem."""

from __future__ import annotations

import os
from typing import Any, Dict, Optional

from fakes.resolve_host import media
from fakes.resolve_host.markers import HasColor, HasMarks


class MediaPoolItem(HasColor, HasMarks):
    def GetName(self) -> str:
        return self._model.name

    def SetName(self, name: str) -> bool:
        if not name or not isinstance(name, str):
            return False
        self._model.name = name
        self._host.changed()
        return True

    def GetUniqueId(self) -> str:
        return self._model.id

    def GetMediaId(self) -> str:
        return self._model.id + "-media"

    def GetTimeline(self) -> Any:
        return self._host.wrap(self._model.timeline)

    # Metadata and properties.

    def GetMetadata(self, metadataType: Optional[str] = None) -> Any:
        return self._model.metadata.get(metadataType, "") if metadataType else dict(self._model.metadata)

    def SetMetadata(self, metadataType: Any, metadataValue: Any = None) -> bool:
        return self._set_metadata(self._model.metadata, metadataType, metadataValue)

    def GetThirdPartyMetadata(self, metadataType: Optional[str] = None) -> Any:
        return (
            self._model.third_party.get(metadataType, "") if metadataType else dict(self._model.third_party)
        )

    def SetThirdPartyMetadata(self, metadataType: Any, metadataValue: Any = None) -> bool:
        return self._set_metadata(self._model.third_party, metadataType, metadataValue)

    def _set_metadata(self, kept: Dict[str, str], key: Any, value: Any) -> bool:
        given = key if isinstance(key, dict) else {key: value}
        if not given or not all(isinstance(k, str) and isinstance(v, str) for k, v in given.items()):
            return False
        kept.update(given)
        self._host.changed()
        return True

    def GetClipProperty(self, propertyName: Optional[str] = None) -> Any:
        found = {**media.SETTABLE, **self._model.properties, **media.properties(self._model)}
        return found.get(propertyName, "") if propertyName else found

    def SetClipProperty(self, propertyName: str, propertyValue: Any) -> bool:
        if propertyName == "Clip Name":
            return MediaPoolItem.SetName(self, propertyValue)
        if propertyName == "Start TC":
            self._model.start_timecode = str(propertyValue)
            return True
        if propertyName not in media.SETTABLE or not isinstance(propertyValue, (str, int)):
            return False
        aces = self._host.project.settings["colorScienceMode"].startswith("aces")
        if propertyName == "Input Color Space" and aces:
            return False
        if propertyName not in self._host.quirks.lying_clip_properties:
            self._model.properties[propertyName] = str(propertyValue)
            self._host.changed()
        return True

    # Media.

    def LinkProxyMedia(self, proxyMediaFilePath: str) -> bool:
        if not os.path.isabs(proxyMediaFilePath) or not os.path.exists(proxyMediaFilePath):
            return False
        self._model.proxy = proxyMediaFilePath
        return True

    def UnlinkProxyMedia(self) -> bool:
        self._model.proxy = ""
        return True

    def ReplaceClip(self, filePath: str) -> bool:
        found = media.clips_of([filePath], self._model.fps)
        if len(found) != 1:
            return False
        for name in ("pattern", "first", "last", "size", "kind", "name", "start_timecode"):
            setattr(self._model, name, getattr(found[0], name))
        self._host.changed()
        return True

    def GetAudioMapping(self) -> str:
        return '{"embedded_audio_channels": 0, "linked_audio": {}, "track_mapping": {}}'

    def TranscribeAudio(self, useSpeakerDetection: Optional[bool] = None) -> bool:
        return False

    def ClearTranscription(self) -> bool:
        return True
