"""Public weights by name or folder: what their libraries raise becomes one sentence that names the source.

with public_weights(source, "a VAE of CogVideoX", "Give a folder in diffusers' layout."):
    vae = AutoencoderKLCogVideoX.from_pretrained(source, subfolder="vae")
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

from harmovid.errors import InputError
from safetensors import SafetensorError

LAYOUT = "Give a folder in diffusers' layout, or the model's name where there is a network."
"""The fix for a model of diffusers."""


@contextmanager
def public_weights(source: str | Path, kind: str, fix: str = LAYOUT) -> Iterator[None]:
    """Load public weights inside the block.

    Args:
        source: name or folder.
        kind: what is to be loaded, with its article.

    Raises:
        InputError: there is no such model, it is of another kind, its files are damaged, or a package is missing.
    """
    try:
        yield
    except (OSError, ValueError, RuntimeError, ImportError, KeyError, TypeError, SafetensorError) as error:
        told = " ".join(str(error).split())[:240].rstrip(".")
        raise InputError(f"{source} cannot be loaded as {kind}: {told}.", fix=fix) from error
