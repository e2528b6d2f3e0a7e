"""`harmovid check` finds every problem of a command line and changes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from core.reference_server import ReferenceServer
from core.tiny_exr import tiny_exr
from harmovid.cli import main

pytestmark = pytest.mark.usefixtures("own_settings")

pytest.importorskip("OpenEXR")


@pytest.fixture
def plate(tmp_path: Path) -> Path:
    """Return the folder of a plate with the frames 1 to 6."""
    (tmp_path / "in").mkdir()
    for frame in range(1, 7):
        (tmp_path / "in" / f"p.{frame:04d}.exr").write_bytes(tiny_exr())
    return tmp_path / "in"


def check(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, dict[str, Any]]:
    """Return exit code and JSON answer of `harmovid check`."""
    code = main(["check", *(str(word) for word in words), "--json"])
    return code, json.loads(capsys.readouterr().out)


def codes(answer: dict[str, Any]) -> list[tuple[Any, str]]:
    """Return frame and code of every problem."""
    return [(problem.get("frame"), problem["code"]) for problem in answer["problems"]]


def test_a_sound_line_is_ready(
    server: ReferenceServer, plate: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Good inputs give exit code 0, the header's facts and the space needed, and no job and no folder are made."""
    out = plate.parent / "out"
    code, answer = check(
        capsys, "deflicker", plate, "-o", out, "--engine", "null", "--server", server.address
    )

    header = answer["layers"]["plate"]["header"]
    assert (code, answer["problems"]) == (0, [])
    assert answer["frames"] == "1-6"
    assert header["format"] == "8x4"
    assert header["channels"] == {"A": "half", "B": "half", "G": "half", "R": "half"}
    assert answer["needed_bytes"] == 6 * len(tiny_exr())
    assert not out.exists()
    assert "SUBMIT" not in server.log


