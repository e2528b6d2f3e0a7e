"""Clips from disk: EXR, pictures and video as linear light, the index, and reproducible windows."""

from __future__ import annotations

import subprocess

import cv2
import imageio_ffmpeg
import numpy as np
import pytest
from harmovid.errors import FrameMissing, FrameUnreadable, InputError
from harmovid.pixels import exr
from harmovid.pixels.colour.spaces import REC2020, convert_primaries
from harmovid.pixels.colour.srgb import srgb_decode
from harmovid_training.clips.index import Clip, Index, Windows, make_clip, read_index, write_index
from harmovid_training.clips.read import (
    Source,
    count_frames,
    covering,
    frame_blocks,
    frame_files,
    numbered_files,
    read_exr,
    read_frames,
    write_exr,
)
from harmovid_training.files import save_parquet


def ramp(count: int = 5) -> np.ndarray:
    """Return `(count, 12, 16, 3)` linear light with values above one and below zero; frame i is i stops up."""
    rng = np.random.default_rng(3)
    return (
        rng.uniform(-0.1, 2.0, (1, 12, 16, 3)).astype(np.float32)
        * 2.0 ** np.arange(count, dtype=np.float32)[:, None, None, None]
    )


@pytest.fixture
def folder(tmp_path):
    """Return a folder of five EXR frames."""
    for index, frame in enumerate(ramp()):
        (tmp_path / "real").mkdir(exist_ok=True)
        write_exr(tmp_path / "real" / f"f.{1001 + index}.exr", frame)
    return tmp_path


def test_exr_keeps_every_value(folder):
    """Values above one and below zero come back to the bit, from the frame that was asked for."""
    made = read_frames(Source(folder / "real"), 1, 3)
    assert np.array_equal(made, ramp()[1:4])
    assert count_frames(Source(folder / "real")) == 5


def test_exr_chromaticities_are_converted(tmp_path):
    """A file in Rec.2020 comes out in the primaries that are asked for, through the product's own colour."""
    frame = np.abs(ramp()[0])
    header = exr.PartHeader.make(
        (0, 0, 16, 12),
        attributes={"chromaticities": exr.Attribute.of("chromaticities", REC2020)},
    )
    exr.write(
        exr.make_frame(header, {c: np.ascontiguousarray(frame[..., i]) for i, c in enumerate("RGB")}),
        tmp_path / "a.exr",
    )
    from harmovid.pixels.colour.spaces import REC709

    expected = convert_primaries(frame, REC2020, REC709)
    np.testing.assert_allclose(read_frames(Source(tmp_path), 0, 1)[0], expected, rtol=1e-5, atol=1e-6)


def test_a_data_window_is_placed_in_its_picture(tmp_path):
    """A small data window is read where it lies in the display window, zero around it."""
    header = exr.PartHeader.make((4, 2, 8, 5), (0, 0, 16, 12))
    exr.write(exr.make_frame(header, {c: np.ones((3, 4), np.float32) for c in "RGB"}), tmp_path / "a.exr")
    made = read_frames(Source(tmp_path), 0, 1)[0]
    assert made.shape == (12, 16, 3)
    assert made.sum() == 3 * 4 * 3
    assert made[2, 4, 0] == 1


def test_pictures_are_undone_to_light(tmp_path):
    """An 8-bit sRGB picture becomes linear light, channels in RGB order; a matte keeps its values."""
    picture = np.random.default_rng(0).integers(0, 255, (12, 16, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), picture[..., ::-1])
    made = read_frames(Source(tmp_path), 0, 1)[0]
    np.testing.assert_allclose(made, srgb_decode(picture.astype(np.float32) / 255), atol=1e-6)
    matte = read_frames(Source(tmp_path, matte=True), 0, 1)[0]
    np.testing.assert_allclose(matte, picture.max(-1) / 255, atol=1e-6)


