"""The demo's command line where no server is needed: help, wrong patterns, incomplete requests."""

from __future__ import annotations

import pytest
from harmovid.errors import InputError, PatternError, Unreachable
from harmovid_demo.__main__ import main
from harmovid_demo.compare import compare_plates
from harmovid_demo.runner import check_frames
from harmovid_demo.server import running_server
from harmovid_demo.sheet import draw_pairs, draw_sheet
from harmovid_demo.shot import Shot, generate
from harmovid_demo.wipe import write_wipe


def test_help_ends_well(capsys):
    """--help names every flag and ends with code 0."""
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert all(flag in text for flag in ("--plate", "--fg", "--bg", "--out", "--server"))


def test_a_plate_that_is_not_there_fails(tmp_path, capsys):
    """A pattern without frames ends with code 1 and says so, before any server is started."""
    assert main(["--out", str(tmp_path / "out"), "--plate", str(tmp_path / "no.####.exr")]) == 1
    assert "no file fits" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("words", [["--width", "10"], ["--frames", "0"]])
def test_a_shot_too_small_to_render_is_refused(tmp_path, capsys, words):
    """A width or a frame count that is too small ends with code 1 and names the smallest one."""
    assert main(["--out", str(tmp_path / "out"), *words]) == 1
    assert "at least 1 frame, 64 pixels wide" in capsys.readouterr().err


def test_a_single_frame_can_be_shown(tmp_path):
    """A shot of one frame, which cannot flicker, still gives a sheet, a before-and-after picture and a wipe."""
    files = generate(tmp_path / "shot", Shot(width=64, height=36, count=1))
    versions = {"before": files.pattern("comp"), "after": files.pattern("truth_comp")}
    comparison = compare_plates("One", [1001], versions, has_truth=False)
    assert comparison.versions[0].flicker.whole == 0.0
    assert draw_sheet([comparison]).ndim == 3
    assert draw_pairs([comparison]).ndim == 3
    assert write_wipe([comparison], tmp_path).is_file()


def test_a_foreground_needs_its_background(tiny):
    """--fg without --bg, or --bg without --fg, is an input error; complete requests pass."""
    fg, plate = tiny.pattern("fg"), tiny.pattern("plate")
    for request in ((fg, ""), ("", plate)):
        with pytest.raises(InputError):
            check_frames("", *request)
    with pytest.raises(PatternError):
        check_frames(plate, fg, plate.replace("plate", "other"))
    check_frames(plate, fg, plate)


def test_a_server_that_cannot_start_shows_its_log(tmp_path, monkeypatch):
    """The error holds the last lines of the server's own log."""
    monkeypatch.setenv("HARMOVID_PORT", "seven")
    with pytest.raises(Unreachable) as failed, running_server(tmp_path):
        pass
    assert "server.log ends:" in str(failed.value)
    assert "seven" in str(failed.value)
