"""Checkpoints: everything is restored, nothing is ever unpickled, damaged files are ignored."""

from __future__ import annotations

import numpy as np
import pytest
from harmovid.pixels.field import Curve, GainMap, LightingField
from harmovid_server.engines.base import Answer
from harmovid_server.worker.checkpoint import Checkpoint, load, save

FIELD = LightingField((Curve.gain(1, 0.5, 0.25), GainMap(np.ones((2, 3, 3)), (0, 0, 6, 4))))


def checkpoint(**state) -> Checkpoint:
    """Return a checkpoint with this engine state and one open answer."""
    return Checkpoint(
        "deflicker 1",
        -3,
        (0, 0, 6, 4),
        state,
        [Answer(-4, FIELD, {"why": np.float32(0.5)})],
        {-4: {"nan": 2}},
    )


def test_everything_comes_back(tmp_path) -> None:
    """State of every allowed kind, open answers with their fields, facts and windows survive the file."""
    values = {"n": 7, "x": 0.1, "name": "é", "on": True, "nothing": None, "a": np.arange(6.0).reshape(2, 3)}
    values["empty"], values["i"] = np.zeros((0, 4), np.float16), np.int64(9)
    save(tmp_path / "state.npz", checkpoint(**values))
    found = load(tmp_path / "state.npz", "deflicker 1")
    assert found is not None
    assert (found.position, found.display, found.facts) == (-3, (0, 0, 6, 4), {-4: {"nan": 2}})
    for name, value in values.items():
        assert np.array_equal(found.state[name], value), name
    assert found.state["empty"].dtype == np.float16
    (answer,) = found.answers
    assert (answer.number, answer.report) == (-4, {"why": 0.5})
    assert answer.field.to_bytes() == FIELD.to_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["state.npz"]


def test_an_answers_own_picture_comes_back(tmp_path) -> None:
    """A picture that waits to be finished survives the file, and an answer without one has none."""
    picture = np.random.default_rng(0).random((2, 3, 3), np.float32)
    made = Checkpoint("toy 1", 5, (0, 0, 6, 4), {}, [Answer(4, FIELD, {}, picture), Answer(5, FIELD)])
    save(tmp_path / "state.npz", made)
    found = load(tmp_path / "state.npz", "toy 1")
    assert found is not None
    np.testing.assert_array_equal(found.answers[0].picture, picture)
    assert found.answers[1].picture is None


def test_another_engine_does_not_get_it(tmp_path) -> None:
    """A checkpoint of another engine, or another version of it, is ignored."""
    save(tmp_path / "state.npz", checkpoint())
    assert load(tmp_path / "state.npz", "deflicker 2") is None


def test_none_is_none(tmp_path) -> None:
    """Where there is no file there is no checkpoint."""
    assert load(tmp_path / "state.npz", "deflicker 1") is None


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.99])
def test_a_cut_file_is_not_believed(tmp_path, keep) -> None:
    """A checkpoint cut off anywhere loads as none, without an error."""
    path = tmp_path / "state.npz"
    save(path, checkpoint(a=np.arange(1000.0)))
    data = path.read_bytes()
    path.write_bytes(data[: keep if isinstance(keep, int) else int(len(data) * keep)])
    assert load(path, "deflicker 1") is None


def test_a_flipped_bit_is_not_believed(tmp_path) -> None:
    """A bit flipped within an array is caught by the file's own checksum."""
    path = tmp_path / "state.npz"
    save(path, checkpoint(a=np.full(4096, 0.5)))
    data = bytearray(path.read_bytes())
    data[data.index(np.full(8, 0.5).tobytes()) + 3] ^= 1
    path.write_bytes(bytes(data))
    assert load(path, "deflicker 1") is None


def test_python_objects_are_refused(tmp_path) -> None:
    """A state that would need pickle raises TypeError and leaves no file behind under the final name."""
    with pytest.raises(TypeError, match="bad"):
        save(tmp_path / "state.npz", checkpoint(bad=np.array([{}], dtype=object)))
    with pytest.raises(TypeError, match="bad"):
        save(tmp_path / "state.npz", checkpoint(bad=[1, 2]))
    assert not (tmp_path / "state.npz").exists()


def test_a_failed_save_keeps_the_old_one(tmp_path) -> None:
    """When there is no room for the new checkpoint, the old one is still whole."""
    path = tmp_path / "state.npz"
    save(path, checkpoint(n=1))
    (tmp_path / "state.npz.part").mkdir()
    with pytest.raises(IsADirectoryError):
        save(path, checkpoint(n=2))
    assert load(path, "deflicker 1").state["n"] == 1
