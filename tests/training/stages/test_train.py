"""The training loop: it learns, it resumes exactly, and its checkpoints come back."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Iterator

import numpy as np
import pytest
import torch
from accelerate import FullyShardedDataParallelPlugin
from accelerate.state import AcceleratorState
from harmovid.errors import InputError
from harmovid_training.clips.index import make_clip, read_index, write_index
from harmovid_training.clips.read import Source, save_role
from harmovid_training.inference.shot import Settings, sample
from harmovid_training.models.checkpoint import Card, load_checkpoint, save_checkpoint
from harmovid_training.models.conditioning import HARMOVID
from harmovid_training.models.lora import add_lora
from harmovid_training.models.model import ConditionedModel, diffusion_loss
from harmovid_training.models.sizes import make
from harmovid_training.stages import objectives, stage2
from harmovid_training.stages.batches import CachedBatches, Encoded, LatentBatch, prefetched, step_indices
from harmovid_training.stages.config import CONFIGS, TrainConfig
from harmovid_training.stages.pairs import Sample
from harmovid_training.stages.teacher import TeacherBatches
from harmovid_training.stages.train import check_fsdp, train
from torch.distributed.fsdp import MixedPrecisionPolicy
from training.inference.tiny import save_tiny_weights, tiny_codec, tiny_model

QUICK = TrainConfig(
    "quick", "tiny-5b", "harmovid", iterations=6, batch=2, frames=9, height=16, width=16, learning_rate=1e-3, warmup=2,
    ema=0.9, precision="no", checkpointing=False, save_every=3, validate_every=100, workers=0,
)  # fmt: skip


NEW_RATE = replace(QUICK, new_rate=5e-3)


@pytest.fixture(autouse=True)
def fresh_process() -> Iterator[None]:
    """Let every test choose its precision: Accelerate fixes it for a process at the first run."""
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def latents(indices) -> LatentBatch:
    """Return a batch that is a function of the sample numbers."""
    rows = [torch.Generator().manual_seed(index) for index in indices]
    clean = torch.stack([torch.randn(4, 3, 4, 4, generator=row) for row in rows])
    conditions = torch.cat([clean * 0.5, clean, torch.ones(len(clean), 1, 3, 4, 4)], dim=1)
    return LatentBatch(clean, conditions, conditions[:, :4], tuple(indices))


def quiet(config: TrainConfig, model: ConditionedModel, folder, **more) -> list[float]:
    """Train without a progress bar."""
    return train(
        config, model, latents, more.pop("objective", objectives.diffusion), folder, progress=False, **more
    )


def test_a_resumed_run_has_the_same_losses(tmp_path):
    """Six steps at once, and three steps, a new process's worth of fresh objects, and three more: the same losses and
    the same averaged weights, bit for bit."""
    model = tiny_model("tiny-5b")
    whole = quiet(QUICK, model, tmp_path / "whole")
    first = quiet(replace(QUICK, iterations=3), tiny_model("tiny-5b"), tmp_path / "parts")
    torch.manual_seed(99)
    again = ConditionedModel(make("tiny-5b"), HARMOVID, tiny_model("tiny-5b").text)
    rest = quiet(QUICK, again, tmp_path / "parts")
    assert whole == first + rest
    for one, other in zip(model.parameters(), again.parameters()):
        assert torch.equal(one, other)
    assert quiet(QUICK, again, tmp_path / "parts") == []


def test_another_configuration_does_not_resume(tmp_path):
    """A state trained with another learning rate is refused by name."""
    quiet(replace(QUICK, iterations=1), tiny_model("tiny-5b"), tmp_path)
    with pytest.raises(InputError, match="another learning_rate"):
        quiet(replace(QUICK, learning_rate=1e-4), tiny_model("tiny-5b"), tmp_path)


@pytest.mark.parametrize("name", ["weights.safetensors", "optimizer.safetensors", "state.json"])
def test_a_damaged_state_is_reported(tmp_path, name):
    """A file of the newest state cut in half ends the run with its folder's name; without that folder the run goes on
    from the state before it, with the losses of an undisturbed one."""
    whole = quiet(QUICK, tiny_model("tiny-5b"), tmp_path)
    newest = tmp_path / "state" / "step-000006"
    (newest / name).write_bytes((newest / name).read_bytes()[: (newest / name).stat().st_size // 2])
    with pytest.raises(InputError, match=r"step-000006 cannot be read"):
        quiet(QUICK, tiny_model("tiny-5b"), tmp_path)
    shutil.rmtree(newest)
    assert quiet(QUICK, tiny_model("tiny-5b"), tmp_path) == whole[3:]


def test_version_1_of_fsdp_is_refused():
    """It flattens weights, which are saved and averaged by name; version 2 adds gradients in float32."""
    for version in (1, 2):
        plugin = FullyShardedDataParallelPlugin(fsdp_version=version)
        plugin.mixed_precision_policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16)
        accelerator = SimpleNamespace(state=SimpleNamespace(fsdp_plugin=plugin))
        if version == 1:
            with pytest.raises(InputError, match="FSDP version 1"):
                check_fsdp(accelerator)
        else:
            check_fsdp(accelerator)
            assert plugin.mixed_precision_policy.reduce_dtype == torch.float32


def test_training_learns(tmp_path):
    """Forty steps on a few samples bring the loss down by a fifth and more."""
    losses = quiet(replace(QUICK, iterations=40, save_every=100), tiny_model("tiny-5b"), tmp_path)
    assert np.mean(losses[-8:]) < 0.8 * np.mean(losses[:4])


def test_accumulation_is_one_larger_batch(tmp_path):
    """A batch of four in one pass and in two passes of two gives the same losses."""
    one = quiet(replace(QUICK, batch=4, iterations=2), tiny_model("tiny-5b"), tmp_path / "one")
    two = quiet(replace(QUICK, batch=4, accumulate=2, iterations=2), tiny_model("tiny-5b"), tmp_path / "two")
    np.testing.assert_allclose(one, two, rtol=1e-5)
    with pytest.raises(InputError, match="cannot be shared"):
        quiet(replace(QUICK, accumulate=3), tiny_model("tiny-5b"), tmp_path / "three")


def test_processes_share_a_step_without_overlap():
    """Four processes with two passes each take every sample of a step once, and the next step goes on after it."""
    taken = [index for rank in range(4) for part in step_indices(5, 16, 2, rank, 4) for index in part]
    assert sorted(taken) == list(range(80, 96))


def test_the_loop_uses_the_papers_loss():
    """The loop's objective is `diffusion_loss` with noise and time drawn from the seed and the sample's number."""
    model, batch = tiny_model("tiny-5b"), latents([7])
    with torch.no_grad():
        loss = objectives.diffusion(model, model.schedule, batch, seed=2)
        generator = torch.Generator().manual_seed(2 * 1_000_003 + 7)
        times = model.schedule.sample_times(1, generator)
        noise = torch.randn(batch.clean.shape[1:], generator=generator)[None]
        assert loss == diffusion_loss(model, batch.clean, batch.conditions, noise, times)


def test_bfloat16_with_checkpointing_runs(tmp_path):
    """Mixed precision and recomputed blocks give finite losses near the plain ones."""
    plain = quiet(replace(QUICK, iterations=2), tiny_model("tiny-5b"), tmp_path / "plain")
    AcceleratorState._reset_state(reset_partial_state=True)
    spare = quiet(
        replace(QUICK, iterations=2, precision="bf16", checkpointing=True),
        tiny_model("tiny-5b"),
        tmp_path / "b",
    )
    np.testing.assert_allclose(plain, spare, rtol=0.05)


@pytest.mark.parametrize("size", ["tiny-5b", "tiny-wan"])
def test_lora_trains_adapters_and_the_patch_embedding_only(tmp_path, size):
    """Pretrained attention stays as it was; adapters and the widened embedding move; at step 0 nothing is changed."""
    model = tiny_model(size)
    given = latents([1])
    with torch.no_grad():
        before = model(given.clean, given.conditions, torch.tensor([500]))
        add_lora(model, 2)
        assert torch.equal(model(given.clean, given.conditions, torch.tensor([500])), before)
    frozen = {name: weight.clone() for name, weight in model.named_parameters() if not weight.requires_grad}
    quiet(replace(QUICK, size=size, lora_rank=2, iterations=3), model, tmp_path)
    now = dict(model.named_parameters())
    assert all(torch.equal(now[name], value) for name, value in frozen.items())
    moved = [name for name, weight in now.items() if weight.requires_grad]
    assert all("lora_" in name or "patch_embed" in name for name in moved)
    with torch.no_grad():
        assert not torch.equal(model.eval()(given.clean, given.conditions, torch.tensor([500])), before)


@pytest.mark.parametrize("size", ["tiny-2b", "tiny-1.5", "tiny-wan"])
def test_checkpoints_come_back(tmp_path, size):
    """A checkpoint folder rebuilds the same function from its own files, and its card names the colour contract."""
    model = tiny_model(size)
    card = Card(asdict(QUICK), data=("made here, CC0",), data_hash="abc", metrics={"held-out loss": 0.25})
    save_checkpoint(tmp_path, model, card)
    loaded = load_checkpoint(tmp_path)
    given = latents([1])
    wide = (
        torch.cat([given.clean, given.clean[:, :, :1]], 2),
        torch.cat([given.conditions, given.conditions[:, :, :1]], 2),
    )
    with torch.no_grad():
        assert torch.equal(loaded(*wide, torch.tensor([300])), model(*wide, torch.tensor([300])))
    text = (tmp_path / "README.md").read_text()
    assert "ACEScct" in text
    assert "held-out loss: 0.2500" in text
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "format": 9}))
    with pytest.raises(InputError, match="layout 9"):
        load_checkpoint(tmp_path)
    with pytest.raises(InputError, match="no checkpoint"):
        load_checkpoint(tmp_path / "nowhere")


def test_a_student_learns_in_one_step(tmp_path):
    """The latent stage brings the one-step result of the sampling door closer to the target, the pixel stage
    goes on."""
    config = replace(QUICK, objective="latent", iterations=40, save_every=100, ema=0.0, learning_rate=3e-3)
    model, few = tiny_model("tiny-5b"), latents(range(2))
    before = sample(model.eval(), few.conditions[:1], Settings("one-step", 1, window_frames=9))
    train(config, model, lambda indices: latents([index % 2 for index in indices]), objectives.latent_regression,
          tmp_path / "latent", progress=False)  # fmt: skip
    after = sample(model, few.conditions[:1], Settings("one-step", 1, window_frames=9))
    assert (after - few.clean[:1]).square().mean() < 0.5 * (before - few.clean[:1]).square().mean()
    codec = tiny_codec()
    losses = quiet(
        replace(config, objective="pixel", iterations=2), model, tmp_path / "pixel",
        objective=objectives.pixel_regression(codec),
    )  # fmt: skip
    assert np.isfinite(losses).all()


def test_a_teachers_samples_become_the_targets():
    """With a teacher, clean latents are what it samples from the same conditions, each with its own number's noise."""
    teacher, settings = tiny_model("tiny-5b"), Settings("ddim", 2, window_frames=9)
    batch = TeacherBatches(latents, teacher, settings)([3, 8])
    assert torch.equal(batch.conditions, latents([3, 8]).conditions)
    assert torch.equal(batch.composite, latents([3, 8]).composite)
    expected = sample(teacher, latents([8]).conditions, replace(settings, seed=8))
    torch.testing.assert_close(batch.clean[1:], expected, rtol=1e-5, atol=1e-5)
    assert not torch.equal(batch.clean, latents([3, 8]).clean)


