"""Engine bundles: a folder that holds trained networks and a manifest that describes them.

    folders = bundle.find("/srv/models")                   # the bundles in a folder
    manifest = bundle.read("/srv/models/relight")          # the manifest, checked for form; files must exist
    manifest = bundle.verify("/srv/models/relight")        # the same, and every file has the hash it should have
    bundle.write("/srv/models/relight", manifest)          # fills in the hashes and writes manifest.json

Every engine with networks is loaded from a bundle, also the ones that ship with the package. All files of a bundle are
in the same folder as `manifest.json`:

    {"schema": 1, "name": "harmonize", "version": "3", "task": "harmonize", "kind": "harmonizer",
     "networks": {"encoder": {"file": "encoder.onnx", "sha256": "...",
                              "inputs": [{"name": "codes", "dtype": "float32", "shape": ["n", 3, "h", "w"],
                                          "profile": {"min": [1, 3, 16, 16], "opt": [...], "max": [...]}}],
                              "outputs": [...], "data": {}, "plans": []}},
     "colour": {...}, "constants": {...}, "scheduler": {}, "precision": "float32",
     "runtime": {"onnxruntime": "1.20"}, "licence": "Apache-2.0", "card": "card.md", "card_sha256": "..."}

A size in `shape` is a number, or a name if the size is free. `profile` gives the smallest, usual and largest
full shape of an input with free sizes. `data` are an ONNX file's external weights, `plans` the same network compiled
for one GPU. `runtime` names the runtimes that can run the bundle, with the lowest version. See docs/server.md, "Engine
bundles".
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple, Union

from harmovid.errors import BundleError
from harmovid.storage.atomic import write_whole

MANIFEST = "manifest.json"
SCHEMA = 1
MANIFEST_BYTES = 1 << 20
"""A larger file is refused."""

_READ_BYTES = 1 << 20
_PROFILE = ("min", "opt", "max")

PathLike = Union[str, "os.PathLike[str]"]
Size = Union[int, str]


@dataclass(frozen=True)
class TensorInfo:
    """One input or output of a network.

    Attributes:
        dtype: as numpy names it ("float32", "float16", "int64"), and "bfloat16".
        shape: a number, or the name of a size that is free.
        profile: "min", "opt", "max" to full shapes; empty if the manifest states none.
    """

    name: str
    dtype: str
    shape: Tuple[Size, ...]
    profile: Mapping[str, Tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class PlanInfo:
    """A network compiled for one runtime and one kind of GPU.

    Attributes:
        runtime: "tensorrt" or "tensorrt_rtx". version: of it.
        gpu: what it was built for, as the runtime names it ("sm90").
    """

    file: str
    runtime: str
    version: str
    gpu: str
    precision: str
    sha256: str = ""


@dataclass(frozen=True)
class NetworkInfo:
    """One network: its ONNX file, what goes in and out, its external weights and compiled plans."""

    file: str
    inputs: Tuple[TensorInfo, ...]
    outputs: Tuple[TensorInfo, ...]
    sha256: str = ""
    data: Mapping[str, str] = field(default_factory=dict)
    plans: Tuple[PlanInfo, ...] = ()

    def files(self) -> Iterator[Tuple[str, str]]:
        """Yield (file name, SHA-256) of everything that belongs to this network."""
        yield self.file, self.sha256
        yield from self.data.items()
        for plan in self.plans:
            yield plan.file, plan.sha256


@dataclass(frozen=True)
class Manifest:
    """The content of `manifest.json`.

    Attributes:
        name: the engine's name. version: of the weights.
        task: as in `EngineInfo`. kind: which code of the server drives the networks ("harmonizer", "diffusion").
        networks: role to network; the kind decides which roles there are.
        colour: the encoding that the networks were trained in; the server refuses any other than its own.
        constants: numbers that training and serving must agree on. scheduler: of a diffusion model.
        precision: of the ONNX files' weights.
        runtime: what can run it, with the lowest version.
        licence: of the weights, as an SPDX identifier or a sentence.
        card: file name of the model card: data, purpose, limits. card_sha256: of it; empty if not known.
    """

    name: str
    version: str
    task: str
    kind: str
    networks: Mapping[str, NetworkInfo]
    colour: Mapping[str, Any]
    precision: str
    runtime: Mapping[str, str]
    licence: str
    card: str
    card_sha256: str = ""
    constants: Mapping[str, Any] = field(default_factory=dict)
    scheduler: Mapping[str, Any] = field(default_factory=dict)
    schema: int = SCHEMA

    def files(self) -> Iterator[Tuple[str, str]]:
        """Yield (file name, SHA-256) of all files of all networks."""
        for network in self.networks.values():
            yield from network.files()


def find(folder: PathLike) -> List[Path]:
    """Return the bundles in a folder, which is a bundle itself or has bundles as subfolders.

    Raises:
        BundleError: there is none.
    """
    top = Path(folder)
    if (top / MANIFEST).is_file():
        return [top]
    # Hidden folders are bundles that are being written.
    found = sorted(path.parent for path in top.glob(f"*/{MANIFEST}") if not path.parent.name.startswith("."))
    if not found:
        raise BundleError(
            f"{top} holds no engine bundle.",
            fix=f"Name a folder with a {MANIFEST}, or one above such folders.",
        )
    return found


def read(folder: PathLike) -> Manifest:
    """Return the manifest of a bundle after checking that all its files exist; their content is not read.

    Raises:
        BundleError: no bundle, a field that is missing or of the wrong kind, or a file that is not there.
    """
    path = os.path.join(folder, MANIFEST)
    try:
        with open(path, "rb") as stream:
            text = stream.read(MANIFEST_BYTES + 1)
        if len(text) > MANIFEST_BYTES:
            raise ValueError(f"it has more than {MANIFEST_BYTES} bytes")
        manifest = _manifest(_Fields(json.loads(text), ""))
    except OSError as error:
        raise BundleError(
            f"{path} cannot be read: {error.strerror}.", fix="Name a folder that holds an engine bundle."
        ) from error
    except ValueError as error:
        raise BundleError(
            f"{path} is no manifest of schema {SCHEMA}: {error}.", fix="Export the bundle again."
        ) from error
    for name in [manifest.card, *(name for name, _ in manifest.files())]:
        if not os.path.isfile(os.path.join(folder, name)):
            raise BundleError(
                f"{os.path.join(folder, name)} is not there.", fix="Copy the bundle again, whole."
            )
    return manifest


def verify(folder: PathLike) -> Manifest:
    """Return the manifest of a bundle after comparing the hash of every file with it.

    Raises:
        BundleError: as `read`, or naming the first file with another content.
    """
    manifest = read(folder)
    card = [(manifest.card, manifest.card_sha256)] if manifest.card_sha256 else []
    for name, wanted in [*manifest.files(), *card]:
        path = os.path.join(folder, name)
        if sha256(path) != wanted:
            raise BundleError(
                f"{path} is not the file that {MANIFEST} names: its SHA-256 differs.",
                fix="Copy the bundle again, or export it again.",
            )
    return manifest


def write(folder: PathLike, manifest: Manifest) -> Manifest:
    """Write `manifest.json` with the hashes of the files in `folder`; return the manifest that was written.

    Raises:
        BundleError: a file is not there. OSError: the manifest cannot be written.
    """
    networks = {role: _hashed(folder, network) for role, network in manifest.networks.items()}
    done = replace(manifest, networks=networks, card_sha256=sha256(os.path.join(folder, manifest.card)))
    text = json.dumps(asdict(done), indent=2, sort_keys=True) + "\n"
    write_whole(os.path.join(folder, MANIFEST), text.encode())
    return read(folder)


def sha256(path: PathLike) -> str:
    """Return a file's SHA-256 as 64 hex digits.

    Raises:
        BundleError: it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as stream:
            while True:
                piece = stream.read(_READ_BYTES)
                if not piece:
                    return digest.hexdigest()
                digest.update(piece)
    except OSError as error:
        raise BundleError(
            f"{os.fspath(path)} cannot be read: {error.strerror}.", fix="Copy the bundle again, whole."
        ) from error


