"""CURVE key files: a client's identity, the server that it trusts, the clients that a server admits.

    anna.secret       name, public and secret half, and (a client's) the public key of its server; mode 0600
    anna.public       name and public half; to send to the server's administrator
    authorized_keys   one line per client, `name public-key [admin] [limits]`; lines that start with # are comments

    pair = new_pair("anna")
    save_secret(folder / "anna.secret", pair)
    save_public(folder / "anna.public", pair)
    AuthorizedKeys("authorized_keys").add("anna", pair.public)
    trust_server(folder / "anna.secret", load_public("server.public").public)
    Client("tcp://render01:5570", keys=load_secret(folder / "anna.secret"))

Secret and public files are JSON. Keys are Z85 text of 40 characters, as libzmq prints them. A secret file
that group or others can read is refused, as in ssh (POSIX only; Windows protects the user's folder).
"""

from __future__ import annotations

import json
import os
import re
import stat
import sys
from dataclasses import dataclass, field, replace
from typing import Any, Dict, Sequence, Union

import zmq

from harmovid.errors import InputError, KeyFileError
from harmovid.key_limits import FORMS, KeyLimits
from harmovid.storage.atomic import write_whole

Path = Union[str, "os.PathLike[str]"]

# Printable, no path separators, no spaces: a name is a file name and a word in authorized_keys.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
KEY = re.compile(r"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")
ADMIN = "admin"
_KEY_FIX = "It has 40 characters; take the .public file."
_NEW_FIX = "Make one with: harmovid keys new NAME, which prints the paths of its files."
MAX_FILE_BYTES = 1 << 20  # enough for thousands of keys; a larger file is not a key file


@dataclass(frozen=True)
class PublicKey:
    """A public key: its owner's name and its Z85 text."""

    name: str
    public: str


@dataclass(frozen=True)
class KeyPair:
    """A key pair.

    `server` is the trusted server's public key, empty in a server's own file. `repr` leaves the secret key out, so that
    it never gets into a log.
    """

    name: str
    public: str
    secret: str = field(repr=False)
    server: str = ""


@dataclass(frozen=True)
class ListedKey:
    """One line of the list of authorized keys; an administrator may see and cancel all users' jobs."""

    name: str
    public: str
    limits: KeyLimits
    admin: bool = False


def new_pair(name: str) -> KeyPair:
    """Return a new key pair.

    Raises:
        KeyFileError: the name contains spaces or path separators, or this libzmq has no CURVE.
    """
    _check_name(name)
    if not zmq.has("curve"):
        raise KeyFileError("this libzmq is built without CURVE.", fix="Install pyzmq from its wheels.")
    public, secret = zmq.curve_keypair()
    return KeyPair(name, public.decode("ascii"), secret.decode("ascii"))


def save_secret(path: Path, pair: KeyPair) -> None:
    """Write the key pair to `path`, readable by its owner only.

    Raises:
        KeyFileError: the file exists (a lost secret cannot be brought back), or cannot be written.
    """
    if os.path.lexists(path):
        raise KeyFileError(
            f"{os.fspath(path)} exists already.", fix="Choose another name, or remove it yourself."
        )
    _write_pair(path, pair)


def _write_pair(path: Path, pair: KeyPair) -> None:
    body = {"kind": "harmovid secret key", "name": pair.name, "public": pair.public, "secret": pair.secret}
    if pair.server:
        body["server"] = pair.server
    _write(path, json.dumps(body, indent=1) + "\n", 0o600)


def save_public(path: Path, key: Union[KeyPair, PublicKey]) -> None:
    """Write name and public key to `path`, replacing an existing file.

    Raises:
        KeyFileError: it cannot be written.
    """
    body = {"kind": "harmovid public key", "name": key.name, "public": key.public}
    _write(path, json.dumps(body, indent=1) + "\n", 0o644)