def test_every_bad_frame_is_found(plate: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Missing, empty, renamed, truncated and differently sized frames are reported together, each with its number."""
    (plate / "p.0001.exr").unlink()
    (plate / "p.0002.exr").write_bytes(b"")
    (plate / "p.0003.exr").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(99))
    (plate / "p.0005.exr").write_bytes(tiny_exr(width=10))
    (plate / "p.0006.exr").write_bytes(tiny_exr()[:-40])

    code, answer = check(
        capsys, "deflicker", plate / "p.####.exr", "-o", plate / "out/", "--engine", "null", "--frames", "1-6"
    )

    assert code == 1
    assert codes(answer) == [
        (1, "frame_missing"),
        (2, "frame_unreadable"),
        (3, "frame_unreadable"),
        (5, "frame_mismatch"),
        (6, "frame_unreadable"),
    ]
    assert all(problem["fix"] for problem in answer["problems"])


def test_layers_of_different_formats_are_told(plate: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A background of another format than the foreground is a problem of the background."""
    (plate.parent / "bg.exr").write_bytes(tiny_exr(width=16))

    code, answer = check(capsys, "harmonize", plate, plate.parent / "bg.exr", "-o", plate.parent / "out")

    mismatches = [problem for problem in answer["problems"] if problem["code"] == "frame_mismatch"]
    assert code == 1
    assert [problem["layer"] for problem in mismatches] == ["bg"]


def test_a_panorama_may_have_another_format(plate: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Panoramas of other sizes than the foreground's are no problem, as in the run."""
    for name, width in (("bg", 8), ("to", 64), ("from", 32)):
        (plate.parent / f"{name}.exr").write_bytes(tiny_exr(width=width, height=width // 2))
    lights = ("--light-to", plate.parent / "to.exr", "--light-from", plate.parent / "from.exr")

    code, answer = check(
        capsys, "harmonize", plate, plate.parent / "bg.exr", "-o", plate.parent / "out", *lights
    )

    assert (code, answer["problems"]) == (0, [])


def test_a_source_plate_with_gaps_or_that_is_the_plate_is_told(
    plate: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Frames that the source plate lacks are named problems; one that is the background itself gives a note."""
    source, plain = plate.parent / "source", plate.parent / "bg.exr"
    source.mkdir()
    for frame in (1, 2, 3, 6):
        (source / f"s.{frame:04d}.exr").write_bytes(tiny_exr())
    plain.write_bytes(tiny_exr())
    line = ("harmonize", plate, plain, "-o", plate.parent / "out", "--source-plate")

    gaps = check(capsys, *line, source)[1]["problems"]
    same = check(capsys, *line, plain)[1]

    assert [(p["frame"], p["layer"], p["code"]) for p in gaps] == [
        (4, "source_plate", "frame_missing"),
        (5, "source_plate", "frame_missing"),
    ]
    assert "Source plate: these are the files of Background." in same["notes"]
    assert not any("Foreground: these are the files" in note for note in same["notes"])
    twice = check(capsys, "harmonize", plate, plate, "-o", plate.parent / "out")[1]
    assert "Foreground: these are the files of Background." in twice["notes"]


def test_frames_that_state_other_primaries_are_told(plate: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Once per input, with the frame and both; none stated is Rec. 709."""
    import numpy as np
    from harmovid.pixels import exr
    from harmovid.pixels.colour.primaries import AP1, REC709

    for frame, primaries in ((1, AP1), (2, AP1), (3, None), (4, REC709), (5, AP1), (6, AP1)):
        said = {"chromaticities": exr.Attribute.of("chromaticities", primaries)} if primaries else None
        header = exr.PartHeader.make((0, 0, 8, 4), attributes=said)
        planes = {name: np.full((4, 8), 0.5, np.float16) for name in "RGB"}
        exr.write(exr.make_frame(header, planes), plate / f"p.{frame:04d}.exr")
    line = ("deflicker", plate, "-o", plate.parent / "out")
    told = [note for note in check(capsys, *line)[1]["notes"] if "primaries" in note]
    assert told == [
        "plate: frame 3 states other primaries (Rec. 709 (the file states none)) than the first one (ACEScg); "
        "--colorspace names one for all"
    ]
    named = check(capsys, *line, "--colorspace", "ACEScg")[1]["notes"]
    assert not [note for note in named if "primaries" in note]


def test_a_foreground_without_alpha_needs_a_matte(plate: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """harmonize without a matte and without alpha is reported before anything is sent."""
    for path in plate.iterdir():
        path.write_bytes(tiny_exr(channels=("B", "G", "R")))
    (plate.parent / "bg.exr").write_bytes(tiny_exr())
    line = ("harmonize", plate, plate.parent / "bg.exr", "-o", plate.parent / "out")

    assert (1, "frame_refused") in codes(check(capsys, *line)[1])
    assert (None, "frame_refused") not in codes(check(capsys, *line, "--matte", plate.parent / "bg.exr")[1])


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--server", "127.0.0.1:1"], "unreachable"),
        (["--engine", "magic"], "engine_unknown"),
        (["--engine", "deflicker", "--mask", "nomask.exr"], "pattern"),
        (["--frames", "50-60"], "pattern"),
        (["--colorspace", "no such space"], "colour"),
        (["--amount", "9"], "option"),
    ],
)
def test_what_else_would_be_refused_is_a_problem(
    plate: Path, words: list[str], code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Server, engine, files, colour spaces and options are problems of the answer, exit code 1."""
    line = ["deflicker", plate, "-o", plate.parent / "out"]
    got, answer = check(capsys, *line, *(words if "--engine" in words else ["--engine", "null", *words]))

    assert got == 1
    assert code in [problem["code"] for problem in answer["problems"]]


def test_results_that_are_there_are_a_problem_unless_they_may_go(
    plate: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Existing results are reported as by the job itself; not with --overwrite or a journal of the same job."""
    out = plate.parent / "out"
    out.mkdir()
    (out / "p.0003.exr").write_bytes(b"mine")
    line = ("deflicker", plate, "-o", out, "--engine", "null")

    assert codes(check(capsys, *line)[1]) == [(None, "output")]
    assert check(capsys, *line, "--overwrite")[0] == 0
    # Another job's journal makes them no results of this one.
    (out / ".harmovid-0123456789ab.journal").touch()
    assert codes(check(capsys, *line)[1]) == [(None, "output")]


def test_results_of_the_job_itself_are_told(
    server: ReferenceServer, plate: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """After a run in which a frame failed the check says which are there and which would be made."""
    third = plate / "p.0003.exr"
    kept = third.read_bytes()
    third.unlink()
    line = ["deflicker", str(plate), "-o", f"{plate.parent / 'out'}/", "--frames", "1-6", "--engine", "null"]
    line += ["--server", server.address]
    assert main([*line, "-q"]) == 3
    third.write_bytes(kept)

    code, answer = check(capsys, *line)

    assert code == 0
    (said,) = [note for note in answer["notes"] if "results of" in note]
    assert said.startswith(
        "5 results of an interrupted run of this job are there, frames 1-2,4-6; frames 3 are left"
    )

    # Another job has replaced one of them since: the run would refuse it, so the check does too.
    (plate.parent / "out" / "p.0002.exr").write_bytes(b"another job's")
    assert main([*line, "-q"]) == 6
    code, answer = check(capsys, *line)
    assert code == 1
    assert codes(answer) == [(None, "output")]
    assert check(capsys, *line, "--overwrite")[0] == 0


def test_mapped_inputs_are_told_as_the_servers_own(
    server: ReferenceServer, plate: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --map the answer lists the files that the server reads itself; without a server mappings have no effect."""
    line = ("deflicker", plate, "-o", plate.parent / "out", "--engine", "null", "--map", f"{plate}=show")

    assert check(capsys, *line, "--server", server.address)[1]["shared"] == {"plate": "show:p.####.exr"}
    assert check(capsys, *line)[1]["shared"] == {}


def test_text_names_layers_and_ends_with_the_verdict(plate: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The text form has a line per layer and one verdict."""
    assert main(["check", "deflicker", str(plate), "-o", str(plate.parent / "out"), "--engine", "null"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("plate ")
    assert "frames 1-6" in lines[0]
    assert lines[-1].startswith("ready")
