"""The toy recipe: its scenes have exact truth, its measures do what they say, and it runs from nothing to tables."""

from __future__ import annotations

from dataclasses import asdict, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import torch
from harmovid.errors import InputError
from harmovid_training.clips.index import make_clip, write_index
from harmovid_training.clips.read import Source, write_exr
from harmovid_training.metrics.quality import Judge, psnr
from harmovid_training.metrics.traces import roughness_stops
from harmovid_training.stages import pairs
from harmovid_training.stages.pairs import Shot
from harmovid_training.toy import recipe
from harmovid_training.toy.__main__ import main
from harmovid_training.toy.classical import Measures, trajectory
from harmovid_training.toy.codec import CHANNELS, fit_codec, load_codec, save_codec
from harmovid_training.toy.confidence import (
    STRENGTHS,
    Known,
    applied,
    carried,
    fitted,
    known,
    size_of,
    slow_change,
)
from harmovid_training.toy.intervals import interval
from harmovid_training.toy.recipe import Scale, Toy
from harmovid_training.toy.scenes import Scene, draw_light
from harmovid_training.toy.shots import (
    CALIBRATION,
    HELD_OUT,
    STAGE_ONE,
    graded,
    looked,
    matched_statistics,
    toy_shot,
    toy_truth,
)
from harmovid_training.toy.stage_one import frame_sample

