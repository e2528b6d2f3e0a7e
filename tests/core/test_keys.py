"""Key files: secrets stay secret, and every error is reported with its fix."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

import pytest
from harmovid import keys
from harmovid.errors import InputError, KeyFileError
from harmovid.key_limits import KeyLimits

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no permission bits")


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """Return the path of a fresh secret file."""
    path = tmp_path / "anna.secret"
    keys.save_secret(path, keys.new_pair("anna"))
    return path


def test_a_pair_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    """Secret and public file hold what they should, and no more."""
    pair = keys.new_pair("anna")
    keys.save_secret(tmp_path / "anna.secret", pair)
    keys.save_public(tmp_path / "anna.public", pair)
    assert keys.load_secret(tmp_path / "anna.secret") == pair
    assert keys.load_public(tmp_path / "anna.public") == keys.PublicKey("anna", pair.public)
    assert pair.secret not in (tmp_path / "anna.public").read_text()
    assert sorted(os.listdir(tmp_path)) == ["anna.public", "anna.secret"]


def test_the_secret_half_is_not_shown() -> None:
    """A pair in a log or traceback does not give its secret away."""
    pair = keys.new_pair("anna")
    assert pair.secret not in repr(pair)
    assert pair.secret not in str(pair)


@POSIX
def test_a_secret_file_is_its_owners_alone(secret: Path) -> None:
    """It is made 0600 whatever the umask, and stays so when the server's key is added."""
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    keys.trust_server(secret, keys.new_pair("server").public)
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600


@POSIX
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o777])
def test_a_secret_file_that_others_can_touch_is_refused(secret: Path, mode: int) -> None:
    """Any access by group or others is too much; the message says what to run."""
    secret.chmod(mode)
    with pytest.raises(KeyFileError, match="chmod 600"):
        keys.load_secret(secret)


def test_a_secret_file_is_never_replaced(secret: Path) -> None:
    """Making a key under a name that exists keeps the old one."""
    before = secret.read_bytes()
    with pytest.raises(KeyFileError, match="exists already"):
        keys.save_secret(secret, keys.new_pair("anna"))
    assert secret.read_bytes() == before


def test_the_trusted_server_is_kept_in_the_clients_file(secret: Path) -> None:
    """`trust_server` adds the server's key and changes nothing else."""
    before, server = keys.load_secret(secret), keys.new_pair("server")
    after = keys.trust_server(secret, server.public)
    assert after == keys.load_secret(secret)
    assert (after.public, after.secret, after.server) == (before.public, before.secret, server.public)
    with pytest.raises(KeyFileError, match="malformed"):
        keys.trust_server(secret, "too short")


@pytest.mark.parametrize("name", ["", "a b", "../anna", "a/b", ".hidden", "x" * 65, "a\n"])
def test_names_that_are_no_file_names_are_refused(name: str) -> None:
    """A key's name never becomes a path or a line of its own."""
    with pytest.raises(KeyFileError, match="cannot name a key"):
        keys.new_pair(name)


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("", "keys new"),
        ("not json", "keys new"),
        ("[1, 2]", "keys new"),
        ("[" * 100_000, "keys new"),
        ('{"name": "anna"}', "has no 'public'"),
        ('{"name": "anna", "public": 5}', "malformed 'public'"),
        ('{"name": "a/b"}', "malformed 'name'"),
        ("\ufffd" * (1 << 20), "too large"),
    ],
)
def test_damaged_files_are_reported(secret: Path, text: str, fix: str) -> None:
    """Whatever is in the file, the answer is a KeyFileError that names it."""
    secret.write_text(text, encoding="utf-8")
    with pytest.raises(KeyFileError, match=fix) as caught:
        keys.load_secret(secret)
    assert str(secret) in str(caught.value)


def test_halves_that_do_not_belong_together_are_reported(secret: Path) -> None:
    """A file glued from two pairs is refused."""
    body = json.loads(secret.read_text())
    body["secret"] = keys.new_pair("other").secret
    secret.write_text(json.dumps(body))
    with pytest.raises(KeyFileError, match="do not belong together"):
        keys.load_secret(secret)


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    """The message says how to make one."""
    with pytest.raises(KeyFileError, match="harmovid keys new"):
        keys.load_secret(tmp_path / "nobody.secret")


