"""A client for panels in tests: engines as this installation has them, runs as copies."""

from __future__ import annotations

from typing import Any, Iterator, List

from fakes.resolve_runs import CopyClient, Event
from harmovid.engines import installed

ENGINES: List[Any] = []


class PanelClient(CopyClient):
    """Describes the installed engines and copies frames."""

    def request(self, op: str, **fields: Any) -> Iterator[Event]:
        """Answer a request."""
        if op != "engines":
            yield from super().request(op, **fields)
            return
        self.requests.append((op, fields))
        if fields.get("server") == "away":
            yield {
                "event": "failed",
                "error": "nobody answers at away.",
                "fix": "Start it.",
                "code": "unreachable",
            }
            return
        if not ENGINES:
            ENGINES.extend(engine.to_dict() for engine in installed())
        yield {"event": "described", "engines": ENGINES}
