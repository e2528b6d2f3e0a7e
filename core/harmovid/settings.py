"""The client's own settings: flags > environment > file > default.

The file `client.ini` has INI format, because Python 3.9 has no TOML reader:

    [client]
    server = tcp://render01:5570
    key = ~/.config/harmovid/keys/anna.secret
    python = /opt/harmovid/bin/python

    [map]
    /mnt/show = show

`[map]` lists folders that the server also mounts: a local path prefix and the server's name for that root. The flag
`--map /mnt/show=show` does the same. `HARMOVID_CLIENT_CONFIG` names another file.
"""

from __future__ import annotations

import configparser
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, List, Mapping, Optional, Sequence, Tuple

from harmovid.errors import InputError

CLIENT_KEYS = ("server", "key", "python")
SECRET, PUBLIC = ".secret", ".public"
SECTIONS = ("client", "map")


def _setting(default: Any, key: str, flag: str, variable: str, help_text: str) -> Any:
    """Return the dataclass field of one setting, with how it is set and its text for docs/settings.md."""
    told = {"key": key, "flag": flag, "variable": variable, "help": help_text}
    return field(default=default, metadata=told)


@dataclass(frozen=True)
class Settings:
    """The client's settings; docs/settings.md is generated from this class.

    `roots` are `(local folder, root name)` pairs, the longest folder first: the first match is used.
    """

    server: str = _setting(
        "",
        "server",
        "--server ADDR",
        "HARMOVID_SERVER",
        "The server's address, tcp://host:port; empty for a private server on this machine.",
    )
    key: str = _setting(
        "",
        "key",
        "--key FILE",
        "HARMOVID_KEY",
        "A secret key file, or the name of a pair in the user's key folder; empty for none.",
    )
    roots: Tuple[Tuple[Path, str], ...] = _setting(
        (),
        "[map]",
        "--map LOCALPREFIX=ROOT",
        "",
        "Local folders that the server mounts as well, each with the server's name for that root; repeatable.",
    )
    python: str = _setting(
        "",
        "python",
        "",
        "HARMOVID_PYTHON",
        "The Python interpreter that runs a private server, one with harmovid[server]; empty for the one that runs "
        "this process. Inside a host that is the host itself, so hosts need this setting.",
    )


def config_folder(environ: Optional[Mapping[str, str]] = None) -> Path:
    """Return the folder of HarmoVid's user files, by the convention of the operating system; it need not exist."""
    env = os.environ if environ is None else environ
    if sys.platform == "win32":
        return Path(env.get("APPDATA") or Path.home() / "AppData" / "Roaming") / "harmovid"
    return Path(env.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "harmovid"


def config_file(environ: Optional[Mapping[str, str]] = None) -> Path:
    """Return the settings file: `HARMOVID_CLIENT_CONFIG`, else `client.ini` in the user's folder."""
    env = os.environ if environ is None else environ
    named = env.get("HARMOVID_CLIENT_CONFIG")
    return Path(named).expanduser() if named else config_folder(env) / "client.ini"


def keys_folder(environ: Optional[Mapping[str, str]] = None) -> Path:
    """Return the folder of the user's key pairs; it need not exist."""
    return config_folder(environ) / "keys"


def secret_file(text: str) -> Path:
    """Return the secret file that `--key` or the settings name: a path, or a pair in the user's key folder."""
    path = Path(text).expanduser()
    # os.path.exists is False, and no error, for a path in a folder that may not be read.
    if path.name != text or os.path.exists(path):
        return path
    return keys_folder() / (text + SECRET)


def load_settings(
    server: Optional[str] = None,
    key: Optional[str] = None,
    maps: Sequence[str] = (),
    environ: Optional[Mapping[str, str]] = None,
    python: Optional[str] = None,
) -> Settings:
    """Return the settings: arguments override the environment, which overrides the file, which overrides defaults.

    Args:
        server: an address; None if none was given. Empty text asks for a private server.
        key: a key file or the name of a pair, or None.
        maps: `LOCALPREFIX=ROOT` texts of `--map`; added to those of the file and used before them.
        environ: the environment, `os.environ` by default.
        python: the interpreter of a private server, or None.

    Raises:
        InputError: the file or a mapping cannot be read.
    """
    env = os.environ if environ is None else environ
    file = _read(config_file(env), must_exist="HARMOVID_CLIENT_CONFIG" in env)
    client = file["client"] if file.has_section("client") else {}
    roots = {
        Path(prefix).expanduser(): name
        for prefix, name in (file["map"] if file.has_section("map") else {}).items()
    }
    roots.update(_mapping(text) for text in maps)
    return Settings(
        server=_first(server, env.get("HARMOVID_SERVER"), client.get("server")),
        key=_first(key, env.get("HARMOVID_KEY"), client.get("key")),
        python=os.path.expanduser(_first(python, env.get("HARMOVID_PYTHON"), client.get("python"))),
        roots=tuple(sorted(roots.items(), key=lambda pair: len(pair[0].parts), reverse=True)),
    )


def _first(*values: Optional[str]) -> str:
    return next((value.strip() for value in values if value is not None), "")


def _read(path: Path, must_exist: bool) -> configparser.ConfigParser:
    # Paths are case-sensitive and may contain "%" and ":", so these features of the parser are switched off.
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        with open(path, encoding="utf-8") as stream:
            parser.read_file(stream)
    except FileNotFoundError:
        if must_exist:
            raise InputError(
                f"the settings file {path} does not exist.", fix="HARMOVID_CLIENT_CONFIG names it."
            ) from None
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"the settings file {path} cannot be read: {reason}.", fix="Correct or remove it."
        ) from error
    _refuse_unknown(parser, path)
    return parser


def _refuse_unknown(parser: configparser.ConfigParser, path: Path) -> None:
    unknown: List[str] = [f"[{name}]" for name in parser.sections() if name not in SECTIONS]
    if parser.has_section("client"):
        unknown += [name for name in parser["client"] if name not in CLIENT_KEYS]
    if unknown:
        raise InputError(
            f"the settings file {path} has unknown entries: {', '.join(unknown)}.",
            fix="It takes [client] with server, key and python, and [map].",
        )


def _mapping(text: str) -> Tuple[Path, str]:
    prefix, equals, name = text.rpartition("=")
    if not (prefix and equals and name):
        raise InputError(f"--map {text} cannot be read.", fix="Write it as /local/folder=rootname.")
    return Path(prefix).expanduser(), name
