"""Engines from bundles: folders with trained networks and a manifest (`harmovid.bundle`).

    engine = create(Path("/srv/models/relight"))               # made by the code for its `kind`
    networks = open_networks(folder, manifest, settings)       # called by that code when activated: role -> Network

The bundle that ships with the package is like any other. A new kind of networks is one line in `KINDS`.
"""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, Protocol, Tuple

from harmovid import bundle
from harmovid.bundle import Manifest, NetworkInfo, TensorInfo
from harmovid.errors import BundleError

from harmovid_server.engines.base import Engine
from harmovid_server.runtimes.base import (
    FACTS,
    Facts,
    Network,
    RuntimeSettings,
    RuntimeUnavailableError,
    Tensor,
    installed,
    load,
)

KINDS: Dict[str, str] = {
    "harmonizer": "harmovid_server.engines.harmonize:from_bundle",
    "diffusion": "harmovid_server.engines.diffusion:from_bundle",
}
"""`kind` of a manifest to the "module:function" that makes the engine (`Factory`)."""

MIX = "; "


class Factory(Protocol):
    """A function that makes an engine from a bundle, not yet activated; it reads no file but the manifest."""

    def __call__(self, folder: Path, manifest: Manifest) -> Engine:
        """Return the engine; raise `BundleError` for networks or a colour encoding that it does not support."""


def create(folder: Path) -> Engine:
    """Return the engine of a bundle, not yet activated.

    Raises:
        BundleError: a bundle that cannot be used here.
    """
    manifest = bundle.read(folder)
    if manifest.kind not in KINDS:
        raise BundleError(
            f"{folder} is of kind {manifest.kind!r}, which this server cannot run.",
            fix="It runs " + ", ".join(KINDS) + ".",
        )
    module, _, function = KINDS[manifest.kind].partition(":")
    factory: Factory = getattr(import_module(module), function)
    return factory(folder, manifest)


def check_colour(folder: Path, manifest: Manifest, served: Mapping[str, Any]) -> None:
    """Raise `BundleError` if a bundle was trained in another colour encoding than the server's."""
    if dict(manifest.colour) != dict(served):
        differing = [
            key for key in {**manifest.colour, **served} if manifest.colour.get(key) != served.get(key)
        ]
        raise BundleError(
            f"{folder} was trained in another colour encoding: {', '.join(sorted(differing))} differ.",
            fix="Export it with the version of HarmoVid that this server runs.",
        )


def check_roles(folder: Path, manifest: Manifest, roles: Mapping[str, Iterable[str]]) -> None:
    """Raise `BundleError` if a role is missing, or an input of it that the engine's code sets.

    Args:
        roles: role to the names of the inputs that will be set.
    """
    for role, inputs in roles.items():
        has = manifest.networks.get(role)
        if has is None or {one.name for one in has.inputs} != set(inputs):
            raise BundleError(
                f"{folder} has no network {role!r} with the inputs {', '.join(inputs)}.",
                fix=f"It is not of the kind {manifest.kind!r}; export it again.",
            )


def open_networks(
    folder: Path, manifest: Manifest, settings: RuntimeSettings, threads: int = 1
) -> Dict[str, Network]:
    """Check every file's hash, load all networks and compare their tensors with the manifest.

    Raises:
        BundleError: a file or its tensors differ from the manifest, or no runtime here can run it.
    """
    _check_runtime(folder, manifest)
    bundle.verify(folder)
    opened: Dict[str, Network] = {}
    try:
        for role, info in manifest.networks.items():
            opened[role] = _open(folder, info, manifest.precision, settings, threads)
            _check_tensors(folder / info.file, info.inputs, opened[role].inputs)
            _check_tensors(folder / info.file, info.outputs, opened[role].outputs)
    except BaseException:
        for network in opened.values():
            network.close()
        raise
    return opened


def weights_mb(folder: Path, manifest: Manifest) -> int:
    """Return the memory of all weights on the device, without that of a step."""
    files = {name for network in manifest.networks.values() for name in (network.file, *network.data)}
    return -(-sum((folder / name).stat().st_size for name in files) // (1 << 20))


def facts_of(networks: Mapping[str, Network]) -> Facts:
    """Return what the networks of a bundle run on: once if it is the same for all, else for each."""
    each = [network.facts for network in networks.values()]
    return {key: MIX.join(dict.fromkeys(one[key] for one in each if one[key])) for key in FACTS}


def _check_runtime(folder: Path, manifest: Manifest) -> None:
    """Raise `BundleError` if none of the runtimes in the manifest is installed, or only older versions."""
    here = {name: installed(name) for name in manifest.runtime}
    if any(
        here[name] and _numbers(here[name]) >= _numbers(least) for name, least in manifest.runtime.items()
    ):
        return
    wanted = " or ".join(f"{name} {least}" for name, least in manifest.runtime.items())
    has = ", ".join(f"{name} {version}" for name, version in here.items() if version) or "none of them"
    raise BundleError(
        f"{folder} needs {wanted} or newer; installed is {has}.",
        fix="Install it: pip install 'harmovid[server]', or 'harmovid[server-gpu]' for NVIDIA.",
    )


def _numbers(version: str) -> Tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.split("+", maxsplit=1)[0])[:3])


def _open(
    folder: Path, info: NetworkInfo, precision: str, settings: RuntimeSettings, threads: int
) -> Network:
    """Load a network from the first compiled plan that runs here, else from ONNX, and note the plans that do not run.

    Its facts have the manifest's precision, as a network of half precision may have inputs of single precision.

    Args:
        precision: of the ONNX file's weights.
    """
    profiles = {one.name: one.profile for one in info.inputs if one.profile}
    passed: List[str] = []
    plans = [(plan.file, plan.precision) for plan in info.plans] if settings.device != "cpu" else []
    for name, held in [*plans, (info.file, precision)]:
        try:
            network = load(folder / name, settings, threads=threads, profiles=profiles)
        except RuntimeUnavailableError as error:
            passed.append(str(error))
        else:
            # If it is the one that was asked for, the network was converted to it.
            if network.facts["precision"] != settings.precision:
                network.facts["precision"] = held
            network.facts["reason"] = MIX.join([*passed, *filter(None, [network.facts["reason"]])])
            return network
    raise BundleError(
        f"{folder / info.file} cannot be run here: {MIX.join(passed)}",
        fix="`harmovid doctor` says what this server has; device and providers are settings.",
    )


def _check_tensors(file: Path, wanted: Iterable[TensorInfo], found: Mapping[str, Tensor]) -> None:
    """Raise `BundleError` if a file has other tensors than the manifest states."""
    said = {one.name: one for one in wanted}
    if set(said) != set(found):
        raise BundleError(
            f"{file} has the tensors {', '.join(found)}, the manifest says {', '.join(said)}.",
            fix="Export the bundle again.",
        )
    for name, tensor in found.items():
        one = said[name]
        fits = len(one.shape) == len(tensor.shape) and one.dtype == tensor.dtype
        pairs = zip(one.shape, tensor.shape) if fits else ()
        if not fits or any(isinstance(a, int) and isinstance(b, int) and a != b for a, b in pairs):
            raise BundleError(
                f"{file}: {name} is {tensor.dtype} {list(tensor.shape)}, the manifest says {one.dtype} "
                f"{list(one.shape)}.",
                fix="Export the bundle again.",
            )
