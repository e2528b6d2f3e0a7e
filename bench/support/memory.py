"""The memory of a server over time."""

from __future__ import annotations

import threading
from typing import Dict, List, Mapping, Sequence

from support.server import LocalServer

SAMPLE_S = 0.1
MIB = 1 << 20


class MemorySamples(threading.Thread):
    """Samples the resident memory of a server until stopped; `samples` are MiB by kind of process."""

    def __init__(self, server: LocalServer, every_s: float = SAMPLE_S) -> None:
        super().__init__(daemon=True)
        self.samples: List[Dict[str, float]] = []
        self._server, self._every_s = server, every_s
        self._stopped = threading.Event()

    def run(self) -> None:
        """Sample."""
        while not self._stopped.wait(self._every_s):
            self.samples.append({role: rss / MIB for role, rss in self._server.rss_bytes().items()})

    def stop(self) -> None:
        """End the sampling."""
        self._stopped.set()
        self.join()

    def peak(self) -> Dict[str, float]:
        """Stop, and return the sample with the largest sum."""
        self.stop()
        return max(self.samples, key=lambda sample: sum(sample.values()))

    def parts(self, number: int) -> List[Dict[str, float]]:
        """Stop; return the mean of each part of the time by kind of process, with "total", in MiB."""
        self.stop()
        count = len(self.samples)
        parts = [self.samples[count * n // number : count * (n + 1) // number] for n in range(number)]
        return [_mean(part) for part in parts if part]


def growth(samples: Sequence[Mapping[str, float]]) -> float:
    """Return how much more the last third of samples is than the first, in MiB; 0 without samples."""
    third = max(len(samples) // 3, 1)
    first, last = _mean(samples[:third]), _mean(samples[-third:])
    return last["total"] - first["total"]


def _mean(samples: Sequence[Mapping[str, float]]) -> Dict[str, float]:
    roles = sorted({role for sample in samples for role in sample})
    means = {role: sum(sample.get(role, 0.0) for sample in samples) / len(samples) for role in roles}
    return {**means, "total": sum(means.values())}
