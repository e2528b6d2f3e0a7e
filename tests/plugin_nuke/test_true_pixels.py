"""Where a node once gave another picture than the command line without a word: alpha, mattes, primaries, handles."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Iterator

import numpy as np
import OpenEXR
import pytest
from fakes import nuke_shots as shots
from fakes.nuke_driver import FIRST, harmonize, sent, settle
from fakes.nuke_host import exr
from fakes.nuke_host.host import Host
from fakes.nuke_host.images import RGB, picture
from fakes.running import RunningServer
from harmovid.cli import main
from harmovid_nuke import node, record

AP0 = (0.7347, 0.2653, 0.0, 1.0, 0.0001, -0.0770, 0.32168, 0.33767)
LAST = FIRST + 3
HALF = 1e-3


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Run one server for the module."""
    with RunningServer(tmp_path_factory.mktemp("server"), "--codecs", "1", echo=False) as running:
        yield running


def assert_shows_the_result(group: Any, run: Any) -> int:
    """The node's picture is that of the server on every frame; return how many values it has changed."""
    changed = 0
    for frame in range(FIRST, LAST + 1):
        out, plate = (picture(one, frame, "main").channels for one in (group, group.input(0)))
        result = exr.load(run.record.result("") % frame).channels
        for name in RGB:
            np.testing.assert_allclose(out[name], result[name], rtol=HALF, atol=1e-6)
            changed += int((out[name] != plate[name]).sum())
    return changed


def test_a_plate_is_changed_where_its_alpha_is_zero(
    host: Host, nuke: Any, tmp_path: Path, server: RunningServer
) -> None:
    """Fire, glows and scans have alpha 0: an engine for plates changes them as the command line does."""
    plates = {n: shots.plate(7, alpha=False) for n in range(FIRST, LAST + 1)}
    for n, plate in plates.items():
        for name in RGB:
            plate.channels[name] = plate.channels[name] * np.float32(2 ** (0.25 * (n % 2)))
        plate.channels["rgba.alpha"] = np.zeros_like(plate.channels["rgba.red"])
    group = node.create("deflicker")
    group.setInput(0, shots.reader(nuke, shots.save(tmp_path / "p", "p", plates), FIRST, LAST))
    settle(group, (("server", server.endpoint), ("first", FIRST), ("last", LAST)))
    nuke.scriptSave(str(tmp_path / "d.nk"))
    run = sent(host, group)
    assert run.error is None
    assert assert_shows_the_result(group, run) > 100


def _with_a_matte_of_its_own(nuke: Any, folder: Path, server: RunningServer) -> Any:
    """Return a Harmonize node whose foreground has no alpha, with the matte in its own input."""
    group = harmonize(nuke, folder, server.endpoint, FIRST, LAST)
    frames = range(FIRST, LAST + 1)
    flat = shots.save(folder / "flat", "fg", {n: shots.plate(n, alpha=False) for n in frames})
    mattes = shots.save(folder / "m", "m", {n: shots.plate(n) for n in frames})
    group.setInput(0, shots.reader(nuke, flat, FIRST, LAST))
    group.setInput(2, shots.reader(nuke, mattes, FIRST, LAST))
    return group


def test_a_foreground_without_alpha_is_changed_in_its_matte(
    host: Host, nuke: Any, tmp_path: Path, server: RunningServer
) -> None:
    """With the matte in its own input, a foreground without alpha is relit there and nowhere else."""
    group = _with_a_matte_of_its_own(nuke, tmp_path, server)
    run = sent(host, group)
    assert run.error is None
    assert assert_shows_the_result(group, run) > 100
    alpha = shots.plate(FIRST).channels["rgba.alpha"]
    out, plate = (picture(one, FIRST, "main").channels for one in (group, group.input(0)))
    assert all((out[name] == plate[name])[alpha == 0].all() for name in RGB)


def test_a_matte_of_its_own_is_not_taken_as_multiplied_in(
    host: Host, nuke: Any, tmp_path: Path, server: RunningServer
) -> None:
    """A foreground without alpha is not multiplied by its matte: soft edges are those of `--unpremultiplied`."""
    group = _with_a_matte_of_its_own(nuke, tmp_path, server)
    sent(host, group)  # the answer brings the engine's options
    settle(group, (("o_contrast", 1.0), ("keep_inputs", True)))
    run = sent(host, group)
    assert run.error is None

    made = exr.load(run.record.result("") % FIRST).channels
    fg, bg, matte = (run.record.input(layer, "") for layer in ("fg", "bg", "matte"))
    found = {}
    for flag in ("--unpremultiplied", "--premultiplied"):
        out = f"{tmp_path.as_posix()}/{flag}.%04d.exr"
        line = ["harmonize", fg, bg, "--matte", matte, "-o", out, "--engine", "harmonize-statistics", "-q"]
        assert main([*line, "--contrast", "1", flag, "--server", server.endpoint]) == 0
        found[flag] = exr.load(out % FIRST).channels
    assert all((made[name] == found["--unpremultiplied"][name]).all() for name in RGB)
    assert any((made[name] != found["--premultiplied"][name]).any() for name in RGB)


