"""Data to table, stage by stage, on rendered clips. Every part is kept in its folder and skipped when it is there.

    vae/              the tiny VAE
    deflicker/        stage 2's network
    deflicker-student/ the same in one step, straight from pairs
    steady/           stage 1's clips after stage 2, as stage 3 sees them
    harmovid/         stage 3: both paths, on steady clips
    no-stage-2/       stage 3 on stage 1's flickering clips: the paper's ablation
    student/          one-step student of stage 3

Stage 1 is a **stand-in**: the renderer's truth under the new light with an error of its own in every frame
(direction, level and colour of the light), which is what the paper says of a per-frame harmonizer:
expressive, and flickering. A real one plugs in through `stages.stage_one`. So a row that uses stage 1 at test
time is given more than any method could know.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from harmovid.pixels.model_space import from_model
from safetensors.torch import load_file
from tqdm import tqdm

from harmovid_training.files import save_tensors
from harmovid_training.inference.shot import Settings, run_clip
from harmovid_training.masks.alpha import pseudo_alpha
from harmovid_training.models.checkpoint import Card, load_checkpoint, save_checkpoint
from harmovid_training.models.codec import CogVideoXCodec
from harmovid_training.models.conditioning import CONDITIONINGS
from harmovid_training.models.model import ConditionedModel
from harmovid_training.models.space import from_vae
from harmovid_training.stages import objectives, paths
from harmovid_training.stages.batches import Encoded, Kept, Samples
from harmovid_training.stages.config import TrainConfig
from harmovid_training.stages.paths import Float32, Sample, Shot
from harmovid_training.stages.train import train
from harmovid_training.toy.networks import codec_in, make_model, train_vae
from harmovid_training.toy.scenes import HEIGHT, WIDTH, Scene, draw_light, nudged

FLICKER = 1.0
"""How far the stand-in of stage 1 is off in every frame; 1 is about a third of a stop and twenty degrees."""

ALPHA_PX = 3.0
"""Decay of the pseudo alpha at this size."""

HELD_OUT = 100_000
"""Scenes from this number on are for testing only."""

SAMPLING = Settings("ddim", 8, seed=0, window_frames=17, overlap_frames=8)

VAE_CROP = 32
"""Side of the squares that the VAE is trained on, in pixels."""

DATA = ("rendered by harmovid_training.toy.scenes, no footage, no licence needed",)


@dataclass(frozen=True)
class Scale:
    """How much of everything.

    Attributes:
        scenes: to train on.
        frames: of a training clip, after the chunk rule.
        vae_steps, deflicker_steps, harmovid_steps, student_steps: of the trainings.
        batch: clips per step; the VAE takes two.
        sampling: how results are sampled, in windows as long as a training clip.
        test_scenes, test_frames: held-out clips and their length.
        compared_steps: of the sampler, in the table of steps.
        seed: of everything.
    """

    scenes: int = 64
    frames: int = 17
    vae_steps: int = 1200
    deflicker_steps: int = 900
    harmovid_steps: int = 1000
    student_steps: int = 500
    batch: int = 4
    sampling: Settings = SAMPLING
    test_scenes: int = 6
    test_frames: int = 33
    compared_steps: tuple[int, ...] = (50, 8, 4, 1)
    seed: int = 0


@lru_cache(maxsize=256)
def toy_shot(seed: int, frames: int) -> Shot:
    """Return a rendered shot with all that the stages need but `steady`; see the module for stage 1."""
    scene, rng = Scene(seed), np.random.default_rng([seed, 5])
    here, there = draw_light(rng), draw_light(rng)
    real, mask = scene.render(here, here, frames)
    guesses = [nudged(there, rng, FLICKER) for _ in range(frames)]
    synthetic, _ = scene.render(guesses, there, frames)
    return Shot(
        real=real,
        mask=mask,
        background=scene.plate(there, frames),
        synthetic=synthetic,
        plate=scene.plate(here, frames),
        alpha=pseudo_alpha(mask, ALPHA_PX),
    )


def toy_truth(seed: int, frames: int) -> Float32:
    """Return what a perfect harmonization of the shot is: the figure in the new set's light."""
    scene, rng = Scene(seed), np.random.default_rng([seed, 5])
    draw_light(rng)
    there = draw_light(rng)
    return scene.render(there, there, frames)[0]


