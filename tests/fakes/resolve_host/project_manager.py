"""ProjectManager: projects of one database without folders."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

from fakes.resolve_host import model, scene
from fakes.resolve_host.base import HostFrozen, Remote, model_of

UNTITLED = "Untitled Project"
DATABASE = {"DbType": "Disk", "DbName": "Local Database"}


class ProjectManager(Remote):
    def CreateProject(self, projectName: str, mediaLocationPath: str = "") -> Any:
        host = self._host
        if not projectName or any(each.name == projectName for each in host.projects):
            return None
        if host.project.changed and host.project.name != UNTITLED:
            # Measured on 21.0.4: a changed project that is current blocks this; loading a clean one helps.
            return None
        host.queue.leave_project()
        self._drop_unsaved()
        host.projects.append(model.Project(projectName, settings=scene.default_settings()))
        host.project = host.projects[-1]
        return host.wrap(host.project)

    def DeleteProject(self, projectName: str) -> bool:
        found = self._named(projectName)
        if found is None or found is self._host.project:
            return False
        found.deleted = True
        self._host.projects.remove(found)
        return True

    def LoadProject(self, projectName: str) -> Any:
        found = self._named(projectName)
        if found is None:
            return None
        if found is not self._host.project:
            self._host.queue.leave_project()
            self._drop_unsaved()
        self._host.project = found
        return self._host.wrap(found)

    def GetCurrentProject(self) -> Any:
        return self._host.wrap(self._host.project)

    def SaveProject(self) -> Optional[bool]:
        host, project = self._host, self._host.project
        if project.name == UNTITLED:
            if not host.gui and host.quirks.untitled_save_hangs_headless:
                raise HostFrozen("SaveProject of an untitled project without a user interface waits for ever")
            return False
        for timeline in project.timelines:
            for tracks in timeline.tracks.values():
                for track in tracks:
                    track.items[:] = [item for item in track.items if not item.volatile]
        project.saves += 1
        project.changed = False
        return True

    def CloseProject(self, project: Any) -> bool:
        found = model_of(project, model.Project)
        if found is None or found is not self._host.project:
            return False
        self._host.queue.leave_project()
        self._host.projects[:] = [each for each in self._host.projects if each.saves or each is not found]
        untitled = self._named(UNTITLED) or model.Project(UNTITLED, settings=scene.default_settings())
        if untitled not in self._host.projects:
            self._host.projects.append(untitled)
        self._host.project = untitled
        return True

    def GetProjectListInCurrentFolder(self) -> List[str]:
        return [project.name for project in self._host.projects if project.saves]

    def GetFolderListInCurrentFolder(self) -> List[str]:
        return []

    def GotoRootFolder(self) -> bool:
        return True

    def GotoParentFolder(self) -> bool:
        return False

    def GetCurrentFolder(self) -> str:
        return ""

    def GetCurrentDatabase(self) -> Dict[str, str]:
        return dict(DATABASE)

    def GetDatabaseList(self) -> List[Dict[str, str]]:
        return [dict(DATABASE)]

    def _named(self, name: str) -> Optional[model.Project]:
        return next((each for each in self._host.projects if each.name == name), None)

    def _drop_unsaved(self) -> None:
        """Lose a current project that was never saved, as CreateProject and LoadProject do."""
        self._host.projects[:] = [
            each for each in self._host.projects if each.saves or each is not self._host.project
        ]
