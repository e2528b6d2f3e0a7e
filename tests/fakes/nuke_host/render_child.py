"""Renders for a host whose Python has no numpy: one request as JSON on the command line, the answer as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))


def main(asked: dict) -> object:
    """Open the script and render, or return what is asked of a node."""
    from fakes.nuke_host import api, images, rendering, script
    from fakes.nuke_host.host import Host, install

    install()
    host = Host(gui=False)
    script.read(Path(asked["script"]).read_text(encoding="utf-8"), host.root)
    host.frame = float(asked["frame"])
    node = api.toNode(asked["node"])
    if asked["what"] == "channels":
        return node.channels()
    if asked["what"] == "format":
        return images.format_of(node, host.frame, host.view)
    if asked["what"] == "error":
        return node.hasError()
    rendering.execute(host, node, asked["frames"], asked["views"], asked["go_on"])
    return None


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))  # noqa: T201
