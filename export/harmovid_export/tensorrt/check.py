"""Check that plans give finite results: they run on this machine's GPU, at their usual shape, on a real clip.

FP16 plans have given NaN on some versions and cards (NVIDIA/TensorRT issue 4748), so every plan runs before a
manifest names it. The networks run one after the other as in a job: pictures are encoded, their latents with noise go
through the transformer at the first and a middle time, and latents are decoded. Without a GPU nothing can run, and the
result says so.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from harmovid.bundle import Manifest, NetworkInfo
from harmovid.errors import BundleError
from harmovid_server.engines.diffusion.positions import positions
from harmovid_server.runtimes.base import Network, RuntimeSettings, RuntimeUnavailableError, load

from harmovid_export.footage import Proxies, clip_of, drawn

UNCHECKED = "not run: "
TIMES = (999.0, 400.0)
"""Noise times: where sampling starts, and one in the middle."""

Array = npt.NDArray[Any]


def clip_for(manifest: Manifest, footage: Sequence[Path]) -> Proxies | None:
    """Return the clip on which a bundle's plans are checked: a first and a next chunk of the first footage, or drawn.

    Raises:
        InputError, FrameError: the footage cannot be read.
    """
    if "codec" not in manifest.constants:
        return None
    count = sum(manifest.constants["codec"]["frames"])
    high, wide = _usual(manifest.networks["encode_first"], "pictures")[-2:]
    space = manifest.constants["space"]
    return clip_of(footage[0], count, (high, wide), space) if footage else drawn(count, (high, wide), space)


def check(
    folder: Path, manifest: Manifest, files: Mapping[str, str], clip: Proxies | None, device: str = "cuda"
) -> Dict[str, str]:
    """Return "finite" for each role, or why its file could not be run here.

    Args:
        files: role to the file of its network.
        clip: from `clip_for`; None runs each network by itself.

    Raises:
        BundleError: an output has NaN or infinite values, or a plan fails.
    """
    told: Dict[str, str] = {}
    networks: Dict[str, Network] = {}
    try:
        for role, file in files.items():
            try:
                networks[role] = load(folder / file, RuntimeSettings(device=device))
                told[role] = "finite"
            except RuntimeUnavailableError as error:
                told[role] = UNCHECKED + str(error)
        run = _Run(manifest, networks, files)
        if clip is None:
            run.alone()
        else:
            run.chain(clip, _prompt(folder, manifest))
    finally:
        for network in networks.values():
            network.close()
    return told


class _Run:
    """One run of all networks that could be loaded; those before them are replaced by noise."""

    def __init__(self, manifest: Manifest, networks: Mapping[str, Network], files: Mapping[str, str]) -> None:
        self._manifest, self._networks, self._files = manifest, networks, files
        self._rng = np.random.default_rng(0)

    def alone(self) -> None:
        """Run each network on values of 0 to 1, which pictures, mattes and places in them have."""
        for role in self._networks:
            info = self._manifest.networks[role]
            given = {one.name: self._rng.random(_usual(info, one.name), np.float32) for one in info.inputs}
            self._call(role, given)

    def chain(self, clip: Proxies, text: Array) -> None:
        """Run the networks of a diffusion model one after the other."""
        numbers = self._manifest.constants
        latents = {
            name: self._chunks(
                "encode", "pictures", "latents", clip.pictures[name].transpose(3, 0, 1, 2)[None]
            )
            for name in numbers["conditions"]
        }
        if "transformer" in self._networks:
            shape = _usual(self._manifest.networks["transformer"], "latents")
            mask = np.broadcast_to(_covered(clip.mask[0], int(numbers["spatial"])), (1, 1, *shape[2:]))
            noise = self._noise((1, int(numbers["channels"]), *shape[2:]))
            together = np.concatenate(
                [noise, *(_filled(one, shape) for one in latents.values()), mask], axis=1
            )
            placed = positions(numbers["positions"], *shape[2:])
            for time in TIMES:
                times = np.array([time], np.float32)
                self._call("transformer", {"latents": together, "times": times, "text": text, **placed})
        self._chunks("decode", "latents", "pictures", latents["composite"])

    def _chunks(self, way: str, given: str, made: str, values: Array) -> Array:
        """Run the first and the next chunk of the VAE and return what they make, or noise where they cannot run."""
        first = int(self._manifest.constants["codec"]["frames" if way == "encode" else "latents"][0])
        caches: Dict[str, Any] = {}
        results = []
        for place, chunk in (("first", values[:, :, :first]), ("next", values[:, :, first:])):
            role = f"{way}_{place}"
            if role not in self._networks:
                results.append(self._noise(_usual_output(self._manifest, way, place)))
                continue
            kept = [name for name in self._networks[role].outputs if name != made]
            outputs = self._call(role, {given: np.ascontiguousarray(chunk), **caches}, kept)
            caches = {f"cache.{name.partition('.')[2]}": outputs[name] for name in kept}
            results.append(np.asarray(outputs[made], np.float32))
        return np.concatenate(results, axis=2)

    def _call(self, role: str, given: Mapping[str, Any], keep: Iterable[str] = ()) -> Dict[str, Any]:
        """Call a network, inputs that are not given being noise; check what comes to the host."""
        info, network = self._manifest.networks[role], self._networks[role]
        inputs: Dict[str, Any] = {one.name: given.get(one.name) for one in info.inputs}
        for one in info.inputs:
            if inputs[one.name] is None:
                inputs[one.name] = self._noise(_usual(info, one.name))
            if isinstance(inputs[one.name], np.ndarray) and network.inputs[one.name].dtype != "bfloat16":
                inputs[one.name] = inputs[one.name].astype(network.inputs[one.name].dtype)
        kept = frozenset(keep)
        try:
            made = network(inputs, kept)
        except (RuntimeError, ValueError) as error:
            raise BundleError(
                f"{self._files[role]} cannot be run: {error}.", fix="Build it again."
            ) from error
        for name, value in made.items():
            if name not in kept and not np.isfinite(np.asarray(value, np.float32)).all():
                raise BundleError(
                    f"{self._files[role]}: output {name} is not finite.",
                    fix="Export in float32 or bfloat16, or use another version of TensorRT.",
                )
        return made

    def _noise(self, shape: Sequence[int]) -> Array:
        return self._rng.standard_normal(tuple(shape)).astype(np.float32)


def _prompt(folder: Path, manifest: Manifest) -> Array:
    """Return the prompt's embedding."""
    network = load(folder / manifest.networks["prompt"].file, RuntimeSettings(device="cpu"))
    try:
        return np.asarray(network({})["text"], np.float32)
    finally:
        network.close()


