"""Real footage through a real server by the command line: films, masked clips, EXRs whose windows move."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from e2e.footage import Picture, stills, video, write_foreground, write_plate
from harmovid.frames import FramePattern
from harmovid.pixels import exr
from harmovid_demo.compare import Version, compare_plates
from harmovid_demo.server import harmovid, running_server

FILM_FRAMES = 24
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the server runs on Linux"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of a real server."""
    with running_server(tmp_path_factory.mktemp("server")) as address:
        yield address


def run(server: str, task: str, inputs: list[str], out: Path, *more: str) -> str:
    """Run one command to a good end and return the pattern of its results."""
    words = [task, *inputs, "-o", str(out), "--server", server, "--quiet", *more]
    done = subprocess.run(harmovid(*words), capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stderr
    return str(out / Path(inputs[0]).name)


def pairs(before: str, after: str) -> Iterator[tuple[exr.ExrFrame, exr.ExrFrame]]:
    """Yield every frame as sent and as it came back; the same frames must be there."""
    sent, back = FramePattern.parse(before), FramePattern.parse(after)
    assert sent.existing() == back.existing()
    for frame in sent.existing():
        yield exr.read(sent.path(frame)), exr.read(back.path(frame))


def deflickered(server: str, pictures: Iterator[Picture], folder: Path) -> tuple[Version, Version]:
    """Send a film there and back and return it as measured before and after; no frame may be missing."""
    film = write_plate(folder / "in", "film", pictures)
    result = run(server, "deflicker", [film], folder / "out")
    frames = list(FramePattern.parse(film).existing())
    assert frames == list(FramePattern.parse(result).existing())
    assert len(frames) == FILM_FRAMES
    comparison = compare_plates("film", frames, {"before": film, "after": result}, has_truth=False)
    return comparison.versions[0], comparison.versions[1]


def test_a_flickering_film_is_calmed(server, real_data, tmp_path):
    """A silent film that flickers by a tenth of a stop keeps less than half of it, in the whole and in its parts."""
    film = real_data / "flicker" / "winter_scenes_in_holland" / "Winter_Scenes_in_Holland.mp4"
    before, after = deflickered(server, video(film, 0, FILM_FRAMES, 320), tmp_path)
    assert before.flicker.whole > 0.05
    assert after.flicker.whole < 0.5 * before.flicker.whole
    assert after.flicker.local < 0.5 * before.flicker.local


def test_a_calm_film_is_not_harmed(server, real_data, tmp_path):
    """A film of 1940 that hardly flickers comes back no rougher than it went."""
    film = real_data / "flicker" / "mdn_friday_bw.mp4"
    before, after = deflickered(server, video(film, 30, FILM_FRAMES, 320), tmp_path)
    assert before.flicker.whole < 0.02
    assert after.flicker.whole <= before.flicker.whole * 1.01
    assert after.flicker.local <= before.flicker.local * 1.01


def test_a_masked_clip_is_harmonized_and_nothing_else_touched(server, real_data, tmp_path):
    """A person cut out of one clip over another: relit inside the matte, all else bit-identical."""
    source, scene = real_data / "clips" / "davis_dance-twirl", real_data / "clips" / "davis_car-shadow"
    fg = write_foreground(
        tmp_path / "in", "fg", stills(source / "frames", 8, 427), stills(source / "masks", 8, 427)
    )
    bg = write_plate(tmp_path / "in", "bg", stills(scene / "frames", 8, 427))
    result = run(server, "harmonize", [fg, bg], tmp_path / "out")
    changed = 0
    for sent, back in pairs(fg, result):
        for name in ("A", "depth.Z", "id"):
            assert back.channels[name].dtype == sent.channels[name].dtype
            np.testing.assert_array_equal(back.channels[name], sent.channels[name])
        empty = sent.channels["A"] == 0
        for name in "RGB":
            np.testing.assert_array_equal(back.channels[name][empty], sent.channels[name][empty])
            changed += int((back.channels[name] != sent.channels[name]).sum())
    assert changed > 0


def test_a_comp_keeps_the_plate_bit_identical(server, real_data, tmp_path):
    """With --output comp, every pixel outside the matte is the background's own."""
    source, scene = real_data / "clips" / "davis_parkour", real_data / "clips" / "davis_scooter-black"
    fg = write_foreground(
        tmp_path / "in", "fg", stills(source / "frames", 4, 427), stills(source / "masks", 4, 427)
    )
    bg = write_plate(tmp_path / "in", "bg", stills(scene / "frames", 4, 427))
    result = run(server, "harmonize", [fg, bg], tmp_path / "out", "--output", "comp")
    backs = [plate for plate, _ in pairs(bg, bg)]
    for (sent, comp), plate in zip(pairs(fg, result), backs):
        empty = sent.channels["A"] == 0
        for name in "RGB":
            np.testing.assert_array_equal(comp.channels[name][empty], plate.channels[name][empty])


@pytest.mark.parametrize("engine", [[], ["--engine", "null"]])
def test_windows_that_move_come_back_as_they_went(server, real_data, tmp_path, engine):
    """The beach ball's 20 channels, moving windows and attributes survive; only the beauty of both eyes changes."""
    plate = str(real_data / "exr" / "beachball" / "singlepart.####.exr")
    result = run(server, "deflicker", [plate], tmp_path / "out", *engine)
    windows = set()
    for sent, back in pairs(plate, result):
        windows.add(sent.data_window)
        assert (back.data_window, back.display_window) == (sent.data_window, sent.display_window)
        assert list(back.channels) == list(sent.channels)
        for name, pixels in sent.channels.items():
            if engine or name.removeprefix("left.") not in ("R", "G", "B"):
                np.testing.assert_array_equal(back.channels[name], pixels, err_msg=name)
        for name, attribute in sent.header.attributes.items():
            assert back.header.attributes[name] == attribute, name
    assert len(windows) == 3