def test_video_frames_are_found_by_number(tmp_path):
    """Frames 3 to 5 of a lossless video are those frames and no others."""
    path = tmp_path / "clip.mkv"
    frames = [np.full((16, 16, 3), 20 * index + 10, np.uint8) for index in range(9)]
    words = [
        "-v",
        "error",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "-s",
        "16x16",
        "-r",
        "25",
        "-i",
        "-",
        "-c:v",
        "ffv1",
        "-pix_fmt",
        "bgr0",
    ]
    subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), *words, str(path)], input=np.stack(frames).tobytes(), check=True
    )
    assert count_frames(Source(path)) == 9
    made = read_frames(Source(path), 3, 3)
    expected = srgb_decode(np.stack(frames[3:6]).astype(np.float32) / 255)
    np.testing.assert_allclose(made, expected, atol=1e-6)
    with pytest.raises(FrameMissing, match="has no frame 9"):
        read_frames(Source(path), 8, 2)
    path.write_bytes(b"no video")
    with pytest.raises(FrameUnreadable, match="cannot be decoded"):
        read_frames(Source(path), 0, 1)
    with pytest.raises(FrameUnreadable, match="cannot be decoded"):
        count_frames(Source(path))


def test_a_video_is_read_in_blocks(tmp_path):
    """Blocks of four frames hold the same light as the whole clip; a stream that is dropped leaves no process."""
    path = tmp_path / "clip.mp4"
    writer = imageio_ffmpeg.write_frames(str(path), (32, 16))
    writer.send(None)
    for index in range(9):
        writer.send(np.full((16, 32, 3), 20 * index + 10, np.uint8))
    writer.close()
    source = Source(path)
    whole = read_frames(source, 0, 9, (8, 16))
    blocks = list(frame_blocks(source, 9, 4, (8, 16)))
    assert [len(block) for block in blocks] == [4, 4, 1]
    assert np.array_equal(np.concatenate(blocks), whole)
    stream = frame_blocks(source, 9, 4)
    next(stream)
    stream.close()
    with pytest.raises(FrameMissing, match="has no frame 9"):
        list(frame_blocks(source, 12, 4))


def test_frames_are_in_the_order_of_their_numbers(folder, tmp_path):
    """Frame 9 comes before frame 10 without padding; a pattern names one of two sequences, which a folder alone does
    not; a frame missing in the middle is reported by its number, every second frame is a clip."""
    loose = tmp_path / "loose"
    loose.mkdir()
    for number in (9, 10, 11):
        (folder / "real" / f"f.{992 + number}.exr").rename(loose / f"f.{number}.exr")
    assert [path.name for path in frame_files(loose)] == ["f.9.exr", "f.10.exr", "f.11.exr"]
    assert list(numbered_files(loose / "f.#.exr")) == [9, 10, 11]
    (loose / "f.11.exr").rename(loose / "f.12.exr")
    with pytest.raises(InputError, match=r"frame 11 of .* is missing"):
        frame_files(loose)
    (loose / "f.10.exr").unlink()
    assert list(numbered_files(loose)) == [9, 12]
    (loose / "depth.9.exr").touch()
    with pytest.raises(InputError, match="more than one sequence"):
        frame_files(loose)
    assert list(numbered_files(loose / "f.#.exr")) == [9, 12]
    (loose / "._f.9.exr").touch()
    (loose / "depth.9.exr").rename(loose / "preview.png")
    with pytest.raises(InputError, match="more than one sequence"):
        frame_files(loose)


def test_covering_scales_and_crops_about_the_middle():
    """A wide picture fitted into a square keeps its height and its middle."""
    wide = np.zeros((8, 32, 3), np.float32)
    wide[:, 15:17] = 1
    made = covering(wide, (4, 4))
    assert made.shape == (4, 4, 3)
    assert made[:, 1:3].mean() > made[:, [0, 3]].mean()


def test_bad_sources_say_what_and_where(folder, tmp_path):
    """An empty folder, a missing frame and a broken picture each name themselves."""
    with pytest.raises(InputError, match="no folder of frames"):
        read_frames(Source(tmp_path / "nothing"), 0, 1)
    with pytest.raises(FrameMissing, match="has no frame 5"):
        read_frames(Source(folder / "real"), 3, 4)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.png").write_bytes(b"not a picture")
    with pytest.raises(FrameUnreadable, match=r"a\.png cannot be decoded"):
        read_frames(Source(tmp_path / "broken"), 0, 1)
    cut = folder / "real" / "f.1002.exr"
    cut.write_bytes(cut.read_bytes()[:500])
    with pytest.raises(FrameUnreadable, match=r"f\.1002\.exr: .*cut off"):
        read_frames(Source(folder / "real"), 0, 3)
    write_exr(tmp_path / "one.exr", np.ones((2, 2, 1), np.float32))
    assert read_exr(tmp_path / "one.exr").shape == (2, 2, 1)


