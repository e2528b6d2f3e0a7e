"""Too little GPU memory: once more with a smaller window, then an error that says what would be needed."""

from __future__ import annotations

from typing import Callable, TypeVar

from harmovid.errors import EngineFailed

Result = TypeVar("Result")

SIGNS = ("out of memory", "failed to allocate", "alloc", "cudaerrormemory", "bad_alloc", "outofmemory")
"""What ONNX Runtime, CUDA and TensorRT say when memory ends, in lower case."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error of a runtime means that memory has ended; runtimes have no class of their own for it."""
    return isinstance(error, MemoryError) or any(sign in str(error).lower() for sign in SIGNS)


def with_less(run: Callable[[int], Result], window: int, least: int, chunk: int) -> Result:
    """Return `run(window)`; where memory ends, `run` of about half the window, once.

    Args:
        window: frames, after the chunk rule. least: a window is not made smaller than that.

    Raises:
        EngineFailed: that was not enough either.
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
