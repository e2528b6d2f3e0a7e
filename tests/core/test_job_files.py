"""A job prepared from keyword arguments: what it says, what it refuses, and what it leaves on the disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from core.reference_server import ReferenceServer
from core.tiny_exr import tiny_exr
from harmovid.client import Client
from harmovid.errors import InputError, OptionError, OutputError, PatternError
from harmovid.frames import FrameRange
from harmovid.job import DONE, MATTE, EngineInfo, LayerInfo, Option
from harmovid.job_files import JobFiles

ENGINE = EngineInfo(
    "null", "1", "any", "", "plate",
    (LayerInfo("plate", True, "", label="Plate"), LayerInfo("mask", False, "", MATTE)),
    (Option("amount", "float", 1.0, "", maximum=1.0), Option("reference_frame", "frame", None, "")),
    waits_for="reference_frame",
)  # fmt: skip
PLAIN = replace(ENGINE, options=())
REMEMBERS = replace(PLAIN, handle_frames=2)
TRIMMED = replace(ENGINE, options=(Option("trims", "str", "", "", names_frames=True),))
MATCHES = replace(ENGINE, reference_anywhere=True)


@pytest.fixture
def plate(tmp_path: Path) -> Path:
    """Return the pattern of a plate with the frames 1 to 6."""
    (tmp_path / "in").mkdir()
    for frame in range(1, 7):
        (tmp_path / "in" / f"p.{frame:04d}.exr").write_bytes(tiny_exr(value=frame / 64))
    return tmp_path / "in" / "p.####.exr"


def prepare(plate: Path, engine: EngineInfo = ENGINE, **more: Any) -> JobFiles:
    """Return a job of the plate into a folder beside it."""
    return JobFiles.prepare(
        engine, {"plate": str(plate)}, str(plate.parents[1] / "out" / "p.####.exr"), **more
    )


def test_keyword_arguments_become_the_specification(plate: Path) -> None:
    """Range, options, output and label arrive; an engine's defaults are filled in, no frame is left out."""
    spec = prepare(
        plate, frames="2-4", strength=0.5, field=True, premultiplied=False, colorspace="ACEScg", label="sh010"
    ).spec

    assert (spec.engine, spec.frames, spec.layers, spec.label) == ("null", "2-4", ("plate",), "sh010")
    assert (spec.options, spec.colorspace) == ({"amount": 1.0}, {"plate": "ACEScg"})
    assert (spec.output.mode, spec.output.strength) == ("fg", 0.5)
    assert (spec.output.field_layers, spec.output.premultiplied) == (True, False)
    assert prepare(plate, options={"reference_frame": 2}).spec.options["reference_frame"] == 2


def test_preparing_writes_nothing(plate: Path) -> None:
    """Neither folder nor journal is made before the job is started."""
    job = prepare(plate, frames=FrameRange([1, 2]))

    assert list(job.frames) == [1, 2]
    assert job.warnings == ()
    assert not (plate.parents[1] / "out").exists()


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"frames": "9-5"}, PatternError),
        ({"options": {"amount": 2.0}}, OptionError),
        ({"options": {"reference_frame": 7}}, OptionError),
        ({"options": {"reference_frame": 5}, "frames": "1-4"}, OptionError),
        ({"matte_channels": "R"}, InputError),
        ({"matte_channels": {"plate": "R"}}, InputError),
        ({"exr_layers": {"mask": "left"}}, InputError),
        ({"options": {"speed": 2}}, OptionError),
        ({"strength": 7.0}, OptionError),
        ({"output": "comp"}, InputError),
        ({"output": "all"}, OptionError),
        ({"colorspace": {"mask": "ACEScg"}}, InputError),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_fix(plate: Path, more: dict, error: type) -> None:
    """Ranges, options, outputs and spaces are checked before anything is sent, and each error says what to do."""
    with pytest.raises(error) as caught:
        prepare(plate, **more)

    assert caught.value.fix


