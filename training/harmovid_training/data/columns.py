"""Dataclasses whose fields are arrays, as `.npz` files: how scenes and subjects are cached. No pickle."""

from __future__ import annotations

import os
from dataclasses import fields
from pathlib import Path
from typing import Any, Type, TypeVar

import numpy as np
from harmovid.errors import InputError

Record = TypeVar("Record")


def save_columns(path: Path, record: Any) -> None:
    """Write the arrays of `record` as one `.npz` file, under a temporary name first; makes its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial.npz")
    np.savez(partial, **{field.name: getattr(record, field.name) for field in fields(record)})
    os.replace(partial, path)


def load_columns(path: Path, kind: Type[Record]) -> Record:
    """Return the `kind` that was saved in `path`; `InputError` where nothing is there."""
    if not path.is_file():
        raise InputError(
            f"{path} is not there.", fix="Run python -m harmovid_training.data cache FOLDER OUT."
        )
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    with np.load(path, allow_pickle=False) as stored:
        return kind(**{name: stored[name] for name in names})
