"""Container file and rez package, checked without their tools. deploy/try_container.sh runs the container."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

import pytest
import tomllib

REPO = Path(__file__).resolve().parents[2]
DEPLOY = REPO / "deploy"
PROJECT = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def instructions() -> List[List[str]]:
    """Return the Containerfile's instructions as [NAME, rest], comments and line breaks taken out."""
    text = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    joined = lines.replace("\\\n", " ")
    return [line.split(maxsplit=1) for line in joined.splitlines() if line.strip()]


def test_the_image_runs_as_a_user_without_rights() -> None:
    """The last USER is a number other than root's, so that a cluster can check it, and nothing is run after it."""
    names = [name for name, _ in instructions()]
    users = [rest for name, rest in instructions() if name == "USER"]

    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1])
    assert "RUN" not in names[len(names) - names[::-1].index("USER") :]


def test_the_image_says_how_its_health_is_checked_and_how_it_stops() -> None:
    """There is a health check, and the stop signal is the one that begins a drain."""
    found = dict(map(tuple, instructions()))

    port = re.search(r"HARMOVID_METRICS_PORT=(\d+)", found["ENV"])
    assert port is not None
    assert f":{port[1]}/livez" in found["HEALTHCHECK"]
    assert found["STOPSIGNAL"] == "SIGTERM"


def test_the_image_is_built_without_a_package_index() -> None:
    """Wheels come from the build's folder alone, and only extras that exist are offered."""
    text = (DEPLOY / "Containerfile").read_text(encoding="utf-8")

    assert "--no-index" in text
    named = re.findall(r"EXTRA=([a-z,-]+[a-z])", text) + re.findall(r"'\.\[([a-z,-]+)\]'", text)
    assert {extra for each in named for extra in each.split(",")} == {
        "server",
        "server-gpu",
        "metrics",
        "dashboard",
    }
    assert {"server", "server-gpu", "metrics", "dashboard"} <= set(PROJECT["optional-dependencies"])


def test_shell_scripts_parse() -> None:
    """bash reads every script of the folder."""
    for script in sorted(DEPLOY.glob("*.sh")):
        result = subprocess.run(["/bin/bash", "-n", str(script)], capture_output=True, text=True, timeout=300)
        assert result.returncode == 0, result.stderr


def rez_package() -> Dict[str, Any]:
    """Return what the rez package file defines."""
    held: Dict[str, Any] = {}
    exec(compile((DEPLOY / "rez" / "package.py").read_text(encoding="utf-8"), "package.py", "exec"), held)  # noqa: S102
    return held


def test_the_rez_package_is_this_version() -> None:
    """Name, version and command are the project's own."""
    package = rez_package()

    assert (package["name"], package["version"]) == (PROJECT["name"], PROJECT["version"])
    assert package["tools"] == list(PROJECT["scripts"])


@pytest.mark.skipif(shutil.which("rez") is None, reason="rez is not installed on this machine")
def test_rez_reads_the_package() -> None:
    """rez itself accepts the package file."""
    result = subprocess.run(
        [str(shutil.which("rez")), "build", "--view-pre"],
        capture_output=True, text=True, timeout=300, cwd=DEPLOY / "rez",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert PROJECT["version"] in result.stdout


def test_the_bill_of_materials_names_what_is_installed(tmp_path: Path) -> None:
    """Every package of an extra is there once, with version, licence and what needs it; twice gives the same bytes."""
    import json

    command = [sys.executable, str(DEPLOY / "sbom.py"), "server", "dashboard", "--out"]
    for name in ("one.json", "two.json"):
        result = subprocess.run([*command, str(tmp_path / name)], capture_output=True, text=True, timeout=300)
        assert result.returncode == 0, result.stderr
    bill = json.loads((tmp_path / "one.json").read_text(encoding="utf-8"))
    parts = {part["name"]: part for part in bill["components"]}
    depends = {row["ref"]: row["dependsOn"] for row in bill["dependencies"]}

    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert {"pyzmq", "msgpack", "numpy", "openexr", "onnxruntime"} <= set(parts)
    assert "torch" not in parts
    assert len(parts) == len(bill["components"])
    assert all(part["version"] and part["purl"].startswith("pkg:pypi/") for part in parts.values())
    named = [bill["metadata"]["component"], *bill["components"]]
    assert set(depends) == {part["bom-ref"] for part in named}
    assert all(ref in depends for refs in depends.values() for ref in refs)
    silent = sorted(name for name, part in parts.items() if "licenses" not in part)
    assert ("no licence in the metadata of: " + ", ".join(silent) in result.stdout) == bool(silent)
    assert len(silent) < len(parts) / 2
