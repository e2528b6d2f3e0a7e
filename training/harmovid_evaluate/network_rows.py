"""HarmoVid checkpoints and IC-Light as rows: networks that run through the training package.

    entrant = Checkpoint("full", Path("runs/harmovid"), vae="THUDM/CogVideoX-5b", settings=Settings("ddim", 50))

A checkpoint's conditioning determines its task: `harmovid` harmonizes, `deflicker` deflickers. Each has two rows: the
network's own picture, and its change of light applied to the input's pixels through a lighting field, as in the
product.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Dict, List, Optional, Tuple

import numpy as np
from harmovid.errors import InputError
from harmovid.pixels.apply.fast import apply_field
from harmovid.pixels.fitting.fit import fit_field
from harmovid_training.device import best_device, inference_dtype
from harmovid_training.metrics.degrade import Array
from harmovid_training.stages.pairs import padded

from harmovid_evaluate.cases import Case, fingerprint
from harmovid_evaluate.entrants import only_foreground
from harmovid_evaluate.testsets import DEFLICKER, HARMONIZE

if TYPE_CHECKING:
    from harmovid_training.inference.shot import Settings
    from harmovid_training.models.codec import Codec
    from harmovid_training.models.model import ConditionedModel
    from harmovid_training.stages.ic_light import IcLight

TASKS = {"harmovid": HARMONIZE, "deflicker": DEFLICKER}
"""By a checkpoint's conditioning."""
BATCH = 8
"""Frames that IC-Light takes at once."""
SIDE_PX = 16
"""Sides of pictures are padded to multiples of this: 8 of the VAE, 2 of the transformer's patches."""


@dataclass
class Network:
    """A checkpoint with its VAE, loaded when needed, and its last pictures, which two rows share."""

    folder: Path
    vae: str
    settings: Settings
    _model: Optional[ConditionedModel] = field(default=None, repr=False)
    _codec: Optional[Codec] = field(default=None, repr=False)
    _made: Dict[str, Array] = field(default_factory=dict, repr=False)

    @property
    def task(self) -> str:
        """The task of its conditioning.

        Raises:
            InputError: the folder holds no checkpoint.
        """
        path = self.folder / "config.json"
        try:
            found = TASKS.get(str(json.loads(path.read_text(encoding="utf-8")).get("conditioning")))
        except (OSError, ValueError) as error:
            raise InputError(f"{self.folder} is no checkpoint: {error}") from error
        if found is None:
            raise InputError(f"{path} names no conditioning of ours ({', '.join(TASKS)}).")
        return found

    @property
    def key(self) -> str:
        """Fingerprint of weights, VAE and sampling."""
        weights = self.folder / "model.safetensors"
        known = (weights.stat().st_size, weights.stat().st_mtime_ns) if weights.is_file() else ()
        return fingerprint(str(self.folder.resolve()), known, self.vae, str(self.settings))

    def pictures(self, case: Case) -> Array:
        """Return the network's own frames, `(T, H, W, 3)` scene-linear."""
        if case.key not in self._made:
            self._made = {case.key: self._run(case)}
        return self._made[case.key]

    def _run(self, case: Case) -> Array:
        from harmovid_training.inference.shot import run_clip
        from harmovid_training.models.space import anchor_of, decode, encode

        model, codec = self._loaded()
        anchor = anchor_of(case.composite, model.space)
        size = case.mask.shape[1:]
        pictures = {"composite": encode(padded(case.composite, SIDE_PX), anchor, model.space)}
        if self.task == HARMONIZE:
            pictures["background"] = encode(padded(case.plate, SIDE_PX), anchor, model.space)
        mask = padded(case.mask[..., None], SIDE_PX)[..., 0]
        made = run_clip(model, codec, pictures, np.asarray(mask, np.float32), self.settings)
        return np.asarray(decode(made, anchor, model.space), np.float32)[:, : size[0], : size[1]]

    def _loaded(self) -> Tuple[ConditionedModel, Codec]:
        if self._model is None or self._codec is None:
            from harmovid_training.models.checkpoint import load_checkpoint

            device = best_device()
            self._model = load_checkpoint(self.folder, inference_dtype(device)).to(device)
            self._codec = load_codec(self.vae, json.loads((self.folder / "config.json").read_text())["kind"])
        return self._model, self._codec


def load_codec(source: str, kind: str) -> Codec:
    """Return the VAE of a model (by name or folder), or the one in a VAE's own folder."""
    from diffusers import AutoencoderKLCogVideoX
    from harmovid_training.models.codec import CogVideoXCodec
    from harmovid_training.stages.run import codec_of

    if (Path(source) / "config.json").is_file() and kind == "cogvideox":
        return CogVideoXCodec(AutoencoderKLCogVideoX.from_pretrained(source))
    return codec_of(kind, source)


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint's row; see the module and `entrants.Entrant`."""

    label: str
    network: Network
    through_field: bool

    @property
    def name(self) -> str:
        """The user's name for it, and how its picture is used."""
        return f"{self.label}, {'through the field' if self.through_field else 'pixels'}"

    @property
    def tasks(self) -> Tuple[str, ...]:
        """Of its conditioning."""
        return (self.network.task,)

    @property
    def key(self) -> str:
        """See `Entrant`."""
        return fingerprint(self.network.key, self.through_field)

    def run(self, case: Case) -> Array:
        """See `Entrant`."""
        made = self.network.pictures(case)
        return relit_by(case, made) if self.through_field else made


def relit_by(case: Case, result: Array) -> Array:
    """Return the input with the change of light of `result`'s foreground, as a lighting field per frame."""
    made = case.composite.copy()
    box = (0, 0, made.shape[2], made.shape[1])
    for index, (before, after, matte) in enumerate(zip(case.composite, result, case.mask)):
        field_of = fit_field(before, after, box=box, weights=matte, trusted=False)
        made[index] = apply_field(before, field_of, origin=(0, 0), mask=matte)[0]
    return made


@dataclass(frozen=True)
class IcLightFrames:
    """IC-Light, background-conditioned, frame by frame through diffusers; see `Entrant`."""

    offset: Path
    base: str
    name: str = "IC-Light, frame by frame"
    tasks: Tuple[str, ...] = (HARMONIZE,)
    _loaded: List[IcLight] = field(default_factory=list, compare=False)

    @property
    def key(self) -> str:
        """Weights by path and base by name."""
        return fingerprint(str(self.offset.resolve()), self.base)

    def run(self, case: Case) -> Array:
        """See `Entrant`; its frames are used inside the foreground, over the plate's own background."""
        from harmovid_training.stages.frame_harmonizers import harmonize_frames
        from harmovid_training.stages.ic_light import IcLight

        if not self._loaded:
            self._loaded.append(IcLight.from_pretrained(self.offset, self.base))
        made = harmonize_frames(case.composite, case.plate, case.mask, self._loaded[0], BATCH)
        return only_foreground(case, made)