def test_the_list_of_authorized_keys(tmp_path: Path) -> None:
    """Clients are added, replaced and removed by name; remarks and other lines stay."""
    path = tmp_path / "authorized_keys"
    listed = keys.AuthorizedKeys(path)
    assert listed.load() == {}
    path.write_text("# the roto department\n\n")
    anna, bob, newer = (keys.new_pair("x").public for _ in range(3))
    listed.add("anna", anna)
    listed.add("bob", bob)
    listed.add("anna", newer)
    assert listed.load() == {newer: "anna", bob: "bob"}
    listed.remove("bob")
    assert listed.load() == {newer: "anna"}
    assert path.read_text().startswith("# the roto department\n")


def test_mistakes_with_authorized_keys_are_reported(tmp_path: Path) -> None:
    """Nobody is listed twice or under a malformed key, and a broken line is named, not skipped."""
    path = tmp_path / "authorized_keys"
    listed = keys.AuthorizedKeys(path)
    key = keys.new_pair("x").public
    listed.add("anna", key)
    with pytest.raises(KeyFileError, match="listed as anna"):
        listed.add("bob", key)
    with pytest.raises(KeyFileError, match="malformed"):
        listed.add("bob", key[:-1])
    with pytest.raises(InputError, match="It lists anna"):
        listed.remove("bob")
    with path.open("a") as file:
        file.write("bob\n")
    with pytest.raises(KeyFileError, match="line 2"):
        listed.load()


def test_the_public_half_is_named_as_such(secret: Path, tmp_path: Path) -> None:
    """If the .public file is given as the key, the error says that it is the public half, and which to name instead."""
    public = tmp_path / "anna.public"
    keys.save_public(public, keys.load_secret(secret))
    renamed = tmp_path / "renamed.secret"
    renamed.write_bytes(public.read_bytes())
    renamed.chmod(0o600)
    for path in (public, renamed):
        with pytest.raises(KeyFileError, match=r"is the public half .* \.secret file"):
            keys.load_secret(path)


def test_limits_stand_behind_a_key(tmp_path: Path) -> None:
    """Limits are read with their units, stay when the key is renewed, are set and taken away by name."""
    listed = keys.AuthorizedKeys(tmp_path / "authorized_keys")
    first, second, ben = (keys.new_pair(name).public for name in ("anna", "anna", "ben"))
    listed.add("anna", first)
    listed.add("ben", ben)
    assert listed.listed()[first].limits == KeyLimits()
    entry = listed.limit("anna", ["jobs=4", "bytes=1.5GiB", "priority=60"])
    assert entry.limits == listed.listed()[first].limits == KeyLimits(4, None, 3 << 29, 60)
    listed.add("anna", second)
    assert listed.load() == {ben: "ben", second: "anna"}
    assert listed.listed()[second].limits.jobs == 4
    assert listed.listed()[ben].limits == KeyLimits()
    assert listed.limit("anna", []).limits == KeyLimits()
    assert listed.listed()[second].limits == KeyLimits()


@pytest.mark.parametrize(
    "word",
    [
        "jobs",
        "jobs=",
        "jobs=-1",
        "jobs=1.5",
        "jobs=x",
        "bytes=many",
        "priority=101",
        "speed=3",
        "jobs=1 jobs=2",
    ],
)
def test_limits_that_cannot_be_read_are_reported(tmp_path: Path, word: str) -> None:
    """By the command before anything is written, and with the line's number where they stand in the list."""
    listed = keys.AuthorizedKeys(tmp_path / "authorized_keys")
    public = keys.new_pair("anna").public
    listed.add("anna", public)
    with pytest.raises(InputError, match="limit"):
        listed.limit("anna", word.split())
    assert listed.listed()[public].limits == KeyLimits()
    Path(listed.path).write_text(f"# remark\nanna {public} {word}\n")
    with pytest.raises(KeyFileError, match=r"line 2 .* limit"):
        listed.load()


def test_a_limit_of_nobody_is_reported(tmp_path: Path) -> None:
    """A name that is not listed gets no limit, and the error lists the names that are there."""
    listed = keys.AuthorizedKeys(tmp_path / "authorized_keys")
    listed.add("anna", keys.new_pair("anna").public)
    with pytest.raises(InputError, match="It lists anna"):
        listed.limit("ben", ["jobs=1"])
