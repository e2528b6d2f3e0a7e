"""The codec children: decode, make proxies, apply fields, encode. They run with few rights (`sandbox.py`).

`codec.py` has their tasks; `packets.py` the messages between them and the worker's pool.
"""

from __future__ import annotations

LOG_JSON = "--log-json"
"""Flag of a child's command line: log lines are JSON."""
