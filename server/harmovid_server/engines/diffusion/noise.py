"""The noise that torch generates for a seed, without torch, so that a server samples like training.

    noise = seeded_noise((16, 60, 90), count=21, seed=0)      # (1, 16, 21, 60, 90)

Each latent's noise depends only on the seed and the latent's index. torch's generator on the CPU is a Mersenne twister;
it fills blocks of 16 values with the Box-Muller transform of 24-bit uniforms (ATen, `normal_fill`). A test checks that
both agree within a rounding error.
"""

from __future__ import annotations

from typing import Any, Dict, Mapping, Tuple

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]

SEED_STRIDE = 1_000_003
"""Latent number `n` is drawn with the seed `seed * SEED_STRIDE + n`, as in training."""

BLOCK = 16


def seeded_noise(shape: Tuple[int, ...], count: int, seed: int) -> Float32:
    """Return unit noise `(1, C, count, h, w)` for latents `(C, h, w)` with at least 16 values each."""
    frames = [
        normal(int(np.prod(shape)), seed * SEED_STRIDE + number).reshape(shape) for number in range(count)
    ]
    return np.asarray(np.stack(frames, axis=1)[None], np.float32)


def normal(size: int, seed: int) -> Float32:
    """Return the values of `torch.randn(size, generator=torch.Generator().manual_seed(seed))`; size at least 16."""
    return Generator(seed).draw(size)


class Generator:
    """`torch.Generator().manual_seed(seed)` for normal values: each `draw` continues where the last one stopped."""

    def __init__(self, seed: int) -> None:
        self._twister: Any = np.random.MT19937()
        self._twister._legacy_seeding(seed & 0xFFFFFFFF)

    def draw(self, size: int) -> Float32:
        """Return the values of `torch.randn(size, generator=...)`; size at least 16."""
        whole = size // BLOCK * BLOCK
        made = _box_muller(_uniforms(self._twister, size)[:whole])
        if size == whole:
            return made
        # If the size is not a multiple of 16, torch draws the last 16 values again.
        return np.concatenate([made[: size - BLOCK], _box_muller(_uniforms(self._twister, BLOCK))])

    def state(self) -> Dict[str, npt.NDArray[Any]]:
        """Return the generator's state as arrays, `key` `(624,)` uint32 and `place`."""
        held = self._twister.state["state"]
        return {"key": np.asarray(held["key"], np.uint32), "place": np.array(held["pos"], np.int64)}

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Restore what `state` returned."""
        inner = {"key": np.asarray(state["key"], np.uint32), "pos": int(state["place"])}
        self._twister.state = {"bit_generator": "MT19937", "state": inner}


def _uniforms(twister: Any, count: int) -> Float32:
    raw = twister.random_raw(count)
    return np.asarray((raw & np.uint64(0xFFFFFF)).astype(np.float32) * np.float32(2.0**-24), np.float32)


def _box_muller(values: Float32) -> Float32:
    blocks = values.reshape(-1, 2, BLOCK // 2)
    radius = np.sqrt(np.float32(-2) * np.log(np.float32(1) - blocks[:, 0]))
    angle = np.float32(2 * np.pi) * blocks[:, 1]
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).reshape(-1).astype(np.float32)