def test_trims_of_frames_that_are_not_there_are_refused_or_told(plate: Path) -> None:
    """Outside the shot they are a slip; in the shot, but not in the part that is made, they change nothing."""
    with pytest.raises(OptionError, match="trims names 1042, which the shot does not have") as caught:
        prepare(plate, TRIMMED, options={"trims": "2:+0.1,1042:+0.1"})
    assert caught.value.fix == "The shot has 1-6."
    assert prepare(plate, TRIMMED, options={"trims": "2:+0.1,4-6:0.2"}).warnings == ()
    part = prepare(plate, TRIMMED, frames="4-5", options={"trims": "2:+0.1,4:0.1,6:1"})
    assert part.warnings == (
        "option trims: 2, 6 is not among the frames that are made, and changes nothing.",
    )
    (plate.parent / "p.0006.exr").unlink()
    with pytest.raises(OptionError, match="names 6"):
        prepare(plate, TRIMMED, frames="4-5", options={"trims": "6:1"})
    hosted = prepare(plate, TRIMMED, frames="4-5", options={"trims": "6:1"}, shot="1-6")
    assert len(hosted.warnings) == 1


def test_a_reference_frame_is_shown_from_anywhere_in_the_shot(plate: Path) -> None:
    """An engine that can use it gets it beside a part; one that is not there is refused, also by other inputs."""
    job = prepare(plate, MATCHES, frames="4-5", options={"reference_frame": 1})
    assert (job.spec.frames, job.spec.context, job.warnings) == ("4-5", "1", ())
    assert prepare(plate, MATCHES, options={"reference_frame": 1}).spec.context == ""
    with pytest.raises(OptionError, match="no frame of the shot"):
        prepare(plate, MATCHES, frames="4-5", options={"reference_frame": 9})
    with pytest.raises(OptionError, match="does not see in this part"):
        prepare(plate, frames="4-5", options={"reference_frame": 1})


def test_gaps_and_results_that_will_go_are_warnings(plate: Path) -> None:
    """Frames without a file are reported with the layer's label, results with their frames."""
    out = plate.parents[1] / "out"
    out.mkdir()
    (out / "p.0003.exr").write_bytes(b"mine")

    warnings = prepare(plate, frames="5-9", overwrite=True).warnings + prepare(plate, overwrite=True).warnings

    assert warnings == (
        "Plate: 3 of 5 frames have no file: 7-9.",
        "1 results are there already and will be replaced: frames 3.",
    )


def test_files_left_out_of_a_folder_are_warnings(plate: Path) -> None:
    """A folder stands for its one sequence; that other EXR files in it are not used is said."""
    (plate.parent / "Rec709.exr").write_bytes(tiny_exr())
    (said,) = prepare(plate.parent).warnings
    assert said == (
        "Plate: the sequence p.####.exr is taken, and 1 other EXR files of the folder "
        f"{plate.parent}/ are left out: Rec709.exr."
    )


def test_results_that_are_there_are_refused(plate: Path) -> None:
    """Without overwrite they are refused while preparing, with the frames."""
    out = plate.parents[1] / "out"
    out.mkdir()
    (out / "p.0003.exr").write_bytes(b"mine")

    with pytest.raises(OutputError, match="frames 3") as caught:
        prepare(plate, REMEMBERS)

    assert "replaced" in caught.value.fix
    assert "make the others alone (--frames 1-2,4-6)" in caught.value.fix


def test_results_that_came_between_are_refused_at_the_start(plate: Path, server: ReferenceServer) -> None:
    """What another program wrote after preparing is not replaced; nothing is sent, no journal stays."""
    job = prepare(plate)
    out = plate.parents[1] / "out"
    out.mkdir()
    (out / "p.0003.exr").write_bytes(b"mine")

    with Client(server.address) as client, pytest.raises(OutputError, match="frames 3"):
        client.start(job)

    assert "SUBMIT" not in server.log
    assert [path.name for path in out.iterdir()] == ["p.0003.exr"]


