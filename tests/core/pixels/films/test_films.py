"""Films to EXR frames and back by a real ffmpeg: every number, every frame, or an error."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from fakes.films import HEIGHT, WIDTH, film, planes
from harmovid.errors import FrameUnreadable, InputError, JobCancelled
from harmovid.frames import FramePattern, FrameRange
from harmovid.pixels import exr
from harmovid.pixels.films import FilmInfo, decode, encode, probe
from harmovid.pixels.films.layout import Layout

COUNT = 5


def numbers(depth: int = 8, count: int = 3) -> list[np.ndarray]:
    """Return the planes of a short film."""
    return [planes(seed, count, depth) for seed in range(COUNT)]


def decoded(
    path: Path, folder: Path, first: int = 1001, matrix: str = ""
) -> tuple[FilmInfo, FramePattern, FrameRange]:
    """Decode a film into a folder."""
    folder.mkdir(exist_ok=True)
    info, pattern = probe(str(path), matrix), FramePattern.parse(str(folder / "p.####.exr"))
    return info, pattern, decode(str(path), info, pattern, first).frames


@pytest.mark.parametrize(
    ("pix_fmt", "depth", "count", "tags"),
    [
        ("yuv444p", 8, 3, "setparams=colorspace=bt709:range=tv"),
        ("yuv444p10le", 10, 3, "setparams=colorspace=smpte170m:range=tv"),
        ("yuv444p12le", 12, 3, "setparams=colorspace=bt2020nc:range=tv"),
        ("gbrp", 8, 3, ""),
        ("gbrp16le", 16, 3, ""),
        ("gray", 8, 1, "setparams=range=tv"),
        ("yuva444p", 8, 4, "setparams=colorspace=bt709:range=tv"),
    ],
)
def test_a_film_comes_back_number_by_number(
    tmp_path: Path, pix_fmt: str, depth: int, count: int, tags: str
) -> None:
    """A lossless film, decoded and written as a lossless film again, has the same numbers in every frame."""
    frames = numbers(depth, count)
    source = film(tmp_path / "a.mkv", frames, pix_fmt, tags=tags)
    info, pattern, found = decoded(source, tmp_path / "in")

    part, clipped = encode(str(tmp_path / "b.mkv"), info, pattern, found)
    os.rename(part, tmp_path / "b.mkv")
    again, pattern, _ = decoded(tmp_path / "b.mkv", tmp_path / "again")

    assert clipped == 0
    assert str(found) == "1001-1005"
    assert (again.layout, again.rate, again.width) == (info.layout, info.rate, WIDTH)
    for frame, stored in zip(found, frames):
        codes = _codes(pattern.path(frame))
        assert info.layout.pack(codes)[0] == stored.tobytes()


@pytest.mark.parametrize("which", ["packaged", "of the system"])
def test_the_full_range_comes_back_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: str) -> None:
    """A full-range film is written with more bits in the narrow range, and every number is found again.

    Versions of ffmpeg differ in what they convert by themselves.
    """
    frames = numbers()
    lossless = ("-c:v", "libx264", "-qp", "0", "-preset", "ultrafast")
    source = film(tmp_path / "a.mp4", frames, codec=lossless, tags="setparams=colorspace=bt709:range=pc")
    if which == "of the system":
        other = shutil.which("ffmpeg")
        if other is None:
            pytest.skip("the system has no ffmpeg")
        monkeypatch.setattr("harmovid.pixels.films.program.program", lambda: other)
    info, pattern, found = decoded(source, tmp_path / "in")
    assert info.layout.full

    part, _ = encode(str(tmp_path / "b.mkv"), info, pattern, found)
    os.rename(part, tmp_path / "b.mkv")
    again, pattern, _ = decoded(tmp_path / "b.mkv", tmp_path / "again")

    assert (again.layout.full, again.layout.depth) == (False, 10)
    for frame, stored in zip(found, frames):
        assert info.layout.pack(_codes(pattern.path(frame)))[0] == stored.tobytes()


def _codes(path: str) -> np.ndarray:
    frame = exr.read(path)
    names = [name for name in "RGBA" if name in frame.channels]
    return np.stack([exr.channel_plane(frame, name).astype(np.float32) for name in names], axis=-1)


def test_the_frames_say_what_the_film_said(tmp_path: Path) -> None:
    """Numbers follow `first`, the rate and the pixel aspect are in the files, whose time is the film's."""
    source = film(tmp_path / "a.mkv", numbers(), tags="setsar=2", rate="24000/1001")
    _, pattern, found = decoded(source, tmp_path / "in", 7)
    frame = exr.read(pattern.path(7))

    assert str(found) == "7-11"
    assert frame.header.get("framesPerSecond") == (24000, 1001)
    assert frame.pixel_aspect == pytest.approx(2.0)
    assert os.stat(pattern.path(7)).st_mtime_ns == source.stat().st_mtime_ns


def test_what_is_not_said_is_reported(tmp_path: Path) -> None:
    """A small film without tags is read by BT.601 in the narrow range, and that is remarked; a word wins over it."""
    source = film(tmp_path / "a.mkv", numbers(), tags="")

    info = probe(str(source))

    assert info.layout == Layout("yuv", 8, False, False, "smpte170m")
    assert "bt601 is taken" in info.remarks[0]
    assert probe(str(source), "bt709").layout.matrix == "bt709"


