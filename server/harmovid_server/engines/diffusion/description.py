"""The typed and checked description of a diffusion bundle's networks: `Description.of(folder, manifest)`.

The manifest's `constants` are written by `harmovid_export.bundle`; docs/export.md lists them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

from harmovid.bundle import Manifest
from harmovid.errors import BundleError
from harmovid.pixels.colour.model_space import CONTRACT

from harmovid_server.engines.bundles import check_colour, check_roles

COMPOSITE, BACKGROUND = "composite", "background"
CONDITIONS = {"deflicker": (COMPOSITE,), "harmonize": (COMPOSITE, BACKGROUND)}
"""The pictures on which a network may be conditioned, by task."""

ACESCCT, SRGB = SPACES = ("acescct", "srgb")

STEP = "step"
"""Not of the bundle: the network of a linear sampler's step (`runtimes.onnx_step`), beside the bundle's roles."""

CODEC_ROLES = ("encode_first", "encode_next", "decode_first", "decode_next")


@dataclass(frozen=True)
class Tile:
    """Tiles of the VAE: height and width in pixels, and the overlap of neighbouring tiles as a share of that."""

    size: Tuple[int, int]
    overlap: Tuple[float, float]


@dataclass(frozen=True)
class Description:
    """See the module.

    Attributes:
        channels: number per latent. spatial, temporal: pixels and frames per latent.
        chunk: a clip must have `chunk * N + 1` frames.
        patch: latents per token along time, height, width.
        frames: (first, next) frames of a chunk. latents: the same in latents.
        conditions: pictures that are inputs beside the noisy latents, in order; the mask follows.
        tile: tiles of the VAE; None for whole pictures.
        space: `acescct` (light over the shot's anchor) or `srgb` (display pictures, as in the paper).
        black, white: for `acescct`, the model-space codes at -1 and +1 of the VAE's range.
        positions: see `positions.py`.
        lines: height of the proxies.
        window, overlap: frames of a window, and those it shares with the next.
        trusted: whether the VAE's pictures are right pixel by pixel.
        scheduler: see `schedule.py`; includes the default `sampler` and `steps`.
        presets: name to option values.
    """

    channels: int
    spatial: int
    temporal: int
    chunk: int
    patch: Tuple[int, int, int]
    frames: Tuple[int, int]
    latents: Tuple[int, int]
    conditions: Tuple[str, ...]
    tile: Optional[Tile]
    space: str
    black: float
    white: float
    positions: Mapping[str, Any]
    lines: int
    window: int
    overlap: int
    trusted: bool
    scheduler: Mapping[str, Any]
    presets: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, folder: Path, manifest: Manifest) -> Description:
        """Read a manifest.

        Raises:
            BundleError: another colour encoding, networks that are not those of a diffusion model, or a missing number.
        """
        check_colour(folder, manifest, CONTRACT)
        try:
            described = cls._read(manifest)
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError(
                f"{folder}: the manifest of a diffusion model lacks something ({error}).",
                fix="Export it again.",
            ) from error
        if manifest.task not in CONDITIONS or described.conditions != CONDITIONS[manifest.task]:
            raise BundleError(
                f"{folder} is for {manifest.task!r} with {', '.join(described.conditions)}, which is not served.",
                fix="There are " + ", ".join(CONDITIONS) + ".",
            )
        placed = {"none": (), "sinusoidal": ("embedding",)}.get(
            described.positions["kind"], ("cosine", "sine")
        )
        check_roles(folder, manifest, described._inputs(manifest, placed))
        return described

    @classmethod
    def _read(cls, manifest: Manifest) -> Description:
        held = manifest.constants
        tile = held["codec"]["tile"]
        return cls(
            channels=int(held["channels"]), spatial=int(held["spatial"]), temporal=int(held["temporal"]),
            chunk=int(held["chunk"]), patch=_three(held["patch"]),
            frames=_two(held["codec"]["frames"]), latents=_two(held["codec"]["latents"]),
            conditions=tuple(held["conditions"]),
            tile=None if tile is None else _tile(tile),
            space=_space(str(held["space"])),
            black=float(held["black"]), white=float(held["white"]), positions=dict(held["positions"]),
            lines=int(held["proxy_lines"]), window=int(held["window"]), overlap=int(held["overlap"]),
            trusted=bool(held["trusted"]), scheduler=_scheduler(manifest.scheduler), presets=dict(held["presets"]),
        )  # fmt: skip

    def _inputs(self, manifest: Manifest, placed: Tuple[str, ...]) -> Dict[str, List[str]]:
        roles: Dict[str, List[str]] = {"transformer": ["latents", "times", "text", *placed], "prompt": []}
        for role in CODEC_ROLES:
            way, place = role.split("_")
            first = "pictures" if way == "encode" else "latents"
            before = manifest.networks.get(f"{way}_first")
            kept = len(before.outputs) - 1 if before is not None and place == "next" else 0
            roles[role] = [first, *(f"cache.{i}" for i in range(kept))]
        return roles

    def legal_frames(self, count: int) -> int:
        """Return the smallest valid clip length that holds `count` frames and fills the first chunk."""
        return max(-(-(count - 1) // self.chunk) * self.chunk + 1, self.frames[0])

    def latents_of(self, frames: int) -> int:
        """Return how many latents a clip of valid length has."""
        return (frames - 1) // self.temporal + 1

    def front_padding(self, latents: int) -> int:
        """Return how many latents are added in front, so that patches over time divide evenly."""
        return -latents % self.patch[0]

    @property
    def side_unit(self) -> Tuple[int, int]:
        """Pictures are padded to multiples of this many pixels, high and wide."""
        return self.spatial * self.patch[1], self.spatial * self.patch[2]


def _space(name: str) -> str:
    if name not in SPACES:
        raise ValueError(f"space {name}")
    return name


def _tile(held: Mapping[str, Any]) -> Tile:
    return Tile(_two(held["size"]), (float(held["overlap"][0]), float(held["overlap"][1])))


def _two(values: Any) -> Tuple[int, int]:
    first, second = values
    return int(first), int(second)


def _three(values: Any) -> Tuple[int, int, int]:
    first, second, third = values
    return int(first), int(second), int(third)


def _scheduler(held: Mapping[str, Any]) -> Mapping[str, Any]:
    for name in ("prediction", "samplers", "sampler", "steps", "one_step_time"):
        if name not in held:
            raise KeyError(f"scheduler.{name}")
    return dict(held)
