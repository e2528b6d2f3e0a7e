"""Shots of the toy: rendered ones with exact truth, and real ones from a clip index.

Stage 1 of a rendered shot is a **stand-in**: the figure under a light that is misjudged twice, once for the whole clip
and once more in every frame (direction, level and colour). That is what the paper says of a per-frame harmonizer:
expressive, and flickering. It is told the light of the set it goes to and then misled, so how good it is was chosen
here (`CLIP_ERROR`, `FLICKER`), not found. A real one plugs in through `stages.frame_harmonizers`.

The deflicker networks see, in every second shot, a display grade per frame on the real foreground in place of stage
1's clip: what flickers about the right light, beside what flickers about another one.

Stage 1 of a real shot is a classical harmonizer (mean and deviation of log2 light brought to the background's, frame
by frame) whose every frame is thrown off by a random curve.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from harmovid_training.clips.index import Index, Windows
from harmovid_training.masks.alpha import pseudo_alpha
from harmovid_training.masks.removal import temporal_median
from harmovid_training.metrics.degrade import DEGRADATIONS
from harmovid_training.stages.pairs import Float32, Shot, composite
from harmovid_training.toy.scenes import HEIGHT, WIDTH, Light, Scene, draw_light, nudged

FLICKER = 1.5
"""How far the stand-in of stage 1 is off in every frame; 1 is about a third of a stop and twenty degrees. Chosen, with
`CLIP_ERROR`, so that stage 1 stands below the full recipe, as per-frame harmonizers do in the paper's Table 1 (there by
2 dB, here by 3 to 4), on scenes from 90,000 on, which are neither trained on nor tested on."""

CLIP_ERROR = 1.5
"""How far it is off for the whole clip, in the same measure: it misjudges a clip as much as a frame."""

ALPHA_PX = 3.0
"""Decay of the pseudo alpha at this size."""

HELD_OUT = 100_000
"""Scenes from this number on are for testing only."""

FLOOR = np.float32(2.0**-14)
"""Least light of statistics in stops."""


@dataclass(frozen=True)
class _Played:
    """A performance and the lights it is seen in."""

    scene: Scene
    here: Light
    there: Light
    judged: Light
    guesses: list[Light]


def _played(seed: int, frames: int) -> _Played:
    rng = np.random.default_rng([seed, 5])
    here, there = draw_light(rng), draw_light(rng)
    judged = nudged(there, rng, CLIP_ERROR)
    return _Played(Scene(seed), here, there, judged, [nudged(judged, rng, FLICKER) for _ in range(frames)])


@lru_cache(maxsize=384)
def toy_shot(seed: int, frames: int) -> Shot:
    """Return a rendered shot with all that the stages need but `steady`; see the module for stage 1."""
    played = _played(seed, frames)
    real, cover = played.scene.render(played.here, played.here, frames)
    mask = (cover > 0.5).astype(np.float32)
    return Shot(
        real=real,
        mask=mask,
        background=played.scene.plate(played.there, frames),
        synthetic=played.scene.render(played.guesses, played.there, frames)[0],
        plate=played.scene.plate(played.here, frames),
        alpha=pseudo_alpha(mask, ALPHA_PX),
    )


def toy_truth(seed: int, frames: int) -> Float32:
    """Return what a perfect harmonization of the shot is: the figure in the new set's light."""
    played = _played(seed, frames)
    return played.scene.render(played.there, played.there, frames)[0]


def toy_steady(seed: int, frames: int) -> Float32:
    """Return what a perfect deflicker makes of stage 1: its clip without the error of single frames."""
    played = _played(seed, frames)
    return played.scene.render(played.judged, played.there, frames)[0]


class RealShots:
    """Shots from clips with the roles `real` and `mask`; shot `i` is always the same one.

    Args:
        index: of the clips; each must be at least `frames` long.
        seed: of windows, new sets and flicker.

    Errors:
        InputError: a clip that is too short or has no mask.
    """

    def __init__(self, index: Index, frames: int, seed: int) -> None:
        self._windows = Windows(index, ("real", "mask"), frames, (HEIGHT, WIDTH), seed)
        self._seed = seed

    def __call__(self, number: int) -> Shot:
        """Return shot `number`, its new background a rendered set."""
        given = self._windows(number)
        real, mask = given["real"], (given["mask"] > 0.5).astype(np.float32)
        rng = np.random.default_rng([self._seed, 11, number])
        background = Scene(HELD_OUT // 2 + number).plate(draw_light(rng), len(real))
        matched = composite(matched_statistics(real, background, mask), background, mask)
        synthetic = DEGRADATIONS["curves-fg"].apply(matched, mask, self._seed + number)
        return Shot(
            real, mask, background, synthetic, temporal_median(real, mask), pseudo_alpha(mask, ALPHA_PX)
        )


def graded(shot: Shot, seed: int) -> Shot:
    """Return the shot with a random display grade in every frame of the real foreground as its `synthetic`."""
    return replace(shot, synthetic=DEGRADATIONS["looks-fg"].apply(shot.real, shot.mask, seed))


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
