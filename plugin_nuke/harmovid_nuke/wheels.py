"""Compiled packages for hosts: choose the wheels for a Python and platform, download them or use a wheelhouse, unpack.

    unpack(choose(wheelhouse_files, abi), folder)       # offline
    fetch(abi, wheelhouse)                              # from the package index, through pip

A wheel is a zip file whose name states its Python and platform (PEP 427, PEP 425). Versions are pinned per Python: Nuke
14, and Nuke 15 on CentOS 7, need wheels for glibc 2.17, which newer pyzmq releases do not have.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from typing import Dict, Iterable, List, Sequence, Tuple

from harmovid.errors import InputError

PACKAGES = ("pyzmq", "msgpack")
PINNED: Dict[str, Dict[str, str]] = {
    "cp39": {"pyzmq": "27.3.0", "msgpack": "1.1.2"},
    "cp310": {"pyzmq": "26.4.0", "msgpack": "1.2.4"},
    "cp311": {"pyzmq": "26.4.0", "msgpack": "1.2.4"},
    "cp313": {"pyzmq": "27.3.0", "msgpack": "1.2.4"},
}
"""The newest versions that have wheels for the oldest system which a Nuke with that Python supports."""

PLATFORMS: Dict[str, Tuple[str, ...]] = {
    "linux_x86_64": ("manylinux2014_x86_64", "manylinux_2_17_x86_64", "manylinux_2_28_x86_64"),
    "win_amd64": ("win_amd64",),
    "macos_x86_64": (
        "macosx_10_9_x86_64", "macosx_10_13_x86_64", "macosx_10_15_x86_64", "macosx_10_15_universal2",
        "macosx_11_0_universal2",
    ),
    "macos_arm64": ("macosx_11_0_arm64", "macosx_10_15_universal2", "macosx_11_0_universal2"),
}  # fmt: skip
"""For each of our platform names, pip's tags of the wheels that run there."""

HOSTS: Tuple[Tuple[str, str, str], ...] = (
    ("13", "cp37", "Python 3.7: not supported, HarmoVid needs 3.9"),
    ("14", "cp39", "supported"),
    ("15", "cp310", "supported"),
    ("16", "cp311", "supported"),
    ("17", "cp311", "supported; its Python is expected to be 3.11"),
    ("of CY2026", "cp313", "wheels are there; no such Nuke is known yet"),
)
"""Nuke's versions, their Python, and how far they are supported."""

_NAME = re.compile(
    r"(?P<name>[^-]+)-(?P<version>[^-]+)(-\d[^-]*)?-(?P<python>[^-]+)-(?P<abi>[^-]+)-(?P<tags>[^-]+)\.whl"
)
_LEFT_OUT = re.compile(r"(^|/)(tests?|__pycache__)/|\.pyi$|\.pxd$|\.h$")
FETCH_S = 300.0


@dataclass(frozen=True)
class Wheel:
    """A wheel's file and the tags in its name."""

    path: str
    name: str
    version: str
    pythons: Tuple[str, ...]
    abis: Tuple[str, ...]
    tags: Tuple[str, ...]

    def fits(self, abi: str) -> bool:
        """Return whether it runs under a Python on a platform, like "cp311-linux_x86_64"."""
        python, _, place = abi.partition("-")
        stable = "abi3" in self.abis and any(_minor(each) <= _minor(python) for each in self.pythons)
        return (python in self.pythons or stable) and any(_runs(tag, place) for tag in self.tags)


def _minor(python: str) -> int:
    return int(python[3:]) if python.startswith("cp3") and python[3:].isdigit() else 999


def _runs(tag: str, place: str) -> bool:
    """Return whether a wheel of a platform tag runs on one of our platforms."""
    if place.startswith("linux_"):
        return tag.startswith("manylinux") and tag.endswith(place[len("linux_") :])
    if place.startswith("macos_"):
        return tag.startswith("macosx") and tag.endswith((place[len("macos_") :], "universal2"))
    return tag == place


