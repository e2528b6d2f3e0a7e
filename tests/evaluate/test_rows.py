"""Rows of results folders, commands and networks: results fit the case, and errors are reported."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
import pytest
from evaluate.little import COUNT, little_case
from harmovid.errors import InputError
from harmovid.pixels.colour.srgb import srgb_encode
from harmovid_evaluate.cases import Case, save_clip, slug
from harmovid_evaluate.entrants import AS_IS, CLASSICAL, Absent
from harmovid_evaluate.network_rows import Checkpoint, Network, load_codec
from harmovid_evaluate.outside import PUBLISHED, Command, Results, not_given
from harmovid_training.inference.shot import Settings
from harmovid_training.metrics.quality import psnr
from harmovid_training.models.checkpoint import Card, save_checkpoint
from harmovid_training.models.conditioning import DEFLICKER, HARMOVID
from training.inference.tiny import tiny_codec, tiny_model

GRADE = """
import shutil, sys
from pathlib import Path
source, out = Path(sys.argv[1]), Path(sys.argv[2])
for path in sorted(source.iterdir()):
    shutil.copy(path, out / path.name)
"""


@pytest.fixture
def case(tmp_path: Path) -> Case:
    """Return a case whose foreground is half a stop too bright."""
    return little_case(tmp_path / "inputs" / "lut" / "disc")


def test_results_come_from_frames_pictures_or_a_video(tmp_path: Path, case: Case) -> None:
    """EXRs give the exact values, PNGs to 8 bits, an mp4 close ones; each is found by set and clip."""
    row, place = Results("Mine", tmp_path / "given"), tmp_path / "given" / case.set
    (tmp_path / "given").mkdir()
    with pytest.raises(Absent, match="nothing for lut/disc"):
        row.run(case)
    save_clip(place / slug(case.clip), case.reference)
    np.testing.assert_allclose(row.run(case), case.reference, rtol=1e-3, atol=1e-5)
    for path in (place / slug(case.clip)).iterdir():
        path.unlink()
    shown = (srgb_encode(np.clip(case.reference, 0, 1)) * 255 + 0.5).astype(np.uint8)
    for index, frame in enumerate(shown):
        cv2.imwrite(str(place / slug(case.clip) / f"{index:03d}.png"), frame[..., ::-1])
    assert psnr(row.run(case), np.clip(case.reference, 0, 1)) > 45
    for path in (place / slug(case.clip)).iterdir():
        path.unlink()
    (place / slug(case.clip)).rmdir()
    size = (shown.shape[2], shown.shape[1])
    writer = imageio_ffmpeg.write_frames(
        str(place / f"{slug(case.clip)}.mp4"), size, fps=24, macro_block_size=2, quality=9, codec="libx264"
    )
    writer.send(None)
    for frame in shown:
        writer.send(np.ascontiguousarray(frame))
    writer.close()
    assert psnr(row.run(case), np.clip(case.reference, 0, 1)) > 28


def test_another_size_is_fitted_and_too_few_frames_are_refused(tmp_path: Path, case: Case) -> None:
    """Twice the size comes back at the clip's; a missing last frame is an error with both numbers."""
    place = tmp_path / "given" / case.set / slug(case.clip)
    save_clip(place, np.repeat(np.repeat(case.reference, 2, 1), 2, 2))
    row = Results("Mine", tmp_path / "given")
    np.testing.assert_allclose(row.run(case), case.reference, rtol=2e-3, atol=1e-4)
    (place / f"{COUNT - 1:05d}.exr").unlink()
    with pytest.raises(InputError, match=f"{COUNT - 1} frames, the clip has {COUNT}"):
        row.run(case)


def test_a_command_gets_folders_and_leaves_frames(tmp_path: Path, case: Case) -> None:
    """A program that copies the composite gives it back; EXR and 8-bit pictures alike."""
    script = tmp_path / "grade it.py"
    script.write_text(GRADE)
    for name, wanted in (("composite", 70), ("composite_png", 45)):
        row = Command.parse("Mine", f'"{sys.executable}" "{script}" {{{name}}} {{out}}')
        assert psnr(np.clip(row.run(case), 0, 1), np.clip(case.composite, 0, 1)) > wanted
    assert row.key != Command.parse("Mine", f'"{sys.executable}" "{script}" {{composite}} {{out}}').key