def _hashed(folder: PathLike, network: NetworkInfo) -> NetworkInfo:
    def of(name: str) -> str:
        return sha256(os.path.join(folder, name))

    return replace(
        network,
        sha256=of(network.file),
        data={name: of(name) for name in network.data},
        plans=tuple(replace(plan, sha256=of(plan.file)) for plan in network.plans),
    )


class _Fields:
    """A JSON map; reading a field checks its type; `ValueError` names the field."""

    def __init__(self, data: Any, where: str) -> None:
        if not isinstance(data, dict):
            raise ValueError(f"{where or 'it'} is not a map")
        self._data, self._where = data, where

    def take(self, name: str, kind: Any, default: Optional[Any] = None) -> Any:
        value = self._data.get(name, default)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise ValueError(f"{self._where}{name} is {value!r}")
        return value

    def text(self, name: str) -> str:
        value: str = self.take(name, str)
        if not value.strip():
            raise ValueError(f"{self._where}{name} is empty")
        return value

    def file(self, name: str) -> str:
        return _plain_name(self.text(name))

    def map(self, name: str, default: Optional[Mapping[str, Any]] = None) -> Dict[str, Any]:
        return dict(self.take(name, dict, default))

    def each(self, name: str, default: Optional[List[Any]] = None) -> Iterator[_Fields]:
        for index, item in enumerate(self.take(name, list, default)):
            yield _Fields(item, f"{self._where}{name}[{index}].")


