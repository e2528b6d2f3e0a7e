"""A shot's session as a worker drives it: whole, or restored in the middle from what a checkpoint holds."""

from __future__ import annotations

from typing import Any, Callable, List, Sequence

from harmovid_server.engines.base import Answer, ProxyFrame


def run(session: Any, frames: Sequence[ProxyFrame]) -> List[Answer]:
    """Push all frames and finish."""
    return [*(answer for one in frames for answer in session.push(one)), *session.finish()]


def run_restored(start: Callable[[], Any], frames: Sequence[ProxyFrame], cut: int) -> List[Answer]:
    """Push the frames before `cut` into one session, and the rest into another that has the state of the first."""
    first, second = start(), start()
    answers = [answer for one in frames[:cut] for answer in first.push(one)]
    second.restore(first.state())
    return answers + run(second, frames[cut:])