def test_the_same_job_goes_on_where_it_stopped(plate: Path, server: ReferenceServer) -> None:
    """A job that broke off has the same id when it is prepared again, and keeps what is written."""
    in_the_way = plate.parents[1] / "out" / "p.0004.exr"
    in_the_way.mkdir(parents=True)
    with Client(server.address) as client:
        broken = prepare(plate, PLAIN, overwrite=True)
        handle = client.start(broken)
        with pytest.raises(OutputError):
            handle.result()
        in_the_way.rmdir()
        again = prepare(plate, PLAIN)
        result = client.start(again).result()

    assert again.spec.job_id == broken.spec.job_id
    assert (result.progress.state, result.resumed) == (DONE, len(again.resumed))
    assert sorted(path.name for path in in_the_way.parent.iterdir()) == [f"p.000{n}.exr" for n in range(1, 7)]


def test_two_runs_of_one_job_are_refused(plate: Path) -> None:
    """The second one learns that another run is writing there; when that lets go, it may."""
    first, second = prepare(plate), prepare(plate)
    assert first.sink is first.sink

    with pytest.raises(OutputError, match="another run"):
        second.sink  # noqa: B018
    first.close()
    assert second.sink.pattern.text == first.sink.pattern.text
    second.close()


def test_handles_and_context_are_told_to_the_server(plate: Path) -> None:
    """Frames beside the range travel as context, as far as every layer has them; results are of the range alone."""
    job = prepare(plate, replace(PLAIN, handle_frames=1), frames="3", handles=1, context="6")

    assert (job.spec.frames, job.spec.context) == ("3", "2-6x2")
    assert (list(job.frames), job.warnings) == ([3], ())
    mask = plate.with_name("m.####.exr")
    for frame in (3, 4):
        mask.with_name(f"m.{frame:04d}.exr").write_bytes(tiny_exr())
    inputs = {"plate": str(plate), "mask": str(mask)}
    job = JobFiles.prepare(REMEMBERS, inputs, str(plate.parents[1] / "out"), frames="3", handles=2)
    assert job.spec.context == "4"


def test_a_part_without_its_neighbours_is_reported(plate: Path) -> None:
    """Without handles a warning says which sequence it belongs to and how many it wants; by default it has them."""
    (said,) = prepare(plate, REMEMBERS, frames="1-3", handles=0).warnings
    assert "frames 1-3 are part of a longer sequence, 1-6" in said
    assert "--handles 2" in said
    by_itself = prepare(plate, REMEMBERS, frames="1-3")
    assert (by_itself.warnings, by_itself.spec.context) == ((), "4-5")
    assert prepare(plate, REMEMBERS).warnings == ()
    assert prepare(plate, PLAIN, frames="1-3").warnings == ()


def test_a_part_matched_to_a_frame_of_its_own_gets_no_handles(plate: Path) -> None:
    """A reference that has to be among the first frames seen gets none before it; one that is waited for does."""
    waits = replace(ENGINE, handle_frames=2)
    part: dict[str, Any] = {"frames": "4-5", "options": {"reference_frame": 4}}

    assert prepare(plate, waits, **part).spec.context == "2-3,6"
    job = prepare(plate, replace(waits, waits_for=""), **part)
    assert (job.spec.context, job.warnings) == ("", ())


def test_an_engine_without_use_for_handles_is_not_sent_any(plate: Path) -> None:
    """A server from before them would pass over the field in silence, so it is left out, and said."""
    job = prepare(plate, PLAIN, frames="3", handles=1)

    assert job.spec.context == ""
    assert "context" not in job.spec.to_dict()
    (said,) = job.warnings
    assert "no use for handles" in said


