"""Shots of the toy: rendered ones with exact truth, and real ones from a clip index.

They do not contain stage 1's result: `stage_one.py` trains a per-frame network on other scenes, and `recipe.Toy` adds
its clip to the shot. In every third training scene the new set has almost the same light, so that networks also learn
to change little.

In every second shot the deflicker networks get a display grade per frame on the real foreground instead of stage 1's
clip: flicker around the right light, in addition to flicker around another light.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from harmovid_training.clips.index import Index, Windows
from harmovid_training.clips.removal import temporal_median
from harmovid_training.masks.alpha import pseudo_alpha
from harmovid_training.metrics.degrade import DEGRADATIONS, curves, gained
from harmovid_training.stages.pairs import Float32, Shot
from harmovid_training.toy.scenes import HEIGHT, WIDTH, Light, Scene, draw_light, nudged

ALPHA_PX = 3.0
"""Decay of the pseudo alpha at this size."""

CALIBRATION = 90_000
"""Scenes from this number on are for the confidence only."""

HELD_OUT = 100_000
"""Scenes from this number on are for testing only."""

STAGE_ONE = 200_000
"""Scenes from this number on are what stage 1's network is trained on, and nothing else."""

NEAR_EVERY, NEAR = 3, 0.5
"""Training scenes with number % `NEAR_EVERY` == 2 have a new set in the old light, changed by `NEAR`."""

LOOK_STOPS = 1.0, 1.6
"""Smallest and largest change of level of a strong look, in stops up or down."""

FLOOR = np.float32(2.0**-14)
"""Lower bound of light for statistics in stops."""


@dataclass(frozen=True)
class _Played:
    """A performance and its lights."""

    scene: Scene
    here: Light
    there: Light


def _played(seed: int) -> _Played:
    rng = np.random.default_rng([seed, 5])
    here = draw_light(rng)
    trained_on = not CALIBRATION <= seed < STAGE_ONE
    near = trained_on and seed % NEAR_EVERY == NEAR_EVERY - 1
    return _Played(Scene(seed), here, nudged(here, rng, NEAR) if near else draw_light(rng))


@lru_cache(maxsize=384)
def toy_shot(seed: int, frames: int) -> Shot:
    """Return a rendered shot; `synthetic` is the real clip until stage 1's result is added."""
    played = _played(seed)
    real, cover = played.scene.render(played.here, played.here, frames)
    mask = (cover > 0.5).astype(np.float32)
    return Shot(
        real=real,
        mask=mask,
        background=played.scene.plate(played.there, frames),
        synthetic=real,
        plate=played.scene.plate(played.here, frames),
        alpha=pseudo_alpha(mask, ALPHA_PX),
    )


def toy_truth(seed: int, frames: int) -> Float32:
    """Return the perfect harmonization of the shot: the figure in the new set's light."""
    played = _played(seed)
    return played.scene.render(played.there, played.there, frames)[0]


class RealShots:
    """Shots from clips with the roles `real` and `mask`; shot `i` is always the same one.

    Args:
        index: of the clips; each must be at least `frames` long.
        seed: of windows and new sets.

    Raises:
        InputError: a clip that is too short or has no mask.
    """

    def __init__(self, index: Index, frames: int, seed: int) -> None:
        self._windows = Windows(index, ("real", "mask"), frames, (HEIGHT, WIDTH), seed)
        self._seed = seed

    def __call__(self, number: int) -> Shot:
        """Return shot `number`, its new background a rendered set; `synthetic` as in `toy_shot`."""
        given = self._windows(number)
        real, mask = given["real"], (given["mask"] > 0.5).astype(np.float32)
        rng = np.random.default_rng([self._seed, 11, number])
        background = Scene(HELD_OUT // 2 + number).plate(draw_light(rng), len(real))
        plate = temporal_median(real, mask)
        return Shot(real, mask, background, real, plate, pseudo_alpha(mask, ALPHA_PX))


def graded(shot: Shot, seed: int) -> Shot:
    """Return the shot with a random display grade in every frame of the real foreground as its `synthetic`."""
    return replace(shot, synthetic=DEGRADATIONS["looks-fg"].apply(shot.real, shot.mask, seed))


def looked(shot: Shot, seed: int, strong: bool) -> Float32:
    """Return the real clip with one look on the foreground of all frames.

    Args:
        strong: with a change of level of `LOOK_STOPS`; else a random curve alone, about a quarter of a stop.
    """
    rng = np.random.default_rng([seed, 29])
    shape = shot.real.shape
    bent = curves(shot.real.reshape(1, -1, *shape[2:]), rng).reshape(shape)
    if strong:
        level = rng.uniform(*LOOK_STOPS) * rng.choice((-1, 1))
        bent = gained(bent, np.asarray(level + rng.normal(0, 0.2, 3)))
    return np.where(shot.mask[..., None] > 0, bent, shot.real).astype(np.float32)


def matched_statistics(foreground: Float32, background: Float32, mask: Float32) -> Float32:
    """Return the foreground with the background's mean and deviation of log2 light, each frame and channel alone
    (Reinhard et al. 2001, in stops)."""
    made = foreground.copy()
    for index, inside in enumerate(mask > 0.5):
        if inside.any():
            ours, theirs = (np.log2(np.maximum(clip[index], FLOOR)) for clip in (foreground, background))
            mine, other = ours[inside], theirs.reshape(-1, 3)
            gain = other.std(0) / np.maximum(mine.std(0), 1e-3)
            made[index][inside] = np.exp2((mine - mine.mean(0)) * gain + other.mean(0))
    return made.astype(np.float32)