MICRO = Scale(
    scenes=2, frames=9, stage_one_scenes=2, stage_one_steps=2, stage_one_batch=2, deflicker_steps=2,
    deflicker_student_steps=2, harmovid_steps=2, student_steps=2, batch=2, steps=1, test_scenes=1, test_frames=9,
    calibration_scenes=1, compared_steps=(1,),
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


def test_stage_one_is_told_nothing(tmp_path):
    """Stage 1 is a network that sees one frame: its clip depends on frame and noise only, each frame's noise is its own
    and comes back, outside the mask stands the new background, and its training scenes are no others'."""
    toy = Toy(tmp_path, MICRO)
    network, shot = toy.stage_one(), toy_shot(HELD_OUT, 5)
    made = network(shot, 7)
    assert np.array_equal(made, network(shot, 7))
    assert not np.allclose(made, network(shot, 8))
    still = Shot(*(np.repeat(each[:1], 5, axis=0) for each in (
        shot.real, shot.mask, shot.background, shot.synthetic, shot.plate, shot.alpha)))  # fmt: skip
    twice = network(still, 7)
    assert not np.allclose(twice[0], twice[1])
    assert np.array_equal(made[shot.mask == 0], shot.background[shot.mask == 0])
    assert MICRO.scenes < CALIBRATION < HELD_OUT < STAGE_ONE
    assert np.array_equal(frame_sample(1).target, frame_sample(1).target)


def test_looks_are_mild_or_strong():
    """A mild look is under half a stop, a strong one about a stop and more; both on the foreground only, for all frames
    the same."""
    for seed in range(3):
        shot = toy_shot(HELD_OUT + seed, 3)
        mild, strong = (looked(shot, seed, one) for one in (False, True))
        inside = shot.mask > 0
        away = [np.log2(each[inside] / shot.real[inside]) for each in (mild, strong)]
        assert np.abs(away[0]).mean() < 0.8 < np.abs(away[1]).mean() < 3
        assert np.array_equal(strong[~inside], shot.real[~inside])
        again = looked(replace(shot, real=shot.real[[0, 0, 0]], mask=shot.mask[[0, 0, 0]]), seed, True)
        assert np.array_equal(again[0], again[2])


def test_every_second_shot_of_the_deflicker_network_is_graded(tmp_path):
    """A graded shot flickers about the real clip, inside the mask only; even samples have stage 1's
    clip, odd ones that."""
    shot = toy_shot(1, 9)
    made = graded(shot, 1)
    outside = shot.mask == 0
    assert np.array_equal(made.synthetic[outside], shot.real[outside])
    assert roughness_stops(made.synthetic, shot.mask) > 0.1
    toy = Toy(tmp_path, MICRO)
    toy.flickering()
    shot, made = toy.shot(1), graded(toy.shot(1), 1)
    odd, even = toy._stage_two_sample(1), toy._stage_two_sample(0)
    assert np.array_equal(odd.pictures["composite"], pairs.deflicker_sample(made).pictures["composite"])
    assert np.array_equal(
        even.pictures["composite"], pairs.deflicker_sample(toy.shot(0)).pictures["composite"]
    )


def test_the_classical_row_calms_exposure_flicker():
    """The classical deflicker removes most of a per-frame gain, inside the mask only."""
    shot = toy_shot(HELD_OUT + 2, 33)
    gain = np.exp2(np.random.default_rng(0).normal(0, 0.3, 33)).astype(np.float32)[:, None, None, None]
    bad = np.where(shot.mask[..., None] > 0, shot.real * gain, shot.real)
    calm = trajectory(bad, shot.mask)
    assert roughness_stops(calm, shot.mask) < 0.4 * roughness_stops(bad, shot.mask)
    assert np.array_equal(calm[shot.mask == 0], bad[shot.mask == 0])


def test_a_field_carries_the_change_of_light_and_keeps_the_detail():
    """A blurred, brighter result taken through a field is closer to truth than its own pixels."""
    shot, truth, soft = brighter()
    made = carried(shot.real, soft, shot.mask)
    measure = Measures(truth, shot.mask)
    assert measure(made)[0] > measure(soft)[0] + 1
    assert np.array_equal(made[shot.mask == 0], shot.real[shot.mask == 0])


def test_a_slow_change_loses_nothing():
    """The slow change to a blurred, brighter result that flickers is steady, has its size, and after one colour
    transform the answer is as close to any truth as its input."""
    shot, _truth, soft = brighter()
    soft = soft * np.array((0.9, 1.0, 1.1), np.float32)[:, None, None, None]
    slow = slow_change(shot.real, soft, shot.mask)
    assert size_of(slow, shot.mask) == pytest.approx(np.log2(1.7), abs=0.3)
    made = applied(shot.real, slow, fitted([Known(1.0, STRENGTHS)]), shot.mask)
    assert np.array_equal(made[shot.mask == 0], shot.real[shot.mask == 0])
    assert roughness_stops(made, shot.mask) < 1.2 * roughness_stops(shot.real, shot.mask) + 1e-3
    judge = Judge(shot.synthetic, shot.mask)
    assert judge.psnr_g(made) == pytest.approx(judge.psnr_g(shot.real), abs=0.01)


def brighter() -> tuple[Shot, np.ndarray, np.ndarray]:
    """Return a shot, the same with a brighter figure, and that blurred."""
    shot = toy_shot(HELD_OUT + 3, 3)
    truth = np.where(shot.mask[..., None] > 0, shot.real * 1.7, shot.real).astype(np.float32)
    other = replace(shot, synthetic=toy_truth(HELD_OUT + 3, 3))
    return other, truth, (truth + np.roll(truth, 2, 1) + np.roll(truth, 2, 2)) / 3


def test_confidence_leaves_small_wrong_changes_and_takes_large_right_ones():
    """Fitted on clips where small changes are wrong and large ones right, it applies nothing of the first and most
    of the second kind; harm to mild looks is refused even where it would pay."""
    shot, clips = toy_shot(HELD_OUT + 3, 5), []
    for stops, right in ((0.25, 0.0), (1.5, 1.5), (-0.3, 0.0), (-1.4, -1.4)):
        slow = np.where(shot.mask[..., None] > 0, np.float32(stops), 0).repeat(3, -1)
        truth = np.where(shot.mask[..., None] > 0, shot.real * 2.0**right, shot.real).astype(np.float32)
        clips.append(known(shot.real, slow, shot.mask, truth))
    found = fitted(clips)
    assert found.strength(0.25) < 0.1
    assert found.strength(1.45) > 0.9
    paying = [Known(0.5, 4 * STRENGTHS), Known(0.5, -2 * STRENGTHS, mild=True)]
    assert fitted(paying).strength(0.5) < 0.15
    assert fitted([replace(clip, mild=False) for clip in paying]).strength(0.5) == 1.2


def test_intervals_are_paired_and_come_back():
    """A difference that is the same on every clip has no width, a scattered one holds its mean; the same each time."""
    assert interval([0.5] * 24) == (0.5, 0.5, 0.5)
    values = np.random.default_rng(0).normal(1, 1, 24)
    mean, low, high = interval(values)
    assert low < mean < high
    assert (high - low) == pytest.approx(4 * values.std() / np.sqrt(24), rel=0.25)
    assert interval(values) == (mean, low, high)


def test_the_vae_keeps_what_training_clips_hold(tmp_path):
    """Held-out clips come back at 28 dB and more, in any blocks alike; the first frame has a latent of its own."""
    clips = [pairs.deflicker_sample(toy_shot(seed, 9)).target for seed in range(8)]
    codec = fit_codec(torch.from_numpy(np.stack(clips)).permute(0, 4, 1, 2, 3))
    save_codec(tmp_path, codec)
    loaded = load_codec(tmp_path)
    shot = toy_shot(HELD_OUT, 17)
    sample = pairs.deflicker_sample(shot)
    video = torch.from_numpy(sample.target).permute(3, 0, 1, 2)[None]
    latents = torch.cat(list(codec.encode([video[:, :, :4], video[:, :, 4:]])), dim=2)
    assert latents.shape == (1, CHANNELS, 5, 12, 16)
    assert torch.equal(latents, torch.cat(list(loaded.encode([video])), dim=2))
    assert 0.5 < float(latents.std()) < 2
    made = torch.cat(list(loaded.decode([latents[:, :, :2], latents[:, :, 2:]])), dim=2)
    linear = sample.light(np.ascontiguousarray(made[0].permute(1, 2, 3, 0).numpy()))
    assert psnr(linear, shot.real, shot.mask) > 28
    with pytest.raises(InputError, match="no toy VAE"):
        load_codec(tmp_path / "nowhere")


def test_statistics_of_the_background_are_taken_over():
    """The classical harmonizer gives the foreground the background's mean and deviation of log2 light."""
    shot = toy_shot(3, 2)
    made = matched_statistics(shot.real, shot.background, shot.mask)
    inside = np.log2(made[1][shot.mask[1] > 0])
    np.testing.assert_allclose(inside.mean(0), np.log2(shot.background[1]).mean((0, 1)), atol=1e-3)
    np.testing.assert_allclose(inside.std(0), np.log2(shot.background[1]).std((0, 1)), rtol=1e-3)
    assert np.array_equal(made[shot.mask == 0], shot.real[shot.mask == 0])


def real_clips(folder: Path) -> Path:
    """Write a clip with its mask as a user has it, and its index; return it."""
    clips = []
    for number in range(1):
        shot = toy_shot(HELD_OUT + 50 + number, 17)
        for role, frames in (("real", shot.real), ("mask", shot.mask[..., None])):
            (folder / str(number) / role).mkdir(parents=True)
            for index, frame in enumerate(frames):
                write_exr(folder / str(number) / role / f"{index:03d}.exr", frame)
        sources = {
            role: Source(folder / str(number) / role, matte=role == "mask") for role in ("real", "mask")
        }
        clips.append(make_clip(str(number), sources, "CC0"))
    write_index(folder / "clips.jsonl", clips)
    return folder / "clips.jsonl"


@pytest.fixture
def quick_processes(monkeypatch):
    """Fork the recipe's processes from one that has imported torch, instead of importing it in each."""
    ready = get_context("forkserver")
    ready.set_forkserver_preload(["harmovid_training.toy.recipe"])
    monkeypatch.setattr(recipe, "get_context", lambda _: ready)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_recipe_runs_from_nothing_to_tables(tmp_path, capsys, quick_processes):
    """Every part is trained on rendered and real clips, kept and measured; a second run trains nothing and gives the
    same tables."""
    index = real_clips(tmp_path / "clips")
    words = ["--out", str(tmp_path), "--clips", str(index), "--test-clips", str(index)]
    assert main(words, MICRO) == 0
    first = capsys.readouterr().out
    kept = (tmp_path / "harmovid" / "model.safetensors").stat().st_mtime_ns
    assert main(words, MICRO) == 0
    assert (tmp_path / "harmovid" / "model.safetensors").stat().st_mtime_ns == kept
    assert first.rsplit("\n", 2)[0] == capsys.readouterr().out.rsplit("\n", 2)[0]
    text = (tmp_path / "tables.md").read_text()
    for title in (
        "Table 2 in small: per-frame LUT", "Table 2 in small: per-frame harmonization", "Table 3", "Steps",
        "Real clips: per-frame LUT", "Real clips: one LUT", "without stage 2", "student, 1 step",
        "One look that is mild",
    ):  # fmt: skip
        assert title in text
    assert "1 clips: CC0" in (tmp_path / "harmovid" / "README.md").read_text()
    assert main(["--clips", str(tmp_path / "none.jsonl")], MICRO) == 1


def test_a_longer_run_takes_more_scenes_and_steps_and_nothing_else():
    """Scenes and steps are multiplied; batches and sampling stay; less than once is refused."""
    plain, longer = Scale(), Scale().longer(4)
    changed = {name for name, value in asdict(plain).items() if asdict(longer)[name] != value}
    assert changed == {
        "scenes", "stage_one_scenes", "stage_one_steps", "deflicker_steps", "deflicker_student_steps", "harmovid_steps",
        "student_steps",
    }  # fmt: skip
    assert longer.student_steps == 4 * plain.student_steps
    with pytest.raises(SystemExit):
        main(["--times", "0"], MICRO)
