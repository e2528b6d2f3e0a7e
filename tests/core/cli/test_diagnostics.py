"""The folder of diagnostics: which files, what the page says, which frames have previews."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from harmovid import errors
from harmovid.cli import diagnostics, previews
from harmovid.cli.curves import FrameCurve
from harmovid.cli.report import Outcome
from harmovid.job import EngineInfo, LayerInfo
from harmovid.job_files import JobFiles

np = pytest.importorskip("numpy")
pytest.importorskip("OpenEXR")

from harmovid.pixels import exr  # noqa: E402 (needs the pixel libraries)
from harmovid.pixels.field import NULL  # noqa: E402
from harmovid.pixels.field.exr_channels import with_field  # noqa: E402


def write_frame(path: Path, level: float, stops: float | None = None) -> None:
    """Write a 32 x 24 frame of one level, with a field of `stops` if given."""
    path.parent.mkdir(exist_ok=True)
    channels = {name: np.full((24, 32), level, np.float16) for name in "RGB"}
    frame = exr.make_frame(exr.PartHeader.make((0, 0, 32, 24)), channels)
    if stops is not None:
        frame = with_field(frame, np.full((24, 32, 3), stops, np.float32), NULL)
    exr.write(frame, path)


@pytest.fixture
def job(tmp_path: Path) -> JobFiles:
    """Return a job whose four results are half a stop brighter, and whose files are there."""
    for frame in range(1, 5):
        write_frame(tmp_path / "in" / f"p.{frame}.exr", 0.2)
        write_frame(tmp_path / "out" / f"p.{frame}.exr", 0.2 * 2**0.5, 0.5)
    return JobFiles.prepare(
        EngineInfo("deflicker", "1", "deflicker", "", "plate", (LayerInfo("plate", True, ""),)),
        {"plate": str(tmp_path / "in" / "p.#.exr")},
        str(tmp_path / "out" / "p.#.exr"),
        field=True,
        overwrite=True,
        label="shot <010>",
    )


def outcome() -> Outcome:
    """Return an outcome: two frames corrected, one left alone, one failed."""
    found = Outcome(total=4)
    for frame in (1, 2):
        found.frames[frame] = {"engine": {
            "decision": "corrected", "measured": [-1, -1, -1], "corrected": [-0.5, -0.5, -0.5], "cut": frame == 2,
            "mode": "exposure: all channels move alike",
        }}  # fmt: skip
    found.frames[3] = {"engine": {"decision": "nothing", "reason": "no flicker found"}}
    found.failures[4] = errors.FrameMissing("there is no file.", frame=4)
    return found


def test_every_file_is_written_and_named(job: JobFiles, tmp_path: Path) -> None:
    """Curves, plot, page and the previews of the frames with results are written; no temporary file is left."""
    diagnostics.prepare(str(tmp_path / "d" / "deep"))

    names = diagnostics.write(str(tmp_path / "d" / "deep"), job, outcome())

    assert sorted(names) == sorted(path.name for path in (tmp_path / "d" / "deep").iterdir())
    assert {
        "curves.csv",
        "curves.json",
        "curves.svg",
        "index.html",
        "difference.1.png",
        "field.1.png",
    } <= set(names)
    assert "difference.4.png" not in names


def test_the_page_tells_why_frames_were_left_alone(job: JobFiles, tmp_path: Path) -> None:
    """The page has the plot, the reasons with their frames, cuts, causes and pictures, all text escaped."""
    diagnostics.write(str(tmp_path), job, outcome())

    page = (tmp_path / "index.html").read_text("utf-8")
    assert "<svg" in page
    assert "<td>no flicker found</td><td>3</td>" in page
    assert "<td>failed: there is no file.</td><td>4</td>" in page
    assert "scene cuts before frame 2" in page
    assert "<td>exposure: all channels move alike</td><td>1-2</td>" in page
    assert '<img src="difference.1.png"' in page
    assert "shot &lt;010&gt;" in page
    assert "<010>" not in page


def test_previews_show_stops_and_their_scale(job: JobFiles, tmp_path: Path) -> None:
    """Half a stop is red in the difference and in the field, with the scale below; unchanged is white."""
    image = pytest.importorskip("PIL.Image")
    diagnostics.write(str(tmp_path), job, outcome())
    write_frame(Path(job.plan.out.path(1)), 0.2, 0.0)
    diagnostics.write(str(tmp_path / "in"), job, outcome())

    red = np.asarray(image.open(tmp_path / "difference.1.png"))
    white = np.asarray(image.open(tmp_path / "in" / "difference.1.png"))
    assert red[5, 5, 0] > red[5, 5, 2] + 80
    assert red[5, 5].tolist() == np.asarray(image.open(tmp_path / "field.1.png"))[5, 5].tolist()
    assert white[5, 5].min() > 240
    assert len(red) > 24 + 10


def test_a_frame_that_cannot_be_read_has_a_remark(job: JobFiles, tmp_path: Path) -> None:
    """A missing result only loses its preview."""
    Path(job.plan.out.path(1)).unlink()

    names = diagnostics.write(str(tmp_path), job, outcome())

    assert "difference.1.png" not in names
    assert "difference.2.png" in names
    assert "Frame 1 has no preview" in (tmp_path / "index.html").read_text("utf-8")


def test_without_pixel_libraries_there_are_curves_all_the_same(
    job: JobFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without numpy and OpenEXR the four files are there, and the page says how to get previews."""
    monkeypatch.setattr(previews, "has_pixel_libraries", lambda: False)

    assert diagnostics.write(str(tmp_path), job, outcome()) == [
        "curves.csv",
        "curves.json",
        "curves.svg",
        "index.html",
    ]
    assert "pip install" in (tmp_path / "index.html").read_text("utf-8")


def test_previews_are_of_the_frames_changed_most() -> None:
    """The largest corrections, the first frame and the middle one are shown, and no frame twice."""

    def row(frame: int, change: float, decision: str = "corrected") -> FrameCurve:
        return FrameCurve(frame, decision, measured=(0, 0, 0), corrected=(change, 0, 0))

    rows = [row(n, 0.01 * n) for n in range(10)] + [row(10, 9.0, "failed")]
    assert previews.chosen(rows) == [0, 5, 7, 8, 9]
    assert previews.chosen([row(1, 0.5, "failed")]) == []


def test_a_folder_that_cannot_be_made_is_reported_before_the_job(tmp_path: Path) -> None:
    """A file in the folder's place is an output error that names the flag."""
    (tmp_path / "d").write_text("mine", "utf-8")

    with pytest.raises(errors.OutputError, match="cannot be made") as caught:
        diagnostics.prepare(str(tmp_path / "d"))
    assert "--diagnostics" in caught.value.fix


def test_frames_of_an_earlier_run_are_unknown(job: JobFiles, tmp_path: Path) -> None:
    """Results of an earlier, interrupted run have no report; data and page mark them as unknown."""
    diagnostics.write(str(tmp_path), job, Outcome(total=4, resumed=4))

    data: dict[str, Any] = json.loads((tmp_path / "curves.json").read_text("utf-8"))
    assert {row["decision"] for row in data["frames"]} == {"unknown"}
    assert "an earlier run" in (tmp_path / "index.html").read_text("utf-8")