def samples(index: int) -> Sample:
    """Return a small sample that depends on its number only."""
    rng = np.random.default_rng(index)
    clip = rng.uniform(-1, 1, (9, 16, 16, 3)).astype(np.float32)
    return Sample(
        {"composite": clip, "background": clip[::-1].copy()}, np.ones((9, 16, 16), np.float32), -clip, 0.18
    )


def test_encoded_batches_hold_what_the_equations_say():
    """Clean latents are the target's, conditions are composite, background and coverage, prefetched or not."""
    model, codec = tiny_model("tiny-5b"), tiny_codec()
    encoded = Encoded(samples, codec, HARMOVID, model.geometry)
    batch = encoded([3, 4])
    target = torch.from_numpy(samples(4).target).permute(3, 0, 1, 2)[None]
    latent = torch.cat(list(codec.encode([target])), dim=2)
    torch.testing.assert_close(batch.clean[1:], latent, rtol=1e-5, atol=1e-5)
    assert torch.equal(batch.composite, batch.conditions[:, :4])
    assert float(batch.conditions[:, -1].min()) == 1.0
    ahead = list(prefetched(encoded, [(3, 4), (5, 6)], workers=0))
    assert torch.equal(ahead[0].conditions, batch.conditions)
    kept = CachedBatches(encoded, 5)
    torch.testing.assert_close(kept([8, 4]).clean, batch.clean, rtol=1e-5, atol=1e-5)