def parse(path: str) -> Wheel:
    """Read a wheel's name.

    Raises:
        InputError: it is not a wheel's name.
    """
    match = _NAME.fullmatch(os.path.basename(path))
    if match is None:
        raise InputError(f"{path} is not named like a wheel.", fix="Leave only wheels in the wheelhouse.")
    return Wheel(
        path,
        match["name"].lower().replace("_", "-"),
        match["version"],
        tuple(match["python"].split(".")),
        tuple(match["abi"].split(".")),
        tuple(match["tags"].split(".")),
    )


def in_folder(folder: str) -> List[Wheel]:
    """Return the wheels of a wheelhouse.

    Raises:
        InputError: the folder cannot be read.
    """
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(".whl"))
    except OSError as error:
        raise InputError(f"the wheelhouse {folder} cannot be read: {error.strerror}.") from error
    return [parse(os.path.join(folder, name)) for name in names]


def choose(wheels: Iterable[Wheel], abi: str) -> List[Wheel]:
    """Return the wheels for a Python on a platform: the pinned version if it is there, else the newest.

    Raises:
        InputError: one is missing; the fix says how to get it.
    """
    chosen = []
    pinned = PINNED.get(abi.partition("-")[0], {})
    for package in PACKAGES:
        fitting = [wheel for wheel in wheels if wheel.name == package and wheel.fits(abi)]
        if not fitting:
            raise InputError(
                f"there is no wheel of {package} for {abi}.",
                fix=f"Put {package} {pinned.get(package, '')} into the wheelhouse, or install without --wheelhouse.",
            )
        exact = [wheel for wheel in fitting if wheel.version == pinned.get(package)]
        chosen.append(exact[0] if exact else max(fitting, key=lambda wheel: _numbers(wheel.version)))
    return chosen


def _numbers(version: str) -> List[int]:
    return [int(part) for part in re.findall(r"\d+", version)]


def unpack(wheels: Sequence[Wheel], folder: str) -> None:
    """Unpack wheels into a folder that `sys.path` may name, without tests and headers.

    Raises:
        InputError: a wheel is damaged, or would write outside the folder.
    """
    for wheel in wheels:
        try:
            with zipfile.ZipFile(wheel.path) as archive:
                _extract(archive, folder)
        except (zipfile.BadZipFile, OSError) as error:
            raise InputError(f"{wheel.path} cannot be unpacked: {error}.", fix="Fetch it again.") from error


def _extract(archive: zipfile.ZipFile, folder: str) -> None:
    root = os.path.abspath(folder)
    for name in archive.namelist():
        if name.endswith("/") or _LEFT_OUT.search(name):
            continue
        # Files for the platform's library folder are under NAME.data/platlib.
        inside = re.sub(r"^[^/]+\.data/(platlib|purelib)/", "", name)
        target = os.path.abspath(os.path.join(root, inside))
        if not target.startswith(root + os.sep):
            raise InputError(f"the wheel {archive.filename} writes outside its folder: {name}.")
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "wb") as file:
            file.write(archive.read(name))


def fetch(abi: str, folder: str) -> None:
    """Download the wheels for a Python on a platform into a wheelhouse, through pip.

    Raises:
        InputError: there are none, or pip cannot get them.
    """
    python, _, place = abi.partition("-")
    if python not in PINNED or place not in PLATFORMS:
        known = ", ".join(f"{each}-{other}" for each in PINNED for other in PLATFORMS)
        raise InputError(f"there are no wheels for {abi}.", fix=f"There are for: {known}.")
    words = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        "-d",
        folder,
    ]
    for tag in PLATFORMS[place]:
        words += ["--platform", tag]
    words += ["--implementation", "cp", "--python-version", f"3.{python[3:]}"]
    words += [f"{name}=={version}" for name, version in PINNED[python].items()]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=FETCH_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InputError(f"pip cannot be run: {error}.", fix="Use --wheelhouse DIR.") from error
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise InputError(f"the wheels for {abi} cannot be fetched: {last}", fix="Use --wheelhouse DIR.")
