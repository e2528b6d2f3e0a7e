"""Files written whole or not at all: to a temporary name in the same folder, then renamed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Mapping

from safetensors.torch import save_file
from torch import Tensor


def save_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write a safetensors file; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    # One owner per storage: safetensors refuses views that share memory.
    whole = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    save_file(whole, part, dict(metadata or {}))
    part.replace(path)


def save_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def save_json(path: Path, value: Any) -> None:
    """Write indented JSON; keys in the order given."""
    save_text(path, json.dumps(value, indent=2) + "\n")
