"""Atomic writing of files: to a temporary name in the same folder, then renamed."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator, Mapping, Sequence

import pyarrow
import torch
from harmovid.errors import InputError
from harmovid.storage.atomic import replacing
from pyarrow import parquet
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor


def save_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write a safetensors file; folders are made."""
    whole: dict[str, Tensor] = {}
    places = set()
    for name, tensor in tensors.items():
        given = tensor.detach().cpu().contiguous()
        memory = given.untyped_storage()
        # safetensors refuses tensors that share memory; others are written from where they are.
        shared = memory.data_ptr() in places or memory.nbytes() != given.nbytes
        places.add(memory.data_ptr())
        whole[name] = given.clone() if shared else given
    with _in_place_of(path) as part:
        save_file(whole, part, dict(metadata or {}))


def read_tensors(
    path: Path, dtype: torch.dtype | None = None, fix: str = "Copy the checkpoint again."
) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file in memory of their own.

    Args:
        dtype: to read them as; their own where None.
        fix: for the error.

    Raises:
        InputError: the file is missing, cut short or damaged.
    """
    try:
        with safe_open(path, "pt") as file:
            names = list(file.keys())
            return {name: file.get_tensor(name).to(dtype, copy=True) for name in names}
    except FileNotFoundError as error:
        raise InputError(f"there is no {path}.", fix=fix) from error
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} is cut short or damaged: {first_line(error)}", fix=fix) from error


def first_line(error: Exception) -> str:
    """Return the beginning of an error's text: its first two lines, at most 240 characters."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])[:240]


def save_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file; folders are made."""
    with _in_place_of(path) as part:
        part.write_text(text, encoding="utf-8")


def save_parquet(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows of equal columns as a Parquet file; folders are made."""
    with _in_place_of(path) as part:
        parquet.write_table(pyarrow.Table.from_pylist([dict(row) for row in rows]), part)


def read_parquet(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a Parquet file.

    Raises:
        InputError: the file is not a Parquet file.
    """
    try:
        rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"{path} is no Parquet file: {error}.", fix="Write it again.") from error
    return rows


def save_json(path: Path, value: Any) -> None:
    """Write indented JSON; keys in the order given."""
    save_text(path, json.dumps(value, indent=2) + "\n")


@contextmanager
def _in_place_of(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside a file, which is renamed to the file once it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        yield Path(part)
