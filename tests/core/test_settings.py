"""Client settings: precedence of flag, environment and file, and files that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest
from harmovid import settings
from harmovid.errors import InputError


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Return an environment whose settings file holds one server and one root."""
    path = tmp_path / "client.ini"
    path.write_text(
        "[client]\nserver = tcp://file:1\nkey = ~/a%b.secret\n[map]\n/mnt/Show: A = show\n", "utf-8"
    )
    return {"HARMOVID_CLIENT_CONFIG": str(path)}


def test_flag_wins_over_environment_wins_over_file(environ: dict[str, str]) -> None:
    """The nearest source decides, each setting by itself."""
    both = {**environ, "HARMOVID_SERVER": "tcp://environment:2"}

    assert settings.load_settings(environ=environ).server == "tcp://file:1"
    assert settings.load_settings(environ=both).server == "tcp://environment:2"
    assert settings.load_settings(server="tcp://flag:3", environ=both).server == "tcp://flag:3"
    assert settings.load_settings(server="tcp://flag:3", environ=both).key == "~/a%b.secret"


def test_an_empty_flag_asks_for_a_private_server(environ: dict[str, str]) -> None:
    """`--server ""` undoes what file and environment say."""
    assert settings.load_settings(server="", environ={**environ, "HARMOVID_SERVER": "tcp://b:2"}).server == ""


def test_roots_keep_case_and_stand_longest_first(environ: dict[str, str]) -> None:
    """Mapped folders are case-sensitive, may hold a colon, and the most specific one comes first."""
    found = settings.load_settings(maps=["/mnt/Show: A/deep=deep", "/mnt=all"], environ=environ).roots

    assert found == (
        (Path("/mnt/Show: A/deep"), "deep"),
        (Path("/mnt/Show: A"), "show"),
        (Path("/mnt"), "all"),
    )


def test_a_mapping_flag_wins_over_the_file(environ: dict[str, str]) -> None:
    """The same folder mapped twice takes the flag's root."""
    assert settings.load_settings(maps=["/mnt/Show: A=other"], environ=environ).roots == (
        (Path("/mnt/Show: A"), "other"),
    )


def test_no_file_is_no_error(tmp_path: Path) -> None:
    """Without a settings file the defaults hold."""
    assert settings.load_settings(environ={"XDG_CONFIG_HOME": str(tmp_path)}) == settings.Settings()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("server = x\n", "no section headers"),
        ("[client]\nserver = a\nserver = b\n", "server"),
        ("[client]\nsrever = a\n", "srever"),
        ("[cluster]\na = b\n", r"\[cluster\]"),
    ],
)
def test_a_file_that_cannot_be_used_is_reported(tmp_path: Path, text: str, named: str) -> None:
    """Malformed files and misspelt names raise InputError naming what is wrong."""
    path = tmp_path / "client.ini"
    path.write_text(text, "utf-8")

    with pytest.raises(InputError, match=named):
        settings.load_settings(environ={"HARMOVID_CLIENT_CONFIG": str(path)})


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    """A file that HARMOVID_CLIENT_CONFIG names and that is not there is an error, not silence."""
    with pytest.raises(InputError, match="does not exist"):
        settings.load_settings(environ={"HARMOVID_CLIENT_CONFIG": str(tmp_path / "none.ini")})


@pytest.mark.parametrize("text", ["show", "=show", "/mnt/show="])
def test_a_mapping_without_both_sides_is_reported(text: str) -> None:
    """`--map` needs a folder and a root name."""
    with pytest.raises(InputError, match="--map"):
        settings.load_settings(maps=[text], environ={"XDG_CONFIG_HOME": "/nonexistent"})
