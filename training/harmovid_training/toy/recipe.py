"""The stages from data to networks, on rendered clips and, where given, real ones. Each part has a folder, and is
skipped where that exists.

    vae/                  the linear VAE
    stage-one/            the per-frame harmonizer, trained on scenes of its own (`stage_one.py`)
    flickering/           its results for all training shots
    deflicker/            stage 2's network, by the paper's diffusion loss
    deflicker-student/    the one-step network, trained directly on the same pairs
    steady/               stage 1's clips after the one-step network, as stage 3 sees them
    harmovid/, student/   stage 3: both paths, on steady clips; by the paper's loss, and in one step
    no-stage-two/, no-stage-two-many/    stage 3 on stage 1's flickering clips, in one step and by the paper's loss: the
                          paper's ablation
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Callable, Sequence

import numpy as np
import torch
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
from harmovid_training.stages import objectives, pairs
from harmovid_training.stages.batches import CachedBatches, Encoded, Samples
from harmovid_training.stages.config import TrainConfig
from harmovid_training.stages.pairs import Float32, Sample, Shot
from harmovid_training.stages.train import train
from harmovid_training.toy.codec import PatchCodec, fit_codec, load_codec, save_codec
from harmovid_training.toy.networks import make_model
from harmovid_training.toy.scenes import HEIGHT, WIDTH
from harmovid_training.toy.shots import RealShots, graded, toy_shot, toy_truth
from harmovid_training.toy.stage_one import FrameByFrame, frame_sample

DATA = ("rendered by harmovid_training.toy.scenes, no footage, no licence needed",)

VAE_SHOTS = 48
"""Shots whose patches the VAE is solved from."""

REAL_WINDOWS = 8
"""Shots that are cut from each real clip."""


@dataclass(frozen=True)
class Scale:
    """The size of the recipe.

    Attributes:
        scenes: number of rendered training scenes.
        frames: of a training clip, after the chunk rule.
        stage_one_scenes, stage_one_steps, stage_one_batch: of stage 1's network, in single frames.
        deflicker_steps, deflicker_student_steps, harmovid_steps, student_steps: of the trainings.
        batch: clips per step.
        learning_rate: at the end of the warm-up; it falls to zero from there.
        steps: of the sampler; windows are as long as a training clip and overlap by two thirds.
        test_scenes, test_frames: held-out clips of a set and their length.
        calibration_scenes: for the confidence, three clips of each.
        compared_steps: of the sampler, in the table of steps.
        seed: of everything random.
    """

    scenes: int = 384
    frames: int = 9
    stage_one_scenes: int = 1536
    stage_one_steps: int = 800
    stage_one_batch: int = 16
    deflicker_steps: int = 150
    deflicker_student_steps: int = 400
    harmovid_steps: int = 200
    student_steps: int = 700
    batch: int = 4
    learning_rate: float = 2e-3
    steps: int = 4
    test_scenes: int = 24
    test_frames: int = 21
    calibration_scenes: int = 24
    compared_steps: tuple[int, ...] = (50, 4, 1)
    seed: int = 0

    def longer(self, times: int) -> Scale:
        """Return the same with `times` as many scenes and training steps; more steps alone would overfit the scenes."""
        grown = (name for name in asdict(self) if name.endswith(("scenes", "_steps")))
        fixed = ("test_scenes", "calibration_scenes", "compared_steps")
        return replace(self, **{name: times * getattr(self, name) for name in grown if name not in fixed})

    @property
    def sampling(self) -> Settings:
        """The sampler's settings of a many-step network."""
        return Settings("ddim", self.steps, self.seed, self.frames, 2 * self.frames // 3)

    @property
    def once(self) -> Settings:
        """The sampler's settings of a student."""
        return replace(self.sampling, sampler="one-step", steps=1)


@dataclass
class Toy:
    """The recipe in one folder; each method makes one part unless it exists.

    Attributes:
        real: further training clips, with the roles `real` and `mask`.
    """

    folder: Path
    scale: Scale
    real: Index = field(default_factory=lambda: Index(()))
    _latents: dict[str, CachedBatches] = field(default_factory=dict, repr=False)

    @property
    def shots(self) -> int:
        """The number of training shots: rendered ones first, then real ones."""
        return self.scale.scenes + REAL_WINDOWS * len(self.real.clips)

    @cached_property
    def _real_shots(self) -> RealShots:
        return RealShots(self.real, self.scale.frames, self.scale.seed)

    def bare_shot(self, number: int) -> Shot:
        """Return training shot `number` before stage 1."""
        if number < self.scale.scenes:
            return toy_shot(number, self.scale.frames)
        return self._real_shots(number - self.scale.scenes)

    def shot(self, number: int) -> Shot:
        """Return training shot `number` with stage 1's clip."""
        return replace(self.bare_shot(number), synthetic=self._flickering[number].float().numpy())

    def vae(self) -> PatchCodec:
        """Return the VAE, solved from real clips and targets."""
        folder = self.folder / "vae"
        if not (folder / "vae.safetensors").is_file():
            clips = []
            for number in range(min(VAE_SHOTS, self.scale.scenes)):
                shot = replace(
                    toy_shot(number, self.scale.frames), steady=toy_truth(number, self.scale.frames)
                )
                clips += [pairs.real_to_synthetic(shot).target, pairs.deflicker_sample(shot).target]
            save_codec(folder, fit_codec(torch.from_numpy(np.stack(clips)).permute(0, 4, 1, 2, 3)))
        return load_codec(folder)

    def stage_one(self) -> FrameByFrame:
        """Stage 1: return the per-frame harmonizer, trained on single frames of other scenes by the paper's loss."""
        folder, scale = self.folder / "stage-one", self.scale
        if not _there(folder):
            config = replace(
                self._config("stage-one", "harmovid", scale.stage_one_steps, False),
                frames=1,
                batch=scale.stage_one_batch,
            )
            model = make_model(CONDITIONINGS["harmovid"], HEIGHT, WIDTH, 1, scale.seed)
            encoded = Encoded(frame_sample, self.vae(), model.conditioning, model.geometry)
            frames = CachedBatches(encoded, scale.stage_one_scenes, partial(tqdm, desc="stage one: encoding"))
            self._trained(folder, model, config, frames, objectives.diffusion)
        return FrameByFrame(load_checkpoint(folder), self.vae(), scale.steps, scale.seed)

    def flickering(self) -> list[Tensor]:
        """Stage 1: return its clips of all training shots, linear in half floats."""
        return self._clips(
            "flickering", self.stage_one, lambda network, number: network(self.bare_shot(number), number)
        )

    @cached_property
    def _flickering(self) -> list[Tensor]:
        return self.flickering()

    def deflicker(self) -> ConditionedModel:
        """Stage 2: return the deflicker network, trained on eq. 4's composites."""
        return self._network("deflicker", "deflicker", self.scale.deflicker_steps, "stage two")

    def deflicker_student(self) -> ConditionedModel:
        """Return a one-step deflicker network, trained directly on eq. 4's pairs."""
        return self._network(
            "deflicker-student", "deflicker", self.scale.deflicker_student_steps, "stage two", True
        )

    def steady(self) -> list[Tensor]:
        """Stage 2: return stage 1's clips after the one-step deflicker network, linear in half floats; outside the mask
        the known background."""

        def calmed(model: ConditionedModel, number: int) -> Float32:
            shot = self.shot(number)
            clip = run_sample(model, codec, pairs.stage_one_sample(shot), self.scale.once)
            return pairs.composite(clip, shot.background, shot.mask)

        codec = self.vae()
        return self._clips("steady", self.deflicker_student, calmed)

    def harmovid(self) -> ConditionedModel:
        """Stage 3: return HarmoVid, trained on both paths with steady clips."""
        return self._network("harmovid", "harmovid", self.scale.harmovid_steps, "steady")

    def student(self) -> ConditionedModel:
        """Return the one-step HarmoVid, trained directly on the same pairs."""
        return self._network("student", "harmovid", self.scale.student_steps, "steady", True)

    def no_stage_two(self) -> ConditionedModel:
        """The ablation: return the one-step stage 3 trained on stage 1's flickering clips."""
        return self._network("no-stage-two", "harmovid", self.scale.student_steps, "flickering", True)

    def no_stage_two_many(self) -> ConditionedModel:
        """The ablation by the paper's loss."""
        return self._network("no-stage-two-many", "harmovid", self.scale.harmovid_steps, "flickering")

    def _clips(self, name: str, network: Callable[[], object], make: Callable[..., Float32]) -> list[Tensor]:
        """Return a part with one clip per training shot, made by a network if it does not exist."""
        path = self.folder / name / "clips.safetensors"
        if not path.is_file():
            model = network()
            numbers = tqdm(range(self.shots), desc=name)
            save_tensors(path, {f"{one:06d}": torch.from_numpy(make(model, one)).half() for one in numbers})
        return [clip for _, clip in sorted(load_file(path).items())]

    def _network(
        self, name: str, conditioning: str, steps: int, source: str, one_step: bool = False
    ) -> ConditionedModel:
        """Return the network in a folder; if it does not exist, train it from random weights on a source's samples."""
        folder = self.folder / name
        if _there(folder):
            return load_checkpoint(folder)
        config = self._config(name, conditioning, steps, one_step)
        model = make_model(CONDITIONINGS[conditioning], HEIGHT, WIDTH, self.scale.frames, self.scale.seed)
        loss = objectives.latent_and_edges if one_step else objectives.diffusion
        self._trained(folder, model, config, self._kept(source, model), loss)
        return model.eval()

    def _trained(
        self,
        folder: Path,
        model: ConditionedModel,
        config: TrainConfig,
        batches: CachedBatches,
        loss: objectives.Objective,
    ) -> None:
        """Train a network and write its checkpoint."""
        losses = train(config, model, batches, loss, folder)
        tail = float(np.mean(losses[-20:])) if losses else float("nan")
        told = f"scenes 0 to {self.scale.scenes - 1}" + (
            f", index {self.real.hash}" if self.real.clips else ""
        )
        data = (*DATA, *self.real.licences)
        save_checkpoint(folder, model, Card(asdict(config), data, told, {"training loss, last 20": tail}))

    def _kept(self, source: str, model: ConditionedModel) -> CachedBatches:
        """Return a source's samples as latents; those of the newest source stay in memory for the next network."""
        if source not in self._latents:
            self._latents.clear()
            samples: Samples = self._stage_two_sample
            if source != "stage two":
                samples = partial(
                    self._stage_three_sample, clips=self.steady() if source == "steady" else None
                )
            count = self.shots if source == "stage two" else 2 * self.shots
            encoded = Encoded(samples, self.vae(), model.conditioning, model.geometry)
            self._latents[source] = CachedBatches(encoded, count, partial(tqdm, desc=f"{source}: encoding"))
        return self._latents[source]

    def _config(self, name: str, conditioning: str, steps: int, one_step: bool) -> TrainConfig:
        scale = self.scale
        return TrainConfig(
            name=name, size="toy", conditioning=conditioning, objective="latent" if one_step else "diffusion",
            iterations=steps, batch=scale.batch, frames=scale.frames, height=HEIGHT, width=WIDTH,
            learning_rate=scale.learning_rate, warmup=max(steps // 20, 1),
            decay=True, weight_decay=0.0, ema=0.98, precision="no", checkpointing=False, save_every=100, workers=0,
            gpus=1, seed=scale.seed,
        )  # fmt: skip

    def _stage_two_sample(self, index: int) -> Sample:
        shot = self.shot(index)
        return pairs.deflicker_sample(graded(shot, index) if index % 2 else shot)

    def _stage_three_sample(self, index: int, clips: Sequence[Tensor] | None) -> Sample:
        number, path = divmod(index, 2)
        shot = self.shot(number)
        shot = replace(shot, steady=clips[number].float().numpy() if clips else shot.synthetic)
        return pairs.real_to_synthetic(shot) if path == 0 else pairs.synthetic_to_real(shot)


CHAINS = (("student", "harmovid"), ("no_stage_two", "no_stage_two_many", "deflicker"))
"""Independent chains of trainings, by their last parts: two processes of one thread each are faster at this
size than one of two threads."""


def make_all(toy: Toy) -> None:
    """Make all missing parts: stage 1 first, then independent chains in parallel."""
    chains = [[part for part in chain if not _there(toy.folder / part.replace("_", "-"))] for chain in CHAINS]
    if not any(chains):
        return
    torch.set_num_threads(1)
    toy.flickering()
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
    return sample.light(made)
