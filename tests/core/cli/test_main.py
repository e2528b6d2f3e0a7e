"""The program's entry point: how errors are shown, with and without --json and --debug."""

from __future__ import annotations

import json

import pytest
from harmovid import __version__
from harmovid.cli import main, parser


def test_a_user_error_is_two_lines_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    """An error and its fix are written to stderr; stdout stays empty."""
    assert main(["deflicker"]) == 2

    printed = capsys.readouterr()
    assert printed.out == ""
    assert [line[:7] for line in printed.err.splitlines()] == ["error: ", "       "]


def test_debug_shows_where(capsys: pytest.CaptureFixture[str]) -> None:
    """With --debug the traceback is printed before the error."""
    assert main(["keys", "show", "nobody", "--debug"]) == 5

    assert "Traceback" in capsys.readouterr().err


def test_json_errors_are_the_wires_own(capsys: pytest.CaptureFixture[str]) -> None:
    """With --json an error is an object with code, message and fix, and stderr stays empty."""
    assert main(["nonsense", "--json"]) == 2

    printed = capsys.readouterr()
    answer = json.loads(printed.out)
    assert (answer["ok"], answer["exit"], answer["error"]["code"]) == (False, 2, "input")
    assert printed.err == ""


def test_a_fault_of_ours_is_reported_as_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Any other exception ends with exit code 1 and asks the user for a bug report, without a traceback."""

    def broken() -> None:
        raise RuntimeError("the moon is full")

    monkeypatch.setattr(parser, "build", broken)

    assert main(["engines"]) == 1
    printed = capsys.readouterr().err
    assert "unexpected RuntimeError: the moon is full" in printed
    assert "please report it" in printed
    assert "Traceback" not in printed


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """--version prints the package's version."""
    with pytest.raises(SystemExit) as end:
        main(["--version"])

    assert end.value.code == 0
    assert capsys.readouterr().out == f"harmovid {__version__}\n"