def test_the_index_comes_back_and_has_a_hash(folder):
    """An index reads back as written with relative paths, and its hash changes with its content only."""
    clip = make_clip("one", {"real": Source(folder / "real")}, "CC0")
    write_index(folder / "clips.jsonl", [clip])
    index = read_index(folder / "clips.jsonl")
    assert index.clips == (clip,)
    assert '"real": {"path": "real"}' in (folder / "clips.jsonl").read_text()
    assert index.hash == read_index(folder / "clips.jsonl").hash
    other = Index((Clip("two", 5, clip.sources, "CC0"),), folder)
    assert other.hash != index.hash
    assert index.licences == ("1 clips: CC0",)


def test_index_errors_name_the_line(folder):
    """A line that is not a clip, a repeated id, and sources of two lengths are refused."""
    path = folder / "clips.jsonl"
    path.write_text('{"id": "a", "frames": 5, "sources": {}}\n{"id": "b"}\n')
    with pytest.raises(InputError, match="line 2"):
        read_index(path)
    path.write_text('{"id": "a", "frames": 5, "sources": {}}\n' * 2)
    with pytest.raises(InputError, match="has a twice"):
        read_index(path)
    write_exr(folder / "x.exr", ramp()[0])
    (folder / "short").mkdir()
    (folder / "x.exr").rename(folder / "short" / "x.exr")
    with pytest.raises(InputError, match="real 5, mask 1"):
        make_clip("c", {"real": Source(folder / "real"), "mask": Source(folder / "short", matte=True)})


def test_windows_are_a_function_of_seed_and_number(folder):
    """Every clip is used once per cycle, positions depend on the seed, and a window holds the clip's own frames."""
    clips = tuple(Clip(str(number), 5, {"real": Source(folder / "real")}) for number in range(4))
    windows = Windows(Index(clips, folder), ("real",), 3, (12, 16), seed=1)
    turn = [windows.place(number)[0].id for number in range(8)]
    assert sorted(turn[:4]) == sorted(turn[4:]) == ["0", "1", "2", "3"]
    again = Windows(Index(clips, folder), ("real",), 3, (12, 16), seed=1)
    assert [again.place(number) for number in range(8)] == [windows.place(number) for number in range(8)]
    _, first = windows.place(6)
    assert np.array_equal(windows(6)["real"], ramp()[first : first + 3])
    with pytest.raises(InputError, match="has 5 of 9 frames"):
        Windows(Index(clips, folder), ("real",), 9, (12, 16), seed=1)
    with pytest.raises(InputError, match="has no mask"):
        Windows(Index(clips, folder), ("mask",), 3, (12, 16), seed=1)


def test_a_parquet_index_is_the_same_index(folder):
    """Written as Parquet an index has the clips and the hash of its text; another file of that name is refused."""
    clip = make_clip(
        "ramp", {"real": Source(folder / "real"), "mask": Source(folder / "real", matte=True)}, "CC0"
    )
    for name in ("clips.jsonl", "clips.parquet"):
        write_index(folder / name, [clip])
    text, table = (read_index(folder / name) for name in ("clips.jsonl", "clips.parquet"))

    assert table.clips == text.clips == (clip,)
    assert table.hash == text.hash
    assert not list(folder.glob(".*"))
    (folder / "other.parquet").write_text("no table")
    with pytest.raises(InputError, match=r"other\.parquet is no Parquet file"):
        read_index(folder / "other.parquet")
    save_parquet(folder / "wrong.parquet", [{"id": "a", "sources": "{}"}])
    with pytest.raises(InputError, match="line 1"):
        read_index(folder / "wrong.parquet")
