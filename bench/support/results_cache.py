"""Results of a bench kept in a folder, so that an interrupted run continues where it was.

kept = ResultsCache(folder, sources("engines/deflicker"))
score = kept.result({"clip": "dog", "seed": 1}, compute)     # computed once for the same sources and key
"""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any, Callable, Mapping, Optional, TypeVar

T = TypeVar("T")


def sources(*paths: Path) -> str:
    """Return a digest of Python files, and of all those in folders."""
    digest = sha256()
    for path in paths:
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


class ResultsCache:
    """Plain results (as JSON holds them) by key.

    Args:
        folder: made if it does not exist; None keeps nothing.
        made_by: digest of the code that makes the results; those of other code are not used.
    """

    def __init__(self, folder: Optional[Path], made_by: str = "") -> None:
        self._folder, self._made_by = folder, made_by
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def result(self, key: Mapping[str, Any], compute: Callable[[], T]) -> T:
        """Return the result for a key, computed if it is not in the folder yet."""
        if self._folder is None:
            return compute()
        whole = json.dumps({**key, "made_by": self._made_by}, sort_keys=True)
        path = self._folder / f"{sha256(whole.encode()).hexdigest()}.json"
        if path.is_file():
            found: T = json.loads(path.read_text())["result"]
            return found
        result = compute()
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps({**key, "result": result}))
        partial.replace(path)
        return result