def test_decoding_goes_on_where_it_was(tmp_path: Path) -> None:
    """Frames that are there stay untouched, the missing ones come, and the bytes are those of a quiet run."""
    source = film(tmp_path / "a.mkv", numbers())
    _, quiet, _ = decoded(source, tmp_path / "quiet")
    info, pattern = probe(str(source)), FramePattern.parse(str(tmp_path / "in" / "p.####.exr"))
    (tmp_path / "in").mkdir()
    written: list[int] = []
    with pytest.raises(JobCancelled):
        decode(str(source), info, pattern, 1001, on_frame=written.append, stopped=lambda: len(written) == 2)
    assert written == [1001, 1002]
    kept = os.stat(pattern.path(1001)).st_ino

    decode(str(source), info, pattern, 1001, on_frame=written.append)

    assert written == [1001, 1002, 1003, 1004, 1005]
    assert os.stat(pattern.path(1001)).st_ino == kept
    for frame in range(1001, 1006):
        assert Path(pattern.path(frame)).read_bytes() == Path(quiet.path(frame)).read_bytes()


@pytest.mark.parametrize("suffix", [".mkv", ".mov"])
def test_a_film_that_is_cut_off_is_refused(tmp_path: Path, suffix: str) -> None:
    """Half a file is an error, not a shorter film."""
    codec = ("-c:v", "ffv1") if suffix == ".mkv" else ("-c:v", "prores_ks", "-movflags", "+faststart")
    frames = [planes(seed, 3, 10) for seed in range(40)]
    source = film(tmp_path / f"a{suffix}", frames, "yuv444p10le", codec)
    source.write_bytes(source.read_bytes()[: source.stat().st_size * 6 // 10])

    with pytest.raises(FrameUnreadable):
        decoded(source, tmp_path / "in")


def test_a_damaged_film_is_refused(tmp_path: Path) -> None:
    """Bytes that went bad in the middle are an error; ffmpeg's concealing does not pass for pictures."""
    source = film(
        tmp_path / "a.mkv",
        [planes(seed) for seed in range(30)],
        codec=("-c:v", "ffv1", "-slicecrc", "1", "-level", "3"),
    )
    data = bytearray(source.read_bytes())
    middle = len(data) // 2
    for place in range(middle, middle + 400):
        data[place] ^= 0x5A
    source.write_bytes(data)

    with pytest.raises(FrameUnreadable, match="damaged"):
        decoded(source, tmp_path / "in")


@pytest.mark.parametrize(
    "content", [b"", b"#EXTM3U\nfile:///etc/hostname\n", b"ffconcat version 1.0\nfile other.mov\n"]
)
def test_what_only_calls_itself_a_film_is_refused(tmp_path: Path, content: bytes) -> None:
    """An empty file and playlists that name other files are no films, whatever their name."""
    path = tmp_path / "a.mov"
    path.write_bytes(content)
    film(tmp_path / "other.mov", numbers(10), "yuv444p10le", ("-c:v", "prores_ks"))

    with pytest.raises(FrameUnreadable, match="cannot be read"):
        probe(str(path))


@pytest.mark.parametrize(("suffix", "step"), [(".mov", 1 / 219), (".mp4", 6 / 219)])
def test_the_other_kinds_are_near(tmp_path: Path, suffix: str, step: float) -> None:
    """ProRes and H.264 of a smooth picture are within a few steps, with size, rate and tags."""
    ramp = np.linspace(40, 220, WIDTH).astype(np.uint8)
    smooth = np.stack([np.tile(ramp, (HEIGHT, 1)), *[np.full((HEIGHT, WIDTH), 128, np.uint8)] * 2])
    info, pattern, found = decoded(film(tmp_path / "a.mkv", [smooth] * 3), tmp_path / "in")

    part, _ = encode(str(tmp_path / f"b{suffix}"), info, pattern, found)
    os.rename(part, tmp_path / f"b{suffix}")
    again, other, _ = decoded(tmp_path / f"b{suffix}", tmp_path / "again")

    assert (again.width, again.height, again.rate) == (info.width, info.height, info.rate)
    assert again.layout.matrix == "bt709"
    for frame in found:
        assert np.abs(_codes(other.path(frame)) - _codes(pattern.path(frame))).max() <= step


def test_sound_is_taken_along(tmp_path: Path) -> None:
    """A film with sound gives a film with sound."""
    source = film(tmp_path / "a.mkv", numbers(), sound=True)
    info, pattern, found = decoded(source, tmp_path / "in")
    assert info.sound

    part, _ = encode(str(tmp_path / "b.mkv"), info, pattern, found, sound=str(source))
    os.rename(part, tmp_path / "b.mkv")

    assert probe(str(tmp_path / "b.mkv")).sound


def test_films_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    """An unknown kind, and odd sides in an .mp4."""
    info, pattern, found = decoded(film(tmp_path / "a.mkv", [planes(1, width=31)]), tmp_path / "in")
    for name, what in (("b.avi", "no film that is written"), ("b.mp4", "even sides")):
        with pytest.raises(InputError, match=what):
            encode(str(tmp_path / name), info, pattern, found)
    assert list(tmp_path.glob(".*.tmp")) == []