def test_a_network_that_takes_latents_in_pairs_trains(tmp_path):
    """CogVideoX 1.5 at a legal length: 9 frames are 3 latents, padded in front to 4 by the first one, as in diffusers;
    the loop trains on them, and 81 frames of the real size stand for 85."""
    model = tiny_model("tiny-1.5")
    encoded = Encoded(samples, tiny_codec(), HARMOVID, model.geometry)
    batch = encoded([0])
    plain = Encoded(samples, tiny_codec(), HARMOVID, tiny_model("tiny-5b").geometry)([0])
    assert batch.padding == 1
    assert torch.equal(batch.clean[:, :, 1:], plain.clean)
    assert torch.equal(batch.clean[:, :, 0], plain.clean[:, :, 0])
    assert torch.equal(batch.conditions[:, :, 1:], plain.conditions)
    config = replace(QUICK, size="tiny-1.5", iterations=1, batch=1)
    assert np.isfinite(train(config, model, encoded, objectives.diffusion, tmp_path, progress=False)).all()
    geometry = make("cogvideox-1.5-5b", device="meta").geometry
    latents_of_81 = geometry.latents(81)
    assert geometry.temporal * (latents_of_81 + geometry.front_padding(latents_of_81)) - 3 == 85


def test_the_papers_setting_is_named():
    """1,200 iterations of 8 clips on 8 GPUs, windows next to the paper's 85 frames; every setting names a real size."""
    paper = CONFIGS["paper-harmovid"]
    assert (paper.iterations, paper.gpus, paper.frames, paper.conditioning) == (1200, 8, 81, "harmovid")
    assert paper.ema > 0
    assert paper.new_rate > paper.learning_rate
    assert CONFIGS["paper-1.5-harmovid"].size == "cogvideox-1.5-5b"
    for config in CONFIGS.values():
        assert make(config.size, device="meta").geometry.legal_frames(config.frames) == config.frames
        assert config.batch % (config.accumulate * config.gpus) == 0