def load_secret(path: Path) -> KeyPair:
    """Return the pair in a secret file.

    Raises:
        KeyFileError: missing, malformed, readable by others, or the two keys do not match.
    """
    body = _read_json(path, private=not _is_public(path))
    if "secret" not in body and KEY.fullmatch(str(body.get("public", ""))):
        raise KeyFileError(
            f"{os.fspath(path)} is the public half of a key, which is given away.",
            fix="Name the .secret file of the pair.",
        )
    pair = KeyPair(
        _text(path, body, "name", NAME),
        _text(path, body, "public", KEY),
        _text(path, body, "secret", KEY),
        _text(path, body, "server", KEY) if "server" in body else "",
    )
    if zmq.curve_public(pair.secret.encode("ascii")) != pair.public.encode("ascii"):
        raise KeyFileError(
            f"the two halves in {os.fspath(path)} do not belong together.", fix="Make a new key pair."
        )
    return pair


def load_public(path: Path) -> PublicKey:
    """Return the public key in a public (or secret) file.

    Raises:
        KeyFileError: missing or malformed.
    """
    body = _read_json(path, private=False)
    return PublicKey(_text(path, body, "name", NAME), _text(path, body, "public", KEY))


def trust_server(path: Path, server_public: str) -> KeyPair:
    """Write the server's public key into a client's secret file and return the pair.

    Raises:
        KeyFileError: the file or the key is invalid.
    """
    if not KEY.fullmatch(server_public):
        raise KeyFileError("the server's public key is malformed.", fix=_KEY_FIX)
    pair = replace(load_secret(path), server=server_public)
    _write_pair(path, pair)
    return pair


class AuthorizedKeys:
    """The list of clients that a server admits: a text file that may be edited by hand."""

    def __init__(self, path: Path) -> None:
        self.path = os.fspath(path)

    def load(self) -> Dict[str, str]:
        """Return `{public key: name}`; a missing file admits nobody.

        Raises:
            KeyFileError: it cannot be read or a line is malformed; the message names the line.
        """
        return {public: entry.name for public, entry in self.listed().items()}

    def listed(self) -> Dict[str, ListedKey]:
        """Return the lines by public key, with their limits; a missing file has none.

        Raises:
            KeyFileError: it cannot be read or a line is malformed; the message names the line.
        """
        if not os.path.lexists(self.path):
            return {}
        found: Dict[str, ListedKey] = {}
        for number, line in enumerate(_read(self.path, private=False).splitlines(), 1):
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            if len(words) < 2 or not NAME.fullmatch(words[0]) or not KEY.fullmatch(words[1]):
                raise KeyFileError(
                    f"line {number} of {self.path} is malformed.",
                    fix=f"A line is: name public-key (40 characters), and {ADMIN} or limits behind it.",
                )
            try:
                limits = KeyLimits.parse([word for word in words[2:] if word != ADMIN])
            except ValueError as error:
                raise KeyFileError(
                    f"line {number} of {self.path} has a limit that cannot be read: {error}.",
                    fix=f"Limits are {FORMS}.",
                ) from error
            found[words[1]] = ListedKey(words[0], words[1], limits, ADMIN in words[2:])
        return found

    def add(self, name: str, public: str, admin: bool = False) -> None:
        """Admit `public` under `name`; an older key of that name is replaced, and its limits are kept.

        Args:
            admin: whether it may see, cancel and retry all users' jobs; this right is not taken over from an older key.

        Raises:
            KeyFileError: name, key or file is invalid, or the key is already listed under another name.
        """
        _check_name(name)
        if not KEY.fullmatch(public):
            raise KeyFileError("the public key is malformed.", fix=_KEY_FIX)
        known = self.load()
        if known.get(public, name) != name:
            raise KeyFileError(
                f"this key is already listed as {known[public]}.", fix="Remove that name first."
            )
        older = [line.split()[2:] for line in self._lines() if line.split()[:1] == [name]]
        lines = [line for line in self._lines() if line.split()[:1] != [name]]
        kept = [word for word in (older[-1] if older else ()) if word != ADMIN]
        own = " ".join([name, public, *([ADMIN] if admin else []), *kept])
        _write(self.path, "\n".join([*lines, own]) + "\n", 0o644)

    def limit(self, name: str, words: Sequence[str]) -> ListedKey:
        """Replace the limits of a name; without any, the server's settings apply. Return the limits that are listed
        then.

        Args:
            name: the name of the key.
            words: limits such as `jobs=4`, `bytes=50GiB`; see `harmovid.key_limits`.

        Raises:
            InputError: the name is not listed, or a limit cannot be parsed. KeyFileError: the file cannot be written.
        """
        try:
            KeyLimits.parse(words)
        except ValueError as error:
            raise InputError(f"the limit cannot be read: {error}.", fix=f"Limits are {FORMS}.") from error
        listed = {entry.name: entry for entry in self.listed().values()}
        if name not in listed:
            raise self._unknown(name)
        mark = [ADMIN] if listed[name].admin else []
        lines = [
            " ".join([*line.split()[:2], *mark, *words]) if line.split()[:1] == [name] else line
            for line in self._lines()
        ]
        _write(self.path, "".join(line + "\n" for line in lines), 0o644)
        return ListedKey(name, listed[name].public, KeyLimits.parse(words), listed[name].admin)

    def remove(self, name: str) -> None:
        """Remove `name` from the list.

        Raises:
            InputError: the name is not listed. KeyFileError: the file cannot be written.
        """
        lines = self._lines()
        kept = [line for line in lines if line.split()[:1] != [name]]
        if len(kept) == len(lines):
            raise self._unknown(name)
        _write(self.path, "".join(line + "\n" for line in kept), 0o644)

    def _unknown(self, name: str) -> InputError:
        names = ", ".join(sorted(self.load().values())) or "nobody"
        return InputError(f"{name} is not in {self.path}.", fix=f"It lists {names}.")

    def _lines(self) -> list[str]:
        return _read(self.path, private=False).splitlines() if os.path.lexists(self.path) else []


