"""Job files: their values and paths, and what is refused with which message."""

from __future__ import annotations

from pathlib import Path

import pytest
from core.tiny_exr import tiny_exr
from harmovid.errors import InputError, OptionError
from harmovid.job import EngineInfo, LayerInfo, Option
from harmovid.watch.job_file import KEYS, JobFile

ENGINE = EngineInfo(
    "gain",
    "1",
    "any",
    "Applies a gain.",
    target="plate",
    layers=(LayerInfo("plate", True, "The plate."), LayerInfo("mask", False, "Where.", kind="matte")),
    options=(
        Option("stops", "float", 0.0, "Gain."),
        Option("loud", "bool", False, "Loud."),
        Option("hold", "frame", None, "A frame to hold."),
    ),
)


def write(folder: Path, text: str, name: str = "shot.job") -> Path:
    """Write a job file and two frames of a plate beside it."""
    (folder / "plate").mkdir(exist_ok=True)
    for frame in (1, 2):
        (folder / "plate" / f"p.{frame:04d}.exr").write_bytes(tiny_exr(value=frame / 8))
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_job_says_inputs_options_and_output(tmp_path: Path) -> None:
    """Words become the arguments of a job: paths beside the file, options by their kinds."""
    text = """
[job]
engine = gain
plate = plate/
frames = 1
strength = 0.5
field = yes
premultiplied = no

[options]
stops = -1.5
loud = on
hold = -3
"""
    job = JobFile.read(write(tmp_path, text)).prepare(ENGINE)

    assert job.spec.frames == "1"
    assert job.spec.options == {"stops": -1.5, "loud": True, "hold": -3}
    assert (job.spec.output.strength, job.spec.output.field_layers) == (0.5, True)
    assert not job.spec.output.premultiplied
    assert Path(job.plan.out.path(1)) == tmp_path / "shot.out" / "p.0001.exr"


def test_out_may_be_named(tmp_path: Path) -> None:
    """`out` is a pattern or folder as seen from the job file; absolute paths stay."""
    text = "[job]\nengine = gain\nplate = plate/p.####.exr\nout = done/q.####.exr\n"

    job = JobFile.read(write(tmp_path, text)).prepare(ENGINE)

    assert Path(job.plan.out.path(2)) == tmp_path / "done" / "q.0002.exr"


def test_a_changed_file_is_another_job(tmp_path: Path) -> None:
    """The digest follows the bytes, and nothing else."""
    one = JobFile.read(write(tmp_path, "[job]\ntask = deflicker\n")).digest

    assert JobFile.read(write(tmp_path, "[job]\ntask = deflicker\n")).digest == one
    assert JobFile.read(write(tmp_path, "[job]\ntask = deflicker\nframes = 1\n")).digest != one


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("plate = x\n", "cannot be read"),
        ("[job]\nplate = x\n", "neither a task nor an engine"),
        ("[job]\ntask = deflicker\nengine = gain\n", "both a task and an engine"),
        ("[jobs]\ntask = deflicker\n", r"section \[jobs\]"),
        ("[job]\ntask = a\ntask = b\n", "cannot be read"),
    ],
)
def test_unusable_files_are_refused(tmp_path: Path, text: str, said: str) -> None:
    """A file that is not a job file is refused with a message that names it."""
    with pytest.raises(InputError, match=said) as caught:
        JobFile.read(write(tmp_path, text))

    assert "shot.job" in caught.value.message
    assert caught.value.fix


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """Bytes that are no text are refused, not decoded somehow."""
    path = tmp_path / "shot.job"
    path.write_bytes(b"\xff\xfe\x00[job]")

    with pytest.raises(InputError, match="cannot be read"):
        JobFile.read(path)


@pytest.mark.parametrize(
    ("line", "error", "said"),
    [
        ("framse = 1", InputError, "unknown key 'framse'"),
        ("strength = much", InputError, "strength in shot.job is 'much'"),
        ("field = perhaps", InputError, "field in shot.job is 'perhaps'"),
        ("\n[options]\nstops = lots", InputError, "stops in shot.job is 'lots'"),
        ("\n[options]\nloud = 7", InputError, "loud in shot.job is '7'"),
        ("\n[options]\nsotps = 1", OptionError, "no option 'sotps'"),
    ],
)
def test_unusable_words_are_refused(tmp_path: Path, line: str, error: type[InputError], said: str) -> None:
    """A word or value that cannot be used is named; nothing is ignored."""
    path = write(tmp_path, f"[job]\nengine = gain\nplate = plate/\n{line}\n")

    with pytest.raises(error, match=said):
        JobFile.read(path).prepare(ENGINE)


def test_an_option_under_job_is_told_where_it_belongs(tmp_path: Path) -> None:
    """An engine's option in the wrong section is refused, and the fix names the right one."""
    path = write(tmp_path, "[job]\nengine = gain\nplate = plate/\nstops = 1\n")

    with pytest.raises(InputError, match="unknown key 'stops'") as caught:
        JobFile.read(path).prepare(ENGINE)
    assert "[options]" in caught.value.fix


def test_every_word_is_on_the_page(repo: Path) -> None:
    """docs/watch.md lists the words of [job], and no others."""
    page = (repo / "docs" / "watch.md").read_text(encoding="utf-8")
    listed = [
        line.split("`")[1] for line in page.splitlines() if line.startswith("| `") and "inputs" not in line
    ]

    assert set(KEYS) <= set(listed)


@pytest.mark.parametrize("coding", ["utf-8-sig", "utf-16"])
def test_a_job_file_of_windows_editor_is_read(tmp_path: Path, coding: str) -> None:
    """With a byte order mark, in UTF-8 or in what it calls Unicode."""
    path = tmp_path / "shot010.job"
    path.write_bytes("[job]\r\ntask = deflicker\r\nlabel = \u00e4\r\n".encode(coding))
    assert JobFile.read(path).engine == "deflicker"
