"""`harmovid deflicker` against a reference server: results, frame errors, exit codes, JSON, running again."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from core.reference_server import ReferenceServer
from core.tiny_exr import tiny_exr
from harmovid import errors
from harmovid.cli import exits, main

pytestmark = pytest.mark.usefixtures("own_settings")


@pytest.fixture
def plate(tmp_path: Path) -> Path:
    """Return the pattern of a plate with the frames 1001 to 1010."""
    (tmp_path / "in").mkdir()
    for frame in range(1001, 1011):
        (tmp_path / "in" / f"plate.{frame}.exr").write_bytes(tiny_exr(value=frame / 2048))
    return tmp_path / "in" / "plate.####.exr"


class Command:
    """Runs `harmovid deflicker` on the plate and reads its answer."""

    def __init__(self, server: ReferenceServer, plate: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.server, self.plate, self.out = server, plate, plate.parents[1] / "out"
        self._capsys = capsys

    def __call__(self, *words: object, plate: Any = None) -> tuple[int, dict[str, Any]]:
        """Return exit code and JSON answer."""
        line = ["deflicker", plate or self.plate, "-o", self.out, "--engine", "null", "--json"]
        if "--server" not in words:
            line += ["--server", self.server.address]
        code = main([str(word) for word in (*line, *words)])
        printed = self._capsys.readouterr()
        assert "Traceback" not in printed.err
        return code, json.loads(printed.out)

    def results(self) -> list[str]:
        """Return the names of everything in the output folder, hidden files too."""
        return sorted(path.name for path in self.out.iterdir()) if self.out.is_dir() else []


@pytest.fixture
def deflicker(server: ReferenceServer, plate: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """Return the command, ready to run."""
    return Command(server, plate, capsys)


def test_every_frame_comes_back_under_its_own_number(deflicker: Command) -> None:
    """A job writes one result per frame, and the journal is gone when it is done."""
    code, answer = deflicker()

    assert code == 0
    assert answer["ok"] is True
    assert answer["state"] == "DONE"
    assert answer["frames"] == {"total": 10, "written": 10, "resumed": 0}
    assert deflicker.results() == [f"plate.{frame}.exr" for frame in range(1001, 1011)]
    assert (deflicker.out / "plate.1007.exr").read_bytes() == tiny_exr(value=1007 / 2048)


def test_a_missing_frame_fails_alone_and_names_its_fix(deflicker: Command) -> None:
    """A gap in the range is one failed frame, exit code 3; its neighbours are written."""
    Path(str(deflicker.plate).replace("####", "1004")).unlink()

    code, answer = deflicker("--frames", "1003-1005")

    assert code == 3
    assert [(error["frame"], error["code"]) for error in answer["failed"]] == [(1004, "frame_missing")]
    assert "1003" in answer["failed"][0]["fix"] or "1005" in answer["failed"][0]["fix"]
    journal, *results = deflicker.results()
    assert journal.endswith(".journal")  # for the run that makes the missing frames
    assert results == ["plate.1003.exr", "plate.1005.exr"]


def test_a_renamed_png_and_an_empty_file_fail_alone(deflicker: Command) -> None:
    """Files that are not EXR are failed frames; the error names their format."""
    Path(str(deflicker.plate).replace("####", "1002")).write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(20))
    Path(str(deflicker.plate).replace("####", "1003")).write_bytes(b"")

    code, answer = deflicker("--frames", "1001-1004")

    assert code == 3
    assert [error["frame"] for error in answer["failed"]] == [1002, 1003]
    assert "PNG" in answer["failed"][0]["message"]
    assert "empty" in answer["failed"][1]["message"]


def test_results_that_are_there_are_refused_without_overwrite(deflicker: Command) -> None:
    """A finished job is not done again silently: exit code 6 and nothing touched; --overwrite replaces."""
    deflicker("--frames", "1001-1002")
    (deflicker.out / "plate.1002.exr").write_bytes(b"mine")

    code, answer = deflicker()

    assert code == 6
    assert "1001-1002" in answer["error"]["message"]
    assert "--overwrite" in answer["error"]["fix"]
    assert (deflicker.out / "plate.1002.exr").read_bytes() == b"mine"
    assert deflicker.results() == ["plate.1001.exr", "plate.1002.exr"]
    assert deflicker("--overwrite")[0] == 0
    assert (deflicker.out / "plate.1002.exr").read_bytes() == tiny_exr(value=1002 / 2048)


def test_a_job_that_broke_off_is_resumed_by_the_same_command(deflicker: Command) -> None:
    """After a result that could not be written, the same line keeps what is written and does the rest."""
    in_the_way = deflicker.out / "plate.1006.exr"
    in_the_way.mkdir(parents=True)
    code, answer = deflicker("--overwrite")
    assert (code, answer["error"]["code"], answer["error"]["frame"]) == (6, "output", 1006)
    in_the_way.rmdir()
    written = {name for name in deflicker.results() if name.startswith("plate")}
    assert len(written) >= 5
    stamps = {name: (deflicker.out / name).stat().st_mtime_ns for name in written}

    code, answer = deflicker()

    assert code == 0
    assert answer["frames"] == {"total": 10, "written": 10 - len(written), "resumed": len(written)}
    assert {name: (deflicker.out / name).stat().st_mtime_ns for name in written} == stamps
    assert deflicker.results() == [f"plate.{frame}.exr" for frame in range(1001, 1011)]


@pytest.mark.parametrize("own", [True, False])
def test_a_result_that_was_not_noted_any_more_is_known_again(deflicker: Command, own: bool) -> None:
    """Killed between renaming a result and journalling it, the same line keeps it; a foreign file is not replaced."""
    in_the_way = deflicker.out / "plate.1006.exr"
    in_the_way.mkdir(parents=True)
    deflicker("--overwrite")
    in_the_way.rmdir()
    data = tiny_exr(value=1006 / 2048) if own else b"painted over"
    in_the_way.write_bytes(data)

    code, answer = deflicker()

    assert code == (0 if own else 6)
    assert in_the_way.read_bytes() == data
    if own:
        assert 6 <= answer["frames"]["resumed"] <= 10
    else:
        assert "frames 1006" in answer["error"]["message"]


def test_a_lost_connection_is_found_again(deflicker: Command) -> None:
    """Results that arrive damaged and inputs that are refused once do not fail the job."""
    deflicker.server.faults.damaged_results = 2
    deflicker.server.faults.refused_inputs = 2

    assert deflicker()[0] == 0


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ServerBusy("the queue is full.", retry_after_s=30), 4),
        (errors.SpoolFull("no room."), 4),
        (errors.EngineUnknown("no such engine."), 2),
        (errors.OptionError("option x is 9."), 2),
        (errors.EngineFailed("it broke."), 1),
    ],
)
def test_a_refused_job_ends_with_its_own_exit_code(
    deflicker: Command, error: errors.HarmoVidError, code: int
) -> None:
    """The server's answer to the job determines the exit code, and its message is printed."""
    deflicker.server.faults.reject = error

    got, answer = deflicker()

    assert got == code
    assert answer["error"]["message"] == error.message
    assert answer["exit"] == code