def _plain_name(name: str) -> str:
    """Return a file name; refuse a path that leads out of the bundle."""
    if name in ("", ".", "..") or any(sign in name for sign in "/\\\0"):
        raise ValueError(f"{name!r} is no file name")
    return name


def _manifest(fields: _Fields) -> Manifest:
    schema = fields.take("schema", int)
    if schema != SCHEMA:
        raise ValueError(f"its schema is {schema}")
    return Manifest(
        name=fields.text("name"),
        version=fields.text("version"),
        task=fields.text("task"),
        kind=fields.text("kind"),
        networks={
            role: _network(_Fields(data, f"networks.{role}."))
            for role, data in fields.map("networks").items()
        },
        colour=fields.map("colour"),
        precision=fields.text("precision"),
        runtime={name: str(version) for name, version in fields.map("runtime").items()},
        licence=fields.text("licence"),
        card=fields.file("card"),
        card_sha256=fields.take("card_sha256", str, ""),
        constants=fields.map("constants", {}),
        scheduler=fields.map("scheduler", {}),
        schema=schema,
    )


def _network(fields: _Fields) -> NetworkInfo:
    return NetworkInfo(
        file=fields.file("file"),
        inputs=tuple(_tensor(one) for one in fields.each("inputs")),
        outputs=tuple(_tensor(one) for one in fields.each("outputs")),
        sha256=fields.text("sha256"),
        data={_plain_name(name): str(digest) for name, digest in fields.map("data", {}).items()},
        plans=tuple(_plan(one) for one in fields.each("plans", [])),
    )


def _plan(fields: _Fields) -> PlanInfo:
    return PlanInfo(
        file=fields.file("file"),
        runtime=fields.text("runtime"),
        version=fields.text("version"),
        gpu=fields.text("gpu"),
        precision=fields.text("precision"),
        sha256=fields.text("sha256"),
    )


def _tensor(fields: _Fields) -> TensorInfo:
    name, shape = fields.text("name"), tuple(fields.take("shape", list))
    if not all(isinstance(size, (int, str)) and not isinstance(size, bool) for size in shape):
        raise ValueError(f"the shape of {name} is {list(shape)}")
    profile = {key: tuple(value) for key, value in fields.map("profile", {}).items()}
    for key, full in profile.items():
        if key not in _PROFILE or len(full) != len(shape) or not all(isinstance(size, int) for size in full):
            raise ValueError(f"the profile of {name} is {key} {list(full)}")
    return TensorInfo(name, fields.text("dtype"), shape, profile)
