"""Gallery, its albums and stills."""

from __future__ import annotations

import os
from typing import Any, List

from fakes.resolve_host import model, stills
from fakes.resolve_host.base import Remote, model_of


class Gallery(Remote):
    def GetAlbumName(self, galleryStillAlbum: Any) -> str:
        album = model_of(galleryStillAlbum, model.Album)
        return album.name if album else ""

    def SetAlbumName(self, galleryStillAlbum: Any, albumName: str) -> bool:
        album = model_of(galleryStillAlbum, model.Album)
        if album is None or not albumName:
            return False
        album.name = albumName
        return True

    def GetCurrentStillAlbum(self) -> Any:
        return self._host.wrap(self._model.albums[self._model.album])

    def SetCurrentStillAlbum(self, galleryStillAlbum: Any) -> bool:
        album = model_of(galleryStillAlbum, model.Album)
        if album is None:
            return False
        self._model.album = self._model.albums.index(album)
        return True

    def GetGalleryStillAlbums(self) -> List[Any]:
        return [self._host.wrap(album) for album in self._model.albums if not album.power_grades]

    def GetGalleryPowerGradeAlbums(self) -> List[Any]:
        return [self._host.wrap(album) for album in self._model.albums if album.power_grades]

    def CreateGalleryStillAlbum(self) -> Any:
        self._model.albums.append(model.Album(f"Stills {len(self._model.albums) + 1}"))
        return self._host.wrap(self._model.albums[-1])


class GalleryStillAlbum(Remote):
    def GetStills(self) -> List[Any]:
        return [self._host.wrap(still) for still in self._model.stills]

    def GetLabel(self, galleryStill: Any) -> str:
        still = model_of(galleryStill, model.Still)
        return still.label if still else ""

    def SetLabel(self, galleryStill: Any, label: str) -> bool:
        still = model_of(galleryStill, model.Still)
        if still is None:
            return False
        still.label = label
        return True

    def ExportStills(self, galleryStills: List[Any], folderPath: str, filePrefix: str, format: str) -> bool:
        host = self._host
        if host.quirks.still_export_needs_gallery and not (host.gallery_panel and host.gui):
            return False
        found = [model_of(each, model.Still) for each in galleryStills]
        if not found or None in found or format not in stills.FORMATS:
            return False
        names = [os.path.join(folderPath, f"{filePrefix}_{i}.{format}") for i in range(1, len(found) + 1)]
        written = [stills.save(name, still.pixels) for name, still in zip(names, found)]
        return all(written)

    def DeleteStills(self, galleryStills: List[Any]) -> bool:
        found = [model_of(each, model.Still) for each in galleryStills]
        if not found or None in found:
            return False
        for still in found:
            still.deleted = True
        self._model.stills[:] = [still for still in self._model.stills if not still.deleted]
        return True


class GalleryStill(Remote):
    """An object without methods."""
