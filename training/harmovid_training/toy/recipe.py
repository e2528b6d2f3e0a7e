"""Data to table, stage by stage, on rendered clips and, where given, real ones. Every part is kept in its folder and
skipped when it is there.

    vae/                  the linear VAE
    deflicker/            stage 2's network, by the paper's diffusion loss
    deflicker-student/    the one-step one, straight from the same pairs
    steady/               stage 1's clips after the one-step network, as stage 3 sees them
    harmovid/, student/   stage 3: both paths, on steady clips; by the paper's loss, and in one step
    no-stage-two/, no-stage-two-many/    stage 3 on stage 1's flickering clips, in one step and by the paper's loss: the
                          paper's ablation

What stage 1 is stands in `shots.py`.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from harmovid.pixels.colour.model_space import from_model
from safetensors.torch import load_file
from torch import Tensor
from tqdm import tqdm

from harmovid_training.clips.index import Index
from harmovid_training.files import save_tensors
from harmovid_training.inference.shot import Settings, run_clip
from harmovid_training.models.checkpoint import Card, load_checkpoint, save_checkpoint
from harmovid_training.models.codec import Codec
from harmovid_training.models.conditioning import CONDITIONINGS
from harmovid_training.models.model import ConditionedModel
from harmovid_training.models.space import from_vae
from harmovid_training.stages import objectives, pairs
from harmovid_training.stages.batches import Encoded, Kept, Samples
from harmovid_training.stages.config import TrainConfig
from harmovid_training.stages.pairs import Float32, Sample, Shot
from harmovid_training.stages.train import train
from harmovid_training.toy.codec import PatchCodec, fit_codec, load_codec, save_codec
from harmovid_training.toy.networks import make_model
from harmovid_training.toy.scenes import HEIGHT, WIDTH
from harmovid_training.toy.shots import RealShots, graded, toy_shot

DATA = ("rendered by harmovid_training.toy.scenes, no footage, no licence needed",)

VAE_SHOTS = 48
"""Shots whose patches the VAE is solved from."""

REAL_WINDOWS = 8
"""Shots that are cut from each real clip."""


@dataclass(frozen=True)
class Scale:
    """How much of everything.

    Attributes:
        scenes: rendered ones to train on.
        frames: of a training clip, after the chunk rule.
        deflicker_steps, harmovid_steps, student_steps: of the trainings.
        batch: clips per step.
        learning_rate: at the end of the warm-up; it falls to zero from there.
        steps: of the sampler; windows are as long as a training clip and overlap by two thirds.
        test_scenes, test_frames: held-out clips and their length.
        compared_steps: of the sampler, in the table of steps.
        seed: of everything.
    """

    scenes: int = 384
    frames: int = 9
    deflicker_steps: int = 150
    harmovid_steps: int = 150
    student_steps: int = 700
    batch: int = 4
    learning_rate: float = 2e-3
    steps: int = 4
    test_scenes: int = 6
    test_frames: int = 33
    compared_steps: tuple[int, ...] = (50, 8, 4, 1)
    seed: int = 0

    def longer(self, times: int) -> Scale:
        """Return the same with `times` as many scenes and training steps: steps alone teach the scenes by heart."""
        return replace(
            self, scenes=times * self.scenes, deflicker_steps=times * self.deflicker_steps,
            harmovid_steps=times * self.harmovid_steps, student_steps=times * self.student_steps,
        )  # fmt: skip

    @property
    def sampling(self) -> Settings:
        """How a many-step network is sampled."""
        return Settings("ddim", self.steps, self.seed, self.frames, 2 * self.frames // 3)

    @property
    def once(self) -> Settings:
        """How a student is sampled."""
        return replace(self.sampling, sampler="one-step", steps=1)


@dataclass
class Toy:
    """The recipe in one folder; each method makes one part unless it is there.

    Attributes:
        real: further training clips, with the roles `real` and `mask`.
    """

    folder: Path
    scale: Scale
    real: Index = field(default_factory=lambda: Index(()))
    _latents: dict[str, Kept] = field(default_factory=dict, repr=False)

    @property
    def shots(self) -> int:
        """How many shots are trained on: rendered ones first, then real ones."""
        return self.scale.scenes + REAL_WINDOWS * len(self.real.clips)

    @cached_property
    def _real_shots(self) -> RealShots:
        return RealShots(self.real, self.scale.frames, self.scale.seed)

    def shot(self, number: int) -> Shot:
        """Return training shot `number`."""
        if number < self.scale.scenes:
            return toy_shot(number, self.scale.frames)
        return self._real_shots(number - self.scale.scenes)

    def vae(self) -> PatchCodec:
        """Return the VAE, solved from targets of both networks."""
        folder = self.folder / "vae"
        if not (folder / "vae.safetensors").is_file():
            clips = []
            for number in range(min(VAE_SHOTS, self.scale.scenes)):
                shot = self.shot(number)
                clips += [pairs.stage_one_sample(shot).target, pairs.deflicker_sample(shot).target]
            save_codec(folder, fit_codec(torch.from_numpy(np.stack(clips)).permute(0, 4, 1, 2, 3)))
        return load_codec(folder)

    def deflicker(self) -> ConditionedModel:
        """Stage 2: return the deflicker network, trained on eq. 4's composites."""
        return self._network("deflicker", "deflicker", self.scale.deflicker_steps, "stage two")

    def deflicker_student(self) -> ConditionedModel:
        """Return a one-step deflicker network, taught straight from eq. 4's pairs."""
        return self._network("deflicker-student", "deflicker", self.scale.deflicker_steps, "stage two", True)

    def steady(self) -> list[Tensor]:
        """Stage 2: return stage 1's clips after the one-step deflicker network, linear in half floats; outside the mask
        the known background."""
        path = self.folder / "steady" / "clips.safetensors"
        if not path.is_file():
            model, codec = self.deflicker_student(), self.vae()
            made = {}
            for number in tqdm(range(self.shots), desc="steady"):
                shot = self.shot(number)
                clip = run_sample(model, codec, pairs.stage_one_sample(shot), self.scale.once)
                made[f"{number:06d}"] = torch.from_numpy(
                    pairs.composite(clip, shot.background, shot.mask)
                ).half()
            save_tensors(path, made)
        return [clip for _, clip in sorted(load_file(path).items())]

    def harmovid(self) -> ConditionedModel:
        """Stage 3: return HarmoVid, trained on both paths with steady clips."""
        return self._network("harmovid", "harmovid", self.scale.harmovid_steps, "steady")

    def student(self) -> ConditionedModel:
        """Return the one-step HarmoVid, taught straight from the same pairs."""
        return self._network("student", "harmovid", self.scale.student_steps, "steady", True)

    def no_stage_two(self) -> ConditionedModel:
        """The ablation: return the one-step stage 3 trained on stage 1's flickering clips."""
        return self._network("no-stage-two", "harmovid", self.scale.student_steps, "flickering", True)

    def no_stage_two_many(self) -> ConditionedModel:
        """The ablation by the paper's loss."""
        return self._network("no-stage-two-many", "harmovid", self.scale.harmovid_steps, "flickering")

    def _network(
        self, name: str, conditioning: str, steps: int, source: str, one_step: bool = False
    ) -> ConditionedModel:
        """Return the network in a folder, trained from random weights on the samples of a source if it is not there."""
        folder = self.folder / name
        if _there(folder):
            return load_checkpoint(folder)
        config = self._config(name, conditioning, steps, one_step)
        model = make_model(CONDITIONINGS[conditioning], HEIGHT, WIDTH, self.scale.frames, self.scale.seed)
        loss = objectives.latent_regression if one_step else objectives.diffusion
        losses = train(config, model, self._kept(source, model), loss, folder)
        tail = float(np.mean(losses[-20:])) if losses else float("nan")
        metrics = {"training loss, last 20": tail}
        data = (*DATA, *self.real.licences)
        told = f"scenes 0 to {self.scale.scenes - 1}" + (
            f", index {self.real.hash}" if self.real.clips else ""
        )
        save_checkpoint(folder, model, Card(asdict(config), data, told, metrics))
        return model.eval()

    def _kept(self, source: str, model: ConditionedModel) -> Kept:
        """Return a source's samples as latents; those of the newest source stay, for the next network of the chain."""
        if source not in self._latents:
            self._latents.clear()
            samples: Samples = self._stage_two_sample
            if source != "stage two":
                clips = self.steady() if source == "steady" else None
                samples = partial(self._stage_three_sample, clips=clips)
            count = self.shots if source == "stage two" else 2 * self.shots
            encoded = Encoded(samples, self.vae(), model.conditioning, model.geometry)
            self._latents[source] = Kept(encoded, count, partial(tqdm, desc=f"{source}: encoding"))
        return self._latents[source]

    def _config(self, name: str, conditioning: str, steps: int, one_step: bool) -> TrainConfig:
        scale = self.scale
        return TrainConfig(
            name=name, size="toy", conditioning=conditioning, objective="latent" if one_step else "diffusion",
            iterations=steps, batch=scale.batch, frames=scale.frames, height=HEIGHT, width=WIDTH,
            learning_rate=scale.learning_rate, warmup=max(steps // 20, 1),
            decay=True, weight_decay=0.0, ema=0.98, precision="no", checkpointing=False, save_every=300, workers=0,
            gpus=1, seed=scale.seed,
        )  # fmt: skip

    def _stage_two_sample(self, index: int) -> Sample:
        shot = self.shot(index)
        return pairs.deflicker_sample(graded(shot, index) if index % 2 else shot)

    def _stage_three_sample(self, index: int, clips: list[Tensor] | None) -> Sample:
        number, path = divmod(index, 2)
        shot = self.shot(number)
        shot = replace(shot, steady=clips[number].float().numpy() if clips else shot.synthetic)
        return pairs.real_to_synthetic(shot) if path == 0 else pairs.synthetic_to_real(shot)


CHAINS = (("student", "harmovid"), ("no_stage_two", "no_stage_two_many", "deflicker"))
"""Trainings that need nothing of each other, by their last parts: two processes of one thread each are faster at this
size than one of two threads."""


def make_all(toy: Toy) -> None:
    """Make all parts that are not there, the chains side by side."""
    toy.vae()
    chains = [[part for part in chain if not _there(toy.folder / part.replace("_", "-"))] for chain in CHAINS]
    if any(chains):
        with ProcessPoolExecutor(len(chains), mp_context=get_context("spawn")) as pool:
            for done in [pool.submit(_make_chain, toy, chain) for chain in chains]:
                done.result()


def _there(folder: Path) -> bool:
    return (folder / "config.json").is_file()


def _make_chain(toy: Toy, parts: list[str]) -> None:
    torch.set_num_threads(1)
    for part in parts:
        getattr(toy, part)()


def run_sample(model: ConditionedModel, codec: Codec, sample: Sample, settings: Settings) -> Float32:
    """Return a network's result as scene-linear light, `(T, H, W, 3)`."""
    made = run_clip(model, codec, sample.pictures, sample.mask, settings)
    return from_model(from_vae(made), sample.anchor)
