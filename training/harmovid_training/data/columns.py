"""Dataclasses of arrays as `.npz` files without pickle: the format of cached scenes and subjects."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any, Type, TypeVar

import numpy as np
from harmovid.errors import InputError
from harmovid.storage.atomic import replacing

Record = TypeVar("Record")


def save_columns(path: Path, record: Any) -> None:
    """Write the arrays of `record` as one `.npz` file, atomically; makes its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {field.name: getattr(record, field.name) for field in fields(record)}
    with replacing(path) as partial, open(partial, "wb") as stream:
        np.savez(stream, **arrays)


def load_columns(path: Path, kind: Type[Record]) -> Record:
    """Return the `kind` that was saved in `path`; `InputError` if the file does not exist."""
    if not path.is_file():
        raise InputError(
            f"{path} is not there.", fix="Run python -m harmovid_training.data cache FOLDER OUT."
        )
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    with np.load(path, allow_pickle=False) as stored:
        return kind(**{name: stored[name] for name in names})