def test_a_command_is_never_read_by_a_shell(tmp_path: Path, case: Case) -> None:
    """Shell syntax in a command is passed on as plain arguments."""
    script = tmp_path / "show.py"
    script.write_text(GRADE + f"\nPath({str(tmp_path / 'words')!r}).write_text(sys.argv[3])\n")
    harm = f"; touch {tmp_path / 'harmed'} $(touch {tmp_path / 'harmed'})"
    Command("Mine", (sys.executable, str(script), "{composite}", "{out}", harm)).run(case)
    assert (tmp_path / "words").read_text() == harm
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((sys.executable, "-c", "import sys; sys.exit('no such model')", "{out}"), "no such model"),
        ((sys.executable, "-c", "pass", "{out}"), "left no frames"),
        (("/no/such/program", "{out}"), "cannot be started"),
        ((sys.executable, "{video}", "{out}"), "unknown place"),
    ],
)
def test_a_command_that_fails_is_reported(case: Case, words: tuple[str, ...], says: str) -> None:
    """A failing command, missing results, a missing program and an unknown placeholder each have their own error."""
    with pytest.raises(InputError, match=says):
        Command("Mine", words).run(case)


def test_a_command_line_without_out_is_refused() -> None:
    """A command must say where its results go, and close its quotes."""
    with pytest.raises(InputError, match=r"no \{out\}"):
        Command.parse("Mine", "run it")
    with pytest.raises(InputError, match="cannot be read"):
        Command.parse("Mine", 'run "it {out}')


def test_published_methods_are_named_until_they_are_given() -> None:
    """All five baselines of the paper are listed as not run, except those given as rows, whatever follows their
    name."""
    assert len(not_given([])) == len(PUBLISHED) == 5
    left = not_given(["IC-Light, frame by frame", "BVD"])
    assert [line.split(" was")[0] for line in left] == [
        "Relightful Harmonization",
        "RelightVid",
        "Light-A-Video",
    ]
    assert Results("Light-A-Video", Path("x")).tasks == ("harmonize",)
    assert Command("BVD", ("x",)).tasks == ("deflicker",)


@pytest.mark.parametrize("conditioning", [HARMOVID, DEFLICKER], ids=["harmovid", "deflicker"])
def test_a_checkpoint_is_two_rows(tmp_path: Path, conditioning) -> None:
    """A tiny random checkpoint runs at an odd size; through the field the background stays bit for bit."""
    save_checkpoint(
        tmp_path / "run", tiny_model(conditioning=conditioning), Card({"name": "tiny"}, (), "none")
    )
    tiny_codec().vae.save_pretrained(tmp_path / "vae")
    task = "harmonize" if conditioning is HARMOVID else "deflicker"
    case = little_case(tmp_path / "case", task, count=9)
    network = Network(tmp_path / "run", str(tmp_path / "vae"), Settings("ddim", 1, 0, 9, 4))
    pixels, field = (Checkpoint("tiny", network, through) for through in (False, True))
    assert pixels.tasks == field.tasks == (task,)
    assert pixels.key != field.key
    made, carried = pixels.run(case), field.run(case)
    assert made.shape == case.composite.shape
    assert np.isfinite(made).all()
    outside = case.mask == 0
    assert np.array_equal(carried[outside], case.composite[outside])
    assert not np.array_equal(made[outside], case.composite[outside])
    assert load_codec(str(tmp_path / "vae"), "cogvideox").spatial == tiny_codec().spatial


def test_a_folder_that_is_no_checkpoint_is_reported(tmp_path: Path) -> None:
    """No folder, and a configuration of something else, are refused."""
    network = Network(tmp_path / "none", "", Settings())
    with pytest.raises(InputError, match="no checkpoint"):
        _ = network.task
    (tmp_path / "config.json").write_text('{"conditioning": "music"}')
    with pytest.raises(InputError, match="no conditioning of ours"):
        _ = Network(tmp_path, "", Settings()).task


def test_the_composite_as_it_is_is_the_composite(case: Case) -> None:
    """The first row changes nothing."""
    assert CLASSICAL[AS_IS].run(case) is case.composite