class Toy:
    """The recipe in one folder; each method makes one part unless it is there."""

    def __init__(self, folder: Path, scale: Scale) -> None:
        self.folder = folder
        self.scale = scale

    def vae(self) -> CogVideoXCodec:
        """Return the VAE, trained on real and synthetic clips and their parts alike."""
        folder = self.folder / "vae"
        if not (folder / "config.json").is_file():
            torch.manual_seed(self.scale.seed)
            train_vae(self._vae_clips, self.scale.vae_steps).save_pretrained(folder)
        return codec_in(folder)

    def deflicker(self) -> ConditionedModel:
        """Stage 2: return the deflicker network, trained on eq. 4's composites."""
        return self._network("deflicker", "deflicker", self.scale.deflicker_steps, self._stage_two_sample, 1)

    def deflicker_student(self) -> ConditionedModel:
        """Return a one-step deflicker network, taught straight from eq. 4's pairs."""
        steps = self.scale.deflicker_steps
        return self._network(
            "deflicker-student", "deflicker", steps, self._stage_two_sample, 1, objective="latent"
        )

    def steady(self) -> list[Float32]:
        """Stage 2: return stage 1's clips after the deflicker network, linear; outside the mask the known
        background."""
        path = self.folder / "steady" / "clips.safetensors"
        if not path.is_file():
            model, codec = self.deflicker(), self.vae()
            made = {}
            for seed in tqdm(range(self.scale.scenes), desc="steady"):
                shot = toy_shot(seed, self.scale.frames)
                clip = run_sample(model, codec, paths.stage_one_sample(shot), self.scale.sampling)
                made[f"{seed:06d}"] = torch.from_numpy(paths.composite(clip, shot.background, shot.mask))
            save_tensors(path, made)
        return [clip.numpy() for _, clip in sorted(load_file(path).items())]

    def harmovid(self) -> ConditionedModel:
        """Stage 3: return HarmoVid, trained on both paths with steady clips."""
        clips = self.steady()
        return self._stage_three("harmovid", clips)

    def no_stage_two(self) -> ConditionedModel:
        """The ablation: return stage 3 trained on stage 1's flickering clips."""
        clips = [toy_shot(seed, self.scale.frames).synthetic for seed in range(self.scale.scenes)]
        return self._stage_three("no-stage-2", clips)

    def student(self) -> ConditionedModel:
        """Return the one-step student: stage 3's network taught by the pairs to do it in one step."""
        clips = self.steady()
        return self._network(
            "student", "harmovid", self.scale.student_steps, lambda index: self._stage_three_sample(index, clips), 2,
            start=self.harmovid(), objective="latent",
        )  # fmt: skip

    def _stage_three(self, name: str, clips: list[Float32]) -> ConditionedModel:
        return self._network(
            name,
            "harmovid",
            self.scale.harmovid_steps,
            lambda index: self._stage_three_sample(index, clips),
            2,
        )

    def _network(
        self, name: str, conditioning: str, steps: int, samples: Samples, variants: int,
        start: ConditionedModel | None = None, objective: str = "diffusion",
    ) -> ConditionedModel:  # fmt: skip
        folder = self.folder / name
        if (folder / "config.json").is_file():
            return load_checkpoint(folder)
        config = TrainConfig(
            name=name, size="toy", conditioning=conditioning, objective=objective, iterations=steps,
            batch=self.scale.batch, frames=self.scale.frames, height=HEIGHT, width=WIDTH,
            learning_rate=1e-3 if start is None else 3e-4, warmup=max(steps // 20, 1), weight_decay=0.0, ema=0.98,
            precision="no", checkpointing=False, save_every=100, workers=0, gpus=1, seed=self.scale.seed,
        )  # fmt: skip
        model = start or make_model(
            CONDITIONINGS[conditioning], HEIGHT, WIDTH, self.scale.frames, self.scale.seed
        )
        encoded = Encoded(samples, self.vae(), model.conditioning, model.geometry)
        kept = Kept(
            encoded, variants * self.scale.scenes, lambda numbers: tqdm(numbers, desc=f"{name}: encoding")
        )
        loss = objectives.diffusion if objective == "diffusion" else objectives.latent_regression
        losses = train(config, model, kept, loss, folder)
        tail = float(np.mean(losses[-20:])) if losses else float("nan")
        card = Card(
            asdict(config), DATA, f"scenes 0 to {self.scale.scenes - 1}", {"training loss, last 20": tail}
        )
        save_checkpoint(folder, model, card)
        return model.eval()

    def _stage_two_sample(self, index: int) -> Sample:
        return paths.deflicker_sample(toy_shot(index, self.scale.frames))

    def _stage_three_sample(self, index: int, clips: list[Float32]) -> Sample:
        seed, path = index % self.scale.scenes, index // self.scale.scenes
        shot = replace(toy_shot(seed, self.scale.frames), steady=clips[seed])
        return paths.real_to_synthetic(shot) if path == 0 else paths.synthetic_to_real(shot)

    def _vae_clips(self, step: int) -> torch.Tensor:
        rng = np.random.default_rng([self.scale.seed, step])
        made = []
        for _ in range(2):
            shot = toy_shot(int(rng.integers(self.scale.scenes)), self.scale.frames)
            chosen = (paths.deflicker_sample(shot), paths.stage_one_sample(shot))[rng.integers(2)]
            clip = (chosen.target, chosen.pictures["composite"])[rng.integers(2)]
            start = int(rng.integers(self.scale.frames - 8))
            top, left = int(rng.integers(HEIGHT - VAE_CROP + 1)), int(rng.integers(WIDTH - VAE_CROP + 1))
            made.append(clip[start : start + 9, top : top + VAE_CROP, left : left + VAE_CROP])
        return torch.from_numpy(np.stack(made)).permute(0, 4, 1, 2, 3).contiguous()


def run_sample(model: ConditionedModel, codec: CogVideoXCodec, sample: Sample, settings: Settings) -> Float32:
    """Return a network's result as scene-linear light, `(T, H, W, 3)`."""
    made = run_clip(model, codec, sample.pictures, sample.mask, settings)
    return from_model(from_vae(made), sample.anchor)
