"""Engines out of bundles: folders with trained networks and a manifest (`harmovid.bundle`).

    engine = create(Path("/srv/models/relight"))               # the code that its `kind` names, given the manifest
    networks = open_networks(folder, manifest, settings)       # in that code, when it is activated: role -> Network

What ships with the package is a bundle like any other. A new kind of networks is one line in `KINDS`.
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
"""A manifest's `kind` to "module:function" that makes an engine of it (`Factory`)."""

MIX = "; "


class Factory(Protocol):
    """What a kind names: an engine from a bundle, not yet activated; no file but the manifest is read."""

    def __call__(self, folder: Path, manifest: Manifest) -> Engine:
        """Return the engine; raise `BundleError` for networks or a colour encoding that it does not take."""


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
    """Raise `BundleError` where a bundle was trained in another colour encoding than the one served here."""
    if dict(manifest.colour) != dict(served):
        differing = [
            key for key in {**manifest.colour, **served} if manifest.colour.get(key) != served.get(key)
        ]
        raise BundleError(
            f"{folder} was trained in another colour encoding: {', '.join(sorted(differing))} differ.",
            fix="Export it with the version of HarmoVid that this server runs.",
        )


def check_roles(folder: Path, manifest: Manifest, roles: Mapping[str, Iterable[str]]) -> None:
    """Raise `BundleError` where a role, or an input of it that the engine's code gives, is missing.

    Args:
        roles: role to the names of the inputs that will be given.
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
        BundleError: another file than the manifest's, other tensors, or nothing here that can run it.
    """
    _check_runtime(folder, manifest)
    bundle.verify(folder)
    opened: Dict[str, Network] = {}
    try:
        for role, info in manifest.networks.items():
            opened[role] = _open(folder, info, settings, threads)
            _check_tensors(folder / info.file, info.inputs, opened[role].inputs)
            _check_tensors(folder / info.file, info.outputs, opened[role].outputs)
    except BaseException:
        for network in opened.values():
            network.close()
        raise
    return opened


def facts_of(networks: Mapping[str, Network]) -> Facts:
    """Return what computes a bundle: what all networks have in common, or each of them."""
    each = [network.facts for network in networks.values()]
    return {key: MIX.join(dict.fromkeys(one[key] for one in each if one[key])) for key in FACTS}


def _check_runtime(folder: Path, manifest: Manifest) -> None:
    """Raise `BundleError` where none of the runtimes that the manifest names is here, or only an older one."""
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


def _open(folder: Path, info: NetworkInfo, settings: RuntimeSettings, threads: int) -> Network:
    """Load a network: from the first compiled plan that runs here, else from ONNX; say what was passed over."""
    profiles = {one.name: one.profile for one in info.inputs if one.profile}
    passed: List[str] = []
    plans = [plan.file for plan in info.plans] if settings.device != "cpu" else []
    for name in [*plans, info.file]:
        try:
            network = load(folder / name, settings, threads=threads, profiles=profiles)
        except RuntimeUnavailableError as error:
            passed.append(str(error))
        else:
            network.facts["reason"] = MIX.join([*passed, *filter(None, [network.facts["reason"]])])
            return network
    raise BundleError(
        f"{folder / info.file} cannot be run here: {MIX.join(passed)}",
        fix="`harmovid doctor` says what this server has; device and providers are settings.",
    )


def _check_tensors(file: Path, wanted: Iterable[TensorInfo], found: Mapping[str, Tensor]) -> None:
    """Raise `BundleError` where a file has other tensors than the manifest says."""
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
