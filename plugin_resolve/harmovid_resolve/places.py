"""Where DaVinci Resolve keeps scripts, and which Python it will use, on each operating system.

Sources: Blackmagic's scripting README 20.3.2 (folders); users' reports of which Pythons were found, which
docs/resolve.md repeats. Not tested with a real Resolve.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Mapping, Optional, Tuple

__all__ = ["OLDEST_PYTHON", "FoundPython", "all_users_scripts", "find_python", "is_here", "user_scripts"]

OLDEST_PYTHON = (3, 9)
NEW_PYTHON = (3, 13)
"""With these Pythons, Resolve before 20.3 was reported to answer None."""
ASK_S = 10.0

MAC_DEFAULT = "/usr/local/bin/python3"
LINUX_OWN = "/opt/resolve/ResolvePython"
"""Resolve 21.1 includes its own Python there."""

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def user_scripts(system: str = sys.platform, environ: Optional[Mapping[str, str]] = None) -> Path:
    """Return the user's own folder of scripts; it need not exist."""
    env, home = os.environ if environ is None else environ, Path.home()
    if system == "win32":
        roaming = Path(env.get("APPDATA") or home / "AppData" / "Roaming")
        return roaming / "Blackmagic Design" / "DaVinci Resolve" / "Support" / "Fusion" / "Scripts"
    if system == "darwin":
        return home / "Library/Application Support/Blackmagic Design/DaVinci Resolve/Fusion/Scripts"
    return home / ".local/share/DaVinciResolve/Fusion/Scripts"


def all_users_scripts(system: str = sys.platform, environ: Optional[Mapping[str, str]] = None) -> Path:
    """Return the folder of scripts for all users of the machine."""
    env = os.environ if environ is None else environ
    if system == "win32":
        data = Path(env.get("PROGRAMDATA") or "C:/ProgramData")
        return data / "Blackmagic Design" / "DaVinci Resolve" / "Fusion" / "Scripts"
    if system == "darwin":
        return Path("/Library/Application Support/Blackmagic Design/DaVinci Resolve/Fusion/Scripts")
    return Path("/opt/resolve/Fusion/Scripts")


def is_here(system: str = sys.platform, environ: Optional[Mapping[str, str]] = None) -> bool:
    """Return whether this machine or this user has DaVinci Resolve: whether its folders exist."""
    folders = (user_scripts(system, environ).parents[1], all_users_scripts(system, environ).parents[1])
    return any(folder.is_dir() for folder in folders)


@dataclass(frozen=True)
class FoundPython:
    """The Python that Resolve is expected to use.

    Attributes:
        path: its interpreter, or folder on Windows; "" if none is found.
        how: the rule by which it was found, as the end of a sentence.
        version: major and minor, (0, 0) if it cannot be determined.
    """

    path: str
    how: str
    version: Tuple[int, int] = (0, 0)


def find_python(
    system: str = sys.platform, environ: Optional[Mapping[str, str]] = None, run: Run = subprocess.run
) -> FoundPython:
    """Return which Python Resolve will use.

    Args:
        system: as `sys.platform`.
        environ: the environment in which Resolve is started.
        run: runs a command.
    """
    env = os.environ if environ is None else environ
    rule = {"darwin": _on_mac, "win32": _on_windows}.get(system, _on_linux)
    path, how = rule(env, run)
    return FoundPython(path, how, _version(path, run) if path else (0, 0))


def _on_mac(environ: Mapping[str, str], run: Run) -> Tuple[str, str]:
    # Programs started from the Dock have launchd's environment, and not the terminal's.
    home = _said(["launchctl", "getenv", "PYTHON3HOME"], run)
    if home:
        named = os.path.join(home, "bin", "python3")
        if os.path.exists(named):
            return named, "PYTHON3HOME of launchctl names it"
        return "", f"PYTHON3HOME of launchctl is {home}, but there is no bin/python3 in it"
    if os.path.exists(MAC_DEFAULT):
        return MAC_DEFAULT, "it is where Resolve looks first; Homebrew's and pyenv's are not looked at"
    return "", f"there is none at {MAC_DEFAULT}, and launchctl has no PYTHON3HOME"


def _on_windows(environ: Mapping[str, str], run: Run) -> Tuple[str, str]:
    for name in ("FUSION_PYTHON3_HOME", "PYTHON3HOME"):
        if environ.get(name):
            return os.path.join(environ[name], "python.exe"), f"{name} names it"
    folder = _from_registry()
    if folder:
        return os.path.join(folder, "python.exe"), "it is installed for all users"
    return "", "none is installed for all users (python.org's installer has a box for that)"


def _from_registry() -> str:
    """Return the folder of the newest Python in the registry that is installed for all users."""
    try:
        import winreg
    except ImportError:
        return ""
    found = []
    try:
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, r"SOFTWARE\Python\PythonCore") as core:  # type: ignore[attr-defined,unused-ignore]
            for index in range(winreg.QueryInfoKey(core)[0]):  # type: ignore[attr-defined,unused-ignore]
                name = winreg.EnumKey(core, index)  # type: ignore[attr-defined,unused-ignore]
                path = winreg.QueryValue(core, name + r"\InstallPath")  # type: ignore[attr-defined,unused-ignore]
                if name.replace(".", "").isdigit():
                    found.append((tuple(map(int, name.split("."))), path))
    except OSError:
        return ""
    return str(max(found)[1]) if found else ""


def _on_linux(environ: Mapping[str, str], run: Run) -> Tuple[str, str]:
    own = os.path.join(LINUX_OWN, "bin", "python3")
    if os.path.exists(own):
        return own, "Resolve brings it"
    if environ.get("PYTHON3HOME"):
        return os.path.join(environ["PYTHON3HOME"], "bin", "python3"), "PYTHON3HOME names it"
    found = shutil.which("python3", path="/usr/bin:/usr/local/bin:/bin")
    return (found, "it is the system's") if found else ("", "the system has none")


def _version(path: str, run: Run) -> Tuple[int, int]:
    said = _said([path, "-c", "import sys; print(*sys.version_info[:2])"], run).split()
    return (int(said[0]), int(said[1])) if len(said) == 2 and all(each.isdigit() for each in said) else (0, 0)


def _said(command: list[str], run: Run) -> str:
    """Return what a command prints, "" if it cannot be run or fails."""
    try:
        done = run(command, capture_output=True, text=True, timeout=ASK_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