def test_nobody_there_is_exit_code_4(deflicker: Command) -> None:
    """An address without a server is reported within the client's timeout."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))

        code, answer = deflicker("--server", f"127.0.0.1:{taken.getsockname()[1]}")

    assert (code, answer["error"]["code"]) == (4, "unreachable")
    assert deflicker.results() == []


@pytest.mark.parametrize(
    ("words", "code", "named"),
    [
        (["--engine", "magic"], 2, "magic"),
        (["--window", "3"], 2, "--window"),
        (["--mask", "mask.exr"], 2, "mask.exr"),
        (["--frames", "5-1"], 2, "backwards"),
        (["--amount", "7"], 2, "strength"),
        (["--server", "no address"], 2, "no address"),
        (["--frames", ""], 2, "--frames is empty"),
        (["-o", ""], 2, "--out is empty"),
        (["--report", "nowhere/report.json"], 6, "there is no folder nowhere"),
        (["--key", "nokey"], 5, "nokey"),
    ],
)
def test_what_cannot_be_used_is_reported_as_json(
    deflicker: Command, words: list[str], code: int, named: str
) -> None:
    """Usage errors are one JSON object as well, with the word that is wrong and the documented exit code."""
    got, answer = deflicker(*words)

    assert got == code == answer["exit"]
    assert answer["ok"] is False
    assert named in answer["error"]["message"]


def test_a_report_that_cannot_be_written_is_told_before_the_job(deflicker: Command, tmp_path: Path) -> None:
    """Not after hours of work."""
    code, answer = deflicker("--report", tmp_path)
    assert (code, "is a folder" in answer["error"]["message"]) == (6, True)
    first = Path(str(deflicker.plate).replace("####", "1001"))
    kept = first.read_bytes()
    code, answer = deflicker("--report", first)
    assert (code, "is no report" in answer["error"]["message"]) == (6, True)
    assert first.read_bytes() == kept
    assert deflicker.results() == []


def test_flags_that_change_nothing_are_told(
    deflicker: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mapped folder without inputs, and alpha where the engine takes no notice of it: run and check say so."""
    words = ("--map", f"{tmp_path}/show=show", "--unpremultiplied")
    told = deflicker(*words)[1]["warnings"]
    line = [
        "check",
        "deflicker",
        deflicker.plate,
        "-o",
        deflicker.out,
        "--engine",
        "null",
        "--overwrite",
        "--json",
    ]
    main([str(word) for word in [*line, *words, "--server", deflicker.server.address]])
    for said in (told, json.loads(capsys.readouterr().out)["notes"]):
        assert "--map is not used: no input can be read from there, and all are sent." in said
        assert any("takes no notice of alpha" in sentence for sentence in said)