def test_the_source_files_primaries_are_not_sent(
    host: Host, nuke: Any, tmp_path: Path, server: RunningServer
) -> None:
    """A source file's primaries are those of its own pixels: frames in the working space do not name them."""
    group = harmonize(nuke, tmp_path, server.endpoint, FIRST, LAST)
    for frame in range(FIRST, LAST + 1):
        image = shots.plate(frame)
        path = group.input(0)["file"].evaluate(frame)
        exr.save(path, image, tuple(image.channels), True, "Zip (1 scanline)", {"chromaticities": AP0})
    group["keep_inputs"].setValue(True)
    run = sent(host, group)
    assert run.error is None
    with OpenEXR.File(group.input(0)["file"].evaluate(FIRST)) as source:
        assert "chromaticities" in source.header()
    with OpenEXR.File(run.record.input("fg", "") % FIRST) as sent_file:
        assert "chromaticities" not in sent_file.header()


def test_handles_end_where_the_input_ends(
    host: Host, nuke: Any, tmp_path: Path, server: RunningServer
) -> None:
    """Beyond its range a Read repeats a frame, which is no part of the shot: it is not sent."""
    group = harmonize(nuke, tmp_path, server.endpoint, FIRST, LAST)
    settle(group, (("first", FIRST + 1), ("handles", 20)))
    run = sent(host, group)
    assert run.record.frames == f"{FIRST}-{LAST}"
    assert run.record.wanted == f"{FIRST + 1}-{LAST}"
    moved = nuke.nodes.TimeOffset()
    moved["time_offset"].setValue(2)
    moved.setInput(0, group.input(0))
    group.setInput(0, moved)
    assert sent(host, group).record.frames == f"{FIRST + 1}-{LAST + 2}"


def test_frames_made_again_are_read_again(
    host: Host, nuke: Any, tmp_path: Path, server: RunningServer
) -> None:
    """Nuke keeps a file's picture until it is told to reload: frames made again are seen at once."""
    group = harmonize(nuke, tmp_path, server.endpoint, FIRST, LAST)
    run = sent(host, group)
    path = run.record.result("") % FIRST
    before, good = picture(group, FIRST, "main").channels["rgba.red"], Path(path).read_bytes()
    other = shots.field(3, shots.plate(FIRST))
    exr.save(path, replace(other, box=shots.OVERSCAN), tuple(other.channels), False, "Zip (1 scanline)", {})
    group["reload"].execute()
    wrong = picture(group, FIRST, "main").channels["rgba.red"]
    group["redo_frames"].setValue(str(FIRST))
    assert sent(host, group, "redo").error is None
    assert Path(path).read_bytes() == good
    after = picture(group, FIRST, "main").channels["rgba.red"]
    assert wrong.tobytes() != before.tobytes()
    assert after.tobytes() == before.tobytes()


def test_a_version_is_not_made_of_two_states_without_a_word(
    host: Host, nuke: Any, tmp_path: Path, server: RunningServer
) -> None:
    """Missing frames of a version whose inputs have changed: all inputs are rendered anew, and that is said."""
    group = harmonize(nuke, tmp_path, server.endpoint, FIRST, LAST)
    group["keep_inputs"].setValue(True)
    run = sent(host, group)
    Path(run.record.result("") % LAST).unlink()
    Path(run.record.input("fg", "") % LAST).unlink()
    run.record.save(state=record.PARTLY)
    before = Path(run.record.input("fg", "") % FIRST).read_bytes()
    again = sent(host, group, "missing")
    assert again.problems == []
    assert Path(run.record.input("fg", "") % FIRST).read_bytes() == before
    Path(run.record.result("") % LAST).unlink()
    run.record.save(state=record.PARTLY)
    grade = nuke.nodes.Grade()
    grade["multiply"].setValue([2, 2, 2, 1])
    grade.setInput(0, group.input(0))
    group.setInput(0, grade)
    again = sent(host, group, "missing")
    assert again.error is None
    assert "inputs have changed since this version" in group["status"].value()
    assert Path(run.record.input("fg", "") % FIRST).read_bytes() != before
