"""Counters of main for Prometheus; they survive a restart of the metrics process.

tally.count(FRAMES, "received"); tally.time(STAGES, 0.12, "proxy", "deflicker")
link message "numbers" = tally.plain()
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any, Dict, List, Tuple

from harmovid_server.metric_list import BUCKETS_S, Metric

Labels = Tuple[str, ...]

SERIES_MOST = 1000
"""Largest number of label sets of one metric; further ones count as "other". Labels come from engines and errors."""

OTHER = "other"


class Tally:
    """Counters and histograms since the start of the server."""

    def __init__(self) -> None:
        self._counts: Dict[str, Dict[Labels, float]] = {}
        self._times: Dict[str, Dict[Labels, List[float]]] = {}

    def count(self, metric: Metric, *labels: str, by: float = 1) -> None:
        """Add to a counter."""
        series = self._counts.setdefault(metric.name, {})
        key = _room(series, labels)
        series[key] = series.get(key, 0) + by

    def time(self, metric: Metric, seconds: float, *labels: str) -> None:
        """Add one duration to a histogram."""
        series = self._times.setdefault(metric.name, {})
        # One count per bucket, one for longer durations, then the sum in seconds.
        numbers = series.setdefault(_room(series, labels), [0.0] * (len(BUCKETS_S) + 2))
        numbers[bisect_left(BUCKETS_S, seconds)] += 1
        numbers[-1] += seconds

    def plain(self) -> Dict[str, Any]:
        """Return all numbers as maps and lists, for the link."""
        return {
            "counts": {
                name: [[list(key), n] for key, n in series.items()] for name, series in self._counts.items()
            },
            "times": {
                name: [[list(key), n] for key, n in series.items()] for name, series in self._times.items()
            },
        }


def _room(series: Dict[Labels, Any], labels: Labels) -> Labels:
    return labels if labels in series or len(series) < SERIES_MOST else (OTHER,) * len(labels)