def test_an_output_folder_that_cannot_be_made_is_exit_code_6(deflicker: Command) -> None:
    """A file where the output folder should be is an output error before anything is sent."""
    deflicker.out.write_bytes(b"a file")

    code, answer = deflicker("-o", f"{deflicker.out}/deeper/plate.####.exr")

    assert (code, answer["error"]["code"]) == (6, "output")
    assert "SUBMIT" not in deflicker.server.log


def test_the_report_is_written_whole(deflicker: Command, tmp_path: Path) -> None:
    """--report holds the outcome and one entry per frame."""
    deflicker("--frames", "1001-1003", "--report", tmp_path / "report.json")

    report = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert report["frames"]["written"] == 3
    assert set(report["reports"]) == {"1001", "1002", "1003"}


def test_text_tells_where_the_frames_are(
    server: ReferenceServer, plate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without --json stdout stays empty and stderr ends with how many frames are where."""
    line = ["deflicker", plate, "-o", tmp_path / "out", "--engine", "null", "--server", server.address]
    assert main([str(word) for word in line]) == 0

    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines()[-1].startswith(f"10 of 10 frames written to {tmp_path / 'out'}")
    assert "10/10 frames, done" in printed.err


def test_failed_frames_are_listed_with_what_to_do(
    server: ReferenceServer, plate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The summary names the failed frame, the reason, and on the next line the fix."""
    Path(str(plate).replace("####", "1002")).write_bytes(b"")
    line = ["deflicker", plate, "-o", tmp_path / "out", "--engine", "null", "--server", server.address]
    assert main([str(word) for word in line]) == 3

    lines = capsys.readouterr().err.splitlines()
    at = next(index for index, text in enumerate(lines) if text.startswith("failed: frame 1002: "))
    assert "empty" in lines[at]
    assert lines[at + 1].strip() == "Render or copy it again."


def test_quiet_says_nothing_when_all_is_well(
    server: ReferenceServer, plate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--quiet writes to neither stream."""
    line = ["deflicker", plate, "-o", tmp_path / "out", "--engine", "null", "--server", server.address, "-q"]
    assert main([str(word) for word in line]) == 0

    assert capsys.readouterr() == ("", "")


def test_quiet_hides_no_warning_and_no_failure(
    server: ReferenceServer, plate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--quiet leaves out the progress, but not what the user has to know; with --json that is in the answer alone."""
    Path(str(plate).replace("####", "1002")).write_bytes(b"")
    Path(str(plate).replace("####", "1005")).unlink()
    line = ["deflicker", plate, "-o", tmp_path / "out", "--engine", "null", "--server", server.address, "-q"]
    assert main([str(word) for word in line]) == 3

    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "warning: Plate: the sequence has gaps: frames 1005 have no file, and get no results."
    assert lines[1].startswith("failed: frame 1002: ")
    assert len(lines) == 3
    assert main([str(word) for word in [*line, "--overwrite", "--json"]]) == 3
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "1005" in json.loads(printed.out)["warnings"][0]


def test_a_configuration_of_colour_here_does_not_count_for_a_server_elsewhere(
    deflicker: Command, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With `--server` and a named colour space, run and check both say that this machine's $OCIO is not used."""
    monkeypatch.setenv("OCIO", "ocio://cg-config-latest")
    words = ("--frames", "1001-1002", "--colorspace", "ACEScg")
    line = [deflicker.plate, "-o", deflicker.out, "--engine", "null", "--json"]
    check = ["check", "deflicker", *line, "--server", deflicker.server.address, *words]

    main([str(word) for word in check])
    assert [note for note in json.loads(capsys.readouterr().out)["notes"] if "$OCIO" in note]
    assert [warning for warning in deflicker(*words)[1]["warnings"] if "$OCIO" in warning]

    monkeypatch.delenv("OCIO")
    answer = deflicker(*words, "--overwrite")[1]
    assert not [warning for warning in answer["warnings"] if "$OCIO" in warning]


def test_a_server_whose_name_leads_nowhere_is_no_silent_server(deflicker: Command) -> None:
    """A host name that cannot be resolved is reported at once, with a fix."""
    code, answer = deflicker("--server", "tcp://no-such-host.invalid:5570")

    assert code == exits.UNREACHABLE
    assert "no-such-host.invalid cannot be resolved" in answer["error"]["message"]
    assert "tcp://10.0.0.7:5570" in answer["error"]["fix"]
