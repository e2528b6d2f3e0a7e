"""Shares of an index: together they cover it, the last process joins the parts, bad clips are rejected."""

from __future__ import annotations

import json

import numpy as np
import pytest
from harmovid.errors import InputError, OptionError
from harmovid_training.clips.backgrounds import FolderBackgrounds
from harmovid_training.clips.build import split
from harmovid_training.clips.index import make_clip, read_index, write_index
from harmovid_training.clips.read import Source, read_frames, write_exr
from harmovid_training.clips.shards import Rejected, Shard, each_or_rejected
from harmovid_training.stages.stage1 import seed_of


@pytest.fixture
def index(tmp_path):
    """Return an index of six clips of one frame."""
    (tmp_path / "real").mkdir()
    write_exr(tmp_path / "real" / "0.exr", np.ones((4, 4, 3), np.float32))
    write_index(
        tmp_path / "real.jsonl", [make_clip(f"c{k}", {"real": Source(tmp_path / "real")}) for k in range(6)]
    )
    return tmp_path / "real.jsonl"


def test_the_last_share_writes_the_whole(index):
    """Three shares hold each clip once; after the third one index stands in the given order, and all rejected clips
    in one file."""
    clips = read_index(index).clips
    out, order = index.with_name("clips.jsonl"), [clip.id for clip in clips]
    for number in (2, 0, 1):
        shard = Shard.parse(f"{number + 1}/3")

        def make(clip):
            if clip.id == "c4":
                raise InputError("the mask of c4 is empty.")
            return clip

        made, rejected = each_or_rejected(shard.of(clips), lambda clip: clip.id, make)
        assert shard.finish(out, order, made, rejected) is (number == 1)
    assert [clip.id for clip in read_index(out).clips] == ["c0", "c1", "c2", "c3", "c5"]
    told = [json.loads(line) for line in index.with_name("rejected.jsonl").read_text().splitlines()]
    assert told == [{"id": "c4", "reason": "the mask of c4 is empty."}]


def test_a_share_comes_from_its_words_or_the_launcher(monkeypatch):
    """`2/8` counts from one; a launcher's processes divide the whole, or a machine's share; nonsense is refused."""
    assert Shard.parse("2/8") == Shard(1, 8)
    assert Shard.parse("") == Shard(0, 1)
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert Shard.parse("") == Shard(3, 4)
    assert Shard.parse("2/8") == Shard(1 * 4 + 3, 8 * 4)  # eight machines of four GPUs
    for words in ("0/8", "9/8", "x"):
        with pytest.raises(OptionError, match="no share"):
            Shard.parse(words)


def test_test_clips_stay_test_clips(index):
    """A split holds each clip once, keeps the asked number, and a longer index keeps them for testing."""
    split(index, 2)
    test, train = (read_index(index.with_suffix(f".{name}.jsonl")).clips for name in ("test", "train"))
    assert len(test) == 2
    assert {clip.id for clip in (*test, *train)} == {f"c{k}" for k in range(6)}
    before = {clip.id for clip in test}
    split(index, 3)
    assert before <= {clip.id for clip in read_index(index.with_suffix(".test.jsonl")).clips}


def test_a_clips_seed_is_of_its_id():
    """The seed of a clip depends on its id alone."""
    assert seed_of("dancer") == seed_of("dancer") != seed_of("walker")
    assert 0 <= seed_of("dancer") < 2**31


def test_backgrounds_of_a_folder_are_cut_or_played_back(tmp_path):
    """A background has the asked length and size, there and back where its clip is shorter; an empty folder is
    refused."""
    (tmp_path / "street").mkdir()
    for number in range(3):
        write_exr(tmp_path / "street" / f"{number}.exr", np.full((8, 8, 3), number, np.float32))
    made = FolderBackgrounds(tmp_path)(5, 6, (4, 6))
    assert made.shape == (6, 4, 6, 3)
    assert made[:, 0, 0, 0].tolist() == [0, 1, 2, 1, 0, 1]
    assert len(FolderBackgrounds(tmp_path)(5, 2, (4, 6))) == 2
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="no background"):
        FolderBackgrounds(tmp_path / "none")


def test_relative_sources_stay_relative_to_their_index(tmp_path, monkeypatch):
    """Written from the working folder into another one, and again from there, an index still finds its frames."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "footage").mkdir()
    write_exr(tmp_path / "footage" / "0.exr", np.full((2, 2, 3), 0.5, np.float32))
    from pathlib import Path

    write_index(Path("real.jsonl"), [make_clip("a", {"real": Source(Path("footage"))})])
    write_index(Path("runs/deep/clips.jsonl"), read_index(Path("real.jsonl")).clips)
    for name in ("real.jsonl", "runs/deep/clips.jsonl"):
        clip = read_index(Path(name)).clips[0]
        assert read_frames(clip.sources["real"], 0, 1)[0, 0, 0, 0] == 0.5
    assert '"../../footage"' in Path("runs/deep/clips.jsonl").read_text()


def test_rejected_clips_say_why():
    """The reason of a rejected clip is the error's own message."""

    def broken(name: str):
        raise OSError("the disk is gone")

    assert each_or_rejected(["a"], str, broken) == ([], [Rejected("a", "the disk is gone")])
