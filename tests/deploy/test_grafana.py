"""The Grafana dashboard uses only metrics and labels that the server has, and all metrics."""

from __future__ import annotations

import json
import re
from pathlib import Path

from harmovid_server.metric_list import COUNTER, HISTOGRAM, METRICS

REPO = Path(__file__).resolve().parents[2]
BOARD = json.loads((REPO / "deploy" / "grafana.json").read_text(encoding="utf-8"))
EXPRESSIONS = [target["expr"] for panel in BOARD["panels"] for target in panel["targets"]]
WORD = re.compile(r"\bharmovid_\w+")


def sample_names() -> dict[str, tuple[str, ...]]:
    """Return every sample name that a server can show, with its labels."""
    found: dict[str, tuple[str, ...]] = {}
    for metric in METRICS:
        if metric.kind == HISTOGRAM:
            found[f"{metric.name}_bucket"] = (*metric.labels, "le")
            found[f"{metric.name}_sum"] = found[f"{metric.name}_count"] = metric.labels
        else:
            found[metric.name + ("_total" if metric.kind == COUNTER else "")] = metric.labels
    return found


def test_every_name_on_the_dashboard_is_a_sample_of_the_server() -> None:
    """Panels and variables use existing metrics only."""
    texts = [*EXPRESSIONS, *(one.get("definition", "") for one in BOARD["templating"]["list"])]
    asked = {name for text in texts for name in WORD.findall(text)}
    assert asked <= set(sample_names())


def test_every_metric_is_on_the_dashboard() -> None:
    """Every metric is shown in a panel."""
    asked = {name for text in EXPRESSIONS for name in WORD.findall(text)}
    for metric in METRICS:
        assert any(name.startswith(metric.name) for name in asked), metric.name


def test_labels_on_the_dashboard_are_the_metrics_own() -> None:
    """Grouping and filters use labels that the metric has; `instance` is Prometheus' own."""
    for text in EXPRESSIONS:
        labels = set(re.findall(r"(\w+)=~?\"", text))
        for group in re.findall(r"by \(([^)]*)\)", text):
            labels |= {label.strip() for label in group.split(",")}
        own = set().union(*(sample_names()[name] for name in WORD.findall(text)))
        assert labels <= own | {"instance"}, text
        legends = [t["legendFormat"] for p in BOARD["panels"] for t in p["targets"] if t["expr"] == text]
        assert {name for legend in legends for name in re.findall(r"{{(\w+)}}", legend)} <= own, text


def test_panels_do_not_lie_over_each_other() -> None:
    """Each panel has its own id and its own place."""
    places = set()
    for panel in BOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & places, panel["title"]
        places |= cells
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])