def _usual(network: NetworkInfo, name: str) -> tuple[int, ...]:
    """Return the usual shape of an input."""
    one = next(one for one in network.inputs if one.name == name)
    sizes = one.profile.get("opt", one.shape)
    return tuple(size if isinstance(size, int) else 1 for size in sizes)


def _usual_output(manifest: Manifest, way: str, place: str) -> tuple[int, ...]:
    """Return the shape of what a chunk of the VAE makes at its usual size."""
    numbers, chunk = manifest.constants, ("first", "next").index(place)
    name = "pictures" if way == "encode" else "latents"
    high, wide = _usual(manifest.networks[f"{way}_{place}"], name)[-2:]
    unit = int(numbers["spatial"])
    if way == "encode":
        return (
            1,
            int(numbers["channels"]),
            int(numbers["codec"]["latents"][chunk]),
            high // unit,
            wide // unit,
        )
    return (1, 3, int(numbers["codec"]["frames"][chunk]), high * unit, wide * unit)


def _covered(mask: Array, unit: int) -> Array:
    """Return a mask `(H, W)` at the size of latents."""
    high, wide = mask.shape
    cells = mask.reshape(high // unit, unit, wide // unit, unit)
    return np.asarray(cells.mean(axis=(1, 3), dtype=np.float32))


def _filled(latents: Array, shape: Sequence[int]) -> Array:
    """Return latents repeated along time up to the length of a window."""
    times = -(-shape[2] // latents.shape[2])
    return np.concatenate([latents] * times, axis=2)[:, :, : shape[2]].astype(np.float32)
