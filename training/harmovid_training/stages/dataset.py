"""The clip index as training samples: windows of an index become shots, shots become samples of a training path.

stage 2 reads    real, mask, synthetic
stage 3 reads    real, mask, background, plate, steady (or `synthetic`, without stage 2), alpha where the index has it
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from harmovid_training.clips.index import Index, Windows
from harmovid_training.masks.alpha import pseudo_alpha
from harmovid_training.stages import pairs
from harmovid_training.stages.config import TrainConfig
from harmovid_training.stages.pairs import Sample, Shot

ROLES = {
    "deflicker": ("real", "mask", "synthetic"),
    "harmovid": ("real", "mask", "background", "plate"),
}
"""Roles that the index must have for each network's training. `alpha` is made from `mask` if it is missing."""

BINARY = 0.5
"""The paper's mask is binary; a soft one is cut here."""


class IndexSamples:
    """Samples of a network from an index: sample `i` is a function of the run's seed and `i`."""

    def __init__(self, index: Index, config: TrainConfig) -> None:
        self._config = config
        roles = ROLES[config.conditioning]
        if config.conditioning == "harmovid":
            soft = config.pseudo_alpha and all("alpha" in clip.sources for clip in index.clips)
            roles = (*roles, config.steady, *(("alpha",) if soft else ()))
        self._windows = Windows(index, roles, config.frames, (config.height, config.width), config.seed)

    def __call__(self, index: int) -> Sample:
        """Return sample `index`."""
        config = self._config
        clips = self._windows(index)
        if config.conditioning == "deflicker":
            return pairs.deflicker_sample(shot_of(clips), config.space)
        shot = shot_of({**clips, "steady": clips[config.steady]})
        if not config.pseudo_alpha:
            shot = replace(shot, alpha=shot.mask)
        return pairs.dual_path(shot, np.random.default_rng([config.seed, 2, index]), config.space)


def shot_of(clips: dict[str, pairs.Float32]) -> Shot:
    """Return the clips of one window as a shot; roles that a stage does not read are filled with the real clip."""
    real = clips["real"]
    mask = (clips["mask"] > BINARY).astype(np.float32)
    return Shot(
        real=real,
        mask=mask,
        background=clips.get("background", real),
        synthetic=clips.get("synthetic", real),
        plate=clips.get("plate", real),
        alpha=clips["alpha"] if "alpha" in clips else pseudo_alpha(mask),
        steady=clips.get("steady"),
    )
