"""The toy recipe: its scenes have exact truth, its measures do what they say, and it runs from nothing to tables."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from harmovid_training.inference.shot import Settings
from harmovid_training.toy.__main__ import main
from harmovid_training.toy.recipe import HELD_OUT, Scale, toy_shot, toy_truth
from harmovid_training.toy.scenes import Scene, draw_light, nudged
from harmovid_training.toy.tables import measures, through_field, trajectory

MICRO = Scale(
    scenes=2, frames=9, vae_steps=2, deflicker_steps=2, harmovid_steps=2, student_steps=2, batch=2,
    sampling=Settings("ddim", 2, 0, 9, 4), test_scenes=1, test_frames=17, compared_steps=(2, 1),
)  # fmt: skip


def test_a_scene_is_the_same_performance_in_any_light():
    """Masks do not depend on the light, light does change the figure, and the same seed gives the same clip."""
    here, there = (draw_light(np.random.default_rng(seed)) for seed in (1, 2))
    one, mask = Scene(5).render(here, here, 5)
    other, again = Scene(5).render(there, here, 5)
    assert np.array_equal(mask, again)
    assert np.array_equal(one[mask == 0], other[mask == 0])
    assert not np.allclose(one[mask > 0], other[mask > 0], rtol=0.05)
    assert np.array_equal(Scene(5).render(here, here, 5)[0], one)
    assert 0.03 < mask.mean() < 0.4


def test_light_is_linear_in_its_sources():
    """Twice the light gives twice the linear value: the clips are scene-linear."""
    light = draw_light(np.random.default_rng(3))
    double = type(light)(light.direction, light.sun * 2, light.above * 2, light.below * 2)
    np.testing.assert_allclose(
        Scene(1).render(double, double, 2)[0], 2 * Scene(1).render(light, light, 2)[0], rtol=1e-5
    )


def test_stage_one_flickers_and_truth_does_not():
    """The stand-in's foreground is rough over time and near the truth on average; nudging by nothing changes
    nothing."""
    shot, truth = toy_shot(HELD_OUT + 1, 33), toy_truth(HELD_OUT + 1, 33)
    assert measures(shot.synthetic, truth, shot.mask)[3] > 5 * measures(truth, truth, shot.mask)[3]
    inside = shot.mask > 0
    assert abs(np.log2(shot.synthetic[inside] / truth[inside]).mean()) < 0.3
    light = draw_light(np.random.default_rng(0))
    same = nudged(light, np.random.default_rng(0), 0.0)
    np.testing.assert_allclose(same.sun, light.sun, rtol=1e-6)


def test_the_classical_row_calms_exposure_flicker():
    """Mean and deviation that follow their course take most of a per-frame gain away, inside the mask only."""
    shot = toy_shot(HELD_OUT + 2, 33)
    gain = np.exp2(np.random.default_rng(0).normal(0, 0.3, 33)).astype(np.float32)[:, None, None, None]
    bad = np.where(shot.mask[..., None] > 0, shot.real * gain, shot.real)
    calm = trajectory(bad, shot.mask)
    assert measures(calm, shot.real, shot.mask)[3] < 0.4 * measures(bad, shot.real, shot.mask)[3]
    assert np.array_equal(calm[shot.mask == 0], bad[shot.mask == 0])


def test_a_field_carries_the_change_of_light_and_keeps_the_detail():
    """A blurred, brighter result taken through a field is closer to truth than its own pixels."""
    shot = toy_shot(HELD_OUT + 3, 3)
    truth = np.where(shot.mask[..., None] > 0, shot.real * 1.7, shot.real).astype(np.float32)
    soft = (truth + np.roll(truth, 2, 1) + np.roll(truth, 2, 2)) / 3
    carried = through_field(shot.real, soft, shot.mask)
    assert measures(carried, truth, shot.mask)[0] > measures(soft, truth, shot.mask)[0] + 1
    assert np.array_equal(carried[shot.mask == 0], shot.real[shot.mask == 0])


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_recipe_runs_from_nothing_to_tables(tmp_path, capsys):
    """Every part is trained, kept and measured; a second run trains nothing and gives the same tables."""
    threads = torch.get_num_threads()
    try:
        assert main(["--out", str(tmp_path), "--threads", "1"], MICRO) == 0
        first = capsys.readouterr().out
        assert main(["--out", str(tmp_path), "--threads", "1"], MICRO) == 0
    finally:
        torch.set_num_threads(threads)
    assert first.rsplit("\n", 2)[0] == capsys.readouterr().out.rsplit("\n", 2)[0]
    text = (tmp_path / "tables.md").read_text()
    for title in (
        "per-frame LUT",
        "per-frame harmonization",
        "Table 3",
        "Steps",
        "without stage 2",
        "student, 1 step",
    ):
        assert title in text
    assert (tmp_path / "harmovid" / "README.md").is_file()
