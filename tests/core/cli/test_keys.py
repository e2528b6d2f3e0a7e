"""`harmovid keys`, end to end on real files."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from harmovid import keys
from harmovid.cli import exits, main


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the key folder of a user who has nothing yet."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("HARMOVID_AUTHORIZED_KEYS", raising=False)
    return tmp_path / "harmovid" / "keys"


def test_client_and_server_get_to_know_each_other(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """new, trust and authorize leave files in which the client knows its server and is listed."""
    for words in (
        ["new", "anna"],
        ["new", "farm"],
        ["trust", "anna", str(home / "farm.public")],
        ["authorize", str(home / "anna.public")],
    ):
        assert main(["keys", *words]) == 0
    capsys.readouterr()

    anna, farm = keys.load_secret(home / "anna.secret"), keys.load_secret(home / "farm.secret")
    assert anna.server == farm.public
    assert keys.AuthorizedKeys(home / "authorized_keys").load() == {anna.public: "anna"}
    assert main(["keys", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [pair["name"] for pair in listed["pairs"]] == ["anna", "farm"]
    assert [client["name"] for client in listed["authorized"]] == ["anna"]


def test_secrets_are_their_owners_alone(home: Path) -> None:
    """The folder is 0700 and the secret file 0600."""
    main(["keys", "new", "anna"])

    assert stat.S_IMODE(os.stat(home).st_mode) == 0o700
    assert stat.S_IMODE(os.stat(home / "anna.secret").st_mode) == 0o600


def test_the_secret_half_is_never_printed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither text nor JSON of any action holds the secret key."""
    main(["keys", "new", "anna"])
    main(["keys", "list", "--json"])
    main(["keys", "show", "anna"])

    printed = capsys.readouterr()
    secret = keys.load_secret(home / "anna.secret").secret
    assert secret not in printed.out + printed.err


def test_show_prints_the_public_half_alone(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`keys show` is one line, for copying."""
    main(["keys", "new", "anna", "--json"])
    public = json.loads(capsys.readouterr().out)["public"]

    assert main(["keys", "show", "anna"]) == 0
    assert capsys.readouterr().out == public + "\n"


def test_remove_shuts_out(home: Path) -> None:
    """A removed client is no longer listed; removing it twice is an error with the exit code for keys."""
    main(["keys", "new", "anna"])
    main(["keys", "authorize", str(home / "anna.public")])

    assert main(["keys", "remove", "anna"]) == 0
    assert keys.AuthorizedKeys(home / "authorized_keys").load() == {}
    assert main(["keys", "remove", "anna"]) == exits.USAGE


def test_limits_are_set_shown_and_taken_away(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`keys limit` writes them behind the key, `keys list` shows them, and without any they are gone."""
    main(["keys", "new", "anna"])
    main(["keys", "authorize", str(home / "anna.public")])
    capsys.readouterr()

    assert main(["keys", "limit", "anna", "jobs=4", "bytes=1GiB", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["limits"] == {"jobs": 4, "bytes": 1 << 30}
    assert main(["keys", "list"]) == 0
    assert "jobs=4 bytes=1073741824" in capsys.readouterr().out
    assert main(["keys", "limit", "anna"]) == 0
    assert "no limits of its own" in capsys.readouterr().out
    for typo, says in (("anna speed=9", "jobs=N"), ("ana jobs=4", "It lists anna")):
        assert main(["keys", "limit", *typo.split()]) == exits.USAGE
        assert says in capsys.readouterr().err


def test_the_servers_own_list_can_lie_elsewhere(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HARMOVID_AUTHORIZED_KEYS, the server's own setting, is the list that authorize writes."""
    monkeypatch.setenv("HARMOVID_AUTHORIZED_KEYS", str(tmp_path / "clients"))
    main(["keys", "new", "anna"])

    assert main(["keys", "authorize", str(home / "anna.public")]) == 0
    assert list(keys.AuthorizedKeys(tmp_path / "clients").load().values()) == ["anna"]


@pytest.mark.parametrize("words", [["new", "../anna"], ["show", "none"], ["authorize", "none.public"]])
def test_what_cannot_be_done_is_reported_in_one_line_and_a_fix(
    home: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Bad names and missing files end with exit code 5, an error and a fix, and no traceback."""
    assert main(["keys", *words]) == 5

    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("error: ")
    assert len(lines) == 2


def test_an_existing_secret_is_never_replaced(home: Path) -> None:
    """Making a pair of a name that exists leaves the old secret as it was."""
    main(["keys", "new", "anna"])
    before = (home / "anna.secret").read_bytes()

    assert main(["keys", "new", "anna"]) == 5
    assert (home / "anna.secret").read_bytes() == before


@pytest.mark.parametrize("name", ["k" * 300, "/nowhere/" + "k" * 300, "/etc/passwd/key"])
def test_a_key_that_cannot_be_looked_at_is_reported(
    home: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A path that the system refuses to look at is an unusable key file, not a fault of the program."""
    assert main(["engines", "--server", "127.0.0.1:9", "--key", name]) == exits.AUTH
    assert "This is a fault in HarmoVid" not in capsys.readouterr().err