def _is_public(path: Path) -> bool:
    """Return whether a file has the name of a public key file."""
    return os.fspath(path).endswith(".public")


def open_to_others(path: Path) -> bool:
    """Return whether group or others have any access to `path`; False on Windows, which has no such mode bits."""
    return sys.platform != "win32" and bool(stat.S_IMODE(os.stat(path).st_mode) & 0o077)


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise KeyFileError(
            f"{name!r} cannot name a key.", fix="Use letters, digits, dot, dash and underscore."
        )


def _write(path: Path, text: str, mode: int) -> None:
    try:
        write_whole(os.fspath(path), text.encode("utf-8"), mode)
    except OSError as error:
        raise KeyFileError(
            f"{os.fspath(path)} cannot be written: {error.strerror}.", fix="Check the folder."
        ) from error


def _read(path: Path, private: bool) -> str:
    name = os.fspath(path)
    try:
        if private and open_to_others(path):
            raise KeyFileError(f"{name} can be read by others.", fix=f"Run: chmod 600 {name}")
        with open(path, "rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise KeyFileError(f"{name} is too large for a key file.")
        return data.decode("utf-8")
    except FileNotFoundError as error:
        raise KeyFileError(f"{name} does not exist.", fix=_NEW_FIX) from error
    except OSError as error:
        raise KeyFileError(f"{name} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise KeyFileError(f"{name} is not a key file.", fix=_NEW_FIX) from error


def _read_json(path: Path, private: bool) -> Dict[str, Any]:
    try:
        body = json.loads(_read(path, private))
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise KeyFileError(f"{os.fspath(path)} is not a key file.", fix=_NEW_FIX)
    return body


def _text(path: Path, body: Dict[str, Any], name: str, form: re.Pattern[str]) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not form.fullmatch(value):
        what = "has no" if value is None else "has a malformed"
        raise KeyFileError(
            f"{os.fspath(path)} {what} {name!r}.", fix="A .secret file holds both halves of a key."
        )
    return value
