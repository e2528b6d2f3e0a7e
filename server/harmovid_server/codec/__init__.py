"""The codec children: decode, make proxies, apply fields, encode. Expendable, and confined (`sandbox.py`).

`codec.py` lists their tasks; `packets.py` is how the worker's pool speaks to them.
"""

from __future__ import annotations

LOG_JSON = "--log-json"
"""Word of a child's command line: log lines are JSON."""
