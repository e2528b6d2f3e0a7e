"""Weights of perceptual metrics from local files, never fetched and never guessed.

    tensors = read_tensors((Path("alexnet-owt-7be5be79.pth"), Path("alex.pth")))

Files are safetensors, or PyTorch state dicts read with `weights_only`. What is not at hand is told by `NotAtHand`,
whose text goes into the table; a metric is then left out and no other takes its place.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Dict, Sequence

from harmovid.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

PIECE_BYTES = 1 << 20


class NotAtHand(InputError):
    """A metric cannot be had here; the message says what is missing, the fix how to bring it."""


def read_tensors(files: Sequence[Path]) -> Dict[str, Tensor]:
    """Return all tensors of the files by their names; of a name that comes twice the last one counts.

    Raises:
        NotAtHand: a file that is missing or holds no plain tensors.
    """
    import torch
    from safetensors.torch import load_file

    found: Dict[str, Tensor] = {}
    for path in files:
        if not path.is_file():
            raise NotAtHand(f"there are no weights at {path}.", fix="Name the file with its whole path.")
        try:
            if path.suffix == ".safetensors":
                given = load_file(path)
            else:
                given = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # a damaged file ends in whatever its reader stumbles over first
            raise NotAtHand(
                f"{path} cannot be read as weights: {str(error).splitlines()[0][:120]}",
                fix="Give a safetensors file or a state dict of plain tensors.",
            ) from error
        if isinstance(given, dict):
            found.update({str(name): value for name, value in given.items() if torch.is_tensor(value)})
    return found


def fingerprint(files: Sequence[Path]) -> str:
    """Return a short SHA-256 of the files' content: other weights, other numbers."""
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as stream:
            while piece := stream.read(PIECE_BYTES):
                digest.update(piece)
    return digest.hexdigest()[:16]
