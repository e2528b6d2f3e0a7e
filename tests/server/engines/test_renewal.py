"""A bundle whose files change while its engine serves. `tests/deploy/test_bundle_upgrade.py` does it to a server."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from harmovid.errors import BundleError
from harmovid_server.engines import bundles
from harmovid_server.engines.base import ShotInfo
from harmovid_server.engines.harmonize import create
from harmovid_server.engines.harmonize.network import FOLDER
from harmovid_server.runtimes.base import RuntimeSettings

CPU = RuntimeSettings(device="cpu")


def put(folder: Path, version: str, name: str = "night") -> Path:
    """Put a harmonizer's bundle of a version into a folder of its own."""
    shutil.copytree(FOLDER, folder / version)
    manifest = folder / version / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "version": version, "name": name}))
    return folder / version


def point(link: Path, folder: Path) -> None:
    """Make the link lead to a folder, in one step."""
    fresh = link.with_name(link.name + ".new")
    fresh.symlink_to(folder)
    fresh.rename(link)


def test_a_harmonizer_takes_a_new_version_with_the_next_shot(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Upgrade, a damaged version, another engine, no folder and rollback: it serves on, and says what it runs."""
    served = tmp_path / "served"
    point(served, put(tmp_path, "1"))
    engine = bundles.create(served)
    options = engine.info.check_options({})
    shot = ShotInfo((1, 2), options, ("fg", "bg"))
    engine.activate(CPU)
    sessions = [engine.start(shot)]
    broken = put(tmp_path, "3")
    (broken / "head.onnx").write_bytes(b"half a file")
    steps = [put(tmp_path, "2"), broken, put(tmp_path, "4", name="day"), tmp_path / "nowhere", tmp_path / "1"]
    versions = []
    for folder in steps:
        point(served, folder)
        sessions.append(engine.start(shot))
        versions.append(engine.info.version)
    assert versions == ["2", "2", "2", "2", "1"]
    assert sum("old version serves on" in record.message for record in caplog.records) == 3
    assert engine.runtime["device"] == "cpu"
    for session in sessions:
        session.close()
    engine.close()


def test_a_version_that_came_before_the_engine_was_loaded_is_the_one_that_is_described(
    tmp_path: Path,
) -> None:
    """The files may change between the server's start and the first job, or while an idle engine is unloaded."""
    served = tmp_path / "served"
    point(served, put(tmp_path, "1"))
    engine = bundles.create(served)
    for version in ("2", "3"):
        point(served, put(tmp_path, version))
        engine.activate(CPU)
        assert engine.info.version == version
        engine.close()
    point(served, put(tmp_path, "4", name="day"))
    with pytest.raises(BundleError, match="another engine now, day"):
        engine.activate(CPU)


def test_the_harmonizer_that_ships_changes_only_with_the_program() -> None:
    """An installation that is replaced under a running server must not bring new networks to old code."""
    engine = create()
    assert engine._renewal is None
    assert engine.info.default