def stage_one_clips(folder: Path) -> Path:
    """Write an index of three clips with stage 1's roles, and public weights beside it; return the index."""
    rng = np.random.default_rng(0)
    clips = []
    for name in ("a", "b", "c"):
        sources = {}
        for role in ("real", "background", "synthetic", "plate", "mask"):
            frames = rng.uniform(0.1, 1, (9, 16, 16, 1 if role == "mask" else 3)).astype(np.float32)
            place = save_role(folder / name / role, lambda frames=frames: frames)
            sources[role] = Source(place, matte=role == "mask")
        clips.append(make_clip(name, sources))
    write_index(folder / "clips.jsonl", clips)
    save_tiny_weights(folder / "weights")
    return folder / "clips.jsonl"


STAGE2 = [
    "size=tiny-5b", "iterations=2", "batch=2", "frames=9", "height=16", "width=16", "precision=no", "workers=0",
    "save_every=1",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore:Mismatch dtype")  # torch's norms of bfloat16 on a CPU
def test_two_processes_train_like_one(tmp_path):
    """The same batch shared by two processes gives the same losses, whether each has the whole model or the weights are
    spread over both (FSDP 2), the new channels at their own rate, validated and resumed in the middle, by one process
    at last; in bfloat16 the losses are near those of one process. Stage 2 trains, rewrites and resumes in two
    processes, and its weights are those of one process."""
    script = Path(__file__).with_name("two_processes.py")
    index = stage_one_clips(tmp_path / "footage")
    for size in ("tiny-5b", "tiny-wan"):
        save_checkpoint(tmp_path / size, tiny_model(size), Card({}))
    words = ["--index", str(index), "--weights", str(index.parent / "weights"), "--rewrite-steps", "2"]
    words += [word for one in STAGE2 for word in ("--set", one)]
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path), *words, "--out", str(tmp_path / "stage2")],
        capture_output=True, text=True, check=False,
        env={**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    assert "processes 2" in done.stdout
    told = {
        line.split()[0]: [float(word) for word in line.split()[1:]]
        for line in done.stdout.splitlines()
        if line
    }
    one = quiet(replace(NEW_RATE, iterations=8), tiny_model("tiny-5b"), tmp_path / "one")
    np.testing.assert_allclose(told["losses"], one[:6], rtol=1e-4)
    np.testing.assert_allclose(told["spread"], one[:6], rtol=1e-4)
    for run in ("whole", "spread"):
        states = sorted(path.name for path in (tmp_path / run / "state").iterdir())
        assert states == ["step-000003", "step-000006"]
    rest = quiet(replace(NEW_RATE, iterations=8), load_checkpoint(tmp_path / "tiny-5b"), tmp_path / "spread")
    np.testing.assert_allclose(rest, one[6:], rtol=1e-4)
    AcceleratorState._reset_state(reset_partial_state=True)
    brief = replace(NEW_RATE, size="tiny-wan", precision="bf16", checkpointing=True, iterations=2)
    np.testing.assert_allclose(told["brief"], quiet(brief, tiny_model("tiny-wan"), tmp_path / "b"), rtol=0.03)
    AcceleratorState._reset_state(reset_partial_state=True)
    assert told["stage2"] == [0]
    assert stage2.main([*words, "--out", str(tmp_path / "alone")]) == 0
    both, alone = (load_checkpoint(tmp_path / run) for run in ("stage2", "alone"))
    for ours, theirs in zip(both.parameters(), alone.parameters()):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-6)
    assert [clip.id for clip in read_index(tmp_path / "stage2" / "clips.jsonl").clips] == ["a", "b", "c"]


def test_the_learning_rate_is_a_function_of_the_step():
    """It rises to the set rate, stays there, or falls to nothing at the last step along half a cosine."""
    rising = replace(QUICK, warmup=4, iterations=104)
    assert [rising.rate(step) for step in (0, 3, 50, 103)] == pytest.approx([2.5e-4, 1e-3, 1e-3, 1e-3])
    falling = replace(rising, decay=True)
    assert [falling.rate(step) for step in (0, 3, 54, 104)] == pytest.approx([2.5e-4, 1e-3, 5e-4, 0])


def test_a_decaying_run_does_not_resume_with_another_length(tmp_path):
    """Its learning rates depend on its length, so the losses would be others; a constant one may be made longer."""
    config = replace(QUICK, iterations=1, decay=True)
    quiet(config, tiny_model("tiny-5b"), tmp_path)
    with pytest.raises(InputError, match="another iterations"):
        quiet(replace(config, iterations=2), tiny_model("tiny-5b"), tmp_path)
