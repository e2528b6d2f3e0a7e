"""If memory runs out: sample once more with a smaller window, then an error that says what is needed."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import Iterator

from harmovid.errors import EngineFailed

from harmovid_server.engines.diffusion.description import Description

SIGNS = (
    "out of memory", "outofmemory", "out_of_memory", "failed to allocate", "alloc_failed", "memoryallocation",
    "bad_alloc", "is smaller than requested bytes",
)  # fmt: skip
"""Texts of ONNX Runtime, CUDA, its libraries and TensorRT if memory runs out, in lower case."""

_REQUESTED = re.compile(r"(?:buffer of size|requested bytes of|allocate)\s+(\d+)")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error of a runtime means that memory ran out; runtimes have no exception class for that."""
    return isinstance(error, MemoryError) or any(sign in str(error).lower() for sign in SIGNS)


def smaller_window(error: Exception, window: int, description: Description, *, first: int) -> int:
    """Return about half the window, after memory has run out in the first one.

    Args:
        error: of the runtime; raised again if it means something else.
        window: frames of the window that failed. first: of the window that was tried first.

    Raises:
        EngineFailed: memory has run out in the smaller window as well.
    """
    if not is_out_of_memory(error):
        raise error
    smaller = max((window // 2) // description.chunk * description.chunk + 1, description.frames[0])
    if window != first or smaller >= window:
        raise EngineFailed(
            f"the network needs more memory than there is, even with windows of {window} frames{_wanted(error)}.",
            fix=f"Set window to less than {window}, use a bundle in lower precision, or a GPU with more memory.",
        ) from error
    return smaller


@contextmanager
def explained(work: str) -> Iterator[None]:
    """Turn a runtime's error that memory has run out into one that says what is needed, where no window can shrink.

    Args:
        work: what was being done, as in "encoding 9 frames of 480x720".

    Raises:
        EngineFailed: memory has run out in the block.
    """
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise EngineFailed(
            f"{work} needs more memory than there is{_wanted(error)}.",
            fix="Use a bundle with smaller proxies or tiles, one in lower precision, or a GPU with more memory.",
        ) from error


def _wanted(error: BaseException) -> str:
    """Return how much the runtime asked for last, as " (... more were asked for)"; "" if it does not say."""
    found = _REQUESTED.search(str(error))
    return f" ({int(found[1]) / (1 << 20):.0f} MiB more were asked for)" if found else ""