def test_results_whose_inputs_changed_are_not_in_the_way(plate: Path, server: ReferenceServer) -> None:
    """After a job with a failed frame the same job makes that one and the one that was rendered anew, and says so."""
    third, fourth = (plate.with_name(f"p.000{n}.exr") for n in (3, 4))
    kept = third.read_bytes()
    third.unlink()
    with Client(server.address) as client:
        assert list(client.start(prepare(plate, PLAIN, frames="1-6")).result().failed) == [3]
        third.write_bytes(kept)
        fourth.write_bytes(tiny_exr(value=0.9) + b"more")
        again, told = prepare(plate, PLAIN, frames="1-6"), []
        result = client.start(again, on_progress=told.append).result()

    assert told[0].delivered == 4  # what is there counts from the first word on, and for no pace
    assert (result.progress.state, result.resumed, sorted(result.reports)) == (DONE, 4, [3, 4])
    assert again.warnings == ("the inputs of 1 results have changed: frames 4 are made again.",)
    out = plate.parents[1] / "out"
    assert sorted(path.name for path in out.iterdir()) == [f"p.000{n}.exr" for n in range(1, 7)]
    assert (out / "p.0004.exr").read_bytes() == fourth.read_bytes()


@pytest.mark.parametrize("change", ["an input of a result", "an input of what is missing", "the handles"])
def test_results_that_stay_although_inputs_changed_are_named(plate: Path, change: str) -> None:
    """An engine that sees neighbours made them from other pictures: the second run says so, and what to do."""
    first = prepare(plate, REMEMBERS, frames="1-4", handles=0 if change == "the handles" else None)
    first.sink.begin(first.spec.job_id)
    for frame in (1, 2, 3):
        first.sink.write(frame, first.source.read("plate", frame), {})
    first.sink.finish("")
    touched = {"an input of a result": 2, "an input of what is missing": 4}.get(change)
    if touched is not None:
        plate.with_name(f"p.000{touched}.exr").write_bytes(tiny_exr(value=0.9) + b"rendered anew")

    again = prepare(plate, REMEMBERS, frames="1-4")
    again.sink.finish("")

    *others, said = again.warnings
    stay = "1,3" if touched == 2 else "1-3"
    assert (
        f"results stay, frames {stay}, although inputs that the engine sees beside them have changed" in said
    )
    assert "delete them and run the same job once more" in said
    assert len(others) == (touched == 2)


def test_an_undisturbed_second_run_says_nothing_of_inputs(plate: Path) -> None:
    """Interrupted and run again with the same inputs: no warning."""
    first = prepare(plate, REMEMBERS)
    first.sink.begin(first.spec.job_id)
    first.sink.write(1, first.source.read("plate", 1), {})
    first.sink.finish("")

    again = prepare(plate, REMEMBERS)
    again.sink.finish("")
    assert (list(again.resumed), again.warnings) == ([1], ())


def test_an_input_that_changes_between_its_reading_and_its_result_is_made_again(plate: Path) -> None:
    """The journal keeps what was read, not what lay there when the result came, which is of the older picture."""
    first = prepare(plate, PLAIN, frames="1-2")
    first.sink.begin(first.spec.job_id)
    for frame in (1, 2):
        data = first.source.read("plate", frame)
        if frame == 2:
            plate.with_name("p.0002.exr").write_bytes(tiny_exr(value=0.9) + b"rendered anew")
        first.sink.write(frame, data, {})
    first.sink.finish("")

    again = prepare(plate, PLAIN, frames="1-2")
    assert list(again.sink.begin(again.spec.job_id)) == [1]
    again.sink.finish("")
    assert again.warnings == ("the inputs of 1 results have changed: frames 2 are made again.",)


def test_a_gap_in_the_sequence_is_told(plate: Path) -> None:
    """Without a range a lost frame is no failure, so it is a warning; a range, or every second frame, has no gap."""
    plate.with_name("p.0003.exr").unlink()
    (said,) = prepare(plate, PLAIN).warnings
    assert "frames 3 have no file" in said
    assert prepare(plate, PLAIN, frames="1-2,4-6").warnings == ()
    for frame in (1, 5):
        plate.with_name(f"p.000{frame}.exr").unlink()
    assert prepare(plate, PLAIN).warnings == ()
