"""Main's numbers as metric families of prometheus_client, created for each scrape by a collector for its registry."""

from __future__ import annotations

from typing import Any, Iterator, List, Sequence, Tuple

from harmovid import __version__
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector as PrometheusCollector

from harmovid_server import metric_list as names
from harmovid_server.metric_list import BUCKETS_S, COUNTER, GAUGE, METRICS, Metric
from harmovid_server.metrics.numbers import GpuMemory, Numbers, memory_of

Series = Sequence[Tuple[Sequence[str], float]]


class Collector(PrometheusCollector):
    """Yields every metric of `harmovid_server.metric_list`, also those without a value."""

    def __init__(self, numbers: Numbers, gpus: GpuMemory) -> None:
        self._numbers = numbers
        self._gpus = gpus

    def collect(self) -> Iterator[Any]:
        """Yield the metric families."""
        message = self._numbers.message
        gauges = {**message.get("gauges", {}), **self._own_gauges()}
        for metric in METRICS:
            if metric.kind == COUNTER:
                yield _counter(metric, message.get("counts", {}).get(metric.name, ()))
            elif metric.kind == GAUGE:
                yield _gauge(metric, gauges.get(metric.name, ()))
            else:
                yield _histogram(metric, message.get("times", {}).get(metric.name, ()))

    def _own_gauges(self) -> dict[str, Series]:
        memory: List[Tuple[Sequence[str], float]] = [
            ([name], size) for name, size in memory_of(self._numbers.message.get("pids", {}))
        ]
        gpus: List[Tuple[Sequence[str], float]] = []
        for index, used, total in self._gpus.rows():
            gpus += [([index, "used"], used), ([index, "total"], total)]
        return {
            names.MEMORY.name: memory,
            names.GPU.name: gpus,
            names.READY.name: [([], float(not self._numbers.ready_problems()))],
            names.INFO.name: [([__version__], 1.0)],
        }


def _counter(metric: Metric, series: Series) -> CounterMetricFamily:
    family = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
    # A counter without labels is 0 before its first event; with labels, their values are not known yet.
    for labels, value in series or ([((), 0.0)] if not metric.labels else []):
        family.add_metric(labels, value)
    return family


def _gauge(metric: Metric, series: Series) -> GaugeMetricFamily:
    family = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, value in series:
        family.add_metric(labels, value)
    return family


def _histogram(metric: Metric, series: Sequence[Tuple[Sequence[str], List[float]]]) -> HistogramMetricFamily:
    family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, (*counts, total_s) in series:
        bounds = [*(f"{bound:g}" for bound in BUCKETS_S), "+Inf"]
        so_far, buckets = 0.0, []
        for bound, count in zip(bounds, counts):
            so_far += count
            buckets.append((bound, so_far))
        family.add_metric(labels, buckets, total_s)
    return family
