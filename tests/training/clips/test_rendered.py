"""Rendered truth as a dataset: exact targets, mattes, and an index that stages 2 and 3 read as it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from harmovid_training.clips.index import read_index
from harmovid_training.clips.read import read_frames, write_exr
from harmovid_training.clips.rendered import Actor, Performance, Setting, main, render
from harmovid_training.data.cache import held_out
from harmovid_training.data.figures import PAINTED
from harmovid_training.data.meshes import Mesh
from harmovid_training.stages.config import TrainConfig
from harmovid_training.stages.dataset import IndexSamples

SIZE = (48, 64)

CUBE = """v -1 -1 -1\nv 1 -1 -1\nv 1 1 -1\nv -1 1 -1\nv -1 -1 1\nv 1 -1 1\nv 1 1 1\nv -1 1 1
f 1 2 3 4\nf 5 6 7 8\nf 1 2 6 5\nf 2 3 7 6\nf 3 4 8 7\nf 4 1 5 8\n"""


def ball() -> Actor:
    """Return a ball of 400 points."""
    turn, rise = np.meshgrid(np.linspace(0, 2 * np.pi, 20), np.linspace(0, np.pi, 20))
    points = np.stack([np.sin(rise) * np.cos(turn), np.cos(rise), np.sin(rise) * np.sin(turn)], -1).reshape(
        -1, 3
    )
    corners = [(r * 20 + c, r * 20 + c + 1, r * 20 + c + 20) for r in range(19) for c in range(19)]
    corners += [(r * 20 + c + 1, r * 20 + c + 21, r * 20 + c + 20) for r in range(19) for c in range(19)]
    points = points.astype(np.float32)
    return Actor(((Mesh(points, np.array(corners, np.int32), points.copy()), PAINTED),), False)


def setting(level: float = 1.0) -> Setting:
    """Return a panorama that is bright on one side."""
    panorama = np.full((32, 64, 3), 0.2, np.float32)
    panorama[:, 40:50] = 3.0
    return Setting(panorama, level, 0.3, 0.1)


def frames(here: Setting, there: Setting, seed: int = 1) -> list[dict[str, np.ndarray]]:
    """Return three frames of a moving ball."""
    rng = np.random.default_rng(seed)
    return list(render(Performance(ball(), rng), here, there, 3, SIZE, rng))


def test_the_same_light_leaves_the_clip_as_it_is():
    """With one light for both sides the target equals the real clip bit for bit; the role `synthetic` does not."""
    for frame in frames(setting(), setting()):
        assert np.array_equal(frame["real"], frame["target"])
        assert not np.allclose(frame["synthetic"], frame["target"], rtol=0.05)


def test_target_is_linear_in_the_light_and_the_background_exact():
    """Twice the light of the new set doubles the target everywhere; where nothing is covered it is the background."""
    single, double = frames(setting(), setting()), frames(setting(), setting(2.0))
    for one, two in zip(single, double):
        np.testing.assert_allclose(two["target"], 2 * one["target"], rtol=1e-4, atol=1e-6)
        outside = one["mask"][..., 0] == 0
        assert np.array_equal(one["target"][outside], one["background"][outside])
        assert 0.02 < one["mask"].mean() < 0.5
        assert ((one["mask"] > 0) & (one["mask"] < 1)).any()
    assert not np.array_equal(single[0]["mask"], single[2]["mask"])


@pytest.fixture
def material(tmp_path):
    """Two panoramas to train on and one figure, a cube."""
    (tmp_path / "models" / "makehuman").mkdir(parents=True)
    (tmp_path / "models" / "makehuman" / "female_generic.obj").write_text(CUBE)
    for name in ("female_casualsuit02.obj", "bob01.obj"):
        (tmp_path / "models" / "makehuman" / name).write_text(CUBE)
    (tmp_path / "hdri").mkdir()
    names = [name for name in (f"p{i}.exr" for i in range(40)) if not held_out(tmp_path / name)][:2]
    for index, name in enumerate(names):
        write_exr(tmp_path / "hdri" / name, np.full((16, 32, 3), 0.2 + index, np.float32))
    return tmp_path


def test_stages_read_the_index_as_it_is(material, capsys):
    """The command writes EXRs and an index; both networks draw samples from it; a second run gives the same bytes."""
    words = [
        str(material),
        "--out",
        str(material / "out"),
        "--clips",
        "2",
        "--frames",
        "9",
        "--size",
        "48x64",
    ]
    assert main(words) == 0
    index = read_index(material / "out" / "clips.jsonl")
    clip = index.clips[0]
    truth = read_frames(clip.sources["target"], 0, 9)
    config = TrainConfig("t", "tiny-5b", "harmovid", frames=9, height=48, width=64)
    for conditioning in ("deflicker", "harmovid"):
        sample = IndexSamples(index, replace(config, conditioning=conditioning))(0)
        assert sample.target.shape == (9, 48, 64, 3)
    written = (material / "out" / "00001" / "target" / "00004.exr").read_bytes()
    (material / "out" / "00001").rename(material / "kept")
    assert main(words) == 0
    assert (material / "out" / "00001" / "target" / "00004.exr").read_bytes() == written
    assert np.isfinite(truth).all()
    assert main([str(material / "nowhere"), "--out", str(material / "x")]) == 1
    assert "makehuman" in capsys.readouterr().err
