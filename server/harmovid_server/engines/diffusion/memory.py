"""If GPU memory runs out: retry once with a smaller window, then raise an error that says what is needed."""

from __future__ import annotations

from typing import Callable, TypeVar

from harmovid.errors import EngineFailed

Result = TypeVar("Result")

SIGNS = ("out of memory", "failed to allocate", "alloc", "cudaerrormemory", "bad_alloc", "outofmemory")
"""Texts of ONNX Runtime, CUDA and TensorRT if memory runs out, in lower case."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error of a runtime means that memory ran out; runtimes have no exception class for that."""
    return isinstance(error, MemoryError) or any(sign in str(error).lower() for sign in SIGNS)


def with_less(run: Callable[[int], Result], window: int, least: int, chunk: int) -> Result:
    """Return `run(window)`; if memory runs out, retry once with about half the window.

    Args:
        window: frames, a valid clip length. least: the smallest window.

    Raises:
        EngineFailed: memory ran out again.
    """
    try:
        return run(window)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    smaller = max((window // 2) // chunk * chunk + 1, least)
    try:
        return run(smaller)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise EngineFailed(
            f"the network needs more memory than there is, even with windows of {smaller} frames.",
            fix=f"Set window to less than {smaller}, use a bundle in lower precision, or a GPU with more memory.",
        ) from error
